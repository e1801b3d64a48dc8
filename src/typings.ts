/**
 * What the build adds for programs: the types of the stream as a declaration that needs no package beside it, and the
 * JSON Schemas as files. Both are printed from the shapes in protocol/: nothing of them is written by hand.
 */
import type { ZodMiniType } from "zod/mini";
import { schema } from "./commands/schema.ts";
import type { Context } from "./context.ts";
import { outcomes } from "./protocol/data.ts";
import { failures, notices, successes } from "./protocol/event.ts";
import { openSchema } from "./protocol/schema.ts";

/** What JSON Schema says of our shapes. */
interface Schema {
  type?: string;
  const?: unknown;
  enum?: unknown[];
  examples?: unknown[];
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema;
}

/** The documents of `authline schema NAME`, by name. */
export async function schemas(): Promise<Record<string, unknown>> {
  const names = schema.positionals.name.choices ?? [];
  const documents = names.map(async (name) => {
    const { value } = await schema.flow({ name }, {} as Context).next();
    return [name, (value as { data: { schema: unknown } }).data.schema] as const;
  });
  return Object.fromEntries(await Promise.all(documents));
}

/** index.d.ts; `reader` is the declaration of reader.ts. */
export function typings(reader: string): string {
  const kinds = Object.entries(outcomes).map(([kind, shape]) => `  ${kind}: ${typeOf(schemaOf(shape()), "  ")};\n`);
  const fixed = Object.entries({ ...notices, ...failures });
  const ended = Object.entries(successes);
  const names = [...fixed.map(([word]) => nameOf(word)), ...ended.map(([word]) => `${nameOf(word)}<K>`)];
  return [
    "/** `data` of a result, by the kind of outcome. */",
    `export interface Outcomes {\n${kinds.join("")}}`,
    "export type Kind = keyof Outcomes;",
    "export type DataOf<K extends Kind> = Outcomes[K];",
    ...fixed.map(([word, shape]) => `export interface ${nameOf(word)} ${typeOf(schemaOf(shape()))}`),
    ...ended.map(
      ([word, shape]) => `export interface ${nameOf(word)}<K extends Kind = Kind> ${withData(shape("version"))}`,
    ),
    "/** What may stand on a line, of a command whose outcome is of this kind. */",
    `export type StreamEvent<K extends Kind = Kind> = ${names.join(" | ")};`,
    reader
      .slice(reader.indexOf("*/") + 2)
      .replaceAll(/^(import .*|export \{\};)\n/gm, "")
      .trim(),
    "",
  ].join("\n");
}

const schemaOf = (shape: ZodMiniType) => openSchema(shape, "") as Schema;

/** "device_code" is a DeviceCodeEvent. */
const nameOf = (word: string) => `${word.replaceAll(/(?:^|_)(\w)/g, (_, first: string) => first.toUpperCase())}Event`;

function withData(shape: ZodMiniType): string {
  const { properties = {}, ...rest } = schemaOf(shape);
  const { data: _, ...others } = properties;
  return typeOf({ ...rest, properties: others }).replace(/}$/, "  data: DataOf<K>;\n}");
}

function typeOf(schema: Schema, indent = ""): string {
  const { type, anyOf, items, properties, required = [], additionalProperties } = schema;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (anyOf) return anyOf.map((each) => typeOf(each, indent)).join(" | ");
  const words = (schema.enum ?? schema.examples)?.map((word) => JSON.stringify(word)).join(" | ");
  if (schema.enum) return words as string;
  if (schema.examples) return `${words} | (string & {})`; // may grow: any string, and an editor still offers these
  if (items) return `Array<${typeOf(items, indent)}>`;
  if (properties) {
    const fields = Object.entries(properties).map(
      ([name, each]) => `${indent}  ${name}${required.includes(name) ? "" : "?"}: ${typeOf(each, `${indent}  `)};\n`,
    );
    return `{\n${fields.join("")}${indent}}`;
  }
  if (additionalProperties) return `Record<string, ${typeOf(additionalProperties, indent)}>`;
  const plain = { string: "string", integer: "number", number: "number", boolean: "boolean" }[type ?? ""];
  if (plain === undefined && type !== undefined) throw new TypeError(`no type for ${JSON.stringify(schema)}`);
  return plain ?? "unknown";
}
