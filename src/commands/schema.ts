import { command } from "./command.ts";

export const schema = command({
  positionals: {},
  options: {},
  examples: ["authline schema | jq '.data.schema'"],

  async *flow() {
    const { eventSchema } = await import("../protocol/schema.ts");
    return { message: "The JSON Schema of one line of the stream.", data: { schema: eventSchema() } };
  },
});
