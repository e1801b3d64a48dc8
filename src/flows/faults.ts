/**
 * What went wrong at a server, said as a Failure. The one place that knows how oauth4webapi reports faults.
 *
 * Rule: only `error` and `error_description` of an answer are passed on; everything else that a server sent (tokens,
 * claims, bodies) stays behind in `cause`, which is never shown.
 */
import * as oauth from "oauth4webapi";
import { type Code, Failure } from "../protocol/failure.ts";

/** RFC 6749 §4.1.2.1 and §5.2, RFC 8628 §3.5. Other errors are the `provider`'s. */
const CODES = new Map<string, Code>([
  ["access_denied", "denied"],
  ["expired_token", "expired"],
]);

const HINTS = new Map<string, string>([
  ["access_denied", "Run the command again if that was not meant."],
  ["expired_token", "Run the command again for a new one."],
  [
    "invalid_client",
    "Check --client-id and --client-secret-from: the server does not know this client, or not its secret.",
  ],
  [
    "unauthorized_client",
    "The server does not allow this client this flow: try another --flow, or register it for this one.",
  ],
  ["invalid_authorization_details", "The server does not take what --authorization-details asks for."],
  ["invalid_dpop_proof", "Check this machine's clock: a proof is good for moments only."],
  ["use_dpop_nonce", "The server does not take the nonce that it has just given. Run the command again."],
  ["unsupported_grant_type", "The server does not offer this flow: try another --flow."],
  ["invalid_scope", "The server does not know a scope, or does not give it to this client: check --scope."],
  ["invalid_grant", "The code or token is used up, expired or was given to another client: sign in again."],
  ["invalid_target", "The server does not know what the token is for: check --audience and --resource."],
  [
    "redirect_uri_mismatch",
    "Register this redirect URI with the provider, or name a registered one with --redirect-uri.",
  ],
]);

/**
 * Does one exchange with a server; `subject` begins the sentence that says what failed: "The token endpoint"; `hints`: for
 * errors that only this one can have. A server that wants its nonce in a proof has given it with its refusal: the same is
 * asked once more, with that (RFC 9449 §8).
 */
export async function asking<T>(
  subject: string,
  exchange: () => Promise<T>,
  hints: Record<string, string> = {},
): Promise<T> {
  try {
    return await exchange().catch((error) => {
      if (oauth.isDPoPNonceError(error)) return exchange();
      throw error;
    });
  } catch (error) {
    const fault = faultOf(subject, error);
    const hint = fault instanceof Failure && hints[fault.details.oauth_error ?? ""];
    throw hint ? new Failure(fault.code, fault.message, { ...fault.details, hint }) : fault;
  }
}

export function faultOf(asked: string, error: unknown): unknown {
  const subject = isAboutIdToken(error) ? "The ID token" : asked;
  if (error instanceof oauth.ResponseBodyError) {
    return refusal(subject, error.error, error.error_description, { http_status: error.status, cause: error });
  }
  if (error instanceof oauth.AuthorizationResponseError) {
    return refusal(subject, error.error, error.error_description, { cause: error });
  }
  if (error instanceof oauth.WWWAuthenticateChallengeError) {
    return new Failure("provider", `${subject} refused the client's credentials (HTTP ${error.status}).`, {
      cause: error,
      http_status: error.status,
      hint: HINTS.get("invalid_client"),
    });
  }
  if (error instanceof oauth.OperationProcessingError || error instanceof oauth.UnsupportedOperationError) {
    const status = error.cause instanceof Response ? error.cause.status : undefined;
    return new Failure("provider", `${subject} broke the protocol: ${told(error, status)}.`, {
      cause: error,
      hint: error.code === oauth.JWT_TIMESTAMP_CHECK ? "Check this machine's clock. Nothing was stored." : undefined,
      ...(status !== undefined && { http_status: status }),
    });
  }
  return error;
}

const isAboutIdToken = (error: unknown) =>
  error instanceof oauth.OperationProcessingError && /JWT|JWS|ID Token|id_token/.test(error.message);

function refusal(
  subject: string,
  oauth_error: string,
  description: unknown,
  details: { http_status?: number; cause: unknown },
): Failure {
  const oauth_error_description = typeof description === "string" ? description : undefined;
  const code = CODES.get(oauth_error) ?? "provider";
  const message =
    code === "denied"
      ? "The request was denied."
      : code === "expired"
        ? "Nobody approved the request in time."
        : sentence(`${subject} answered "${oauth_error}"`, oauth_error_description);
  const passing = oauth_error === "temporarily_unavailable" || oauth_error === "server_error";
  return new Failure(code, message, {
    oauth_error,
    oauth_error_description,
    hint: HINTS.get(oauth_error),
    ...(passing && { retryable: true }),
    ...details,
  });
}

const sentence = (said: string, why: string | undefined) =>
  why ? `${said}: ${why.replace(/\.?\s*$/, ".")}` : `${said}.`;

/** oauth4webapi's messages name fields and quote nothing; the fields are told, the library's own names are not. */
function told(error: Error & { code?: string }, status: number | undefined): string {
  const { code, message } = error;
  if (status !== undefined && status >= 400) return `it answered HTTP ${status} without an OAuth error`;
  if (code === oauth.RESPONSE_IS_NOT_CONFORM) return `it answered HTTP ${status}`;
  if (code === oauth.RESPONSE_IS_NOT_JSON) return "its answer is not JSON";
  if (code === oauth.PARSE_ERROR) return "its answer cannot be read";
  if (/token_type/.test(message)) return "token_type is not Bearer";
  if (code === oauth.UNSUPPORTED_OPERATION) return "it answered in a way that authline does not support";
  if (/"id_token" property must be a string/.test(message)) return "it is missing, though openid was asked for";
  return message
    .replace(/^"response" body (?=must)/, "its answer ")
    .replace(/^"response" body /, "")
    .replace(/"as\.(\w+)"/, "$1 in its metadata")
    .replace(/\.$/, "");
}
