/** One prompt: a login joins the session that already asks for the same, or opens one. */
import { sessionActions } from "../actions.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import type { Flow, Outcome } from "../flow.ts";
import type { Plan } from "../flows/plan.ts";
import type { DataOf } from "../protocol/data.ts";
import type { Notice } from "../protocol/event.ts";
import { Failure } from "../protocol/failure.ts";
import { follow } from "./follow.ts";
import { isOpen, isSame, isSameInSecret, type SessionClear, sessionOf } from "./session.ts";
import { sweep } from "./sessions.ts";

/** Far longer than twenty logins at once take. */
const DOOR_SECONDS = 30;

export async function joinOrOpen(plan: Plan, { fresh }: { fresh: boolean }, ctx: Context): Promise<SessionClear> {
  const patientUntil = ctx.uptime() + DOOR_SECONDS;
  let door = ctx.sessions.door();
  for (; !door; door = ctx.sessions.door()) {
    if (ctx.uptime() > patientUntil) {
      throw new Failure("locked", "Another process has been opening a sign-in for too long.", {
        hint: "If there is none, delete sessions/door.lock in authline's home.",
      });
    }
    await ctx.sleep(0.05, ctx.signal);
  }
  try {
    sweep(ctx);
    const newest = fresh ? undefined : await openFor(plan, ctx);
    if (newest) return newest;
    const session = sessionOf(plan, ctx.sessions.newId(), ctx.now());
    await ctx.sessions.put(session);
    return session;
  } finally {
    door.release();
  }
}

/** The newest one that asks for the same. */
async function openFor(plan: Plan, ctx: Context): Promise<SessionClear | undefined> {
  for (const session of ctx.sessions.all().reverse()) {
    if (!isOpen(session, ctx.now()) || !isSame(session, plan) || isOver(session, ctx)) continue;
    const whole = await ctx.sessions.whole(session.session_id).catch(() => undefined); // one that cannot be opened helps nobody
    if (whole && isSameInSecret(whole, plan)) return session;
  }
  return undefined;
}

/** A process may have been killed after it said the end and before it wrote it into the record. */
const isOver = ({ session_id }: SessionClear, ctx: Context) =>
  ctx.sessions.events(session_id).at(-1)?.phase === "result";

/** The third way in: whoever runs the command pastes the address that a browser elsewhere ended at. */
export async function takePasted({ session_id }: SessionClear, ctx: Context, signal: AbortSignal): Promise<void> {
  let tries = 0;
  try {
    for await (const line of ctx.lines(signal)) {
      if (line.trim() === "") continue;
      await ctx.sessions.send(session_id, { callback: line.trim() });
      if (++tries === MOST_TRIES) return; // it is no person
    }
  } catch {
    // stdin is not to be had: there are other ways in
  }
}

const MOST_TRIES = 100;

/** Seconds that the process which was left behind has to start. */
const PATIENCE = 5;

/** Says what somebody has to do, and ends while they do it. A listener is held by a process that is left behind. */
export async function* begin(session: SessionClear, ctx: Context): Flow<Outcome<"login">> {
  const { session_id, provider, connection, asked, expires_at } = session;
  const needsHolder = asked.flow === "auto" || asked.flow === "authorization_code";
  if (needsHolder && !ctx.sessions.isHeld(session_id)) {
    // It waits for as long as the session is open; a --timeout keeps it from asking for a setting, which may be a bad one.
    await ctx.leaveBehind(["session", "wait", session_id, "--hold", "--timeout", "0s"]);
  }
  const data: DataOf<"login"> = { provider, connection, record_status: "pending", session_id, expires_at };
  const flow = follow(session_id, ctx, { patience: needsHolder ? PATIENCE : 0 });
  let told = ""; // what has to be done where there is no challenge
  try {
    for (;;) {
      const step = await flow.next();
      if (step.done) return step.value; // it was over before anybody had to wait
      const notice = step.value;
      Object.assign(data, challengeIn(notice));
      yield notice;
      if (isTold(notice)) told = `${notice.message} `;
      if (!isWaiting(notice)) continue;
      return {
        status: "started",
        message: `${told}The sign-in is open and waits for you.`,
        data,
        next_actions: sessionActions(session_id, ...(data.auth_url ? (["callback"] as const) : [])),
        session_id,
      };
    }
  } finally {
    await flow.return(undefined as never);
  }
}

/** Every way in is open, and nothing is left to be said but what somebody answers. */
export const isWaiting = (notice: Notice) =>
  notice.phase === "progress" && notice.step === "await_user" && notice.state === "started";

const isTold = (notice: Notice) =>
  notice.phase === "progress" && notice.step === "await_user" && notice.state === "waiting";

export function challengeIn(notice: Notice): Partial<DataOf<"login">> {
  // The address may run out before the sign-in does (RFC 9126 §2.2).
  if (notice.phase === "auth_url") return { auth_url: notice.auth_url, expires_at: notice.expires_at };
  if (notice.phase !== "device_code") return {};
  const { user_code, verification_uri, verification_uri_complete } = notice;
  return { user_code, verification_uri, ...defined({ verification_uri_complete }) };
}
