import { isKey, KEYS } from "../config.ts";
import { command } from "./command.ts";
import { shown } from "./config.ts";

export const configList = command({
  positionals: {},
  options: {},
  examples: ["authline config list"],
  ends: ["store"],

  async *flow(_, ctx) {
    const { data, warnings } = shown(KEYS, ctx);
    const unknown = [...ctx.config.read().keys()].filter((name) => !isKey(name));
    warnings.push(
      ...unknown.map((name) => ({
        code: "unknown_setting",
        message: `${ctx.config.path} has "${name}", which is no setting: authline config unset takes it away.`,
      })),
    );
    const settled = data.entries.filter(({ source }) => source !== "default").length;
    const message =
      settled === 0 ? "Every setting is the default." : `${settled} of ${KEYS.length} settings are not the default.`;
    return { message, data, warnings };
  },
});
