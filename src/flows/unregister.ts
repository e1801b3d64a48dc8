/** Deletes a client that authline registered, when nothing needs it any more. Source: RFC 7592 §2.3. */
import type { Context } from "../context.ts";
import { Failure } from "../protocol/failure.ts";
import type { Connection } from "../store/record.ts";
import { guardedFetch, PARTING_SECONDS } from "./http.ts";

/**
 * True when it is gone, false when another connection still uses it or somebody signs in with it just now, undefined where it
 * was not ours to begin with.
 */
export async function unregister(connection: Connection, ctx: Context): Promise<boolean | undefined> {
  const { client, secrets, server, provider, connection: name } = connection;
  const uri = client?.registration_client_uri;
  const { registration_access_token: token } = secrets;
  if (uri === undefined || token === undefined) return undefined;
  const all = await ctx.store.connections();
  const isShared = all.some(
    (other) =>
      "client" in other &&
      other.client?.client_id === client?.client_id &&
      other.server?.issuer === server?.issuer &&
      !(other.provider === provider && other.connection === name),
  );
  const now = ctx.now().getTime();
  const isWanted = ctx.sessions
    .all()
    .some(
      ({ state, expires_at, client: theirs }) =>
        state === "pending" && Date.parse(expires_at) > now && theirs?.registration_client_uri === uri,
    );
  if (isShared || isWanted) return false;
  const headers = { authorization: `Bearer ${token}`, "user-agent": "authline" };
  const { status } = await guardedFetch(ctx, PARTING_SECONDS)(uri, { method: "DELETE", headers });
  if (status === 204 || status === 404 || status === 401) return true; // §2.3; and §2.1: it is gone already
  throw new Failure("provider", `${new URL(uri).host} did not delete the client (HTTP ${status}).`, {
    http_status: status,
  });
}
