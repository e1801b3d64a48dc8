import { loginAction, standardOf, unknownStandard } from "../actions.ts";
import type { Warning } from "../protocol/failure.ts";
import { command, optionalProvider } from "./command.ts";
import { viewOf } from "./connection.ts";
import { mustBeKnown } from "./known.ts";

export const connectionList = command({
  positionals: { provider: optionalProvider },
  options: {},
  examples: ["authline connection list", "authline connection list github"],
  ends: ["not_found", "store"],

  async *flow({ provider }, ctx) {
    const records = await ctx.store.connections(provider);
    const warnings: Warning[] = records.flatMap((record) =>
      "problem" in record ? [{ code: "unreadable", message: record.problem }] : [],
    );
    const standards = new Map<string, string | undefined>();
    for (const name of new Set(records.map(({ provider }) => provider))) {
      try {
        standards.set(name, await ctx.store.standard(name));
      } catch (error) {
        warnings.push(unknownStandard(error));
      }
    }
    const connections = records.map((record) => viewOf(record, standards.get(record.provider), ctx));
    if (provider !== undefined && connections.length === 0) {
      await mustBeKnown(provider, ctx);
      const standard = await standardOf(provider, false, ctx);
      const next_actions = [loginAction(provider, standard, standard)];
      return { message: `There is no connection to ${provider}.`, data: { connections }, next_actions };
    }
    const count = connections.length;
    return {
      message: count === 0 ? "There is no connection." : `${count} connection${count === 1 ? "" : "s"}.`,
      data: { connections },
      warnings,
    };
  },
});
