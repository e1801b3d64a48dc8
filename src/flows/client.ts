/**
 * Who we are to a server, and how we prove it. Source: RFC 6749 §2.3, RFC 7591 §2 for the names of the methods.
 */
import * as oauth from "oauth4webapi";
import { asFailure, Failure } from "../protocol/failure.ts";
import type { Definition } from "../providers/definition.ts";
import type { AuthMethod } from "../store/record.ts";
import type { AuthorizationServer } from "./server.ts";

export type Client = {
  client_id: string;
  token_endpoint_auth_method: AuthMethod;
  client_secret?: string;
  /** Absent where somebody gave it. */
  origin?: "registration" | undefined;
  /** Where a client that authline registered is read and deleted, and with what (RFC 7592 §2). */
  registration_client_uri?: string | undefined;
  registration_access_token?: string | undefined;
};

/** Before it is known what the server supports. */
export type PlannedClient = Omit<Client, "token_endpoint_auth_method"> & Partial<Client>;

/** `client_secret_basic` encodes as RFC 6749 §2.3.1 says: form-urlencoded before base64. */
const METHODS: Record<AuthMethod, (secret: string) => oauth.ClientAuth> = {
  none: () => oauth.None(),
  client_secret_basic: oauth.ClientSecretBasic,
  client_secret_post: oauth.ClientSecretPost,
};

export function authentication(client: Pick<Client, "token_endpoint_auth_method" | "client_secret">): oauth.ClientAuth {
  return METHODS[client.token_endpoint_auth_method](client.client_secret ?? "");
}

/** What was registered, else the definition's method where it names one, else what the server supports, else what RFC 6749 requires (basic). */
export function authMethod(as: AuthorizationServer, definition: Definition, client: PlannedClient): AuthMethod {
  if (client.token_endpoint_auth_method) return client.token_endpoint_auth_method;
  if (client.client_secret === undefined) return "none";
  const named = definition.token_endpoint_auth_method;
  if (named && named !== "none") return named;
  const supported = as.token_endpoint_auth_methods_supported ?? ["client_secret_basic"];
  for (const method of ["client_secret_basic", "client_secret_post"] as const) {
    if (supported.includes(method)) return method;
  }
  throw new Failure("config", `${as.issuer} takes no client secret in a way that authline knows.`, {
    hint: `It supports: ${supported.join(", ")}.`,
  });
}

/** The server does not know the client any more that was registered with it: then another one is. */
export const isClientGone = (error: unknown, { origin }: Pick<PlannedClient, "origin">): boolean =>
  origin === "registration" && asFailure(error).details.oauth_error === "invalid_client";
