/** The end of a login: the credential is stored and read back, and what the login taught is remembered. */
import { naming } from "../actions.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { type Flow, type Outcome, progress } from "../flow.ts";
import type { Warning } from "../protocol/failure.ts";
import type { Grant as GrantName } from "../providers/definition.ts";
import type { Connection, ConnectionView } from "../store/record.ts";
import { accountName } from "./account.ts";
import type { GrantRequest } from "./grant.ts";
import { holdOf } from "./hold.ts";
import type { Plan } from "./plan.ts";
import type { Tokens } from "./tokens.ts";

interface Catch {
  request: GrantRequest;
  flow: GrantName;
  tokens: Tokens;
  plan: Pick<Plan, "taught">;
  continuity: { session_id: string } | undefined;
}

/** A login is a success once the stored credential was read back. */
export async function* keep({ request, flow, tokens, plan, continuity }: Catch, ctx: Context): Flow<Outcome<"login">> {
  const { provider, connection, definition, as, client, scope: requested_scope } = request;
  const { client_id, token_endpoint_auth_method, client_secret } = client;
  const { access_token, refresh_token, id_token, token_type, expires_at, subject } = tokens;
  const scope = tokens.scope?.split(definition.scope_separator ?? " ").join(" ");
  const account = await accountName(definition, tokens, ctx);
  const lock = yield* holdOf({ provider, connection }, ctx); // a refresh of what was there before may be under way
  try {
    const record = await written();
    yield progress("store", "done", "The credential is stored.");
    return outcomeOf(record, definition.display_name, await ctx.store.standard(provider));
  } finally {
    lock.release();
  }

  async function written(): Promise<Connection> {
    const before = await ctx.store.glance(provider, connection);
    const now = ctx.now().toISOString();
    const record: Connection = {
      ...defined({ scope, requested_scope, account, subject, expires_at, quirks: definition.quirks }),
      ...defined({ session_id: continuity?.session_id }),
      v: 1,
      provider,
      connection,
      flow,
      server: as as Connection["server"],
      client: { client_id, token_endpoint_auth_method },
      token_type,
      created_at: before?.created_at ?? now,
      updated_at: now,
      refreshable: refresh_token !== undefined || flow === "client_credentials",
      secrets: defined({ access_token, refresh_token, id_token, client_secret }),
    };
    const { grants: _, ...definitionTaught } = plan.taught;
    await ctx.store.learn({
      v: 1,
      provider,
      // `auto` would never come upon client credentials by itself
      definition: { ...definitionTaught, ...(flow === "client_credentials" && { grants: [flow] }) },
      client: { client_id },
      secrets: defined({ client_secret }),
    });
    await ctx.store.keep(record); // last: whoever takes over sees by it that all is done
    return record;
  }
}

/** A list that is cut would say something else. */
const TOO_MUCH = {
  code: "scope_left_out",
  message: "The granted scope is too long for this line: see authline status.",
};

/** How a login ended whose credential is this record. */
export function outcomeOf(record: ConnectionView, displayName: string, standard: string): Outcome<"login"> {
  const { provider, connection, scope, requested_scope, expires_at, account, session_id } = record;
  const fits = (scope?.length ?? 0) <= 1000;
  return {
    message: `Signed in to ${displayName}${account ? ` as ${account}` : ""}.`,
    warnings: [...narrowed(requested_scope, scope), ...(fits ? [] : [TOO_MUCH])],
    data: {
      provider,
      connection,
      record_status: "connected",
      ...defined({ scope: fits ? scope : undefined, expires_at, account, session_id }),
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
