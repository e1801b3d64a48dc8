/**
 * What a protected resource answers instead of what it was asked for, and what is known of it before it is asked.
 * Source: RFC 9110 §11.6.1, RFC 6750 §3, RFC 9728 §5.1.
 */
import * as z from "zod/mini";
import { lazily } from "../protocol/shapes.ts";

export const Challenge = lazily(() =>
  z.object({
    resource_metadata: z.optional(z.string()),
    scope: z.optional(z.string()),
    error: z.optional(z.string()),
  }),
);
export type Challenge = z.infer<ReturnType<typeof Challenge>>;

/** A resource that is to be asked whose tokens it takes. */
export const Protected = lazily(() =>
  z.object({
    /** Its address, as providers/resource.ts writes it. */
    address: z.string(),
    /** What it has answered somebody else: then it is not asked. */
    challenge: z.optional(Challenge()),
    /** The authorization server that the user wants, of those that it takes tokens of. */
    issuer: z.optional(z.string()),
    /** Whose the client is that an earlier login has left; absent: it was given for this one. */
    client_of: z.optional(z.string()),
    /** Of the credential that is there: whose it is, and what was asked for and granted. */
    held: z.optional(z.object({ issuer: z.string(), scope: z.optional(z.string()) })),
  }),
);
export type Protected = z.infer<ReturnType<typeof Protected>>;

export interface Scheme {
  /** In lower case. */
  scheme: string;
  /** Names in lower case. */
  params: Record<string, string>;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const PARAM = new RegExp(`(${TOKEN})[ \\t]*=[ \\t]*(?:(${TOKEN})|"((?:[^"\\\\]|\\\\.)*)")[ \\t]*(?=,|$)`, "y");
const SCHEME = new RegExp(`(${TOKEN})(?: +|(?=,|$))`, "y");
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)/y;
const GAP = /[ \t,]*/y;

/**
 * The challenges of a WWW-Authenticate field, several fields being joined by commas; undefined where it is none: half a
 * challenge is not believed. A parameter that stands twice is none either (RFC 9110 §11.2).
 */
export function challengesIn(field: string): Scheme[] | undefined {
  const found: Scheme[] = [];
  let at = 0;
  const read = (pattern: RegExp) => {
    pattern.lastIndex = at;
    const match = pattern.exec(field);
    if (match) at = pattern.lastIndex;
    return match;
  };
  for (read(GAP); at < field.length; read(GAP)) {
    const param = read(PARAM);
    const current = found.at(-1);
    if (param) {
      const name = (param[1] as string).toLowerCase();
      if (!current || Object.hasOwn(current.params, name)) return undefined;
      current.params[name] = param[2] ?? (param[3] as string).replace(/\\(.)/g, "$1");
      continue;
    }
    const scheme = read(SCHEME);
    if (!scheme) return undefined;
    found.push({ scheme: (scheme[1] as string).toLowerCase(), params: Object.create(null) });
    const begun = at;
    if (read(PARAM)) at = begun;
    else if (scheme[0].endsWith(" ")) read(TOKEN68);
  }
  return found;
}

/** The challenge that OAuth can answer: Bearer's, or else one that says where the resource's metadata are. */
export function challengeIn(field: string): Challenge | undefined {
  const all = challengesIn(field) ?? [];
  const one = all.find(({ scheme }) => scheme === "bearer") ?? all.find(({ params }) => "resource_metadata" in params);
  if (!one) return undefined;
  const { resource_metadata, scope, error } = one.params;
  return {
    ...(resource_metadata !== undefined && { resource_metadata }),
    ...(scope !== undefined && isScope(scope) && { scope }),
    ...(error !== undefined && { error }),
  };
}

/** RFC 6749 §3.3. A scope that is none is not asked for. */
export const isScope = (text: string) =>
  /^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/.test(text) && text.length <= 2000;

/** In the order in which they first stand; undefined: none. */
export function union(...scopes: (string | undefined)[]): string | undefined {
  const all = scopes.flatMap((scope) => scope?.split(" ") ?? []).filter((scope) => scope !== "");
  return all.length > 0 ? [...new Set(all)].join(" ") : undefined;
}
