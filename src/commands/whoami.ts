import { connectionOption, settings } from "../config.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { type Flow, type Outcome, progress } from "../flow.ts";
import type { Credential, Said } from "../flows/whoami.ts";
import { type Meant, meant } from "../meant.ts";
import { type WhoamiSource, whoamiSources } from "../protocol/data.ts";
import { Failure, type Warning } from "../protocol/failure.ts";
import { fitting } from "../protocol/text.ts";
import { isAddress } from "../providers/resource.ts";
import { outcomeWith } from "../result.ts";
import type { Connection } from "../store/record.ts";
import { CREDENTIAL_ENDS, choice, command } from "./command.ts";

/** As `token` does it where nothing else is said. */
const MIN_TTL = 60;

interface Call extends Meant {
  from: WhoamiSource | "auto";
}

export const whoami = command({
  positionals: { provider: settings.provider },
  options: {
    connection: connectionOption,
    from: choice("who is to say it; else whoever can", ["auto", ...whoamiSources], "auto", "SOURCE"),
  },
  examples: ["authline whoami github", "authline whoami google --connection work --from userinfo"],
  ends: CREDENTIAL_ENDS,

  async *flow({ provider, connection, from }, ctx) {
    const { given, ...named } = await meant(provider, connection, ctx);
    const call = { ...named, from };
    return yield* given ? ofEnvironment(call, given.value, ctx) : ofStore(call, ctx);
  },
});

async function* ofStore(call: Call, ctx: Context): Flow<Outcome<"whoami">> {
  const { usable, whatNext } = await import("../flows/usable.ts");
  const { TOKEN_REFUSED } = await import("../flows/whoami.ts");
  const { connection, refreshed, warnings } = yield* usable({ ...call, minTtl: MIN_TTL }, ctx);
  try {
    return outcomeWith(warnings, yield* answer(call, connection, ctx));
  } catch (error) {
    if (!(error instanceof Failure) || error.details.reason !== TOKEN_REFUSED) throw error;
    if (!connection.refreshable || refreshed) throw hopeless(error);
    yield progress("refresh", "retrying", `${error.message} Asking for another one.`, { reason: TOKEN_REFUSED });
  }
  const fresh = yield* usable({ ...call, minTtl: MIN_TTL, force: true }, ctx);
  try {
    return yield* answer(call, fresh.connection, ctx);
  } catch (error) {
    throw error instanceof Failure && error.details.reason === TOKEN_REFUSED ? hopeless(error) : error;
  }

  function hopeless({ code, message, details }: Failure): Failure {
    return new Failure(code, message, { ...details, ...whatNext(call) });
  }
}

/** Nothing is known of it but what it is for: the provider's own account endpoint may be asked. */
async function* ofEnvironment(call: Call, access_token: string, ctx: Context): Flow<Outcome<"whoami">> {
  const { definitionOf, findDefinition } = await import("../providers/lookup.ts");
  const definition = await (isAddress(call.target) ? findDefinition : definitionOf)(call.provider, ctx);
  return yield* told(call, { provider: call.target, access_token, record: undefined, definition }, ctx);
}

async function* answer(call: Call, record: Connection, ctx: Context): Flow<Outcome<"whoami">> {
  const { findDefinition, isDefinitionOf } = await import("../providers/lookup.ts");
  const known = await findDefinition(call.provider, ctx);
  const definition = known && isDefinitionOf(known, record) ? known : undefined;
  const { access_token = "" } = record.secrets;
  return yield* told(call, { provider: call.target, access_token, record, definition }, ctx);
}

async function* told(call: Call, credential: Credential, ctx: Context): Flow<Outcome<"whoami">> {
  const { titles, whoIs } = await import("../flows/whoami.ts");
  const { target, provider, connection, from } = call;
  const { record, definition } = credential;
  const { source, claims, ended } = yield* whoIs(credential, from, ctx);
  const { scope = record?.scope, ...person } = claims;
  const { account = claims.subject } = claims;
  return {
    message: `Signed in to ${definition?.display_name ?? target}${account ? ` as ${account}` : ""}, says ${titles[source]}.`,
    warnings: warningsOf(ended),
    data: {
      provider,
      connection,
      source,
      ...defined({ issuer: record?.server?.issuer, expires_at: record?.expires_at }),
      ...person,
      ...defined({ scope: fitting(scope) }),
    },
  };
}

const warningsOf = (ended: Said["ended"]): Warning[] =>
  ended === undefined
    ? []
    : [{ code: "id_token_expired", message: `The ID token is out since ${ended}: it says who it was until then.` }];
