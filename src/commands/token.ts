import { loginAction, loginCommand, standardOf, whose } from "../actions.ts";
import { connectionOption, settings } from "../config.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import type { Outcome } from "../flow.ts";
import { Failure, type Warning } from "../protocol/failure.ts";
import { headerOf } from "../providers/definition.ts";
import { tokenInEnv } from "../providers/environment.ts";
import { covers, isAddress, nameOf } from "../providers/resource.ts";
import { type Connection, recordStatus, timeToLive } from "../store/record.ts";
import { command, flag } from "./command.ts";

/** With a token that is still good nobody waits for long; without one, longer than another process is patient with a server. */
const PATIENCE = { good: { turn: 8, server: 4 }, dead: { turn: 75, server: 30 } };

export const token = command({
  positionals: { provider: settings.provider },
  options: {
    connection: connectionOption,
    "min-ttl": settings.min_ttl,
    refresh: flag("refresh even if the token is still good"),
  },
  examples: [
    "authline token github | jq -r 'select(.phase==\"result\").data.access_token'",
    "authline token github --connection work --min-ttl 10m",
  ],
  ends: [
    "auth_required",
    "auth_expired",
    "not_found",
    "network",
    "store",
    "timeout",
    "locked",
    "rate_limited",
    "provider",
    "config",
  ],

  async *flow({ provider: target, connection: asked, "min-ttl": minTtl, refresh: force }, ctx) {
    const provider = nameOf(target);
    const standard = await standardOf(provider, asked === undefined, ctx);
    const name = asked ?? standard;
    const given = tokenInEnv(provider, name, name === standard, ctx);
    if (given) return await handedThrough(provider, name, given, ctx);

    const stored = await ctx.store.connection(provider, name);
    // A name may also have been given to something else, whose token is not for this address.
    if (!stored || (isAddress(target) && !covers(stored.extras?.resource, target))) throw await nothingStored();
    const again = { hint: `Sign in again: ${loginCommand(target, name, standard)}`, next_actions: [login()] };
    const ttl = timeToLive(stored, ctx.now());
    const status = recordStatus(stored, ctx.now());
    if (stored.end) {
      const { hasEnded } = await import("../flows/refresh.ts");
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

    const warnings: Warning[] = [];
    let connection = stored;
    const wanted = force || ttl < minTtl;
    if (wanted && stored.refreshable) {
      const { refresh } = await import("../flows/refresh.ts");
      const patience = force || ttl <= 0 ? PATIENCE.dead : PATIENCE.good;
      try {
        connection = yield* refresh(stored, patience, ctx);
      } catch (error) {
        ctx.signal.throwIfAborted();
        if (!(error instanceof Failure)) throw error;
        if (error.code === "auth_expired" || error.code === "auth_required") {
          if (error.details.next_actions) throw error; // somebody else has to sign in, elsewhere
          throw new Failure(error.code, error.message, { ...error.details, ...again });
        }
        // A server's bad moment must not cost a token that is still good, unless a fresh one was asked for by name.
        if (force || timeToLive(stored, ctx.now()) <= 0 || !isPassing(error)) throw error;
        warnings.push({ code: "refresh_failed", message: `${error.message} The stored token is handed out as it is.` });
      }
    } else if (wanted) {
      const message = stored.server
        ? "The server gave no refresh token for this credential: the stored token is handed out as it is."
        : "It was created at the provider and cannot be refreshed: what is stored is handed out as it is.";
      warnings.push({ code: "not_refreshable", message });
    }
    return handedOut(connection, connection !== stored, warnings, ctx);

    function login() {
      return loginAction(target, name, standard);
    }

    async function nothingStored(): Promise<Failure> {
      if (!isAddress(target)) {
        const { definitionOf } = await import("../providers/lookup.ts");
        definitionOf(provider, await ctx.store.learned(provider)); // throws not_found
      }
      return new Failure("auth_required", `Nobody is signed in to ${whose(target, name)}.`, {
        hint: `Sign in first: ${loginCommand(target, name, standard)}`,
        next_actions: [login()],
      });
    }
  },
});

/** A server that is down, or in whose place somebody else has answered; not one that has refused in so many words. */
const isPassing = ({ code, retryable, details }: Failure) =>
  retryable || (code === "provider" && details.oauth_error === undefined);

function handedOut(record: Connection, refreshed: boolean, warnings: Warning[], ctx: Context): Outcome<"token"> {
  const { provider, connection, account, token_type, issued_token_type, header, scope, expires_at, secrets } = record;
  const left = timeToLive(record, ctx.now());
  return {
    message: `${token_type === "api_key" ? "API key" : "Access token"} for ${provider}${account ? ` (${account})` : ""}.`,
    warnings,
    data: {
      provider,
      connection,
      access_token: secrets.access_token ?? "",
      token_type,
      header: headerOf(header),
      ...defined({ issued_token_type, scope, authorization_details: record.authorization_details }),
      ...defined({ expires_at, expires_in: expires_at === undefined ? undefined : Math.floor(left) }),
      refreshed,
      source: "store",
    },
  };
}

/** What the environment gives is handed out as it is: nothing of it is kept, and nothing is known of it but its provider. */
async function handedThrough(
  provider: string,
  connection: string,
  { name, value }: { name: string; value: string },
  ctx: Context,
): Promise<Outcome<"token">> {
  const header = await headerFor(provider, ctx);
  return {
    message: `Access token for ${provider}, from ${name}.`,
    data: { provider, connection, access_token: value, token_type: "bearer", header, refreshed: false, source: "env" },
  };
}

/** No definition, or one that cannot be read: it is most likely sent as most are. */
async function headerFor(provider: string, { store }: Context): Promise<ReturnType<typeof headerOf>> {
  const { findDefinition } = await import("../providers/lookup.ts");
  const learned = await store.learned(provider).catch(() => undefined);
  const definition = findDefinition(provider, learned);
  return headerOf(definition?.api?.header ?? definition?.api_key?.header);
}
