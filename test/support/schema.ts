// Holds a line to the schema that `authline schema event` publishes.
//
// The schema is one list of all that a line may be, and to compile it whole takes longer than most tests. A line can only fit
// those entries whose phase and status are its own and whose data has no field that it lacks: only they are compiled.
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { eventSchema } from "../../src/protocol/schema.ts";

interface Entry {
  required: string[];
  properties: Record<string, { const?: unknown; required?: string[] }>;
}

const ajv = new Ajv2020({ formats: { "date-time": (text) => !Number.isNaN(Date.parse(text)), uri: URL.canParse } });
const compiled = new Map<Entry, ValidateFunction>();
let entries: Entry[] | undefined;

/** In words; [] where it fits. */
export function faultsBySchema(event: Record<string, unknown>): string[] {
  entries ??= eventSchema()["anyOf"] as Entry[];
  const nearest = entries.filter(
    ({ required, properties }) =>
      required.every((name) => name in event) &&
      ["phase", "status"].every((name) => properties[name]?.const === event[name]) &&
      (properties["data"]?.required ?? []).every((name) => name in Object(event["data"])),
  );
  const faults: string[] = [];
  for (const entry of nearest) {
    const fits = compiled.get(entry) ?? ajv.compile(entry);
    compiled.set(entry, fits);
    if (fits(event)) return [];
    faults.push(ajv.errorsText(fits.errors, { dataVar: "it" }));
  }
  return [`fits no entry of the schema: ${faults.join("; or ") || "there is none for its phase, status and fields"}`];
}
