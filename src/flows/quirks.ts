/**
 * What a few servers do against the RFCs, one small adapter each, named in their definitions. What is harmless for everybody
 * is no quirk: http.ts and tokens.ts put up with it.
 *
 * Rule: a quirk goes with the server, and a record keeps it, so that a refresh meets the same server as the login did.
 */
import * as oauth from "oauth4webapi";
import type { Definition } from "../providers/definition.ts";
import type { AuthorizationServer } from "./server.ts";

type Quirk = NonNullable<Definition["quirks"]>[number];
type Claims = { iss: string; tid?: unknown };
type Answer = Record<string, unknown>;

interface Adapter {
  /** The `iss` that an ID token with these claims must have. */
  issuer?(issuer: string, claims: Claims): string;
  /** What an authorization request must not have. */
  without?: "nonce" | "pkce";
  /** How a client without a secret says who it is; else by `client_id` in the body (RFC 6749 §2.3.1). */
  publicClient?: "basic";
  /** What is sent to the authorization, the device authorization and the token endpoint. */
  request?(parameters: URLSearchParams): void;
  /** What the latter two answer. */
  answer?(answer: Answer): Answer;
}

const adapters: Record<Quirk, Adapter> = {
  /** Microsoft Entra ID: the issuer names the tenant of whoever signed in, as `{tenantid}` in the metadata says. */
  issuer_per_tenant: {
    issuer(issuer, { tid }) {
      const isTenant = typeof tid === "string" && /^[0-9a-f-]{36}$/.test(tid);
      return isTenant ? issuer.replace("{tenantid}", tid) : issuer;
    },
  },
  /** LinkedIn: its ID tokens leave the nonce out that was asked for (OIDC Core §3.1.3.7, 11). */
  no_nonce: { without: "nonce" },
  /** LinkedIn: a code_verifier beside a client secret is "client authentication failed" (RFC 7636). */
  no_pkce: { without: "pkce" },
  /** Reddit: a client without a secret shows HTTP Basic with an empty password. */
  basic_without_secret: { publicClient: "basic" },
  /** Shopify, Mailchimp: the answer has no token_type, which RFC 6749 §5.1 requires; their tokens are for a header all the same. */
  no_token_type: { answer: (answer) => (hasToken(answer) ? { token_type: "bearer", ...answer } : answer) },
  /** Slack: the person's token stands in `authed_user`, and its type says whose it is and not how it is used. */
  token_in_authed_user: {
    answer({ authed_user, ...answer }) {
      const tokens = isObject(authed_user) && hasToken(authed_user) ? { ...answer, ...authed_user } : answer;
      return hasToken(tokens) ? { ...tokens, token_type: "bearer" } : tokens;
    },
  },
  /** Slack, Shopify, Strava, Zoho and others: scopes are asked for with commas, not the spaces of RFC 6749 §3.3. */
  commas_between_scopes: {
    request(parameters) {
      const scope = parameters.get("scope");
      if (scope !== null) parameters.set("scope", scope.replaceAll(" ", ","));
    },
  },
  /** Twitch: in the device flow the scope is called `scopes`. */
  scopes_parameter: {
    request(parameters) {
      const scope = parameters.get("scope");
      if (scope !== null) parameters.set("scopes", scope);
    },
  },
  /** Twitch: what RFC 6749 §5.2 calls `error` stands in `message`, and `error`, if it is there, repeats the status. */
  error_in_message: {
    answer(answer) {
      const { message, error_description: said = message } = answer;
      if (typeof said !== "string" || hasToken(answer)) return answer;
      const error = /^[a-z_]+$/.test(said) ? said : /^invalid refresh token$/i.test(said) ? "invalid_grant" : undefined;
      return error ? { error } : answer;
    },
  },
};

const hasToken = (answer: Answer) => typeof answer["access_token"] === "string";
const isObject = (value: unknown): value is Answer => typeof value === "object" && value !== null;

const QUIRKS = Symbol("quirks");
type Quirky = AuthorizationServer & { [QUIRKS]?: Adapter[] };

/** Left out of oauth4webapi's types, kept for Entra ID: computes the `iss` that an ID token must have. */
const { _expectedIssuer } = oauth as unknown as { _expectedIssuer: symbol };

export function withQuirks(
  as: AuthorizationServer,
  { quirks = [] }: { quirks?: Quirk[] | undefined },
): AuthorizationServer {
  if (quirks.length === 0) return as;
  const quirky = { ...as, [QUIRKS]: quirks.map((quirk) => adapters[quirk]) };
  return { ...quirky, [_expectedIssuer]: ({ claims }: { claims: Claims }) => expectedIssuer(quirky, claims) };
}

const adaptersOf = (as: Quirky): Adapter[] => as[QUIRKS] ?? [];

export const expectedIssuer = (as: AuthorizationServer, claims: Claims): string =>
  adaptersOf(as).reduce((issuer, adapter) => adapter.issuer?.(issuer, claims) ?? issuer, as.issuer);

export const goesWithout = (as: AuthorizationServer, what: Adapter["without"]): boolean =>
  adaptersOf(as).some(({ without }) => without === what);

export const wantsBasic = (as: AuthorizationServer): boolean =>
  adaptersOf(as).some(({ publicClient }) => publicClient === "basic");

/** Changes a request into what the server takes for it. */
export function inItsWords(as: AuthorizationServer, parameters: URLSearchParams): void {
  for (const { request } of adaptersOf(as)) request?.(parameters);
}

type Fetch = (url: string, init: { body?: unknown }) => Promise<Response>;

/** The same fetch, for a server that speaks in its own words. */
export function quirkyFetch(as: AuthorizationServer, fetch: Fetch): Fetch {
  const adapters = adaptersOf(as);
  if (adapters.length === 0) return fetch;
  return async (url, init) => {
    if (init.body instanceof URLSearchParams) inItsWords(as, init.body);
    const response = await fetch(url, init);
    const said: unknown = await response
      .clone()
      .json()
      .catch(() => undefined); // it is no answer: whoever asked says so
    if (!isObject(said)) return response;
    const meant = adapters.reduce((answer, adapter) => adapter.answer?.(answer) ?? answer, said);
    return new Response(JSON.stringify(meant), { status: response.status, headers: response.headers });
  };
}
