/** The contract as JSON Schema 2020-12, open to fields and words that later versions add. */
import * as z from "zod/mini";
import { outcomes } from "./data.ts";
import { AuthUrl, CancelledResult, DeviceCode, ErrorCode, ErrorResult, Progress, resultsWith, Step } from "./event.ts";

/** Lists that may grow: a reader takes any string. */
const OPEN: ReadonlySet<unknown> = new Set([Step, ErrorCode]);

export function eventSchema(): Record<string, unknown> {
  const results = Object.values(outcomes).flatMap((data) => resultsWith(data as z.ZodMiniType));
  const event = z.union([AuthUrl, DeviceCode, Progress, ...results, ErrorResult, CancelledResult]);
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
