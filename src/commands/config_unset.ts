import { isKey } from "../config.ts";
import { command } from "./command.ts";
import { key, noSetting, overridden, shown } from "./config.ts";

/** What is no setting may stand in the file all the same. */
const kept = { ...key, summary: `${key.summary}; or what else the file has`, parse: (raw: string) => raw };

export const configUnset = command({
  positionals: { key: kept },
  options: {},
  examples: ["authline config unset provider"],
  ends: ["store", "locked"],

  async *flow({ key }, ctx) {
    const there = ctx.config.read();
    if (!isKey(key) && !there.has(key)) throw noSetting(key, "<key>", [...there.keys(), ...kept.choices]);
    const wasSet = there.has(key);
    if (wasSet) await ctx.config.set(key, undefined);
    const { data } = shown(isKey(key) ? [key] : [], ctx);
    const message = wasSet ? `${key} is not set any more.` : `${key} was not set.`;
    return { message, data, warnings: isKey(key) ? overridden(key, ctx) : [] };
  },
});
