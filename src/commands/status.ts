import { loginAction, standardOf, unknownStandard } from "../actions.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import type { ConnectionStatus } from "../protocol/data.ts";
import { asFailure, type Warning } from "../protocol/failure.ts";
import { tokenSeen } from "../providers/environment.ts";
import { type ConnectionView, recordStatus } from "../store/record.ts";
import type { Unreadable } from "../store/store.ts";
import { command, optionalProvider } from "./command.ts";
import { mustBeKnown } from "./known.ts";

export const status = command({
  positionals: { provider: optionalProvider },
  options: {},
  examples: ["authline status", "authline status github"],
  ends: ["not_found", "store", "config"],

  async *flow({ provider }, ctx) {
    const stored = (await ctx.store.connections(provider)).map((record) => describe(record, ctx.now()));
    const warnings: Warning[] = [];
    const given = await fromEnv(provider, stored, warnings, ctx);
    // A token in the environment is what `token` hands out, whatever is stored under the name.
    const connections = [...stored.filter((one) => !given.some((other) => isSame(one, other))), ...given].sort(byName);
    if (provider !== undefined && connections.length === 0) {
      await mustBeKnown(provider, ctx);
      const connection = await standardOf(provider, false, ctx);
      if (connection) connections.push({ provider, connection, record_status: "absent" });
    }
    const usable = connections.filter(({ record_status }) => USABLE.has(record_status));
    const needy = connections.filter(({ record_status, problem }) => !USABLE.has(record_status) && !problem);
    const actions = needy.slice(0, 5).map(async ({ provider, connection }) => {
      return loginAction(provider, connection, await standardOf(provider, false, ctx));
    });
    const { key, fault } = keyInUse(ctx);
    const problems = [...connections.flatMap(({ problem }) => problem ?? []), ...(fault ? [fault.message] : [])];
    return {
      message:
        provider !== undefined && connections.every(({ record_status }) => record_status === "absent")
          ? `Nobody is signed in to ${provider}.`
          : connections.length === 0
            ? "Nobody is signed in anywhere."
            : `${usable.length} of ${connections.length} connection${connections.length === 1 ? "" : "s"} can be used.`,
      data: { connections, ...defined({ key }) },
      warnings: [...problems.map((message) => ({ code: "unreadable", message })), ...warnings],
      next_actions: await Promise.all(actions),
    };
  },
});

const USABLE: ReadonlySet<string> = new Set(["connected", "expired"]);

const isSame = (one: ConnectionStatus, other: ConnectionStatus) =>
  one.provider === other.provider && one.connection === other.connection;
const byName = (one: ConnectionStatus, other: ConnectionStatus) =>
  `${one.provider}@${one.connection}` < `${other.provider}@${other.connection}` ? -1 : 1;

function describe(record: ConnectionView | Unreadable, now: Date): ConnectionStatus {
  if ("problem" in record) return { ...record, record_status: "unreadable" };
  const { provider, connection, server, client, flow, scope, expires_at, refreshable, account, updated_at } = record;
  const { authorization_details } = record;
  return {
    provider,
    connection,
    record_status: recordStatus(record, now),
    ...defined({ account, scope, authorization_details, expires_at }),
    refreshable,
    ...defined({ issuer: server?.issuer, client_id: client?.client_id }),
    flow,
    updated_at,
  };
}

/** The tokens that the environment holds for the providers that are known by name. */
async function fromEnv(
  asked: string | undefined,
  stored: ConnectionStatus[],
  warnings: Warning[],
  ctx: Context,
): Promise<ConnectionStatus[]> {
  const { builtInNames } = await import("../providers/lookup.ts");
  const providers = asked
    ? [asked]
    : new Set([...stored.map(({ provider }) => provider), ...builtInNames(), ...ctx.definitions.names()]);
  const given: ConnectionStatus[] = [];
  for (const provider of providers) {
    const standard = await shownStandard(provider);
    const names = stored.filter((one) => one.provider === provider).map(({ connection }) => connection);
    for (const connection of new Set([...(standard === undefined ? [] : [standard]), ...names])) {
      const { name, problem } = tokenSeen(provider, connection, connection === standard, ctx);
      if (problem) warnings.push({ code: "token_in_env", message: problem });
      if (name) given.push({ provider, connection, record_status: "connected", source: "env" });
    }
  }
  return given;

  /** What is known of the connections is told even where the default cannot be read. */
  async function shownStandard(provider: string): Promise<string | undefined> {
    try {
      return await ctx.store.standard(provider);
    } catch (error) {
      const warning = unknownStandard(error);
      const isTold = warnings.some(({ message }) => message === warning.message); // one setting stands for all providers
      if (!isTold) warnings.push(warning);
      return undefined;
    }
  }
}

/** What is known of the connections is told even where the list of keys cannot be read. */
function keyInUse({ keys }: Context) {
  try {
    const list = keys.list();
    return { key: list?.keys.find(({ id }) => id === list.current) };
  } catch (error) {
    return { fault: asFailure(error) };
  }
}
