/** Does the work of a session, from the start or from where a killed process left it. */
import type { Context } from "../context.ts";
import type { Flow, Outcome } from "../flow.ts";
import { outcomeOf } from "../flows/keep.ts";
import { type Continuity, signIn } from "../flows/sign_in.ts";
import type { Phase } from "../protocol/event.ts";
import { Failure } from "../protocol/failure.ts";
import type { Grant as GrantName } from "../providers/definition.ts";
import { planIn, type Session } from "./session.ts";

export async function* drive(session: Session, ctx: Context): Flow<Outcome<"login">> {
  const { session_id, provider, connection, asked } = session;
  const stored = await ctx.store.connection(provider, connection);
  if (stored?.session_id === session_id) return outcomeOf(stored, asked.definition.display_name);
  if (Date.parse(session.expires_at) <= ctx.now().getTime()) {
    throw new Failure("timeout", "Nobody signed in before the time was up.", { hint: "Sign in again." });
  }

  const early = ctx.sessions.receive(session_id);
  if (early.some((mail) => "cancel" in mail)) throw cancelled();
  let current = session;
  const continuity: Continuity = {
    session_id,
    announced: new Set(ctx.sessions.events(session_id).flatMap(({ phase }) => ANNOUNCED[phase] ?? [])),
    saved: session.secrets.doors,
    async save(grant, saved) {
      const doors = { ...current.secrets.doors, [grant]: saved };
      current = { ...current, secrets: { ...current.secrets, doors } };
      ctx.sessions.put(current);
    },
    async *mail(inner) {
      for (let mails = early; ; mails = await ctx.sessions.nextMail(session_id, inner.signal)) {
        for (const mail of mails) {
          if ("cancel" in mail) throw cancelled();
          yield mail.callback;
        }
      }
    },
  };
  return yield* signIn(planIn(session), ctx, continuity);
}

const ANNOUNCED: Partial<Record<Phase, GrantName>> = {
  auth_url: "authorization_code",
  device_code: "device_code",
};

const cancelled = () => new Failure("cancelled", "Cancelled by authline session cancel.");
