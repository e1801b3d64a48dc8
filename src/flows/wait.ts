/** Waiting for a person: with a deadline, and with a sign of life at least every 15 s. */
import type { Context } from "../context.ts";
import { type Flow, progress } from "../flow.ts";
import { waitingForYou } from "../protocol/waiting.ts";

export const HEARTBEAT_SECONDS = 15;

export const secondsUntil = (until: Date, ctx: Pick<Context, "now">) => (until.getTime() - ctx.now().getTime()) / 1000;

/** A sign of life at least every 15 s until `until`. Measured by a clock that nobody sets. */
export function heartbeat(until: Date, ctx: Context) {
  const deadline = ctx.uptime() + secondsUntil(until, ctx);
  let last = ctx.uptime();
  /** To be called when something else was said. */
  const beat = () => {
    last = ctx.uptime();
  };
  /** Sleeps, and beats when it is time to; false when `until` came first. */
  async function* rest(seconds: number, signal = ctx.signal): Flow<boolean> {
    const end = ctx.uptime() + seconds;
    for (;;) {
      await ctx.sleep(Math.max(0, Math.min(end, deadline, last + HEARTBEAT_SECONDS) - ctx.uptime()), signal);
      const now = ctx.uptime();
      if (now >= deadline) return false;
      if (now >= last + HEARTBEAT_SECONDS) {
        beat();
        const remaining = Math.round(deadline - now);
        yield progress("await_user", "waiting", waitingForYou(remaining), { remaining });
      }
      if (now >= end) return true;
    }
  }
  return { beat, rest };
}

/** What `arrival` brings, or undefined when `until` comes first. Rejects when the command is aborted. */
export async function* waitFor<T>(
  arrival: Promise<T>,
  until: Date,
  ctx: Context,
  heart = heartbeat(until, ctx),
): Flow<T | undefined> {
  const arrived = new AbortController();
  const signal = AbortSignal.any([ctx.signal, arrived.signal]);
  let value: T | undefined;
  const done = arrival.then((what) => {
    value = what;
    arrived.abort();
  });
  done.catch(() => arrived.abort()); // told below
  try {
    yield* heart.rest(Number.POSITIVE_INFINITY, signal);
    return undefined;
  } catch (error) {
    if (!arrived.signal.aborted) throw error;
    await done;
    return value;
  }
}
