import { Definition } from "../providers/definition.ts";
import { command, oneOf } from "./command.ts";

const SCHEMAS = {
  event: "one line of the stream",
  command: "what help says of the commands",
  provider: "the definition of a provider",
};
type Name = keyof typeof SCHEMAS;
const NAMES = Object.keys(SCHEMAS) as Name[];

export const schema = command({
  positionals: { name: oneOf(`of what: ${NAMES.join(", ")}; else event`, NAMES) },
  options: {},
  examples: ["authline schema | jq '.data.schema'", "authline schema command", "authline schema provider"],

  async *flow({ name = "event" }) {
    const { commandSchema, eventSchema, openSchema } = await import("../protocol/schema.ts");
    const schemas: Record<Name, () => Record<string, unknown>> = {
      event: eventSchema,
      command: commandSchema,
      provider: () => openSchema(Definition(), "The definition of a provider"),
    };
    return { message: `The JSON Schema of ${SCHEMAS[name]}.`, data: { schema: schemas[name]() } };
  },
});
