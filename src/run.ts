/**
 * The one loop: flow -> machine -> renderers -> exit code.
 *
 * Rules: `v`, `seq`, `time`, `command` and `duration_ms` are stamped here and nowhere else; exactly one `result` gets
 * out and it is the last line; after an abort the flow has a moment to tidy up, some seconds where it holds an answer that
 * must not be lost, then the result comes all the same.
 */
import { type Flow, type Outcome, progress } from "./flow.ts";
import { GRACE_MS, HELD_MS, type Holds, newHolds } from "./holds.ts";
import type { Kind } from "./protocol/data.ts";
import { VERSION } from "./protocol/event.ts";
import { asFailure, codes, Failure } from "./protocol/failure.ts";
import { type Body, machineFor, type State, type Transition } from "./protocol/machine.ts";
import { failed, succeeded } from "./result.ts";

export interface StreamOptions {
  command: string;
  /** The kind of outcome that the command ends with. */
  kind: Kind;
  /** Whether the command may put a challenge (`auth_url`, `device_code`) to somebody. */
  challenges: boolean;
  /** The one that the flow's context holds. Its reason names what cancelled the command: "SIGINT". */
  signal: AbortSignal;
  now(): Date;
  /** Called with each transition in order: render and write. Must not throw. */
  show(transition: Transition): void;
}

export interface Stream {
  say(body: Body): void;
  /** Ends the stream. Only the first call does; every call returns the exit code of the result that got out. */
  end(ending: { outcome: Outcome } | { thrown: unknown }): number;
  /** Ends the stream of a process that stops in mid-flow, because it was cancelled or for no reason that anybody knows. */
  abandon(): number;
  /** The exit code, once the result is out. */
  readonly exitCode: number | undefined;
}

export function openStream({ command, kind, challenges, signal, now, show }: StreamOptions): Stream {
  const startedAt = now().getTime();
  let state: State = challenges ? "working" : "quiet";
  let seq = 0;
  let exitCode: number | undefined;

  const say = (body: Body): void => {
    if (state === "ended") return;
    const at = now();
    const { replayed } = body;
    seq = replayed?.seq ?? seq;
    const time = replayed?.time ?? at.toISOString();
    const duration_ms = Math.max(0, at.getTime() - startedAt);
    const machine = machineFor(replayed?.kind ?? body.kind ?? kind);
    const transition = machine(state, { v: VERSION, seq, time, command, duration_ms }, body);
    seq++;
    state = transition.to;
    if (transition.event.phase === "result") exitCode = transition.event.exit_code;
    show(transition);
  };

  const end: Stream["end"] = (ending) => {
    say("outcome" in ending ? succeeded(ending.outcome) : failed(asFailure(ending.thrown)));
    return exitCode ?? codes.internal.exit;
  };
  return {
    say,
    end,
    abandon: () => end({ thrown: signal.aborted ? cancelled(signal) : unfinished() }),
    get exitCode() {
      return exitCode;
    },
  };
}

/** Pulls the flow to its end and returns the exit code. */
export async function run(
  stream: Stream,
  flow: Flow<Outcome>,
  signal: AbortSignal,
  holds: Holds = newHolds(),
): Promise<number> {
  const patience = graceAfter(signal, stream, holds);
  try {
    while (stream.exitCode === undefined) {
      const next = await Promise.race([flow.next(), patience.over]);
      if (next === undefined || patience.isOver()) break;
      if (next.done) return stream.end({ outcome: next.value });
      stream.say(next.value);
    }
    // The machine ended the stream, or the flow did not heed the abort: let it run its `finally`, but not for long.
    await Promise.race([flow.return(undefined as never), patience.over, pause(GRACE_MS)]);
    return stream.abandon();
  } catch (thrown) {
    const told = thrown instanceof Failure && thrown.code === "cancelled";
    return stream.end({ thrown: signal.aborted && !told ? cancelled(signal) : thrown });
  } finally {
    patience.clear();
  }
}

const cancelled = ({ reason }: AbortSignal) => new Failure("cancelled", `Cancelled by ${reason}.`, { cause: reason });

const unfinished = () =>
  new Failure("internal", "authline ended before its work was done: something stopped the process.", {
    hint: "Nothing that was stored is lost. Please report this with the command you ran.",
  });

function graceAfter(signal: AbortSignal, stream: Stream, holds: Holds) {
  let deadline = Number.POSITIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let expire: (nothing: undefined) => void = () => {};
  const over = new Promise<undefined>((resolve) => {
    expire = resolve;
  });
  const allow = (ms: number) => {
    clearTimeout(timer);
    deadline = performance.now() + ms;
    timer = setTimeout(expire, ms, undefined);
  };
  const start = () => {
    if (holds.why === undefined) return allow(GRACE_MS);
    allow(HELD_MS);
    holds.onIdle(() => allow(GRACE_MS));
    stream.say(progress("refresh", "waiting", holds.why, { remaining: HELD_MS / 1000 }));
  };
  if (signal.aborted) start();
  else signal.addEventListener("abort", start, { once: true });
  return {
    over,
    isOver: () => performance.now() > deadline,
    clear: () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", start);
    },
  };
}

const pause = (ms: number) => new Promise<undefined>((resolve) => setTimeout(resolve, ms, undefined).unref());
