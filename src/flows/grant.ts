/** What every grant is given, and what it is. */
import type { Context } from "../context.ts";
import type { Flow } from "../flow.ts";
import type { Definition } from "../providers/definition.ts";
import type { Client } from "./client.ts";
import type { AuthorizationServer } from "./server.ts";
import type { Tokens } from "./tokens.ts";

export interface GrantRequest {
  provider: string;
  connection: string;
  definition: Definition;
  as: AuthorizationServer;
  client: Client;
  scope: string | undefined;
  redirectUri: string;
  browser: "auto" | "always" | "never";
  /** When the login gives up waiting for a person. */
  deadline: Date;
}

/**
 * Gets tokens and hands them to `keep`, which verifies and stores them; it ends when they are kept, so that what a
 * person is shown at the end (the callback page) is true.
 */
export interface Grant {
  /** Why this server cannot do it; undefined where it can. */
  lacks(as: AuthorizationServer): string | undefined;
  obtain<T>(request: GrantRequest, ctx: Context, keep: (tokens: Tokens) => Flow<T>): Flow<T>;
}

/** RFC 8414 §2: an absent list means authorization_code and implicit; an endpoint of its own says more than the list. */
export const offersGrant = (as: AuthorizationServer, grantType: string) =>
  as.grant_types_supported === undefined || as.grant_types_supported.includes(grantType);
