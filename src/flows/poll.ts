/**
 * Asking the token endpoint again and again until somebody has answered elsewhere. Sources: RFC 8628 §3.4 and §3.5, CIBA
 * Core §7.3 and §11, which say the same.
 *
 * Rules: never faster than the server says; `slow_down` adds 5 s for good; a connection that fails doubles the pause and
 * is tried again; the request's own life and --timeout both end it; that the server is asked is saved before.
 */
import * as z from "zod/mini";
import type { Context } from "../context.ts";
import { type Flow, progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { lazily } from "../protocol/shapes.ts";
import type { Grant as GrantName } from "../providers/definition.ts";
import { answerLost, type GrantRequest } from "./grant.ts";
import type { Tokens } from "./tokens.ts";
import { heartbeat, secondsUntil, waitFor } from "./wait.ts";

/** Where the server does not say; and what it may not go beyond. In seconds. */
const DEFAULT_INTERVAL = 5;
const SLOW_DOWN = 5;
/** RFC 8628 §3.2 speaks of seconds: less than one is a mistake of the server, which would be paid by both. */
const LEAST_INTERVAL = 1;
const MAX_INTERVAL = 60;

/** What has to be known of a request that waits for an answer, besides its secret; to be saved with that. */
export const Pending = lazily(() => ({
  /** RFC 3339: when the request, or the login, is out. */
  expires_at: z.string(),
  /** Seconds. */
  interval: z.number(),
  /** RFC 3339: the last time that the server was asked. */
  asked_at: z.string(),
}));
type Pending = { [Field in keyof ReturnType<typeof Pending>]: z.infer<ReturnType<typeof Pending>[Field]> };

/** Of the answer to a request that was just made. */
export function pendingFor(
  { expires_in, interval = DEFAULT_INTERVAL }: { expires_in: number; interval?: number },
  { deadline }: GrantRequest,
  ctx: Context,
): Pending {
  const now = ctx.now();
  return {
    expires_at: new Date(Math.min(deadline.getTime(), now.getTime() + expires_in * 1000)).toISOString(),
    interval: Math.min(Math.max(interval, LEAST_INTERVAL), MAX_INTERVAL),
    asked_at: now.toISOString(),
  };
}

interface Polling<P extends Pending> {
  grant: GrantName;
  pending: P;
  request: GrantRequest;
  /** By a process that did not make the request. */
  takenUp: boolean;
  /** Asks once. */
  redeem(pending: P, request: GrantRequest, ctx: Context): Promise<Tokens>;
}

export async function* poll<P extends Pending>(
  { grant, pending, request, takenUp, redeem }: Polling<P>,
  ctx: Context,
): Flow<Tokens> {
  const until = new Date(pending.expires_at);
  const heart = heartbeat(until, ctx);
  let { interval } = pending;
  const save = () => request.save(grant, { ...pending, interval, asked_at: ctx.now().toISOString() });
  // What an earlier process sent, it sent before it ended; when it arrived nobody knows. So a whole interval from here.
  const since = -secondsUntil(new Date(pending.asked_at), ctx);
  let pause = since > 2 * interval + SLOW_DOWN ? 0 : interval;
  for (let attempt = 0, isFirst = true; ; isFirst = false) {
    if (!(yield* heart.rest(pause))) throw tooLate(until, request);
    await save();
    try {
      const tokens = yield* waitFor(redeem(pending, request, ctx), until, ctx, heart);
      if (!tokens) throw tooLate(until, request);
      yield progress("exchange", "done", "The sign-in was approved.");
      return tokens;
    } catch (error) {
      if (!(error instanceof Failure) || ctx.signal.aborted) throw error;
      const { oauth_error, retry_after = 0 } = error.details;
      // An earlier process has got the tokens: a request that has expired is said to have.
      if (takenUp && isFirst && oauth_error === "invalid_grant") throw answerLost();
      if (oauth_error === "authorization_pending") {
        attempt = 0;
        pause = interval;
      } else if (oauth_error === "slow_down") {
        attempt = 0;
        interval += SLOW_DOWN;
        pause = interval;
        await save();
        heart.beat();
        yield progress("await_user", "waiting", `The server asks for more time: asking every ${interval} s now.`, {
          reason: "slow_down",
        });
      } else if (error.retryable && oauth_error === undefined) {
        attempt++;
        pause = Math.max(Math.min(interval * 2 ** attempt, MAX_INTERVAL), interval, retry_after);
        heart.beat();
        yield progress("await_user", "retrying", `${error.message} Trying again in ${pause} s.`, {
          attempt,
          retry_in: pause,
          reason: error.code,
        });
      } else {
        throw error;
      }
    }
  }
}

function tooLate(until: Date, { deadline }: GrantRequest): Failure {
  const ours = until.getTime() === deadline.getTime();
  return new Failure(ours ? "timeout" : "expired", "Nobody approved the request in time.", {
    hint: ours ? "Run the command again; --timeout sets how long it waits." : "Run the command again for a new one.",
  });
}
