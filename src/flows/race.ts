/** Several flows at once: what each says is said, the first that brings something wins, the others are stopped. */
import type { Context } from "../context.ts";
import type { Flow } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { HEARTBEAT_SECONDS } from "./wait.ts";

export interface Runner<T> {
  run(ctx: Context): Flow<T>;
  /** What to say when this one is out and others still run; may throw, which ends them all. */
  lost?(failure: Failure): Flow<void>;
  /** Runs along and brings nothing: when it fails all end, and it alone is nothing to wait for. */
  beside?: boolean;
}

/** Rejects with the last failure when all have failed. */
export async function* firstOf<T>(runners: readonly Runner<T>[], ctx: Context): Flow<T> {
  const enough = new AbortController();
  const inner: Context = { ...ctx, signal: AbortSignal.any([ctx.signal, enough.signal]) };
  const flows = new Map(runners.map((runner) => [runner, runner.run(inner)]));
  const steps = new Map([...flows].map(([runner, flow]) => [runner, next(runner, flow)]));
  let lastBeat = Number.NEGATIVE_INFINITY;
  try {
    for (;;) {
      const { runner, ...step } = await Promise.race(steps.values());
      if ("failed" in step) {
        steps.delete(runner);
        const isOver = [...steps.keys()].every(({ beside }) => beside);
        if (!(step.failed instanceof Failure) || ctx.signal.aborted || isOver || !runner.lost) throw step.failed;
        yield* runner.lost(step.failed);
        continue;
      }
      if (step.result.done) return step.result.value;
      steps.set(runner, next(runner, flows.get(runner) as Flow<T>));
      const notice = step.result.value;
      // Each waits and says so: one of them is enough.
      const isBeat = notice.phase === "progress" && notice.remaining !== undefined;
      const now = ctx.uptime();
      if (isBeat && now - lastBeat < HEARTBEAT_SECONDS / 2) continue;
      if (isBeat) lastBeat = now;
      yield notice;
    }
  } finally {
    enough.abort("another way in");
    await Promise.allSettled([...steps.values()]);
    await Promise.allSettled([...flows.values()].map((flow) => flow.return(undefined as never)));
  }
}

async function next<T>(runner: Runner<T>, flow: Flow<T>) {
  try {
    return { runner, result: await flow.next() };
  } catch (failed) {
    return { runner, failed };
  }
}
