/**
 * What authline knows of a provider: one data file each under `catalogue/`, or one that a user adds.
 *
 * Rules: endpoints bear their RFC 8414 names; what a provider does differently is said by data, or by the name of one
 * small adapter in `flows/quirks.ts`; a field that is not declared here is an error, and never ignored; each says what it is,
 * because the schema is published.
 */
import * as z from "zod/mini";
import { grantFlows } from "../flows/index.ts";
import { lazily } from "../protocol/shapes.ts";
import { isSecureUrl } from "./url.ts";

/** A field that may be left out. */
const field = <T extends z.ZodMiniType>(about: string, type: T) => z.optional(type).check(z.describe(about));

const Url = lazily(() => z.string().check(z.refine(isSecureUrl, "not an https address")));
const Text = lazily(() => z.string().check(z.minLength(1), z.maxLength(300)));
const Params = lazily(() => z.record(z.string(), z.string()));

/** What a few servers do against the RFCs; each is one adapter in flows/quirks.ts. */
export const quirks = [
  "issuer_per_tenant",
  "no_nonce",
  "no_pkce",
  "basic_without_secret",
  "no_token_type",
  "token_in_authed_user",
  "commas_between_scopes",
  "scopes_parameter",
  "error_in_message",
] as const;
export const Quirks = lazily(() => z.optional(z.array(z.enum(quirks))));

export type Grant = keyof typeof grantFlows;
export const grants = Object.keys(grantFlows) as [Grant, ...Grant[]];
const Grants = lazily(() => z.array(z.enum(grants)));

/** How a client proves who it is. Source: RFC 7591 §2. */
export const authMethods = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"] as const;

/**
 * A host, or with a leading dot every host under a domain; `{variables}` may stand in it. Anchored by construction: there is
 * no pattern.
 */
const Host = lazily(() =>
  z.string().check(z.regex(/^\.?(?:[a-z0-9-]|\{[a-z_]+\})+(?:\.(?:[a-z0-9-]|\{[a-z_]+\})+)*(?::\d+)?$/)),
);

/** Anchored at both ends. */
const Pattern = lazily(() =>
  z.string().check(z.regex(/^\^.*\$$/), z.maxLength(500), z.refine(compiles, "not a regular expression")),
);

function compiles(pattern: string): boolean {
  try {
    return new RegExp(pattern) instanceof RegExp;
  } catch {
    return false;
  }
}

/** The header that a credential goes in: `<name>: <prefix><credential>`. */
export const Header = lazily(() =>
  z.strictObject({
    name: z.string().check(z.regex(/^[A-Za-z0-9-]+$/), z.describe("The header's name.")),
    prefix: field(
      "What stands in it before the credential, with the space if there is one; nothing, where it is absent.",
      z.string().check(z.regex(/^[\x20-\x7e]*$/)),
    ),
  }),
);

/** A field of a JSON answer; a dot leads into an object, as in `data.username`. */
const Field = lazily(() => z.string().check(z.regex(/^[A-Za-z0-9_$-]+(\.[A-Za-z0-9_$-]+)*$/)));

/** A harmless request that says whose a credential is: the endpoint, and the field of its JSON answer that holds the name. */
const Lookup = lazily(() =>
  z.strictObject({
    endpoint: Url().check(z.describe("Where it is sent.")),
    field: field("The field of the JSON answer that holds the name; a dot leads into an object.", Field()),
    method: field("GET where it is absent.", z.enum(["GET", "POST"])),
    headers: field("Headers that the API insists on, such as its version.", Params()),
    body: field("With POST: the JSON to send; a GraphQL query, say.", z.string()),
  }),
);

const Endpoints = lazily(() =>
  z.strictObject({
    authorization_endpoint: field("RFC 6749 §3.1.", Url()),
    token_endpoint: field("RFC 6749 §3.2.", Url()),
    device_authorization_endpoint: field("RFC 8628 §3.1.", Url()),
    registration_endpoint: field("RFC 7591 §3.", Url()),
    revocation_endpoint: field("RFC 7009 §2.", Url()),
    introspection_endpoint: field("RFC 7662 §2.", Url()),
    pushed_authorization_request_endpoint: field("RFC 9126 §2.", Url()),
    backchannel_authentication_endpoint: field("OpenID Connect CIBA Core §7.", Url()),
    userinfo_endpoint: field("OpenID Connect Core §5.3.", Url()),
    end_session_endpoint: field("OpenID Connect RP-Initiated Logout §2.", Url()),
    jwks_uri: field("RFC 8414 §2: the keys that ID tokens are signed with.", Url()),
  }),
);

/** How a person gets a key, and how a program uses it. */
const ApiKey = lazily(() =>
  z.strictObject({
    header: field("The header that a key goes in, where it is not that of `api`.", Header()),
    pattern: field("What a whole key looks like: a regular expression, anchored at both ends.", Pattern()),
    hint: field("One sentence on which of the provider's keys is meant.", Text()),
    create_url: field("Where a person creates one.", Url()),
    verify: field("The request that a key is tried with.", Lookup()),
  }),
);

const Variable = lazily(() =>
  z.strictObject({
    summary: Text().check(z.describe("What it is, for a person.")),
    example: Text().check(z.describe("A value as people have it.")),
    default: field("Used where none is given.", Text()),
    pattern: field(
      "What a value looks like, anchored at both ends. Absent: a host name or one word of it, and a port if need be.",
      Pattern(),
    ),
  }),
);

const EnvNames = lazily(() => z.array(z.string().check(z.regex(/^[A-Z][A-Z0-9_]*$/))));

const Api = lazily(() =>
  z.strictObject({
    hosts: z.array(Host()).check(z.describe("Hosts; with a leading dot, every host under a domain.")),
    header: field("Absent: `Authorization: Bearer <credential>`.", Header()),
  }),
);

const Environment = lazily(() =>
  z.strictObject({
    access_token: field("Those that hold an access token.", EnvNames()),
    api_key: field("Those that hold an API key.", EnvNames()),
  }),
);

export const Definition = lazily(() =>
  z.strictObject({
    name: z.string().check(z.describe("What it is called on a command line.")),
    display_name: Text().check(z.describe("What people call it.")),
    docs: field("Where the provider documents its OAuth, or its keys.", Url()),
    sources: field("Where each fact was read, if not all in `docs`.", z.array(Url())),
    issuer: field("The authorization server, exactly as its metadata names it.", Url()),
    resource: field(
      "The protected resource that the provider is, where that says whose tokens it takes: an MCP server (RFC 9728).",
      Url(),
    ),
    discovery: field("False where the issuer's own metadata cannot be used.", z.boolean()),
    endpoints: field(
      "Endpoints that the metadata leaves out; all of them, where there is no discovery. Named as in RFC 8414 §2.",
      Endpoints(),
    ),
    variables: field(
      "What has to be filled in, by name: `{domain}` in the issuer, in addresses and in hosts.",
      z.record(z.string().check(z.regex(/^[a-z_]+$/)), Variable()),
    ),
    grants: field("What the provider offers, preferred first. Absent: what its metadata says.", Grants()),
    grants_needing_secret: field("Grants that the provider refuses to clients without a secret.", Grants()),
    token_endpoint_auth_method: field(
      "How a client with a secret proves who it is (RFC 7591 §2).",
      z.enum(authMethods),
    ),
    dpop_bound_access_tokens: field(
      "The provider's APIs take only tokens that are bound to a key (RFC 9449 §5.2).",
      z.boolean(),
    ),
    scope: field(
      "Asked for when `--scope` is not given; as long as that may be.",
      z.string().check(z.minLength(1), z.maxLength(2000)),
    ),
    scopes: field("What may be asked for, each with a phrase that says what it is for.", z.record(Text(), Text())),
    authorization_params: field("Extra parameters of the authorization request.", Params()),
    token_params: field("Extra parameters of every request to the token endpoint.", Params()),
    redirect_uri: field(
      "The redirect URI that people are told to register: its host (`localhost` or 127.0.0.1), its path, and a port where the provider wants a fixed one. Absent: http://127.0.0.1/callback on any port.",
      Url(),
    ),
    account: field("How to name the account when no ID token does.", Lookup()),
    api: field("Where the credential may be sent, and the header that it goes in.", Api()),
    environment: field(
      "The variables that tools of this provider read its credential from, the commonest first.",
      Environment(),
    ),
    api_key: field("Keys that people create by hand: how to get one, and how to use it.", ApiKey()),
    client_registration: field("Where a person creates a client ID.", Url()),
    quirks: Quirks().check(z.describe("What the provider does against the RFCs, each by the name of its adapter.")),
  }),
);
export type Definition = z.infer<ReturnType<typeof Definition>>;

/** How a credential is sent where its definition says nothing else. Source: RFC 6750 §2.1. */
export const BEARER = { name: "Authorization", prefix: "Bearer " };

/** The form of a header, whole. */
export const headerOf = (header: z.infer<ReturnType<typeof Header>> | undefined): typeof BEARER =>
  header ? { name: header.name, prefix: header.prefix ?? "" } : BEARER;
