/** Waiting for a person: with a deadline, and with a sign of life at least every 15 s. */
import type { Context } from "../context.ts";
import { type Flow, progress } from "../flow.ts";
import { inWords, waitingForYou } from "../protocol/waiting.ts";

export const HEARTBEAT_SECONDS = 15;

export const secondsUntil = (until: Date, ctx: Pick<Context, "now">) => (until.getTime() - ctx.now().getTime()) / 1000;

/** A sign of life at least every 15 s until `until`. Measured by a clock that nobody sets. */
export function heartbeat(until: Date, ctx: Context, what?: string) {
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
        const message = what ? `Waiting for ${what}, ${inWords(remaining)} left.` : waitingForYou(remaining);
        yield progress("await_user", "waiting", message, { remaining });
      }
      if (now >= end) return true;
    }
  }
  return { beat, rest };
}

/** What `work` brings, which has a deadline of its own and ends with the command; `message` is the sign of life. */
export async function* alive<T>(work: Promise<T>, message: string, ctx: Context): Flow<T> {
  const done = new AbortController();
  const end = () => done.abort();
  work.then(end, end);
  const signal = AbortSignal.any([ctx.signal, done.signal]);
  for (;;) {
    const isLong = await ctx.sleep(HEARTBEAT_SECONDS, signal).then(
      () => true,
      () => false,
    );
    if (!isLong) return await work;
    yield progress("await_user", "waiting", message, { reason: "read_source" });
  }
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

/** All of standard input, without what stands around it; undefined when `until` comes first. Throws what reading it throws. */
export async function* waitForStdin(maxBytes: number, until: Date, ctx: Context): Flow<string | undefined> {
  const enough = new AbortController();
  const arrival = ctx.stdin({ signal: AbortSignal.any([ctx.signal, enough.signal]), maxBytes });
  try {
    return (yield* waitFor(arrival, until, ctx, heartbeat(until, ctx, "the address on stdin")))?.trim();
  } finally {
    enough.abort("waited for long enough");
  }
}
