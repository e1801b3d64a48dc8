/**
 * The authorization server: what it is called and where its endpoints are, from the definition or from its own metadata
 * (OpenID Connect Discovery 1.0 §4, RFC 8414 §3).
 *
 * Rules: the issuer in the metadata must be the one that was asked; every endpoint must be https (or loopback) before
 * anything is sent to it or anybody is sent there.
 */
import * as oauth from "oauth4webapi";
import * as z from "zod/mini";
import type { Context } from "../context.ts";
import { type Flow, progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { lazily } from "../protocol/shapes.ts";
import type { Definition } from "../providers/definition.ts";
import { issuerOf } from "../providers/lookup.ts";
import { isSecureUrl, mayLead } from "../providers/url.ts";
import { type Asking, tokenParameters } from "./extras.ts";
import { guardedFetch } from "./http.ts";
import { quirkyFetch, withQuirks } from "./quirks.ts";

export type AuthorizationServer = oauth.AuthorizationServer;

/** The options that every request of oauth4webapi takes here. http() has its own, stricter rule on https. */
export function http(ctx: Pick<Context, "fetch" | "signal">, seconds?: number) {
  return {
    [oauth.customFetch]: guardedFetch(ctx, seconds),
    [oauth.allowInsecureRequests]: true,
    headers: { "user-agent": "authline" },
  };
}

/** The same for an endpoint where a server may have quirks. */
export const quirkyHttp = (as: AuthorizationServer, ctx: Pick<Context, "fetch" | "signal">) => ({
  ...http(ctx),
  [oauth.customFetch]: quirkyFetch(as, guardedFetch(ctx)),
});

/** The same for the token endpoint. */
export const atTokenEndpoint = (
  { as, ...asking }: Asking & { as: AuthorizationServer },
  ctx: Pick<Context, "fetch" | "signal">,
) => ({
  ...quirkyHttp(as, ctx),
  additionalParameters: tokenParameters(asking),
  ...(asking.dpop && { DPoP: asking.dpop }),
});

/** Pauses in seconds before a request that changes nothing is made again. */
const BACKOFF = [1, 3];
/** A server that wants to be left alone for longer gets its wish: the command ends. */
const PATIENCE = 30;

export async function* authorizationServer(definition: Definition, ctx: Context): Flow<AuthorizationServer> {
  const { issuer, endpoints, discovery = true, display_name } = definition;
  if (!issuer || !discovery) {
    if (!endpoints?.token_endpoint) {
      throw new Failure("config", `The definition of ${display_name} has neither an issuer nor a token endpoint.`);
    }
    return withQuirks(checked({ issuer: issuerOf(definition), ...endpoints }), definition);
  }

  const { host } = new URL(issuer);
  yield progress("discover", "started", `Asking ${host} what it offers.`);
  const ways = definition.resource === undefined ? FORGIVING : EXACT;
  const as = yield* patiently(async () => checked({ ...endpoints, ...(await discover(issuer, ctx, ways)) }, true), ctx);
  yield progress("discover", "done", `${host} answered.`);
  return withQuirks(as, definition);
}

/** Does what changes nothing at a server, and does it again after a bad moment of the server's. */
export async function* patiently<T>(ask: () => Promise<T>, ctx: Context): Flow<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof Failure && error.retryable) || ctx.signal.aborted) throw error;
      const retry_in = error.details.retry_after ?? BACKOFF[attempt];
      if (retry_in === undefined || retry_in > PATIENCE || attempt >= BACKOFF.length) throw error;
      yield progress("discover", "retrying", `${error.message} Trying again in ${retry_in} s.`, {
        attempt: attempt + 1,
        retry_in,
        reason: error.code,
      });
      await ctx.sleep(retry_in, ctx.signal);
    }
  }
}

/** Where metadata are. Source: OpenID Connect Discovery 1.0 §4, RFC 8414 §3.1 and, for the third, §5. */
const PLACES = {
  oidc: ({ origin, pathname }: URL) => `${origin}${pathname === "/" ? "" : pathname}/.well-known/openid-configuration`,
  oauth: (issuer: URL) => wellKnown("oauth-authorization-server", issuer),
  oidc_before_path: (issuer: URL) => wellKnown("openid-configuration", issuer),
};

/** RFC 8414 §3.1 and RFC 9728 §3.1 alike: between the host and the path. */
export const wellKnown = (what: string, { origin, pathname, search }: URL) =>
  `${origin}/.well-known/${what}${pathname === "/" ? "" : pathname}${search}`;

interface Ways {
  places: (keyof typeof PLACES)[];
  /** Whether the answer says that there is nothing here. */
  isMissing(status: number): boolean;
  /** Whether the issuer in the metadata is the one that was asked. */
  isSame(named: string, asked: string): boolean;
}

/** RFC 8414 §3.3 wants the same characters; the one slash that ends an address is all that is forgiven. */
const FORGIVING: Ways = {
  places: ["oidc", "oauth", "oidc_before_path"],
  isMissing: (status) => status === 404 || status === 410,
  isSame: (named, asked) => named.replace(/\/$/, "") === asked.replace(/\/$/, ""),
};

/**
 * Where a resource has named the issuer, nobody could have mistyped it. The order is the MCP specification's; a server that
 * protects all of its paths also says 401 or 403 where there is nothing.
 */
const EXACT: Ways = {
  places: ["oauth", "oidc_before_path", "oidc"],
  isMissing: isRefused,
  isSame: (named, asked) => named === asked,
};

export function isRefused(status: number): boolean {
  return status >= 400 && status < 500;
}

/** What a server publishes of itself, as it stands there. */
export async function discover(
  issuer: string,
  ctx: Pick<Context, "fetch" | "signal">,
  { places, isMissing, isSame } = FORGIVING,
): Promise<object> {
  const asked = new URL(issuer.replace(/\/$/, "")); // RFC 8414 §3.1
  const { headers } = http(ctx);
  for (const address of new Set(places.map((place) => PLACES[place](asked)))) {
    const response = await guardedFetch(ctx)(address, { headers: { ...headers, accept: "application/json" } });
    if (isMissing(response.status)) continue;
    if (response.status !== 200) {
      throw new Failure("provider", `${issuer} answered HTTP ${response.status} where its metadata should be.`, {
        http_status: response.status,
      });
    }
    const metadata = await metadataIn(response, issuer);
    if (isSame(metadata.issuer, issuer)) return metadata;
    throw new Failure("provider", `The metadata of ${issuer} names another issuer: ${metadata.issuer.slice(0, 200)}`, {
      hint: "If that is the address you meant, give it exactly so with --issuer; if not, do not trust this server.",
    });
  }
  throw new Failure("config", `${issuer} publishes no metadata: it is not an issuer, or has no discovery.`, {
    cause: UNPUBLISHED,
    hint: "Check the issuer's exact address; it is the `iss` of its tokens, often without a path.",
  });
}

const UNPUBLISHED = Symbol("unpublished");
export const isUnpublished = (error: unknown) => error instanceof Failure && error.cause === UNPUBLISHED;

async function metadataIn(response: Response, issuer: string): Promise<{ issuer: string }> {
  const metadata: unknown = await response.json().catch(() => undefined);
  const named =
    typeof metadata === "object" && metadata !== null ? (metadata as { issuer?: unknown }).issuer : undefined;
  if (typeof named === "string") return metadata as { issuer: string };
  throw new Failure(
    "provider",
    `The metadata of ${issuer} cannot be read: it is not a JSON object that names its issuer.`,
  );
}

const Endpoint = lazily(() => z.optional(z.string().check(z.maxLength(2400), z.refine(isSecureUrl))));
const Words = lazily(() => z.optional(z.array(z.string())));

/** What is used of the metadata; the rest is not even kept. */
const Metadata = lazily(() =>
  z.object({
    issuer: z.string(),
    authorization_endpoint: Endpoint(),
    token_endpoint: Endpoint(),
    device_authorization_endpoint: Endpoint(),
    registration_endpoint: Endpoint(),
    pushed_authorization_request_endpoint: Endpoint(),
    require_pushed_authorization_requests: z.optional(z.boolean()),
    backchannel_authentication_endpoint: Endpoint(),
    revocation_endpoint: Endpoint(),
    introspection_endpoint: Endpoint(),
    userinfo_endpoint: Endpoint(),
    end_session_endpoint: Endpoint(),
    jwks_uri: Endpoint(),
    scopes_supported: Words(),
    grant_types_supported: Words(),
    code_challenge_methods_supported: Words(),
    backchannel_token_delivery_modes_supported: Words(),
    token_endpoint_auth_methods_supported: Words(),
    token_endpoint_auth_signing_alg_values_supported: Words(),
    dpop_signing_alg_values_supported: Words(),
    id_token_signing_alg_values_supported: Words(),
    authorization_response_iss_parameter_supported: z.optional(z.boolean()),
    client_id_metadata_document_supported: z.optional(z.boolean()),
  }),
);

/** `isPublished`: the server says so itself, and nobody who wrote a definition. */
function checked(as: unknown, isPublished = false): AuthorizationServer {
  const parsed = Metadata().safeParse(as);
  const field = parsed.success ? isPublished && leadingHere(parsed.data) : String(parsed.error.issues[0]?.path[0]);
  if (parsed.success && !field) return parsed.data as AuthorizationServer;
  const { issuer, ...fields } = as as Record<string, unknown>;
  const what =
    (parsed.success && "leads to this machine") ||
    (isAddress(String(field)) ? "is not an https address" : "is not what it should be");
  const value = fields[String(field)];
  const quoted = typeof value === "string" ? `: ${value.slice(0, 200)}` : ".";
  throw new Failure("provider", `The metadata of ${issuer} cannot be trusted: ${field} ${what}${quoted}`, {
    hint: "Nothing was sent there and nothing was opened.",
  });
}

const isAddress = (field = "") => /_endpoint$|_uri$/.test(field);

/** What a server elsewhere says is on this machine: nobody must be made to knock at what listens here. */
function leadingHere({ issuer, ...fields }: z.infer<ReturnType<typeof Metadata>>): string | undefined {
  if (!URL.canParse(issuer)) return undefined;
  const addresses = Object.entries(fields).filter(([field]) => isAddress(field));
  return addresses.find(([, value]) => typeof value === "string" && !mayLead(issuer, value))?.[0];
}
