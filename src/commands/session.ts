/** What the session commands share: a session as it is shown, and how one is found. */
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import type { SessionView } from "../protocol/data.ts";
import { Failure } from "../protocol/failure.ts";
import { follow } from "../sessions/follow.ts";
import { gone, isOpen, SESSION_ID, type SessionClear } from "../sessions/session.ts";

export const sessionId = {
  summary: "the session, as the stream names it",
  required: true,
  completes: "session",
  parse(raw: string, name: string): string {
    if (SESSION_ID.test(raw)) return raw;
    throw new Failure("usage", `${name} cannot be "${raw}".`, { hint: "It is sess_ and 22 characters more." });
  },
} as const;

/** Throws `not_found`. A session whose time is up is marked so by whoever looks. */
export async function sessionAt(id: string, ctx: Context): Promise<SessionClear> {
  const session = ctx.sessions.get(id);
  if (!session) throw gone(id);
  return (await upToDate(session, ctx)) ?? session;
}

export async function upToDate(session: SessionClear, ctx: Context): Promise<SessionClear | undefined> {
  const { session_id, state } = session;
  if (state !== "pending" || isOpen(session, ctx.now()) || ctx.sessions.isDriven(session_id)) return session;
  try {
    // Nobody drives it and its time is up: to drive it is to end it.
    for await (const _ of follow(session_id, ctx, { from: Number.MAX_SAFE_INTEGER }));
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
  }
  return ctx.sessions.get(session_id);
}

export function viewOf(session: SessionClear, ctx: Context): SessionView {
  const { session_id, provider, connection, state, asked, created_at, expires_at, ended_at } = session;
  const { scope, flow } = asked;
  return {
    session_id,
    provider,
    connection,
    state,
    flow,
    created_at,
    expires_at,
    ...defined({ scope, ended_at }),
    driven: ctx.sessions.isDriven(session_id),
  };
}
