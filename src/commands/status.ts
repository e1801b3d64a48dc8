import { loginAction } from "../actions.ts";
import { defined } from "../defined.ts";
import type { ConnectionStatus } from "../protocol/data.ts";
import { type Connection, recordStatus } from "../store/record.ts";
import { command, optionalProvider } from "./command.ts";

export const status = command({
  positionals: { provider: optionalProvider },
  options: {},
  examples: ["authline status", "authline status github"],

  async *flow({ provider }, ctx) {
    const found = await ctx.store.connections(provider);
    const connections = found.map((record) => ("problem" in record ? unreadable(record) : describe(record, ctx.now())));
    if (provider !== undefined && connections.length === 0) {
      const { definitionOf } = await import("../providers/lookup.ts");
      definitionOf(provider, await ctx.store.learned(provider)); // throws not_found
      connections.push({ provider, connection: "default", record_status: "absent" });
    }
    const usable = connections.filter(
      ({ record_status }) => record_status === "connected" || record_status === "expired",
    );
    const needy = connections.filter(
      ({ record_status, problem }) => record_status !== "connected" && !problem && record_status !== "expired",
    );
    return {
      message:
        connections.length === 0
          ? "Nobody is signed in anywhere."
          : provider !== undefined && found.length === 0
            ? `Nobody is signed in to ${provider}.`
            : `${usable.length} of ${connections.length} connection${connections.length === 1 ? "" : "s"} can be used.`,
      data: { connections },
      warnings: connections.flatMap(({ problem }) => (problem ? [{ code: "unreadable", message: problem }] : [])),
      next_actions: needy.slice(0, 5).map(({ provider, connection }) => loginAction(provider, connection)),
    };
  },
});

function describe(record: Connection, now: Date): ConnectionStatus {
  const { provider, connection, server, client, flow, scope, expires_at, refreshable, account, updated_at } = record;
  return {
    provider,
    connection,
    record_status: recordStatus(record, now),
    ...defined({ account, scope, expires_at }),
    refreshable,
    issuer: server.issuer,
    client_id: client.client_id,
    flow,
    updated_at,
  };
}

const unreadable = ({ provider, connection, problem }: { provider: string; connection: string; problem: string }) =>
  ({ provider, connection, record_status: "unreadable", problem }) as const;
