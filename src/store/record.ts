/**
 * What is kept: one record a connection, one a provider.
 *
 * Rule: everything secret stands under `secrets`, which is sealed on disk, and nothing secret stands anywhere else, so that
 * the rest can be read, listed and shown without a key.
 */
import * as z from "zod/mini";
import { AuthorizationDetails } from "../flows/authorization_details.ts";
import { Extras } from "../flows/extras.ts";
import type { RecordStatus } from "../protocol/data.ts";
import { lazily, timestamp, uint } from "../protocol/shapes.ts";
import { authMethods, Definition, Header, Quirks } from "../providers/definition.ts";

/** Names of providers and connections: fit for a file name on every system, and for an argv. */
export const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const Name = lazily(() => z.string().check(z.regex(NAME)));

/** The authorization server that issued a credential, as it was then (RFC 8414 §2): the only one it is ever sent to. */
const Server = lazily(() =>
  z.object({
    issuer: z.string(),
    token_endpoint: z.optional(z.string()),
    revocation_endpoint: z.optional(z.string()),
    introspection_endpoint: z.optional(z.string()),
    userinfo_endpoint: z.optional(z.string()),
    end_session_endpoint: z.optional(z.string()),
    jwks_uri: z.optional(z.string()),
    id_token_signing_alg_values_supported: z.optional(z.array(z.string())),
    token_endpoint_auth_signing_alg_values_supported: z.optional(z.array(z.string())),
  }),
);
export type Server = z.infer<ReturnType<typeof Server>>;

/** RFC 7591 §2. */
export const AuthMethod = z.enum(authMethods);
export type AuthMethod = z.infer<typeof AuthMethod>;

/** Who we are to a server, without what proves it. */
export const ClientView = lazily(() =>
  z.object({
    client_id: z.string(),
    token_endpoint_auth_method: z.optional(AuthMethod),
    /** Absent where somebody gave it. */
    origin: z.optional(z.literal("registration")),
    /** Where a client that authline registered is read and deleted (RFC 7592 §2). */
    registration_client_uri: z.optional(z.string()),
  }),
);

/** Why a credential has ended: the server refused it, or its renewal was cut off and the renewed one lost. */
const End = z.enum(["refused", "answer_lost"]);

/** A connection as anybody may know it. */
export const ConnectionView = lazily(() =>
  z.object({
    v: z.literal(1),
    provider: Name(),
    connection: Name(),
    /** The grant that the credential came from. */
    flow: z.string(),
    /** Absent, as is the client, where nobody has issued it to us: it was created elsewhere, such as an API key. */
    server: z.optional(Server()),
    quirks: Quirks(),
    client: z.optional(z.required(ClientView(), { token_endpoint_auth_method: true })),
    token_type: z.string(),
    /** What it is sent in, where that is not `Authorization: Bearer`. */
    header: z.optional(Header()),
    /** What every request to the token endpoint carries. */
    extras: z.optional(Extras()),
    token_params: z.optional(z.record(z.string(), z.string())),
    /** What the grant's own flags said, where it is renewed with that; what of it is secret stands under `secrets`. */
    inputs: z.optional(z.record(z.string(), z.string())),
    /** RFC 8693 §2.2.1: what the token is, where it came of an exchange. */
    issued_token_type: z.optional(z.string()),
    /** Granted, not asked for. */
    scope: z.optional(z.string()),
    /** Asked for: what the next login of this connection asks for again. */
    requested_scope: z.optional(z.string()),
    /** How often in a row somebody signed in because the resource asked for this scope (sorted). */
    step_up: z.optional(z.object({ scope: z.string(), times: uint() })),
    /** Granted, which may say more than what was asked for (RFC 9396 §7). */
    authorization_details: z.optional(AuthorizationDetails()),
    /** How somebody signed in, as the ID token says. Source: OIDC Core §2. */
    acr: z.optional(z.string()),
    account: z.optional(z.string()),
    /** OIDC Core §2 `sub`. */
    subject: z.optional(z.string()),
    /** RFC 3339. Absent: the server did not say that the access token ends. */
    expires_at: z.optional(timestamp()),
    created_at: timestamp(),
    updated_at: timestamp(),
    /** A new access token can be had without a person. */
    refreshable: z.boolean(),
    /** The login session that it came from. */
    session_id: z.optional(z.string()),
    /** What it was called before. */
    renamed_from: z.optional(Name()),
    /** The refresh token is dead for good. */
    revoked: z.optional(z.literal(true)),
    end: z.optional(End),
  }),
);
export type ConnectionView = z.infer<ReturnType<typeof ConnectionView>>;

export const ConnectionSecrets = lazily(() =>
  z.object({
    /** What is handed out: an access token, or an API key. */
    access_token: z.optional(z.string()),
    refresh_token: z.optional(z.string()),
    id_token: z.optional(z.string()),
    client_secret: z.optional(z.string()),
    /** Private JWKs: what the client proves itself by, and what the tokens are bound to. */
    client_key: z.optional(z.string()),
    dpop_key: z.optional(z.string()),
    registration_access_token: z.optional(z.string()),
    inputs: z.optional(z.record(z.string(), z.string())),
  }),
);
export type Connection = ConnectionView & { secrets: z.infer<ReturnType<typeof ConnectionSecrets>> };

/** What is to be remembered of a provider's definition; `set`: what stands for its variables. */
export const Taught = lazily(() =>
  z.extend(z.partial(Definition()), { set: z.optional(z.record(z.string(), z.string())) }),
);

/** What the last login of a provider taught: how to reach it by name alone. */
export const LearnedView = lazily(() =>
  z.object({
    v: z.literal(1),
    provider: Name(),
    definition: Taught(),
    /** Where it was learned, as `serverOf` names it: the only server that it is for. */
    server: z.optional(z.string()),
    client: z.optional(z.partial(ClientView())),
  }),
);
export type LearnedView = z.infer<ReturnType<typeof LearnedView>>;
export const LearnedSecrets = lazily(() =>
  z.object({ client_secret: z.optional(z.string()), client_key: z.optional(z.string()) }),
);
export type Learned = LearnedView & { secrets: z.infer<ReturnType<typeof LearnedSecrets>> };

/** A client that authline has registered with an issuer, for every provider of that issuer. Source: RFC 7591 §3.2.1. */
export const RegisteredView = lazily(() =>
  z.object({
    v: z.literal(1),
    issuer: z.string(),
    client_id: z.string(),
    token_endpoint_auth_method: AuthMethod,
    /** Where the issuer took it then: nobody else gets it, whoever says to be this issuer. */
    token_endpoint: z.optional(z.string()),
    /** With the port that was registered. */
    redirect_uri: z.string(),
    registration_client_uri: z.optional(z.string()),
    registered_at: timestamp(),
    /** Absent: its secret does not end. */
    secret_expires_at: z.optional(timestamp()),
  }),
);
export const RegisteredSecrets = lazily(() =>
  z.object({ client_secret: z.optional(z.string()), registration_access_token: z.optional(z.string()) }),
);
export type Registered = z.infer<ReturnType<typeof RegisteredView>> & {
  secrets: z.infer<ReturnType<typeof RegisteredSecrets>>;
};

/** Which of a provider's connections is meant where none is named. */
export const Standard = lazily(() => z.object({ v: z.literal(1), provider: Name(), connection: Name() }));

/** A refresh that was begun: while it stands, the answer to it may have been lost. */
export const Refreshing = lazily(() =>
  z.object({
    v: z.literal(1),
    provider: Name(),
    connection: Name(),
    /** Of the record that it was begun with. */
    updated_at: timestamp(),
    begun_at: timestamp(),
  }),
);
export type Refreshing = z.infer<ReturnType<typeof Refreshing>>;

/**
 * Whether the one is what a rename that was cut off has made of the other: the same credential under two names. A login since
 * then would have begun a record of its own.
 */
export const isCopy = (copy: ConnectionView, original: ConnectionView): boolean =>
  copy.renamed_from === original.connection && copy.created_at === original.created_at;

/** Seconds until the access token ends; Infinity where nobody said that it does. */
export function timeToLive({ expires_at }: Pick<ConnectionView, "expires_at">, now: Date): number {
  return expires_at ? (Date.parse(expires_at) - now.getTime()) / 1000 : Number.POSITIVE_INFINITY;
}

export function recordStatus(connection: ConnectionView, now: Date): RecordStatus {
  if (connection.revoked) return "revoked";
  if (timeToLive(connection, now) > 0) return "connected";
  return connection.refreshable ? "expired" : "revoked";
}
