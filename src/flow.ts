/**
 * A flow is an async generator, and its three language channels are the protocol:
 * `yield` says what the user should know now, `return` how it ended, `throw` (a Failure) why it failed.
 */
import type { DataOf, Kind } from "./protocol/data.ts";
import type { Belonging, Notice, ProgressNotice } from "./protocol/event.ts";
import type { NextAction, Warning } from "./protocol/failure.ts";

export type Flow<T> = AsyncGenerator<Notice, T, void>;

/** How a command ended well: what becomes the `result`. */
export interface Outcome<K extends Kind = Kind> extends Belonging {
  status?: "success" | "started" | "pending";
  message: string;
  data: DataOf<K>;
  warnings?: Warning[];
  next_actions?: NextAction[];
}

type Details = Partial<Omit<ProgressNotice, "phase" | "step" | "state" | "message">>;

/** The commonest notice: nothing to do, something happened. */
export function progress(
  step: ProgressNotice["step"],
  state: ProgressNotice["state"],
  message: string,
  details: Details = {},
): ProgressNotice {
  return { phase: "progress", message, step, state, ...details };
}

/** The same flow, whose notices are about this credential and not the one that the command names. */
export async function* about<T>(whose: NonNullable<Notice["whose"]>, flow: Flow<T>): Flow<T> {
  try {
    for (;;) {
      const step = await flow.next();
      if (step.done) return step.value;
      yield { ...step.value, whose };
    }
  } finally {
    await flow.return(undefined as never);
  }
}
