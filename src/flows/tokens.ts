/** What a token endpoint gave, as it is kept. Source: RFC 6749 §5.1. */
import * as oauth from "oauth4webapi";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { Failure } from "../protocol/failure.ts";
import { type AuthorizationDetails, detailsIn } from "./authorization_details.ts";
import { faultOf } from "./faults.ts";
import type { GrantRequest } from "./grant.ts";
import { type AuthorizationServer, http } from "./server.ts";

export interface Tokens {
  access_token: string;
  token_type: string;
  refresh_token?: string;
  id_token?: string;
  /** RFC 3339. Absent: the server did not say that the access token ends. */
  expires_at?: string;
  /** RFC 8693 §2.2.1: what the token is, where it came of an exchange. */
  issued_token_type?: string;
  /** Granted, which may be less than asked. */
  scope?: string;
  /** Granted. Source: RFC 9396 §7. */
  authorization_details?: AuthorizationDetails;
  /** How somebody signed in, as the validated ID token says. */
  acr?: string;
  /** Who signed in, as the validated ID token says. */
  account?: string;
  subject?: string;
}

/** Beyond a century a lifetime means "does not end". */
const CENTURY = 100 * 365 * 24 * 3600;

/** RFC 6749 Appendix A.12 and A.17: what may be put into a header or a shell variable without harm. */
export const VSCHAR = /^[\x20-\x7e]+$/;

interface Reading {
  as: AuthorizationServer;
  /** What was asked: an omitted `scope` means that it was granted (RFC 6749 §5.1). */
  scope: string | undefined;
  /** The tokens must be bound to a key. */
  dpop?: object | undefined;
  /** How somebody had to sign in, and since when; nothing where nobody did. */
  extras?: Pick<GrantRequest["extras"], "max_age">;
  begun?: Date;
}

/**
 * `response` is needed for the ID token's signature: oauth4webapi remembers the token by it. Without it only the claims are
 * checked, which will do for what came straight from the token endpoint (OIDC Core §3.1.3.7, 6).
 */
export async function tokensFrom(
  answer: oauth.TokenEndpointResponse,
  response: Response | undefined,
  { as, scope, dpop, extras, begun }: Reading,
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
  // One that is bound to a key is of no use without it, and one that is not is not what was asked for (RFC 9449 §5).
  const expected = dpop ? "DPoP" : "bearer";
  if (token_type !== expected.toLowerCase()) {
    throw new Failure(
      "provider",
      `The token endpoint broke the protocol: token_type is not ${dpop ? "DPoP" : "Bearer"}.`,
      {
        hint: dpop && "The server does not bind its tokens to a key. Nothing was stored; sign in without --dpop.",
      },
    );
  }
  const authorization_details = grantedIn(answer);
  const claims = oauth.getValidatedIdTokenClaims(answer);
  if (extras?.max_age !== undefined && begun) mustBeRecent(claims, extras.max_age, begun);
  if (claims && response) await verifySignature(as, response, ctx);
  const endless = expires_in === undefined || expires_in >= CENTURY;
  return defined({
    access_token,
    token_type: expected,
    refresh_token,
    id_token,
    expires_at: endless ? undefined : inSeconds(ctx.now(), expires_in),
    scope: answer.scope === undefined ? scope : granted(answer.scope, scope),
    authorization_details,
    acr: claims && wordIn(claims["acr"]),
    account: claims && accountOf(claims),
    subject: claims?.sub,
  });
}

function grantedIn({ authorization_details: granted }: oauth.TokenEndpointResponse): AuthorizationDetails | undefined {
  const isNone = granted === undefined || (Array.isArray(granted) && granted.length === 0);
  const details = detailsIn(granted);
  if (isNone || details) return details;
  throw new Failure(
    "provider",
    "The token endpoint broke the protocol: authorization_details is not what it should be.",
  );
}

/** Seconds that clocks may differ. */
const SKEW = 30;

/**
 * OIDC Core §3.1.2.1: the age is that at the time of the request, so it is measured from there; what somebody takes to consent
 * after they have signed in does not count.
 */
function mustBeRecent(claims: oauth.IDToken | undefined, max_age: number, begun: Date): void {
  const { auth_time } = claims ?? {};
  const isRecent = typeof auth_time === "number" && auth_time >= begun.getTime() / 1000 - max_age - SKEW;
  if (isRecent) return;
  throw new Failure(
    "provider",
    auth_time === undefined
      ? "The server does not say when somebody signed in, though --max-age asks for it."
      : "The server let somebody in who signed in longer ago than --max-age allows.",
    { hint: "Nothing was stored.", reason: "max_age_not_met" },
  );
}

const wordIn = (value: unknown) => (typeof value === "string" && value.length <= 300 ? value : undefined);

/** Over TLS from the token endpoint a signature may be skipped (OIDC Core §3.1.3.7); at a login it is not. */
async function verifySignature(as: AuthorizationServer, response: Response, ctx: Context): Promise<void> {
  try {
    await oauth.validateApplicationLevelSignature(as, response, http(ctx));
  } catch (error) {
    ctx.signal.throwIfAborted();
    const subject =
      error instanceof Error && error.cause instanceof Response ? "The server's list of keys" : "The ID token";
    const fault = faultOf(subject, error);
    if (fault instanceof Failure) throw fault;
    // WebCrypto's own errors, about a key that is none.
    throw new Failure("provider", "The ID token cannot be verified: the server's key for it cannot be used.", {
      cause: error,
    });
  }
}

function accountOf(claims: oauth.IDToken): string {
  for (const claim of ["email", "preferred_username", "name"]) {
    const value = claims[claim];
    if (typeof value === "string" && value !== "") return value;
  }
  return claims.sub;
}

/**
 * As RFC 6749 §3.3 writes it, with a space between scopes. Many write commas, also some that are asked with spaces (GitHub,
 * LinkedIn). A scope may have a comma in it, but then it was asked for.
 */
const granted = (answered: string, asked: string | undefined): string =>
  answered
    .split(asked?.includes(",") ? " " : /[ ,]/)
    .filter(Boolean)
    .join(" ");

export const inSeconds = (now: Date, seconds: number) => new Date(now.getTime() + seconds * 1000).toISOString();
