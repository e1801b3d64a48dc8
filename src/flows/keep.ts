/** The end of a login: the credential is stored and read back, and what the login taught is remembered. */
import { naming, standardOf } from "../actions.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { type Flow, type Outcome, progress } from "../flow.ts";
import { Failure, type Warning } from "../protocol/failure.ts";
import { fitting } from "../protocol/text.ts";
import type { Grant as GrantName } from "../providers/definition.ts";
import { serverOf } from "../providers/server.ts";
import { outcomeWith } from "../result.ts";
import type { Lock } from "../store/lock.ts";
import type { Connection, ConnectionView, Learned } from "../store/record.ts";
import { accountName } from "./account.ts";
import type { Grant, GrantRequest } from "./grant.ts";
import { holdOf } from "./hold.ts";
import type { Plan } from "./plan.ts";
import type { Tokens } from "./tokens.ts";

interface Catch {
  request: GrantRequest;
  flow: GrantName;
  grant: Pick<Grant, "attended" | "flags" | "renew" | "isRenewable">;
  tokens: Tokens;
  plan: Pick<Plan, "taught" | "step_up" | "dpop_key">;
  continuity: { session_id: string } | undefined;
}

/** A login is a success once the stored credential was read back. */
export async function* keep(
  { request, flow, grant, tokens, plan, continuity }: Catch,
  ctx: Context,
): Flow<Outcome<"login">> {
  const { provider, connection, definition, as, client, inputs, extras, token_params } = request;
  const { scope: requested_scope } = request;
  const { client_id, token_endpoint_auth_method, client_secret, client_key } = client;
  const { origin, registration_client_uri, registration_access_token } = client;
  const { access_token, refresh_token, id_token, token_type, expires_at, subject, authorization_details, acr } = tokens;
  const { dpop_key } = plan;
  const isRenewed = grant.renew !== undefined && (grant.isRenewable?.(inputs) ?? true);
  const { scope } = tokens;
  const account = await accountName(definition, { ...tokens, dpop_key }, ctx);
  return yield* storing({ provider, connection }, definition.display_name, written, ctx);

  async function written(warnings: Warning[]): Promise<Connection> {
    const now = ctx.now().toISOString();
    const record: Connection = {
      ...defined({ scope, requested_scope, account, subject, expires_at, quirks: definition.quirks }),
      ...defined({
        session_id: continuity?.session_id,
        step_up: plan.step_up,
        token_params,
        issued_token_type: tokens.issued_token_type,
        authorization_details,
        acr,
        header: dpop_key === undefined ? definition.api?.header : DPOP_HEADER,
      }),
      ...(Object.keys(extras).length > 0 && { extras }),
      ...(isRenewed && Object.keys(inputs.said).length > 0 && { inputs: inputs.said }),
      v: 1,
      provider,
      connection,
      flow,
      server: as as Connection["server"],
      client: { client_id, token_endpoint_auth_method, ...defined({ origin, registration_client_uri }) },
      token_type,
      created_at: now, // a credential of its own, and no twin of what a rename may have left
      updated_at: now,
      refreshable: refresh_token !== undefined || isRenewed,
      secrets: {
        ...defined({ access_token, refresh_token, id_token, client_secret, client_key, dpop_key }),
        ...defined({ registration_access_token }),
        ...(isRenewed && Object.keys(inputs.secret).length > 0 && { inputs: inputs.secret }),
      },
    };
    const { grants: _, ...definitionTaught } = plan.taught;
    const taught: Learned = {
      v: 1,
      provider,
      server: serverOf(definition),
      // `auto` would never come by itself upon a way in that asks nobody
      definition: { ...definitionTaught, ...(!grant.attended && { grants: [flow] }) },
      // A registered client belongs to the issuer, and is kept with it.
      ...(origin === undefined && { client: { client_id } }),
      secrets: origin === undefined ? defined({ client_secret, client_key }) : {},
    };
    // What was given for one alone says nothing of how the others of this provider sign in.
    const isOddOne = !grant.attended && grant.flags !== undefined;
    if (!isOddOne) await learn(taught, warnings);
    else if (!(await ctx.store.learned(provider)))
      await learn({ ...taught, definition: definitionTaught, client: {}, secrets: {} }, warnings);
    await ctx.store.keep(record); // last: whoever takes over sees by it that all is done
    return record;
  }

  /** Known by name alone is a comfort: that the provider's lock is not to be had must not cost the credential. */
  async function learn(learned: Learned, warnings: Warning[]): Promise<void> {
    try {
      await ctx.store.learn(learned);
    } catch (error) {
      if (!isLocked(error)) throw error;
      const message = `What this sign-in taught of ${provider} is not remembered. ${error.message}`;
      warnings.push({ code: "lock_ignored", message });
    }
  }
}

/** Waits for the connection's lock, and says that what `write` has stored under it is there: how every login ends. */
export async function* storing(
  whose: { provider: string; connection: string },
  displayName: string,
  write: (warnings: Warning[]) => Promise<Connection>,
  ctx: Context,
): Flow<Outcome<"login">> {
  const warnings: Warning[] = [];
  const lock = yield* patientHold(); // a refresh of what was there before may be under way
  try {
    const record = await write(warnings);
    yield progress("store", "done", "The credential is stored.");
    const standard = await standardOf(whose.provider, false, ctx); // a success by now, whatever can be read
    return outcomeWith(warnings, outcomeOf(record, displayName, standard));
  } finally {
    lock?.release();
  }

  /**
   * Undefined where whoever has the lock does not come to an end: it was stopped, most likely. What somebody has just approved
   * cannot be had again without them, so it is stored all the same. That is sound because a login never builds upon what was
   * there before, and whoever wakes up with the lock looks before it writes or deletes: a refresh drops its own tokens where
   * the record has changed (`mustStillBeWanted`), a logout and a rename leave what is not what they have read. What is left
   * are the milliseconds between that look and the rename of a file; to lose the credential for sure would be worse.
   */
  async function* patientHold(): Flow<Lock | undefined> {
    try {
      return yield* holdOf(whose, ctx);
    } catch (error) {
      if (!isLocked(error)) throw error;
      const message = `${error.message} The sign-in is stored all the same. See who it is: authline doctor`;
      warnings.push({ code: "lock_ignored", message });
      return undefined;
    }
  }
}

/** RFC 9449 §7.1; the proof goes in another one. */
const DPOP_HEADER = { name: "Authorization", prefix: "DPoP " };

const isLocked = (error: unknown): error is Failure => error instanceof Failure && error.code === "locked";

/** A list that is cut would say something else. */
const TOO_MUCH = {
  code: "scope_left_out",
  message: "The granted scope is too long for this line: see authline status.",
};

/** How a login ended whose credential is this record. */
export function outcomeOf(record: ConnectionView, displayName: string, standard: string): Outcome<"login"> {
  const { provider, connection, scope, requested_scope, expires_at, account, session_id } = record;
  const told = fitting(scope);
  return {
    message: `Signed in to ${displayName}${account ? ` as ${account}` : ""}.`,
    warnings: [...narrowed(requested_scope, scope), ...weaker(record), ...(told === scope ? [] : [TOO_MUCH])],
    data: {
      provider,
      connection,
      record_status: "connected",
      ...defined({ scope: told, expires_at, account, session_id }),
    },
    next_actions: [
      {
        id: "token",
        argv: ["authline", "token", ...naming(provider, connection, standard)],
        description: "Get the access token.",
      },
    ],
  };
}

/** What OpenID Connect asks for by scope and answers by claims and tokens: servers write these back as they like. */
const IDENTITY = new Set(["openid", "profile", "email", "address", "phone", "offline_access"]);

/** Some servers grant less than was asked, and say so only in passing (RFC 6749 §3.3). */
function narrowed(asked: string | undefined, granted: string | undefined): Warning[] {
  const has = new Set(granted?.split(" "));
  const missing = asked?.split(" ").filter((scope) => !has.has(scope) && !IDENTITY.has(scope)) ?? [];
  if (missing.length === 0) return [];
  return [{ code: "scope_narrowed", message: `Not granted: ${missing.join(" ")}.` }];
}

/** `acr_values` is a wish: a server may let somebody in another way, and has to say so (OIDC Core §3.1.2.1, §5.5.1.1). */
function weaker({ extras, acr }: ConnectionView): Warning[] {
  const asked = extras?.acr_values;
  if (asked === undefined || asked.split(" ").includes(acr ?? "")) return [];
  const said = acr === undefined ? "the server does not say how" : `the server says "${acr}"`;
  return [{ code: "acr_not_met", message: `Nobody signed in the way that was asked for (${asked}): ${said}.` }];
}
