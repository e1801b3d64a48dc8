/**
 * What authline knows of a provider: one data file each under `catalogue/`, or one that a user adds.
 *
 * Rules: endpoints bear their RFC 8414 names; what a provider does differently is said by data, or by the name of one
 * small adapter in `flows/quirks.ts`; a field that is not declared here is an error, and never ignored.
 */
import * as z from "zod/mini";
import { grantFlows } from "../flows/index.ts";
import { lazily } from "../protocol/shapes.ts";
import { isSecureUrl } from "./url.ts";

const Url = lazily(() => z.string().check(z.refine(isSecureUrl, "not an https address")));
const Text = lazily(() => z.string().check(z.minLength(1), z.maxLength(300)));
const Params = lazily(() => z.record(z.string(), z.string()));

/** What a few servers do against the RFCs; each is one adapter in flows/quirks.ts. */
export const quirks = [
  "issuer_per_tenant",
  "no_nonce",
  "no_pkce",
  "basic_without_secret",
  "refresh_beside_token",
  "no_token_type",
  "token_in_authed_user",
  "commas_between_scopes",
  "scopes_parameter",
  "error_in_message",
] as const;
export const Quirks = lazily(() => z.optional(z.array(z.enum(quirks))));

export type Grant = keyof typeof grantFlows;
export const grants = Object.keys(grantFlows) as [Grant, ...Grant[]];

/** How a client proves who it is. Source: RFC 7591 §2. */
export const authMethods = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"] as const;

/** A host, or with a leading dot every host under a domain. Anchored by construction: there is no pattern. */
const Host = lazily(() => z.string().check(z.regex(/^\.?[a-z0-9-]+(\.[a-z0-9-]+)*(:\d+)?$/)));

/** The header that a credential goes in: `<name>: <prefix><credential>`. */
export const Header = lazily(() =>
  z.strictObject({
    name: z.string().check(z.regex(/^[A-Za-z0-9-]+$/)),
    /** Nothing, where it is absent. */
    prefix: z.optional(z.string().check(z.regex(/^[\x20-\x7e]*$/))),
  }),
);

/** What a whole value looks like: a regular expression that is anchored at both ends. */
const Pattern = lazily(() => z.string().check(z.regex(/^\^.*\$$/), z.refine(isExpression, "not a regular expression")));

function isExpression(text: string): boolean {
  try {
    return Boolean(new RegExp(text));
  } catch {
    return false;
  }
}

/** A field of a JSON answer; a dot leads into an object, as in `data.username`. */
const Field = lazily(() => z.string().check(z.regex(/^[A-Za-z0-9_$-]+(\.[A-Za-z0-9_$-]+)*$/)));

/** A harmless request that says whose a credential is: the endpoint, and the field of its JSON answer that holds the name. */
const Lookup = lazily(() =>
  z.strictObject({
    endpoint: Url(),
    field: z.optional(Field()),
    /** GET where it is absent. */
    method: z.optional(z.enum(["GET", "POST"])),
    /** Headers that the API insists on, such as its version. */
    headers: z.optional(Params()),
    /** With POST: the JSON to send; a GraphQL query, say. */
    body: z.optional(z.string()),
  }),
);

/** RFC 8414 §2, RFC 7009, 7662, 8628, 9126, OIDC Core, CIBA Core. */
const Endpoints = lazily(() =>
  z.strictObject({
    authorization_endpoint: z.optional(Url()),
    token_endpoint: z.optional(Url()),
    device_authorization_endpoint: z.optional(Url()),
    registration_endpoint: z.optional(Url()),
    revocation_endpoint: z.optional(Url()),
    introspection_endpoint: z.optional(Url()),
    pushed_authorization_request_endpoint: z.optional(Url()),
    backchannel_authentication_endpoint: z.optional(Url()),
    userinfo_endpoint: z.optional(Url()),
    end_session_endpoint: z.optional(Url()),
    jwks_uri: z.optional(Url()),
  }),
);

/** How a person gets a key, and how a program uses it. */
const ApiKey = lazily(() =>
  z.strictObject({
    header: z.optional(Header()),
    /** What a whole key looks like. */
    pattern: z.optional(Pattern()),
    /** One sentence on which of the provider's keys is meant. */
    hint: z.optional(Text()),
    /** Where a person creates one. */
    create_url: z.optional(Url()),
    /** The request that a key is tried with. */
    verify: z.optional(Lookup()),
  }),
);

/** What has to be filled in: `{domain}` in the issuer and in addresses. */
const Variable = lazily(() =>
  z.strictObject({
    summary: Text(),
    example: Text(),
    /** Used where none is given. */
    default: z.optional(Text()),
    /** What a value looks like. Absent: a host name or one word of it. */
    pattern: z.optional(Pattern()),
  }),
);

export const Definition = lazily(() =>
  z.strictObject({
    name: z.string(),
    display_name: Text(),
    /** Where the provider documents its OAuth, or its keys. */
    docs: z.optional(Url()),
    /** Where each fact was read, if not all in `docs`. */
    sources: z.optional(z.array(Url())),
    issuer: z.optional(Url()),
    /** The protected resource that the provider is, where that says whose tokens it takes: an MCP server. Source: RFC 9728. */
    resource: z.optional(Url()),
    /** False where the issuer's own metadata cannot be used. */
    discovery: z.optional(z.boolean()),
    /** Endpoints that the metadata leaves out; all of them, where there is no discovery. */
    endpoints: z.optional(Endpoints()),
    variables: z.optional(z.record(z.string().check(z.regex(/^[a-z_]+$/)), Variable())),
    /** What the provider offers, preferred first; absent: what its metadata says. */
    grants: z.optional(z.array(z.enum(grants))),
    /** Grants that the provider refuses to clients without a secret. */
    grants_needing_secret: z.optional(z.array(z.enum(grants))),
    token_endpoint_auth_method: z.optional(z.enum(authMethods)),
    /** The provider's APIs take only tokens that are bound to a key. Source: RFC 9449 §5.2. */
    dpop_bound_access_tokens: z.optional(z.boolean()),
    /** Asked for when `--scope` is not given; as long as that may be. */
    scope: z.optional(z.string().check(z.minLength(1), z.maxLength(2000))),
    /** What may be asked for, each with a phrase that says what it is for. */
    scopes: z.optional(z.record(Text(), Text())),
    /** Extra parameters of the authorization request. */
    authorization_params: z.optional(Params()),
    /** Extra parameters of every request to the token endpoint. */
    token_params: z.optional(Params()),
    /**
     * The redirect URI that people are told to register: its host (`localhost` or 127.0.0.1), its path, and a port where
     * the provider wants a fixed one. The default is http://127.0.0.1/callback on any port.
     */
    redirect_uri: z.optional(Url()),
    /** How to name the account when no ID token does. */
    account: z.optional(Lookup()),
    /** Where the credential may be sent, and the header that it goes in; absent: `Authorization: Bearer`. */
    api: z.optional(z.strictObject({ hosts: z.array(Host()), header: z.optional(Header()) })),
    /** The variables that tools of this provider read its credential from, the commonest first. */
    environment: z.optional(
      z.strictObject({
        access_token: z.optional(z.array(z.string().check(z.regex(/^[A-Z][A-Z0-9_]*$/)))),
        api_key: z.optional(z.array(z.string().check(z.regex(/^[A-Z][A-Z0-9_]*$/)))),
      }),
    ),
    api_key: z.optional(ApiKey()),
    /** Where a person creates a client ID. */
    client_registration: z.optional(Url()),
    quirks: Quirks(),
  }),
);
export type Definition = z.infer<ReturnType<typeof Definition>>;

/** How a credential is sent where its definition says nothing else. Source: RFC 6750 §2.1. */
export const BEARER = { name: "Authorization", prefix: "Bearer " };

/** The form of a header, whole. */
export const headerOf = (header: z.infer<ReturnType<typeof Header>> | undefined): typeof BEARER =>
  header ? { name: header.name, prefix: header.prefix ?? "" } : BEARER;
