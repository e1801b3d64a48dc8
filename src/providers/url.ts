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

/** Where the browser comes back to, unless somebody knows better; on any port. Source: RFC 8252 §7.3. */
export const REDIRECT_URI = "http://127.0.0.1/callback";
