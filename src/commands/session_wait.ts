import { sessionActions } from "../actions.ts";
import { settings } from "../config.ts";
import type { Context } from "../context.ts";
import type { Flow, Outcome } from "../flow.ts";
import type { PhaseEvent } from "../protocol/event.ts";
import { follow } from "../sessions/follow.ts";
import { isWaiting } from "../sessions/open.ts";
import type { SessionClear } from "../sessions/session.ts";
import { command, count, flag, SIGN_IN_ENDS } from "./command.ts";
import { leftOpen } from "./login.ts";
import { sessionAt, sessionId } from "./session.ts";

export const sessionWait = command({
  positionals: { id: sessionId },
  options: {
    timeout: settings.wait_timeout,
    from: count("the first line of the session's log to show", "SEQ", "0"),
    hold: flag("hold the listener of a redirect, and end at once where there is none to hold"),
  },
  examples: [
    "authline session wait sess_9fJ2kQ7mX0aB4cD8eF1gHi",
    "authline session wait sess_9fJ2kQ7mX0aB4cD8eF1gHi --timeout 30s --from 4",
  ],
  ends: ["pending", ...SIGN_IN_ENDS],

  async *flow({ id, timeout, from, hold }, ctx) {
    const session = await sessionAt(id, ctx);
    const holding = hold ? ctx.sessions.hold(id) : undefined;
    if (hold && !holding) return pending(session);
    try {
      const patience = hold ? (Date.parse(session.expires_at) - ctx.now().getTime()) / 1000 + 5 : timeout;
      return yield* within(patience, session, ctx, (inner) => watch(session, { from, hold }, inner));
    } catch (error) {
      const isOpen = ctx.signal.aborted && ctx.sessions.get(id)?.state === "pending";
      throw isOpen ? leftOpen(session, ctx) : error;
    } finally {
      holding?.release();
    }
  },
});

async function* watch(
  session: SessionClear,
  { from, hold }: { from: number; hold: boolean },
  ctx: Context,
): Flow<Outcome<"login">> {
  const flow = follow(session.session_id, ctx, { from });
  try {
    for (;;) {
      const step = await flow.next();
      if (step.done) return step.value;
      yield step.value;
      const nothingToHold = hold && isWaiting(step.value) && !hasListener(ctx.sessions.events(session.session_id));
      if (nothingToHold) return pending(session);
    }
  } finally {
    await flow.return(undefined as never);
  }
}

const hasListener = (events: PhaseEvent[]) => events.some(({ phase }) => phase === "auth_url");

/** What `work` ends with, or that it goes on when the time is up. */
async function* within(
  seconds: number,
  session: SessionClear,
  ctx: Context,
  work: (inner: Context) => Flow<Outcome<"login">>,
): Flow<Outcome<"login">> {
  const over = new AbortController();
  const done = new AbortController();
  const timer = ctx.sleep(seconds, AbortSignal.any([ctx.signal, done.signal]));
  timer.then(
    () => over.abort("the time is up"),
    () => {},
  );
  try {
    return yield* work({ ...ctx, signal: AbortSignal.any([ctx.signal, over.signal]) });
  } catch (error) {
    if (over.signal.aborted && !ctx.signal.aborted) return pending(session);
    throw error;
  } finally {
    done.abort();
  }
}

const pending = ({ session_id, provider, connection, expires_at }: SessionClear): Outcome<"login"> => ({
  status: "pending",
  message: "The sign-in is still open.",
  data: { provider, connection, record_status: "pending", session_id, expires_at },
  next_actions: sessionActions(session_id),
  session_id,
});
