import { command } from "./command.ts";
import { key, overridden, shown } from "./config.ts";

export const configUnset = command({
  positionals: { key },
  options: {},
  examples: ["authline config unset provider"],
  ends: ["config", "store", "locked"],

  async *flow({ key }, ctx) {
    const wasSet = ctx.config.read()[key] !== undefined;
    if (wasSet) await ctx.config.set(key, undefined);
    const { data } = shown([key], ctx);
    const message = wasSet ? `${key} is not set any more.` : `${key} was not set.`;
    return { message, data, warnings: overridden(key, ctx) };
  },
});
