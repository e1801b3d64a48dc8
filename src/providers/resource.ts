/**
 * A protected resource, such as an MCP server, in the place of a provider's name: its canonical address, and the name under
 * which its credential lies.
 *
 * Rules: one address, one name; whoever hands out a credential for an address asks `covers` first, because a name may also
 * have been given to something else.
 */
import { createHash } from "node:crypto";
import { Failure } from "../protocol/failure.ts";
import { isLoopback, isSecureUrl } from "./url.ts";

/** A name that holds no `:` is not taken for an address, nor the other way round. */
export const isAddress = (target: string) => /^https?:/i.test(target);

/**
 * Scheme and host in lower case, no default port, no slash for an empty path; a query is kept, and so is the slash that ends a
 * path, because it may mean something there. Source: RFC 8707 §2, RFC 9728 §1.2. Throws `usage`; `name` is how it was written.
 */
export function canonicalOf(raw: string, name: string): string {
  const fits = /^[\x21-\x5b\x5d-\x7e]{1,300}$/.test(raw) && /^https?:\/\//i.test(raw) && isSecureUrl(raw);
  const url = fits ? new URL(raw) : undefined;
  const isBare = url?.pathname === "/" && url.search === "";
  const canonical = url && `${url.origin}${isBare ? "" : url.pathname}${url.search}`;
  if (canonical && !raw.includes("#") && canonical.length <= 300) return canonical;
  const shown = raw.replace(/\/\/.*@/, "//…@"); // what stands there may be a password
  throw new Failure("usage", `${name} cannot be "${shown}".`, {
    hint: "The address of a resource is https, at most 300 characters, without a user name and a fragment: https://mcp.example.com/mcp; http will do on this machine only.",
  });
}

const MAX = 64;
const HASH = 12;

/**
 * The name of a provider that stands for this address; a name stands for itself. `https://mcp.example.com:3000/mcp` is
 * `mcp.example.com-3000_mcp`; what such a name cannot say is in the hash that ends another kind, after two underscores.
 */
export function nameOf(target: string): string {
  if (!isAddress(target)) return target;
  const { protocol, hostname, port, pathname, search } = new URL(target);
  const name = `${hostname}${port && `-${port}`}${pathname.replaceAll("/", "_")}`;
  const isPlain =
    (protocol === "http:") === isLoopback(hostname) &&
    search === "" &&
    /^[a-z0-9][a-z0-9.-]*$/.test(hostname) &&
    !/-\d+$/.test(hostname) &&
    /^(\/[a-z0-9.-]+)*\/?$/.test(pathname);
  if (isPlain && name.length <= MAX) return name;
  const readable = name.replace(/[^a-z0-9._-]+/g, "-").replace(/^[^a-z0-9]+/, "") || "resource";
  const hash = createHash("sha256").update(target).digest("hex").slice(0, HASH);
  return `${readable.slice(0, MAX - HASH - 2)}__${hash}`;
}

/**
 * Whether a token for `resource` is for this address: it is the same, or a path above it on the same origin. Both are
 * canonical, but for the slash of an empty path.
 */
export function covers(resource: string | undefined, address: string): boolean {
  if (resource === undefined || !URL.canParse(resource)) return false;
  if (isSameAddress(resource, address)) return true;
  const [above, below] = [new URL(resource), new URL(address)];
  const path = above.pathname.replace(/\/?$/, "/");
  return above.origin === below.origin && above.search + above.hash === "" && below.pathname.startsWith(path);
}

/** Character by character; an empty path and its slash are the same request (RFC 3986 §6.2.3). */
export const isSameAddress = (one: string, other: string) => one === other || (isRoot(one) && `${other}/` === one);

const isRoot = (address: string) => URL.canParse(address) && new URL(address).origin === address.slice(0, -1);
