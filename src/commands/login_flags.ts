/** What the flags of `login` may say. Each check throws a Failure `usage`. */
import { challengeIn } from "../flows/challenge.ts";
import { Failure } from "../protocol/failure.ts";
import { isLoopback, isSecureUrl, REDIRECT_URI } from "../providers/url.ts";

const usage = (message: string, hint: string) => new Failure("usage", message, { hint });

/** RFC 6749 §3.3. */
export function checkScope(raw: string, name: string): void {
  if (/^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/.test(raw) && raw.length <= 2000) return;
  throw usage(
    `${name} is not a list of scopes.`,
    'Write them between quotes with single spaces: --scope "openid email".',
  );
}

/** RFC 6750 §3. */
export function checkChallenge(raw: string, name: string): void {
  if (raw.length <= 4000 && challengeIn(raw)) return;
  throw usage(
    `${name} is not a challenge that OAuth can answer.`,
    `It is the value of the WWW-Authenticate header: 'Bearer resource_metadata="https://…", scope="…"'`,
  );
}

export function checkClientId(raw: string, name: string): void {
  if (/^[\x20-\x7e]{1,300}$/.test(raw)) return;
  throw usage(`${name} is not a client ID.`, "It is one printable word, as the provider shows it.");
}

export function checkIssuer(raw: string, name: string): void {
  const url = URL.canParse(raw) ? new URL(raw) : undefined;
  if (
    url &&
    isSecureUrl(raw) &&
    /^[\x21-\x7e]+$/.test(raw) &&
    !url.search &&
    !url.hash &&
    !url.username &&
    !url.password &&
    raw.length <= 500
  )
    return;
  throw usage(
    `${name} cannot be "${raw}".`,
    "An issuer is an https address without a query, such as https://login.example.com; http will do on this machine only.",
  );
}

/** draft-ietf-oauth-client-id-metadata-document §3: https, with a path, and nothing that could be written in two ways. */
export function checkMetadataUrl(raw: string, name: string): void {
  const url = URL.canParse(raw) ? new URL(raw) : undefined;
  const isPlain = url?.href === raw && !url.hash && !url.username && url.pathname !== "/" && raw.length <= 500;
  if (isPlain && isSecureUrl(raw)) return;
  throw usage(
    `${name} cannot be "${raw}".`,
    "It is the https address of a document, with a path: it is the client ID.",
  );
}

/** RFC 8252 §7.3: http, and this machine's loopback. */
export function checkRedirectUri(raw: string, name: string): void {
  // Read as written, not as URL understands it: the server compares it as a string.
  const [, host, port] =
    raw.match(/^http:\/\/(\[[0-9a-f:]+\]|[a-z0-9.]+)(?::(\d{1,5}))?(?:\/[!$&-;=@-Z_a-z~%-]*)?$/) ?? [];
  const portFits = port === undefined || (Number(port) > 0 && Number(port) < 65536);
  if (host && portFits && URL.canParse(raw) && isLoopback(new URL(raw).hostname) && raw.length <= 200) return;
  throw usage(
    `${name} is not an address that authline can listen on.`,
    `It is one on this machine's loopback, such as ${REDIRECT_URI}.`,
  );
}
