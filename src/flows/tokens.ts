/** What a token endpoint gave, as it is kept. Source: RFC 6749 §5.1. */
import * as oauth from "oauth4webapi";
import type { Context } from "../context.ts";
import { Failure } from "../protocol/failure.ts";
import { asking } from "./faults.ts";
import { type AuthorizationServer, http } from "./server.ts";

export interface Tokens {
  access_token: string;
  token_type: string;
  refresh_token?: string;
  id_token?: string;
  /** RFC 3339. Absent: the server did not say that the access token ends. */
  expires_at?: string;
  /** Granted, which may be less than asked. */
  scope?: string;
  /** Who signed in, as the validated ID token says. */
  account?: string;
}

/** Beyond a century a lifetime means "does not end". */
const CENTURY = 100 * 365 * 24 * 3600;

/** RFC 6749 Appendix A.12 and A.17: what may be put into a header or a shell variable without harm. */
const VSCHAR = /^[\x20-\x7e]+$/;

interface Reading {
  as: AuthorizationServer;
  /** What was asked: an omitted `scope` means that it was granted (RFC 6749 §5.1). */
  scope: string | undefined;
}

/** `response` is needed for the ID token's signature: oauth4webapi remembers the token by it. */
export async function tokensFrom(
  answer: oauth.TokenEndpointResponse,
  response: Response,
  { as, scope }: Reading,
  ctx: Context,
): Promise<Tokens> {
  const { access_token, token_type, refresh_token, id_token, expires_in } = answer;
  for (const [name, value] of Object.entries({ access_token, refresh_token })) {
    if (value !== undefined && !VSCHAR.test(value)) {
      throw new Failure(
        "provider",
        `The token endpoint broke the protocol: ${name} has characters that no token may have.`,
      );
    }
  }
  const claims = oauth.getValidatedIdTokenClaims(answer);
  if (claims) await verifySignature(as, response, ctx);
  const granted = answer.scope ?? scope;
  return {
    access_token,
    token_type,
    ...(refresh_token !== undefined && { refresh_token }),
    ...(id_token !== undefined && { id_token }),
    ...(expires_in !== undefined && expires_in < CENTURY && { expires_at: inSeconds(ctx.now(), expires_in) }),
    ...(granted !== undefined && { scope: granted }),
    ...(claims && { account: accountOf(claims) }),
  };
}

/** Over TLS from the token endpoint a signature may be skipped (OIDC Core §3.1.3.7); it is not, here. */
const verifySignature = (as: AuthorizationServer, response: Response, ctx: Context) =>
  asking("The ID token", () => oauth.validateApplicationLevelSignature(as, response, http(ctx)));

function accountOf(claims: oauth.IDToken): string {
  for (const claim of ["email", "preferred_username", "name"]) {
    const value = claims[claim];
    if (typeof value === "string" && value !== "") return value;
  }
  return claims.sub;
}

export const inSeconds = (now: Date, seconds: number) => new Date(now.getTime() + seconds * 1000).toISOString();
