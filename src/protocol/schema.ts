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
  const event = z.union([...fixed, ...results]);
  const schema = z.toJSONSchema(event, {
    io: "input", // the default closes every object
    override({ zodSchema, jsonSchema }) {
      if (!OPEN.has(zodSchema)) return;
      jsonSchema.examples = jsonSchema.enum ?? [];
      delete jsonSchema.enum;
    },
  });
  return { ...schema, title: "One line of authline's stream, version 1" };
}
