/** Which addresses a credential, or a person, may be sent to. */

/**
 * https, or http on this machine's loopback; and without a user name, which only ever serves to deceive.
 * Source: RFC 9700 §2.6, RFC 8252 §8.3.
 */
export function isSecureUrl(value: string): boolean {
  if (!URL.canParse(value)) return false;
  const { protocol, hostname, username, password } = new URL(value);
  if (username !== "" || password !== "") return false;
  return protocol === "https:" || (protocol === "http:" && isLoopback(hostname));
}

/** Whether a host of a parsed URL can only be this machine. */
export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}

/** What else ends here: https may be asked for by any of these names, http by none. Source: RFC 6761 §6.3, RFC 4291 §2.5.5.2. */
const ALSO_HERE = /(^|\.)localhost\.?$|^0\.0\.0\.0$|^\[::\]$|^\[::ffff:(7f[0-9a-f]{2}:[0-9a-f]+|0:0)\]$/;

/** Whether one address may send us to another: never to http, and to this machine only from this machine. */
export function mayLead(from: string, to: string): boolean {
  if (!isSecureUrl(to)) return false;
  const { hostname } = new URL(to);
  return isLoopback(new URL(from).hostname) || !(isLoopback(hostname) || ALSO_HERE.test(hostname));
}

/** Where the browser comes back to, unless somebody knows better; on any port. Source: RFC 8252 §7.3. */
export const REDIRECT_URI = "http://127.0.0.1/callback";

/**
 * Whether it can be listened on and no other machine can reach it. Read as written, not as URL understands it: the server compares
 * it as a string, and what stands before an @ is no host. Source: RFC 8252 §7.3.
 */
export function isRedirectUri(raw: string): boolean {
  const [, host, port] =
    raw.match(/^http:\/\/(\[[0-9a-f:]+\]|[a-z0-9.]+)(?::(\d{1,5}))?(?:\/[!$&-;=@-Z_a-z~%-]*)?$/) ?? [];
  const portFits = port === undefined || (Number(port) > 0 && Number(port) < 65536);
  return !!host && portFits && URL.canParse(raw) && isLoopback(new URL(raw).hostname) && raw.length <= 200;
}
