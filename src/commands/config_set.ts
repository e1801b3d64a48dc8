import { settings } from "../config.ts";
import { command } from "./command.ts";
import { key, overridden, shown } from "./config.ts";

/** What it may be depends on the key: see `flow`. */
const value = {
  summary: "what it is from now on",
  required: true,
  completes: "value",
  parse: (raw: string) => raw,
} as const;

export const configSet = command({
  positionals: { key, value },
  options: {},
  examples: ["authline config set provider github", "authline config set login_timeout 5m"],
  ends: ["store", "locked"],

  async *flow({ key, value }, ctx) {
    settings[key].parse(value, key); // throws what the option would
    await ctx.config.set(key, value);
    const { data } = shown([key], ctx);
    return { message: `${key} is ${value} from now on.`, data, warnings: overridden(key, ctx) };
  },
});
