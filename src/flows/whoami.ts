/**
 * Who a credential is. Source: OIDC Core §2 and §5.3, RFC 7662.
 *
 * Rules: the credential goes to endpoints of the server that issued it, or to the account endpoint in the definition of that
 * very server, and nowhere else; who said it is said too; of what they say only the few claims below go on.
 */
import * as oauth from "oauth4webapi";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { type Flow, progress } from "../flow.ts";
import { type DataOf, type WhoamiSource, whoamiSources } from "../protocol/data.ts";
import { Failure } from "../protocol/failure.ts";
import { clip, neutralise } from "../protocol/text.ts";
import type { Definition } from "../providers/definition.ts";
import type { Connection } from "../store/record.ts";
import { lookUp, nameIn } from "./account.ts";
import { authentication } from "./client.ts";
import { asking } from "./faults.ts";
import { claimsIn, isFor } from "./jwt.ts";
import { expectedIssuer } from "./quirks.ts";
import { partiesOf, partiesWithProofs } from "./refresh.ts";
import { http } from "./server.ts";

export interface Credential {
  provider: string;
  access_token: string;
  /** The record; none, where the environment gave the token. */
  record: Connection | undefined;
  /** Of the server that issued it, where that is known. */
  definition: Definition | undefined;
}

type Claims = Omit<DataOf<"whoami">, "provider" | "connection" | "source">;

export interface Said {
  claims: Claims;
  /** RFC 3339: what said it is out, though it still says who it was. */
  ended?: string;
}

/** How it is asked; or, in words, why it cannot be. */
type Source = (credential: Credential, ctx: Context) => string | (() => Promise<Said>);

/** What stands for it in a sentence: "says its ID token". */
export const titles: Record<WhoamiSource, string> = {
  id_token: "its ID token",
  userinfo: "the userinfo endpoint",
  introspection: "the introspection endpoint",
  account: "the account endpoint",
};

const sources: Record<WhoamiSource, Source> = {
  /** Validated when it came, and sealed since: that it is this server's and for this client is looked at again. */
  id_token({ record }, ctx) {
    const { id_token } = record?.secrets ?? {};
    if (!record || id_token === undefined) return "no ID token came with it";
    return async () => {
      const { as, client } = partiesOf(record, ctx);
      const claims = claimsIn(id_token) as oauth.IDToken | undefined;
      if (!claims || claims.iss !== expectedIssuer(as, claims) || !isFor(claims, client.client_id))
        throw new Failure("provider", "The ID token is of another server, or for another client.");
      mustBe(record.subject, claims.sub, "The ID token");
      const ended = claims.exp * 1000 <= ctx.now().getTime() ? new Date(claims.exp * 1000).toISOString() : undefined;
      return { claims: personal(claims), ...defined({ ended }) };
    };
  },

  /** OIDC Core §5.3.2: one that speaks of another subject must not be used. */
  userinfo({ access_token, record }, ctx) {
    if (!record?.server?.userinfo_endpoint) return "the server has no userinfo endpoint";
    if (record.flow === "client_credentials") return "a client signed in, and no person";
    return () =>
      asking("The userinfo endpoint", async () => {
        const { as, client, dpop } = await partiesWithProofs(record, ctx);
        const options = { ...http(ctx), ...(dpop && { DPoP: dpop }) };
        const response = await oauth.userInfoRequest(as, client, access_token, options);
        mustBeTaken(response, titles.userinfo);
        const claims = await oauth.processUserInfoResponse(as, client, oauth.skipSubjectCheck, response);
        mustBe(record.subject, claims.sub, "The userinfo endpoint");
        return { claims: personal(claims) };
      });
  },

  introspection({ access_token, record }, ctx) {
    if (!record?.server?.introspection_endpoint) return "the server has no introspection endpoint";
    return () =>
      asking("The introspection endpoint", async () => {
        const { as, client } = partiesOf(record, ctx);
        const parameters = { ...http(ctx), additionalParameters: { token_type_hint: "access_token" } };
        const response = await oauth.introspectionRequest(as, client, authentication(client), access_token, parameters);
        const said = await oauth.processIntrospectionResponse(as, client, response);
        if (!said.active) throw refused(titles.introspection);
        const { sub, username, client_id, scope, exp } = said;
        return {
          claims: {
            active: true,
            ...words({ account: username ?? sub ?? client_id, subject: sub }),
            ...defined({ scope, expires_at: typeof exp === "number" ? timeOf(exp) : undefined }),
          },
        };
      });
  },

  account({ access_token, record, definition }, ctx) {
    const isKey = record ? record.flow === "api_key" : !definition?.account;
    const lookup = isKey ? definition?.api_key?.verify : definition?.account;
    if (!lookup?.field) return "its definition names no account endpoint";
    const { header = definition?.api?.header } = isKey ? (definition?.api_key ?? {}) : {};
    const { name, prefix = "" } = header ?? { name: "Authorization", prefix: "Bearer " };
    return async () => {
      const response = await lookUp(lookup, { [name]: `${prefix}${access_token}` }, ctx);
      mustBeTaken(response, titles.account);
      const answer: unknown = await response.json().catch(() => undefined);
      const account = response.ok ? nameIn(answer, lookup.field) : undefined;
      if (account !== undefined) return { claims: words({ account }) };
      throw new Failure("provider", `The account endpoint answered HTTP ${response.status}, and named nobody.`, {
        http_status: response.status,
      });
    };
  },
};

/** What names a person, of claims that were checked (OIDC Core §5.1). */
function personal({ sub, email, name, preferred_username }: Record<string, unknown>): Claims {
  return words({ account: email || preferred_username || name || sub, subject: sub, email, name });
}

/** No longer than a line of the stream has room for. */
const words = (claims: Record<string, unknown>): Claims =>
  Object.fromEntries(
    Object.entries(claims).flatMap(([name, value]) =>
      typeof value === "string" && value !== "" ? [[name, clip(neutralise(value), 200)]] : [],
    ),
  );

const timeOf = (seconds: number) => {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) || date.getUTCFullYear() > 9999 ? undefined : date.toISOString();
};

/** Throws where a source speaks of somebody else: that is no fault of the source, but of the credential. */
function mustBe(subject: string | undefined, said: string, who: string): void {
  if (subject === undefined || subject === said) return;
  throw new Failure("provider", `${who} names another subject than the sign-in did: it is not to be trusted.`, {
    reason: "subject_mismatch",
  });
}

/** The server does not take a token that is good as far as we know. */
export const TOKEN_REFUSED = "token_refused";
const refused = (who: string, details: { http_status?: number } = {}) =>
  new Failure("auth_expired", `The access token is not good any more, says ${who}.`, {
    ...details,
    reason: TOKEN_REFUSED,
  });

function mustBeTaken({ status }: Response, who: string): void {
  if (status === 401) throw refused(who, { http_status: status });
}

/**
 * Asks one of them, or with `auto` one after the other until somebody says it; what cannot be asked, or has no answer, is
 * passed over.
 */
export async function* whoIs(
  credential: Credential,
  from: WhoamiSource | "auto",
  ctx: Context,
): Flow<Said & { source: WhoamiSource }> {
  const lacking: string[] = [];
  let failure: Failure | undefined; // the first one
  for (const source of from === "auto" ? whoamiSources : [from]) {
    const ask = sources[source](credential, ctx);
    if (typeof ask === "string") {
      lacking.push(ask);
      continue;
    }
    if (source !== "id_token") yield progress("account", "started", `Asking ${titles[source]}.`);
    try {
      return { source, ...(await ask()) };
    } catch (error) {
      ctx.signal.throwIfAborted();
      if (from !== "auto" || !isSilence(error)) throw error;
      failure ??= error;
      yield progress("account", "failed", error.message, { reason: error.details.reason ?? error.code });
    }
  }
  if (failure) throw failure;
  throw new Failure(
    "config",
    `Nobody can say who the credential of ${credential.provider} is: ${lacking.join(", ")}.`,
    {
      hint: "Sign in with --scope openid, where the server knows that.",
    },
  );
}

/** It has no answer; not: the credential is not good. */
const isSilence = (error: unknown): error is Failure =>
  error instanceof Failure && error.code === "provider" && error.details.reason === undefined;
