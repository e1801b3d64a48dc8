import { connectionOption, settings } from "../config.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import type { Outcome } from "../flow.ts";
import { type Usable, usable } from "../flows/usable.ts";
import { type Meant, meant } from "../meant.ts";
import { headerOf } from "../providers/definition.ts";
import { timeToLive } from "../store/record.ts";
import { CREDENTIAL_ENDS, command, flag } from "./command.ts";

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
  ends: CREDENTIAL_ENDS,

  async *flow({ provider, connection, "min-ttl": minTtl, refresh: force }, ctx) {
    const { given, ...named } = await meant(provider, connection, ctx);
    if (given) return await handedThrough(named, given, ctx);
    return handedOut(yield* usable({ ...named, minTtl, force }, ctx), ctx);
  },
});

function handedOut({ connection: record, refreshed, warnings }: Usable, ctx: Context): Outcome<"token"> {
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
  { provider, connection }: Meant,
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
async function headerFor(provider: string, ctx: Context): Promise<ReturnType<typeof headerOf>> {
  const { findDefinition } = await import("../providers/lookup.ts");
  const definition = await findDefinition(provider, ctx).catch(() => undefined);
  return headerOf(definition?.api?.header ?? definition?.api_key?.header);
}
