/**
 * Who we are to a server, and how we prove it. Source: RFC 6749 §2.3, RFC 7591 §2 for the names of the methods.
 */
import * as oauth from "oauth4webapi";
import { asFailure, Failure } from "../protocol/failure.ts";
import type { Definition } from "../providers/definition.ts";
import type { AuthMethod } from "../store/record.ts";
import { privateKeyJwt } from "./client_key.ts";
import { wantsBasic } from "./quirks.ts";
import type { AuthorizationServer } from "./server.ts";

export type Client = {
  client_id: string;
  token_endpoint_auth_method: AuthMethod;
} & Credentials;

/** What a client proves itself by; a public one (RFC 6749 §2.1) has neither. */
export type Credentials = {
  client_secret?: string;
  /** A private JWK. */
  client_key?: string;
  /** Absent where somebody gave it. */
  origin?: "registration" | undefined;
  /** Where a client that authline registered is read and deleted, and with what (RFC 7592 §2). */
  registration_client_uri?: string | undefined;
  registration_access_token?: string | undefined;
};

/** Before it is known what the server supports. */
export type PlannedClient = Omit<Client, "token_endpoint_auth_method"> & Partial<Client>;

export const isPublic = ({ client_secret, client_key }: Credentials) =>
  client_secret === undefined && client_key === undefined;

/**
 * Form-urlencoded before base64, as RFC 6749 §2.3.1 says. `-`, `.` and `_` stay what they are, as the URL standard has it: to
 * who decodes it is the same, and the many that do not decode find what they gave out (Notion, Zoom, X).
 */
const basic =
  (secret: string): oauth.ClientAuth =>
  (_as, { client_id }, _body, headers) =>
    headers.set("authorization", `Basic ${btoa([client_id, secret].map(formEncoded).join(":"))}`);

const formEncoded = (text: string) => new URLSearchParams({ "": text }).toString().slice(1);

const METHODS: Record<AuthMethod, (credentials: Credentials) => oauth.ClientAuth> = {
  none: () => (as, client, body, headers) => (wantsBasic(as) ? basic("") : oauth.None())(as, client, body, headers),
  client_secret_basic: ({ client_secret = "" }) => basic(client_secret),
  client_secret_post: ({ client_secret = "" }) => oauth.ClientSecretPost(client_secret),
  private_key_jwt: ({ client_key = "" }) => privateKeyJwt(client_key),
};

/** The first that a server supports is used. */
const BY_SECRET: readonly AuthMethod[] = ["client_secret_basic", "client_secret_post"];
const BY_KEY: readonly AuthMethod[] = ["private_key_jwt"];

export function authentication(client: Omit<Client, "client_id">): oauth.ClientAuth {
  return METHODS[client.token_endpoint_auth_method](client);
}

/**
 * What was registered; else by the key where there is one, else by the secret. Of these the definition's method where it
 * names one, else what the server supports, else what RFC 6749 requires (basic).
 */
export function authMethod(as: AuthorizationServer, definition: Definition, client: PlannedClient): AuthMethod {
  if (client.token_endpoint_auth_method) return client.token_endpoint_auth_method;
  if (isPublic(client)) return "none";
  const [able, what] = client.client_key === undefined ? [BY_SECRET, "secret"] : [BY_KEY, "key"];
  const named = definition.token_endpoint_auth_method;
  if (named && able.includes(named)) return named;
  if (named === "private_key_jwt") {
    throw new Failure("config", `${definition.display_name} wants a key of the client, and not a secret.`, {
      hint: "Give one with --client-key-from.",
    });
  }
  const supported = as.token_endpoint_auth_methods_supported ?? able;
  const method = able.find((one) => supported.includes(one));
  if (method !== undefined) return method;
  throw new Failure("config", `${as.issuer} takes no client ${what} in a way that authline knows.`, {
    hint: `It supports: ${supported.join(", ")}.`,
  });
}

/** The server does not know the client any more that was registered with it: then another one is. */
export const isClientGone = (error: unknown, { origin }: Pick<PlannedClient, "origin">): boolean =>
  origin === "registration" && asFailure(error).details.oauth_error === "invalid_client";
