/**
 * A new access token without a person. Source: RFC 6749 §6, RFC 9700 §4.14 (rotation).
 *
 * Rules: the refresh token goes to the token endpoint of the server that issued it and to no other; a refresh token
 * that came with the answer replaces the old one; only the server's own `invalid_grant` ends a credential, and only the
 * one that it was said of.
 */
import * as oauth from "oauth4webapi";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { type Flow, progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import type { Connection } from "../store/record.ts";
import { authentication, type Client } from "./client.ts";
import { redeemClientCredentials } from "./client_credentials.ts";
import { asking } from "./faults.ts";
import { withQuirks } from "./quirks.ts";
import { type AuthorizationServer, http } from "./server.ts";
import { type Tokens, tokensFrom } from "./tokens.ts";

/** The server that issued a credential, and who we were to it: from the record, never from a definition. */
export function partiesOf({ server, quirks, client, secrets }: Connection): {
  as: AuthorizationServer;
  client: Client;
} {
  const { client_secret } = secrets;
  return {
    as: withQuirks(server as AuthorizationServer, { quirks }),
    client: { ...client, ...defined({ client_secret }) },
  };
}

/** The connection with its new token, stored. Throws `auth_expired` when a person has to sign in again. */
export async function* refresh(connection: Connection, ctx: Context): Flow<Connection> {
  yield progress("refresh", "started", `Refreshing the access token of ${connection.provider}.`);
  try {
    // Once it is sent, the answer may hold the only token that still works: nothing but the end of the process stops us.
    const unstopped = { ...ctx, signal: new AbortController().signal };
    const renewed = renew(connection, await redeem(connection, unstopped), ctx);
    await mustStillBeWanted(connection, renewed, unstopped);
    await ctx.store.keep(renewed);
    ctx.signal.throwIfAborted();
    yield progress("refresh", "done", "The new token is stored.");
    return renewed;
  } catch (error) {
    if (error instanceof Failure && error.details.oauth_error === "invalid_grant") {
      const winner = await ctx.store.connection(connection.provider, connection.connection);
      const replaced = winner && winner.secrets.refresh_token !== connection.secrets.refresh_token;
      if (replaced && !winner.revoked) return winner; // another process was faster
      await ctx.store.keep(revoked(connection, ctx));
      throw new Failure(
        "auth_expired",
        "The server no longer accepts the refresh token: somebody has to sign in again.",
        {
          ...error.details,
          hint: undefined,
          cause: error,
        },
      );
    }
    if (error instanceof Failure) yield progress("refresh", "failed", error.message, { reason: error.code });
    throw error;
  }
}

/** Somebody may have signed out while the server was asked: what came then is given back, not kept. */
async function mustStillBeWanted(connection: Connection, renewed: Connection, ctx: Context): Promise<void> {
  if (await ctx.store.connection(connection.provider, connection.connection)) return;
  const { revoke } = await import("./revoke.ts");
  for await (const _ of revoke(renewed, ctx));
  throw new Failure("auth_required", `Somebody signed out of ${connection.provider} while the token was refreshed.`);
}

async function redeem(connection: Connection, ctx: Context): Promise<Tokens> {
  const { as, client } = partiesOf(connection);
  const { scope, requested_scope, secrets } = connection;
  const { refresh_token } = secrets;
  if (refresh_token === undefined) return redeemClientCredentials({ as, client, scope: requested_scope }, ctx);
  return asking("The token endpoint", async () => {
    const response = await oauth.refreshTokenGrantRequest(as, client, authentication(client), refresh_token, http(ctx));
    const answer = await oauth.processRefreshTokenResponse(as, client, response);
    return tokensFrom(answer, response, { as, scope }, ctx);
  });
}

/** What the answer leaves out stays as it was, but for the access token's end. */
function renew(connection: Connection, tokens: Tokens, ctx: Context): Connection {
  const { subject = tokens.subject } = connection;
  if (tokens.subject !== undefined && tokens.subject !== subject) {
    // OIDC Core §12.2
    throw new Failure(
      "provider",
      "The token endpoint broke the protocol: it refreshed one account's token with another's.",
    );
  }
  const { expires_at: _, ...old } = connection;
  const { access_token, refresh_token, id_token, token_type, scope, expires_at } = tokens;
  return {
    ...old,
    ...defined({ scope, expires_at }),
    token_type,
    updated_at: ctx.now().toISOString(),
    secrets: { ...connection.secrets, ...defined({ access_token, refresh_token, id_token }) },
  };
}

function revoked(connection: Connection, ctx: Context): Connection {
  const { client_secret } = connection.secrets;
  return {
    ...connection,
    revoked: true,
    updated_at: ctx.now().toISOString(),
    secrets: defined({ client_secret }),
  };
}
