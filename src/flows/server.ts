/**
 * The authorization server: what it is called and where its endpoints are, from the definition or from its own metadata
 * (OpenID Connect Discovery 1.0 §4, RFC 8414 §3).
 *
 * Rules: the issuer in the metadata must be the one that was asked; every endpoint must be https (or loopback) before
 * anything is sent to it or anybody is sent there.
 */
import * as oauth from "oauth4webapi";
import type { Context } from "../context.ts";
import { type Flow, progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { type Definition, isSecureUrl } from "../providers/definition.ts";
import { asking } from "./faults.ts";
import { guardedFetch } from "./http.ts";
import { withQuirks } from "./quirks.ts";

export type AuthorizationServer = oauth.AuthorizationServer;

/** The options that every request of oauth4webapi takes here. http() has its own, stricter rule on https. */
export function http(ctx: Context) {
  return {
    [oauth.customFetch]: guardedFetch(ctx),
    [oauth.allowInsecureRequests]: true,
    headers: { "user-agent": "authline" },
  };
}

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
    const as = { issuer: issuer ?? new URL(endpoints.token_endpoint).origin, ...endpoints } as AuthorizationServer;
    return withQuirks(checked(as), definition);
  }

  const { host } = new URL(issuer);
  yield progress("discover", "started", `Asking ${host} what it offers.`);
  for (let attempt = 0; ; attempt++) {
    try {
      const as = checked({ ...endpoints, ...(await discover(issuer, ctx)) } as AuthorizationServer);
      yield progress("discover", "done", `${host} answered.`);
      return withQuirks(as, definition);
    } catch (error) {
      if (!(error instanceof Failure && error.retryable) || ctx.signal.aborted) throw error;
      const retry_in = error.details.retry_after ?? BACKOFF[attempt];
      if (retry_in === undefined || retry_in > PATIENCE || attempt >= BACKOFF.length) throw error;
      yield progress("discover", "retrying", `${error.message} Trying again in ${retry_in} s.`, {
        attempt: attempt + 1,
        retry_in,
        reason: error.code,
      });
      await ctx.sleep(retry_in);
    }
  }
}

async function discover(issuer: string, ctx: Context): Promise<AuthorizationServer> {
  const asked = new URL(issuer);
  for (const algorithm of ["oidc", "oauth2"] as const) {
    const response = await oauth.discoveryRequest(asked, { algorithm, ...http(ctx) });
    if (response.status === 404 || response.status === 410) continue;
    return asking(`The metadata of ${issuer}`, () => oauth.processDiscoveryResponse(asked, response)).catch((error) => {
      throw mismatch(error, issuer) ?? error;
    });
  }
  throw new Failure("config", `${issuer} publishes no metadata: it is not an issuer, or has no discovery.`, {
    hint: "Check the issuer's exact address; it is the `iss` of its tokens, often without a path.",
  });
}

function mismatch(error: unknown, issuer: string): Failure | undefined {
  const cause = error instanceof Failure ? (error.details.cause as { code?: string; cause?: unknown }) : undefined;
  if (cause?.code !== oauth.JSON_ATTRIBUTE_COMPARISON) return undefined;
  const claimed = (cause.cause as { body?: { issuer?: unknown } })?.body?.issuer;
  return new Failure("provider", `The metadata of ${issuer} names another issuer: ${String(claimed)}.`, {
    cause: error,
    hint: "If that is the address you meant, give it exactly so with --issuer; if not, do not trust this server.",
  });
}

const ENDPOINTS = [
  "authorization_endpoint",
  "token_endpoint",
  "device_authorization_endpoint",
  "revocation_endpoint",
  "userinfo_endpoint",
  "end_session_endpoint",
  "jwks_uri",
] as const;

function checked(as: AuthorizationServer): AuthorizationServer {
  for (const field of ENDPOINTS) {
    const value: unknown = as[field];
    if (value === undefined || (typeof value === "string" && isSecureUrl(value))) continue;
    throw new Failure(
      "provider",
      `The metadata of ${as.issuer} is not safe: ${field} is not https (${String(value)}).`,
      {
        hint: "Nothing was sent to it and nothing was opened.",
      },
    );
  }
  return as;
}
