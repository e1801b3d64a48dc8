/**
 * One driver, many watchers. Whoever follows a session shows its log, and drives it when nobody else does.
 *
 * Rules: the lock decides who drives, and a killed process cannot keep it; a line is in the log before anybody sees it;
 * a process that is cancelled stops driving, which does not end the session: only an answer, a refusal, the time or
 * `session cancel` does.
 */
import { alive } from "../alive.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import type { Flow, Outcome } from "../flow.ts";
import type { DataOf } from "../protocol/data.ts";
import type { Notice, PhaseEvent, Result } from "../protocol/event.ts";
import { asFailure, Failure } from "../protocol/failure.ts";
import type { Body } from "../protocol/machine.ts";
import { failed, succeeded } from "../result.ts";
import { drive } from "./drive.ts";
import { gone, type SessionClear, type SessionState, stateAfter } from "./session.ts";

export interface Following {
  /** The first line to show. */
  from?: number;
  /** Seconds to leave the driving to somebody who is about to come. */
  patience?: number;
}

const LOOK_SECONDS = 0.15;

/** Ends as the session ends. Throws what the session failed with. */
export async function* follow(session_id: string, ctx: Context, following: Following = {}): Flow<Outcome<"login">> {
  const { from = 0, patience = 0 } = following;
  const patientUntil = ctx.now().getTime() + patience * 1000;
  let next = from;
  for (;;) {
    for (const event of ctx.sessions.events(session_id, next)) {
      next = event.seq + 1;
      if (event.phase === "result") {
        await settleAfter(event, session_id, ctx);
        return ending(event);
      }
      yield { ...replay(event), again: true };
    }
    const lock = ctx.now().getTime() >= patientUntil ? ctx.sessions.drive(session_id) : undefined;
    if (!lock) {
      await ctx.sleep(LOOK_SECONDS, ctx.signal);
      continue;
    }
    try {
      if (ctx.sessions.events(session_id, next).length > 0) continue; // said between our look and our lock
      const session = ctx.sessions.get(session_id);
      if (!session) throw gone(session_id);
      return yield* driven(session, next, ctx);
    } finally {
      lock.release();
    }
  }
}

async function* driven(session: SessionClear, next: number, ctx: Context): Flow<Outcome<"login">> {
  const { session_id } = session;
  const writer = ctx.sessions.writer(session_id, ctx.now);
  const end = async (body: Body, state: SessionState): Promise<Result> => {
    const event = writer.append(body) as Result;
    await settle(session_id, state, ctx);
    return event;
  };

  const last = ctx.sessions.events(session_id).at(-1);
  if (last?.phase === "result") {
    await settle(session_id, stateOf(last), ctx);
    return ending(last);
  }
  if (session.state !== "pending") return ending(await end(failed(ended(session)), session.state));
  const flow = alive(drive(session, ctx));
  let outcome: Outcome<"login">;
  try {
    for (;;) {
      const step = await flow.next();
      if (step.done) {
        outcome = step.value;
        break;
      }
      const event = writer.append(step.value);
      if (event.phase === "result") return ending(event); // the machine has refused the line
      if (event.seq >= next) yield replay(event);
    }
  } catch (error) {
    if (ctx.signal.aborted) throw error;
    const failure = asFailure(error);
    // A stranger has the port that the browser will come back to: the address can still be handed in.
    const isOpen = (ctx.sessions.get(session_id)?.doors.length ?? 0) > 0;
    if (failure.code === "locked" && isOpen) throw failure;
    if (failure.code === "store") throw failure; // nothing can be written down, the end least of all
    return ending(await end(failed(failure), stateAfter(failure.code)));
  } finally {
    await flow.return(undefined as never);
  }
  return ending(await end(succeeded(outcome), "completed"));
}

const stateOf = (result: Result) => ("error" in result ? stateAfter(result.error.code) : "completed");

/** The record after the last line: what was needed to go on is gone. */
async function settle(session_id: string, state: SessionState, ctx: Context): Promise<void> {
  const session = ctx.sessions.get(session_id);
  if (session?.state !== "pending") return;
  await ctx.sessions.put({ ...session, state, ended_at: ctx.now().toISOString(), doors: [], secrets: {} });
}

/** A process may have been killed between the last line and the record: the line holds. */
async function settleAfter(result: Result, session_id: string, ctx: Context): Promise<void> {
  if (ctx.sessions.get(session_id)?.state !== "pending") return;
  const lock = ctx.sessions.drive(session_id);
  if (!lock) return; // whoever drives it is about to
  try {
    await settle(session_id, stateOf(result), ctx);
  } finally {
    lock.release();
  }
}

/** The same for a command whose stream is not the session's log: its lines are counted from 0. */
export async function* recounted(flow: Flow<Outcome<"login">>): Flow<Outcome<"login">> {
  try {
    for (;;) {
      const step = await flow.next();
      const { replayed: _, ...said } = step.value;
      if (step.done) return said as Outcome<"login">;
      yield said as Notice;
    }
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(error.code, error.message, { ...error.details, replayed: undefined });
  } finally {
    await flow.return(undefined as never);
  }
}

/** A killed process had ended the session and not yet said so. */
const ended = ({ state }: SessionClear) =>
  new Failure(state === "cancelled" ? "cancelled" : "failed", `This sign-in is ${state}; nothing more is known of it.`);

const stampOf = ({ seq, time }: PhaseEvent) => ({ replayed: { seq, time } });

function replay(event: Exclude<PhaseEvent, Result>): Notice {
  return { ...event, ...stampOf(event) } as unknown as Notice;
}

/** The end of the session as the end of whoever follows it. */
function ending(event: Result): Outcome<"login"> {
  const { message, warnings, next_actions, session_id } = event;
  const belonging = { ...defined({ session_id }), ...stampOf(event) };
  if ("data" in event) return { message, warnings, next_actions, data: event.data as DataOf<"login">, ...belonging };
  const { code, message: why, ...details } = event.error;
  throw new Failure(code, why, { ...details, warnings, next_actions, ...belonging });
}
