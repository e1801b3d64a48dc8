import { loginAction, loginCommand, whose } from "../actions.ts";
import { defined } from "../defined.ts";
import { Failure, type Warning } from "../protocol/failure.ts";
import { recordStatus, timeToLive } from "../store/record.ts";
import { command, connection, duration, flag, provider } from "./command.ts";

export const token = command({
  positionals: { provider },
  options: {
    connection,
    "min-ttl": duration("refresh when the token has less than this to live", "60s", { least: 0 }),
    refresh: flag("refresh even if the token is still good"),
  },
  examples: [
    "authline token github | jq -r 'select(.phase==\"result\").data.access_token'",
    "authline token github --connection work --min-ttl 10m",
  ],

  async *flow({ provider, connection: name, "min-ttl": minTtl, refresh: force }, ctx) {
    const stored = await ctx.store.connection(provider, name);
    if (!stored) throw await nothingStored();
    const next_actions = [loginAction(provider, name)];
    const ttl = timeToLive(stored, ctx.now());
    const status = recordStatus(stored, ctx.now());
    if (status === "revoked") {
      throw new Failure("auth_expired", `The credential for ${provider} has ended: somebody has to sign in again.`, {
        hint: `Sign in again: ${loginCommand(provider, name)}`,
        next_actions,
      });
    }

    const warnings: Warning[] = [];
    let connection = stored;
    const wanted = force || ttl < minTtl;
    if (wanted && stored.refreshable) {
      const { refresh } = await import("../flows/refresh.ts");
      try {
        connection = yield* refresh(stored, ctx);
      } catch (error) {
        ctx.signal.throwIfAborted();
        if (!(error instanceof Failure)) throw error;
        if (error.code === "auth_expired") {
          const hint = `Sign in again: ${loginCommand(provider, name)}`;
          throw new Failure(error.code, error.message, { ...error.details, hint, next_actions });
        }
        // A server's bad moment must not cost a token that is still good, unless a fresh one was asked for by name.
        if (force || ttl <= 0 || !error.retryable) throw error;
        warnings.push({ code: "refresh_failed", message: `${error.message} The stored token is handed out as it is.` });
      }
    } else if (wanted) {
      const message = "The server gave no refresh token for this credential: the stored token is handed out as it is.";
      warnings.push({ code: "not_refreshable", message });
    }

    const left = timeToLive(connection, ctx.now());
    const { token_type, scope, expires_at, secrets } = connection;
    return {
      message: `Access token for ${provider}${connection.account ? ` (${connection.account})` : ""}.`,
      warnings,
      data: {
        provider,
        connection: name,
        access_token: secrets.access_token ?? "",
        token_type,
        ...defined({ scope, expires_at, expires_in: expires_at === undefined ? undefined : Math.floor(left) }),
        refreshed: connection !== stored,
      },
    };

    async function nothingStored(): Promise<Failure> {
      const { definitionOf } = await import("../providers/lookup.ts");
      definitionOf(provider, await ctx.store.learned(provider)); // throws not_found
      return new Failure("auth_required", `Nobody is signed in to ${whose(provider, name)}.`, {
        hint: `Sign in first: ${loginCommand(provider, name)}`,
        next_actions: [loginAction(provider, name)],
      });
    }
  },
});
