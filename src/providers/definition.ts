/**
 * What authline knows of a provider: one data file each under `catalogue/`.
 *
 * Rules: endpoints bear their RFC 8414 names; what a provider does differently is said by data, or by the name of one
 * small adapter in `quirks.ts`.
 */
import * as z from "zod/mini";
import { lazily } from "../protocol/shapes.ts";

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

const Url = lazily(() => z.string().check(z.refine(isSecureUrl)));

/** What a few servers do against the RFCs; each is one adapter in flows/quirks.ts. */
export const Quirks = lazily(() => z.optional(z.array(z.enum(["issuer_per_tenant"]))));

/** Where the browser comes back to, unless somebody knows better; on any port. Source: RFC 8252 §7.3. */
export const REDIRECT_URI = "http://127.0.0.1/callback";

export const grants = ["authorization_code", "device_code", "client_credentials"] as const;
export type Grant = (typeof grants)[number];

export const Definition = lazily(() =>
  z.strictObject({
    name: z.string(),
    display_name: z.string(),
    /** Where the provider documents its OAuth. */
    docs: z.optional(Url()),
    issuer: z.optional(Url()),
    /** False where the issuer's own metadata cannot be used. */
    discovery: z.optional(z.boolean()),
    /** Endpoints that the metadata leaves out; all of them, where there is no discovery. */
    endpoints: z.optional(
      z.object({
        authorization_endpoint: z.optional(Url()),
        token_endpoint: z.optional(Url()),
        device_authorization_endpoint: z.optional(Url()),
        revocation_endpoint: z.optional(Url()),
        userinfo_endpoint: z.optional(Url()),
        jwks_uri: z.optional(Url()),
      }),
    ),
    /** What the provider offers, preferred first; absent: what its metadata says. */
    grants: z.optional(z.array(z.enum(grants))),
    /** Grants that the provider refuses to clients without a secret. */
    grants_needing_secret: z.optional(z.array(z.enum(grants))),
    /** Asked for when `--scope` is not given. */
    scope: z.optional(z.string()),
    /** What stands between the scopes of an answer, where it is not the space that RFC 6749 §3.3 wants. */
    scope_separator: z.optional(z.string()),
    token_endpoint_auth_method: z.optional(z.enum(["none", "client_secret_basic", "client_secret_post"])),
    /** Extra parameters of the authorization request. */
    authorization_params: z.optional(z.record(z.string(), z.string())),
    /** The redirect URI that people are told to register; the default is http://127.0.0.1/callback on any port. */
    redirect_uri: z.optional(z.string()),
    /** How to name the account when no ID token does: a GET with the access token, and the field that holds the name. */
    account: z.optional(z.object({ endpoint: Url(), field: z.string() })),
    /** Where a person creates a client ID. */
    client_registration: z.optional(Url()),
    quirks: Quirks(),
  }),
);
export type Definition = z.infer<ReturnType<typeof Definition>>;
