/** The contract as JSON Schema 2020-12, open to fields and words that later versions add. */
import * as z from "zod/mini";
import { type Kind, outcomes } from "./data.ts";
import { ErrorCode, failures, notices, Step, successes } from "./event.ts";

/** Lists that may grow: a reader takes any string. */
const OPEN: ReadonlySet<unknown> = new Set([Step, ErrorCode]);

export function eventSchema(): Record<string, unknown> {
  const kinds = Object.keys(outcomes) as Kind[];
  const results = kinds.flatMap((kind) => Object.values(successes).map((shape) => shape(kind)));
  const fixed = [...Object.values(notices), ...Object.values(failures)].map((shape) => shape());
  return openSchema(z.union([...fixed, ...results]), "One line of authline's stream, version 1");
}

/** `data` of help. */
export const commandSchema = () => openSchema(outcomes.help(), "What authline's help says of its commands");

export function openSchema(shape: z.ZodMiniType, title: string): Record<string, unknown> {
  const schema = z.toJSONSchema(shape, {
    io: "input", // the default closes every object
    override({ zodSchema, jsonSchema }) {
      if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
      if (!OPEN.has(zodSchema)) return;
      jsonSchema.examples = jsonSchema.enum ?? [];
      delete jsonSchema.enum;
    },
  });
  return { ...schema, title };
}
