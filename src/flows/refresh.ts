/**
 * A new access token without a person. Source: RFC 6749 §6, RFC 9700 §4.14 (rotation).
 *
 * Rules: the refresh token goes to the token endpoint of the server that issued it and to no other; one process at a time
 * sends it; that it is sent is written down before, and what came back before anybody gets it; only the server's own
 * `invalid_grant` ends a credential, and only the one that it was said of.
 */
import * as oauth from "oauth4webapi";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { type Flow, progress } from "../flow.ts";
import { Failure, type FailureDetails } from "../protocol/failure.ts";
import { secretForStored } from "../providers/environment.ts";
import type { Lock } from "../store/lock.ts";
import { type Connection, type ConnectionView, isCopy, recordStatus, timeToLive } from "../store/record.ts";
import { authentication, isClientGone } from "./client.ts";
import { proofsOf } from "./dpop.ts";
import { asking } from "./faults.ts";
import type { Parties } from "./grant.ts";
import { lookUntil } from "./hold.ts";
import { grantFlows, isGrant } from "./index.ts";
import { withQuirks } from "./quirks.ts";
import { type AuthorizationServer, atTokenEndpoint } from "./server.ts";
import { type Tokens, tokensFrom, VSCHAR } from "./tokens.ts";

/** From the record, never from a definition. */
export function partiesOf(
  { provider, flow, server, quirks, client, secrets }: Connection,
  ctx: Pick<Context, "env">,
): Parties {
  if (!server || !client) throw new Failure("internal", `A credential of ${flow} has no authorization server.`);
  const client_secret = secretForStored(provider, client.client_id, ctx) ?? secrets.client_secret;
  return {
    as: withQuirks(server as AuthorizationServer, { quirks }),
    client: { ...client, ...defined({ client_secret, client_key: secrets.client_key }) },
  };
}

/** With what makes the proofs, where the tokens are bound to a key. */
export const partiesWithProofs = async (connection: Connection, ctx: Context): Promise<Parties> => ({
  ...partiesOf(connection, ctx),
  dpop: await proofsOf(connection.secrets.dpop_key),
});

/** In seconds, from the beginning: what others have waited for in vain is not waited for again. */
export interface Patience {
  /** With another process, that refreshes the same credential. */
  turn: number;
  /** With a server that is not to be reached, or in trouble. */
  server: number;
}

/**
 * The connection with a new token, stored: by us, or by whoever was faster. One process at a time asks, and the others take
 * what it got. Throws `auth_expired` when a person has to sign in again, `auth_required` when somebody has signed out.
 */
export async function* refresh(seen: Connection, patience: Patience, ctx: Context): Flow<Connection> {
  const until = ctx.uptime() + patience.server;
  const turn = yield* lookUntil(() => ourTurn(seen, ctx), seen, ctx, patience.turn);
  if (!("lock" in turn)) return turn.renewed;
  try {
    return yield* refreshAlone(turn.connection, until, ctx);
  } finally {
    turn.lock.release();
  }
}

type Turn = { lock: Lock; connection: Connection } | { renewed: Connection };

async function ourTurn(seen: Connection, ctx: Context): Promise<Turn | undefined> {
  const { provider, connection: name } = seen;
  const lock = ctx.store.lock(provider, name); // first: what is read after it is what it protects
  try {
    const connection = await ctx.store.connection(provider, name);
    if (!connection) throw signedOut(seen);
    if (recordStatus(connection, ctx.now()) === "revoked") throw hasEnded(connection);
    const isNew = connection.updated_at !== seen.updated_at;
    if (isNew && timeToLive(connection, ctx.now()) > 0) {
      lock?.release();
      return { renewed: connection };
    }
    return lock && { lock, connection };
  } catch (error) {
    lock?.release();
    throw error;
  }
}

const signedOut = ({ provider }: Connection) =>
  new Failure("auth_required", `Somebody signed out of ${provider} while the token was refreshed.`);

/** What became of a credential that cannot be renewed any more. */
export const hasEnded = ({ provider, end }: ConnectionView, details: FailureDetails = {}) =>
  new Failure(
    "auth_expired",
    end === "answer_lost"
      ? `A refresh of the token for ${provider} was cut off before its answer was stored, and the server does not take the old refresh token again: somebody has to sign in again.`
      : `The server no longer accepts the refresh token for ${provider}: somebody has to sign in again.`,
    { ...details, hint: undefined, reason: end ?? "refused" },
  );

/** The caller has the lock. */
async function* refreshAlone(connection: Connection, until: number, ctx: Context): Flow<Connection> {
  const { provider, connection: name, updated_at } = connection;
  await mustBeTheOnlyOne(connection, ctx);
  const before = await ctx.store.interrupted(connection);
  yield before
    ? progress(
        "refresh",
        "retrying",
        `A refresh for ${provider} was cut off, and its answer may be lost: trying again.`,
        {
          reason: "answer_lost",
        },
      )
    : progress("refresh", "started", `Refreshing the access token of ${provider}.`);
  const rotates = connection.secrets.refresh_token !== undefined; // else nothing can be lost
  if (rotates && !before) {
    await ctx.store.begin({ v: 1, provider, connection: name, updated_at, begun_at: ctx.now().toISOString() });
  }
  const fate: Fate = { lost: before !== undefined };
  try {
    const tokens = yield* redeemPatiently(connection, fate, until, ctx);
    fate.rotated = undefined;
    fate.lost = true; // until it is stored
    const renewed = renew(connection, tokens, ctx);
    const winner = await mustStillBeWanted(connection, renewed, fate, ctx);
    if (!winner) await ctx.store.keep(renewed);
    fate.lost = false;
    ctx.signal.throwIfAborted();
    yield progress("refresh", "done", "The new token is stored.");
    return winner ?? renewed;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const { as, client } = partiesOf(connection, ctx);
    const isGone = isClientGone(error, client);
    if (isGone) await ctx.store.forgetRegistered(as.issuer, client.client_id);
    if (rotates && (isGone || error.details.oauth_error === "invalid_grant")) {
      return yield* ended(connection, fate, error, ctx);
    }
    if (fate.rotated !== undefined) await keepRotated(connection, fate, ctx);
    yield progress("refresh", "failed", error.message, { reason: error.code });
    throw error;
  } finally {
    if (rotates && !fate.lost) await ctx.store.settle(provider, name);
  }
}

/** The answer was bad, but the server has replaced the refresh token by it: the new one is kept, and all else as it was. */
async function keepRotated(connection: Connection, fate: Fate, ctx: Context): Promise<void> {
  const now = await ctx.store.connection(connection.provider, connection.connection);
  if (now?.updated_at === connection.updated_at) {
    const secrets = { ...connection.secrets, refresh_token: fate.rotated };
    await ctx.store.keep({ ...connection, updated_at: ctx.now().toISOString(), secrets });
  }
  fate.lost = false;
}

/**
 * A rename that was cut off leaves one refresh token under two names, and to refresh both ends both where it rotates (RFC 9700
 * §4.14.2). Only the copy knows of the other one, so it is the copy that waits; whoever finishes the rename takes the newer.
 */
async function mustBeTheOnlyOne(connection: Connection, { store }: Context): Promise<void> {
  const { provider, connection: name, renamed_from } = connection;
  if (renamed_from === undefined) return;
  const original = await store.glance(provider, renamed_from).catch(() => undefined); // what cannot be read cannot be refreshed
  if (!original || !isCopy(connection, original)) return;
  const argv = ["authline", "connection", "rename", provider, original.connection, name];
  throw new Failure("store", `The rename of ${original.connection}@${provider} to ${name} was cut off half-way.`, {
    hint: `Finish it: ${argv.join(" ")}`,
    next_actions: [{ id: "rename", argv, description: "Finish the rename." }],
  });
}

/** Whether an answer of the server may have been lost: then it may have replaced the refresh token that we have. */
interface Fate {
  lost: boolean;
  /** The refresh token in an answer that nothing else could be made of. */
  rotated?: string | undefined;
}

/** The pause in seconds before the first repetition; each one after it is twice as long. */
const BACKOFF = 1;

/** A server that cannot be reached, or is in trouble, is asked again until the patience is over. */
async function* redeemPatiently(connection: Connection, fate: Fate, until: number, ctx: Context): Flow<Tokens> {
  // Once it is sent, the answer may hold the only token that still works: nothing but the end of the process stops us.
  const unstopped = { ...ctx, signal: new AbortController().signal };
  for (let attempt = 1; ; attempt++) {
    ctx.signal.throwIfAborted();
    try {
      if (connection.secrets.refresh_token === undefined) return yield* renewed(connection, ctx);
      const why =
        "Cancelled, but for a moment: the answer that is on its way may hold the only token that still works.";
      return await ctx.holds.during(why, () => redeem(connection, fate, unstopped));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (mayBeLost(error)) fate.lost = true;
      const retry_in = Math.max(error.details.retry_after ?? 0, BACKOFF * 2 ** (attempt - 1));
      if (fate.rotated !== undefined || !error.retryable || ctx.uptime() + retry_in > until) throw error;
      yield progress("refresh", "retrying", `${error.message} Trying again.`, {
        attempt,
        retry_in,
        reason: error.code,
      });
      await ctx.sleep(retry_in);
    }
  }
}

/** What goes wrong before anything of the request is sent, and only then. */
const NOT_SENT = new Set([
  ...["not_sent", "ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"],
  ...["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID", "ERR_TLS_CERT_ALTNAME_INVALID"],
  ...["DEPTH_ZERO_SELF_SIGNED_CERT", "SELF_SIGNED_CERT_IN_CHAIN", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
]);

/** A refusal is an answer; anything else may stand in the way of one that the server has given. */
function mayBeLost(error: Failure): boolean {
  const { reason, http_status, oauth_error } = error.details;
  if ((reason !== undefined && NOT_SENT.has(reason)) || isAboutConnecting(error.cause)) return false;
  const refused = http_status !== undefined && http_status >= 300 && http_status < 500;
  return !refused && oauth_error === undefined;
}

/** ETIMEDOUT and EHOSTUNREACH, say, also come of a connection that has carried the request. */
function isAboutConnecting(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ((error as NodeJS.ErrnoException).syscall === "connect") return true;
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.every(isAboutConnecting);
  return isAboutConnecting(error.cause);
}

/** Compared before it is cleared: only the credential that the server has refused comes to its end. */
async function* ended(connection: Connection, fate: Fate, error: Failure, ctx: Context): Flow<Connection> {
  const { provider, connection: name, secrets } = connection;
  const now = await ctx.store.connection(provider, name);
  if (now?.revoked) throw hasEnded(now);
  if (now && now.secrets.refresh_token !== secrets.refresh_token) return now;
  const dead = revoked(connection, fate.lost ? "answer_lost" : "refused", ctx);
  if (now) await ctx.store.keep(dead);
  fate.lost = false; // it is known now
  throw hasEnded(dead, { ...error.details, cause: error });
}

/**
 * Something else may have taken the record away, or changed it: what came then is not put over that. It is revoked only
 * where nothing is left that it could take along: servers revoke a family, or all that a client has of somebody.
 */
async function mustStillBeWanted(
  connection: Connection,
  renewed: Connection,
  fate: Fate,
  ctx: Context,
): Promise<Connection | undefined> {
  const now = await ctx.store.connection(connection.provider, connection.connection);
  if (now?.updated_at === connection.updated_at) return undefined;
  fate.lost = false;
  if (now?.revoked) throw hasEnded(now);
  if (now) return now;
  const { revoke } = await import("./revoke.ts");
  for await (const _ of revoke(renewed, { ...ctx, signal: new AbortController().signal }));
  throw signedOut(connection);
}

async function redeem(connection: Connection, fate: Fate, ctx: Context): Promise<Tokens> {
  const { scope, secrets } = connection;
  const refresh_token = secrets.refresh_token as string;
  const { as, client, dpop } = await partiesWithProofs(connection, ctx);
  return asking("The token endpoint", async () => {
    const options = atTokenEndpoint({ ...connection, as, dpop }, ctx);
    const response = await oauth.refreshTokenGrantRequest(as, client, authentication(client), refresh_token, options);
    fate.rotated = await refreshTokenIn(response);
    const answer = await oauth.processRefreshTokenResponse(as, client, response);
    // Without the keys for an ID token: to fetch them would keep the new refresh token off the disk for another request.
    return tokensFrom(answer, undefined, { as, scope, dpop }, ctx);
  });
}

/** The same is asked again. Nothing can be lost by that: a refusal leaves the record as it is, and a Ctrl-C ends it. */
async function* renewed(connection: Connection, ctx: Context): Flow<Tokens> {
  const { flow, provider } = connection;
  const grant = isGrant(flow) ? await grantFlows[flow]() : undefined;
  if (grant?.renew) {
    try {
      return yield* grant.renew(connection, await partiesWithProofs(connection, ctx), ctx);
    } catch (error) {
      if (!(error instanceof Failure) || error.details.oauth_error !== "invalid_grant") throw error;
      const message = `The credential for ${provider} cannot be renewed. ${error.message}`;
      throw new Failure("auth_expired", message, error.details);
    }
  }
  throw new Failure("internal", `A credential of ${flow} cannot be renewed without a refresh token.`);
}

/** Before anything else in the answer is looked at: whatever is wrong with that, this is what the server takes next. */
async function refreshTokenIn(response: Response): Promise<string | undefined> {
  if (response.status !== 200) return undefined;
  try {
    const { refresh_token } = JSON.parse(await response.clone().text());
    return typeof refresh_token === "string" && VSCHAR.test(refresh_token) ? refresh_token : undefined;
  } catch {
    return undefined;
  }
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
  const { access_token, refresh_token, id_token, token_type, scope, expires_at, authorization_details } = tokens;
  return {
    ...old,
    ...defined({ scope, expires_at, authorization_details }),
    token_type,
    updated_at: ctx.now().toISOString(),
    secrets: { ...connection.secrets, ...defined({ access_token, refresh_token, id_token }) },
  };
}

/** What is dead is dropped, the rest is kept: the next login of this connection asks for the same again. */
function revoked(connection: Connection, end: ConnectionView["end"], ctx: Context): Connection {
  const { client_secret, client_key, registration_access_token } = connection.secrets;
  return {
    ...connection,
    ...defined({ end }),
    revoked: true,
    updated_at: ctx.now().toISOString(),
    secrets: defined({ client_secret, client_key, registration_access_token }),
  };
}
