/** Does the work of a session, from the start or from where a killed process left it. */
import { standardOf } from "../actions.ts";
import type { Context } from "../context.ts";
import type { Flow, Outcome } from "../flow.ts";
import { outcomeOf } from "../flows/keep.ts";
import { type Continuity, signIn } from "../flows/sign_in.ts";
import type { Phase } from "../protocol/event.ts";
import { Failure } from "../protocol/failure.ts";
import type { Grant as GrantName } from "../providers/definition.ts";
import type { ConnectionView } from "../store/record.ts";
import type { Unreadable } from "../store/store.ts";
import { foundIn, gone, identified, planIn, type SessionClear } from "./session.ts";

export async function* drive(clear: SessionClear, ctx: Context): Flow<Outcome<"login">> {
  const { session_id, provider, asked } = clear;
  const stored = await outcomeIn(clear, ctx);
  if (stored) {
    return outcomeOf(stored, asked.definition.display_name, await standardOf(provider, false, ctx));
  }
  if (Date.parse(clear.expires_at) <= ctx.now().getTime()) {
    throw new Failure("timeout", "Nobody signed in before the time was up.", { hint: "Sign in again." });
  }

  const early = await ctx.sessions.receive(session_id);
  if (early.some((mail) => "cancel" in mail)) throw cancelled();
  const session = await ctx.sessions.whole(session_id);
  if (!session) throw gone(session_id);
  let current = session;
  const continuity: Continuity = {
    session_id,
    announced: new Set(ctx.sessions.events(session_id).flatMap(({ phase }) => ANNOUNCED[phase] ?? [])),
    saved: session.secrets.doors ?? {},
    async save(grant, saved) {
      const doors = { ...current.secrets.doors, [grant]: saved };
      const names = Object.keys(doors) as GrantName[];
      current = { ...current, doors: names, secrets: { ...current.secrets, doors } };
      await ctx.sessions.put(current);
    },
    async identified(identity) {
      current = identified(current, identity);
      await ctx.sessions.put(current);
    },
    async located(plan) {
      current = { ...current, found: foundIn(plan) };
      await ctx.sessions.put(current);
    },
    async *mail(inner) {
      for (let mails = early; ; mails = await ctx.sessions.nextMail(session_id, inner.signal)) {
        for (const mail of mails) {
          if ("cancel" in mail) throw cancelled();
          if ("reseal" in mail) await ctx.sessions.put(current);
          else yield mail.callback;
        }
      }
    },
  };
  return yield* signIn(planIn(session), ctx, continuity);
}

/** What a killed process has stored of this session, under whatever name it has by now. */
async function outcomeIn({ session_id, provider, connection }: SessionClear, ctx: Context) {
  const isOurs = (record: ConnectionView | Unreadable | undefined): record is ConnectionView =>
    record !== undefined && "session_id" in record && record.session_id === session_id;
  const stored = await ctx.store.glance(provider, connection);
  if (isOurs(stored)) return stored;
  const isNew = ctx.sessions.events(session_id).length === 0; // nobody has driven it: there is nothing to look for
  return isNew ? undefined : (await ctx.store.connections(provider)).find(isOurs);
}

const ANNOUNCED: Partial<Record<Phase, GrantName>> = {
  auth_url: "authorization_code",
  device_code: "device_code",
};

const cancelled = () => new Failure("cancelled", "Cancelled by authline session cancel.");
