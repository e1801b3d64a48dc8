import { command } from "./command.ts";
import { key, shown } from "./config.ts";

export const configGet = command({
  positionals: { key },
  options: {},
  examples: ["authline config get provider"],
  ends: ["store"],

  async *flow({ key }, ctx) {
    const { data, warnings } = shown([key], ctx);
    const [entry] = data.entries;
    const message = entry?.value === undefined ? `${key} is not set.` : `${key} is ${entry.value}.`;
    return { message, data, warnings };
  },
});
