/**
 * Writes down what a command does while it does it: each step that changed a credential, and the end.
 *
 * Rules: at once, because a process may be killed at any line; a log that cannot be written stops nobody and is told once;
 * what is only shown again (a session's log) was done by somebody else.
 */
import type { Happening } from "./audit.ts";
import type { Context } from "./context.ts";
import { defined } from "./defined.ts";
import type { Flow, Outcome } from "./flow.ts";
import { GRACE_MS, HELD_MS } from "./holds.ts";
import type { Notice } from "./protocol/event.ts";
import { asFailure, codes, exits, Failure, type Warning } from "./protocol/failure.ts";
import { nameOf } from "./providers/resource.ts";
import { failureWith, outcomeWith } from "./result.ts";

interface Call {
  command: string;
  args: Record<string, unknown>;
}

type Named = Pick<Happening, "provider" | "connection" | "session_id">;
type What = Omit<Happening, "time" | "command">;

/** The steps that change a credential, here or at the server. */
const TOLD: ReadonlySet<string> = new Set(["refresh", "store", "revoke", "register"]);

/** So much before a cancelled flow is torn away: then it cannot say its end any more. */
const BEFORE_MS = 100;

export async function* audited(flow: Flow<Outcome>, { command, args }: Call, ctx: Context): Flow<Outcome> {
  const warnings: Warning[] = [];
  let session_id = textIn(args, "id");
  let hasEnded = false;
  let timer: NodeJS.Timeout | undefined;
  const tearAway = () => {
    const ms = ctx.holds.why === undefined ? GRACE_MS : HELD_MS;
    timer = setTimeout(() => void end(cancelled(ctx)), ms - BEFORE_MS).unref();
  };
  ctx.signal.addEventListener("abort", tearAway, { once: true });
  try {
    for (;;) {
      const step = await flow.next();
      session_id = step.value.session_id ?? session_id;
      if (step.done) {
        await end(succeeded(step.value));
        return outcomeWith(warnings, step.value);
      }
      const notice = step.value;
      if (isTold(notice)) {
        const { step: event, state, reason } = notice;
        await tell({ ...defined({ reason }), ...(notice.whose ?? (await named())), event, state });
      }
      yield notice;
    }
  } catch (error) {
    await end(ctx.signal.aborted ? cancelled(ctx) : failed(asFailure(error)));
    throw failureWith(warnings, error);
  } finally {
    clearTimeout(timer);
    ctx.signal.removeEventListener("abort", tearAway);
    await flow.return(undefined as never);
  }

  async function end(what: Omit<What, "event">): Promise<void> {
    if (hasEnded) return;
    hasEnded = true;
    await tell({ ...(what.connection === undefined && (await named())), ...what, event: "end" });
  }

  async function tell(what: What): Promise<void> {
    try {
      ctx.audit.append({ time: ctx.now().toISOString(), command, ...defined({ session_id }), ...what });
    } catch (error) {
      const message = `The audit log cannot be kept. ${asFailure(error).message}`;
      if (warnings.length === 0) warnings.push({ code: "audit_failed", message });
    }
  }

  /** What the arguments name, or the session does. */
  async function named(): Promise<Named> {
    const target = textIn(args, "provider");
    const provider = target && nameOf(target);
    try {
      if (provider === undefined) {
        const session = session_id === undefined ? undefined : ctx.sessions.get(session_id);
        return session ? { provider: session.provider, connection: session.connection } : {};
      }
      if (args["all"] === true) return { provider };
      const connection = textIn(args, "connection", "name", "from");
      return { provider, connection: connection ?? (await ctx.store.standard(provider)) };
    } catch {
      return defined({ provider }); // what cannot be read does not keep the rest from being told
    }
  }
}

type Told = Extract<Notice, { phase: "progress" }> & { state: "done" | "failed" };

const isTold = (notice: Notice): notice is Told =>
  notice.phase === "progress" &&
  TOLD.has(notice.step) &&
  (notice.state === "done" || notice.state === "failed") &&
  !notice.again;

/** What the result names, where it names one connection. */
function succeeded({ status = "success", data }: Outcome): Omit<What, "event"> {
  const provider = textIn(data, "provider");
  const connection = textIn(data, "connection");
  const source = textIn(data, "source");
  return { ...defined({ provider, connection, source }), state: status, exit_code: exits[status] };
}

const failed = ({ code, details: { reason } }: Failure): Omit<What, "event"> => ({
  ...defined({ reason }),
  state: code === "cancelled" ? "cancelled" : "error",
  code,
  exit_code: codes[code].exit,
});

const cancelled = ({ signal }: Context) => failed(new Failure("cancelled", "", { reason: String(signal.reason) }));

/** The first of these that is a text. */
function textIn(object: object, ...names: string[]): string | undefined {
  const values = names.map((name) => (object as Record<string, unknown>)[name]);
  return values.find((value) => typeof value === "string");
}
