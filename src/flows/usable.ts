/** The credential that a command goes out with: the stored one, refreshed where it has to be. */
import { loginAction, loginCommand, whose } from "../actions.ts";
import type { Context } from "../context.ts";
import type { Flow } from "../flow.ts";
import { type Meant, storedFor } from "../meant.ts";
import { Failure, type Warning } from "../protocol/failure.ts";
import { isAddress } from "../providers/resource.ts";
import { type Connection, recordStatus, timeToLive } from "../store/record.ts";

/** With a token that is still good nobody waits for long; without one, longer than another process is patient with a server. */
const PATIENCE = { good: { turn: 8, server: 4 }, dead: { turn: 75, server: 30 } };

interface Wanted extends Meant {
  /** In seconds: what has less to live is refreshed. */
  minTtl: number;
  /** Refreshed whatever it has to live. */
  force?: boolean | undefined;
}

export interface Usable {
  connection: Connection;
  refreshed: boolean;
  warnings: Warning[];
}

/** Throws `auth_required` or `auth_expired` where somebody has to sign in, with the command for it. */
export async function* usable(wanted: Wanted, ctx: Context): Flow<Usable> {
  const { provider, minTtl, force } = wanted;
  const stored = await storedFor(wanted, ctx);
  if (!stored) throw await nothingStored(wanted, ctx);
  const again = whatNext(wanted);
  const ttl = timeToLive(stored, ctx.now());
  const status = recordStatus(stored, ctx.now());
  if (stored.end) {
    const { hasEnded } = await import("./refresh.ts");
    const { code, message, details } = hasEnded(stored);
    throw new Failure(code, message, { ...details, ...again });
  }
  if (status === "revoked") {
    throw new Failure(
      "auth_expired",
      `The credential for ${provider} has ended: somebody has to sign in again.`,
      again,
    );
  }

  if (!force && ttl >= minTtl) return { connection: stored, refreshed: false, warnings: [] };
  if (!stored.refreshable) {
    const message = stored.server
      ? "The server gave no refresh token for this credential: the stored token is handed out as it is."
      : "It was created at the provider and cannot be refreshed: what is stored is handed out as it is.";
    return { connection: stored, refreshed: false, warnings: [{ code: "not_refreshable", message }] };
  }
  const { refresh } = await import("./refresh.ts");
  const patience = force || ttl <= 0 ? PATIENCE.dead : PATIENCE.good;
  try {
    const connection = yield* refresh(stored, patience, ctx);
    return { connection, refreshed: connection !== stored, warnings: [] };
  } catch (error) {
    ctx.signal.throwIfAborted();
    if (!(error instanceof Failure)) throw error;
    if (error.code === "auth_expired" || error.code === "auth_required") {
      if (error.details.next_actions) throw error; // somebody else has to sign in, elsewhere
      throw new Failure(error.code, error.message, { ...error.details, ...again });
    }
    // A server's bad moment must not cost a token that is still good, unless a fresh one was asked for by name.
    if (force || timeToLive(stored, ctx.now()) <= 0 || !isPassing(error)) throw error;
    const message = `${error.message} The stored token is handed out as it is.`;
    return { connection: stored, refreshed: false, warnings: [{ code: "refresh_failed", message }] };
  }
}

/** What somebody has to do whose credential has ended. */
export const whatNext = ({ target, connection, standard }: Meant) => ({
  hint: `Sign in again: ${loginCommand(target, connection, standard)}`,
  next_actions: [loginAction(target, connection, standard)],
});

async function nothingStored({ target, connection, standard }: Meant, ctx: Context): Promise<Failure> {
  if (!isAddress(target)) {
    const { mustBeKnown } = await import("../providers/lookup.ts");
    await mustBeKnown(target, ctx); // throws not_found
  }
  return new Failure("auth_required", `Nobody is signed in to ${whose(target, connection, standard)}.`, {
    hint: `Sign in first: ${loginCommand(target, connection, standard)}`,
    next_actions: [loginAction(target, connection, standard)],
  });
}

/** A server that is down, or in whose place somebody else has answered; not one that has refused in so many words. */
const isPassing = ({ code, retryable, details }: Failure) =>
  retryable || (code === "provider" && details.oauth_error === undefined);
