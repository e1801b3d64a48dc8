/**
 * One process at a time changes a credential. Whoever waits for its turn says so, and looks again whether it still has to.
 */
import type { Context } from "../context.ts";
import { type Flow, progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { inWords } from "../protocol/waiting.ts";
import type { Lock } from "../store/lock.ts";
import { HEARTBEAT_SECONDS } from "./wait.ts";

/** Longer than a refresh that is tried again until its server answers. */
const PATIENCE = 90;
/** A wait that nobody would notice is not worth a line. */
const QUIET = 2;
const LOOKS = { first: 0.02, last: 0.2 };

interface Named {
  provider: string;
  connection: string;
}

/** What `look` finds in the end. Throws `locked` when that takes longer than `patience` seconds. */
export async function* lookUntil<T>(
  look: () => Promise<T | undefined>,
  { provider, connection }: Named,
  ctx: Context,
  patience = PATIENCE,
): Flow<T> {
  const start = ctx.uptime();
  let next = start + QUIET;
  for (let pause = LOOKS.first; ; pause = Math.min(pause * 1.5, LOOKS.last)) {
    const found = await look();
    if (found !== undefined) return found;
    const now = ctx.uptime();
    const remaining = Math.max(0, Math.round(start + patience - now));
    if (now >= start + patience) {
      throw new Failure("locked", `Another process has been changing ${connection}@${provider} for too long.`, {
        hint: "Run the command again. See who it is: authline doctor",
      });
    }
    if (now >= next) {
      next = now + HEARTBEAT_SECONDS;
      yield progress(
        "lock",
        "waiting",
        `Waiting for another process that is changing ${connection}@${provider}, for ${inWords(remaining)} at the most.`,
        { remaining },
      );
    }
    await ctx.sleep(pause);
  }
}

/** The lock of a connection. */
export const holdOf = (named: Named, ctx: Context): Flow<Lock> =>
  lookUntil(async () => ctx.store.lock(named.provider, named.connection), named, ctx);
