/** What help says of commands and options, made from their own tables: nothing of it is written twice. */
import type { CommandHelp, OptionHelp } from "../protocol/data.ts";
import type { Command, Options, Positional } from "./command.ts";
import type { Entry } from "./index.ts";

export const GLOBAL_OPTIONS: OptionHelp[] = [
  { name: "json", summary: "write the stream to stdout, even to a terminal", type: "boolean" },
  { name: "no-json", summary: "never write the stream", type: "boolean" },
  { name: "help", summary: "show this", type: "boolean" },
  { name: "version", summary: "show the versions", type: "boolean" },
];

export function describe({ name, summary }: Entry, { positionals, options, examples }: Command): CommandHelp {
  const places = Object.entries(positionals as Record<string, Positional>);
  return {
    name,
    usage: [
      "authline",
      name,
      ...places.map(([place, { required }]) => (required ? `<${place}>` : `[${place}]`)),
      "[options]",
    ].join(" "),
    summary,
    positionals: places.map(([place, { summary, required }]) => ({ name: place, summary, required })),
    options: optionHelp(options),
    examples: [...examples],
  };
}

export const optionHelp = (options: Options): OptionHelp[] =>
  Object.entries(options).map(([name, { summary, type, placeholder, default: initial, choices }]) => ({
    name,
    summary,
    type,
    ...(placeholder !== undefined && { placeholder }),
    ...(initial !== undefined && { default: initial }),
    ...(choices && { choices: [...choices] }),
  }));

export const helpAction = (entry?: Entry) => ({
  id: "help",
  argv: ["authline", ...(entry ? entry.name.split(" ") : []), "--help"],
  description: "See how it is used.",
});

/** Undefined where nothing that is known is near. */
export async function didYouMean(
  word: string,
  known: readonly { name: string }[],
  isOption: boolean,
): Promise<string | undefined> {
  const { closest, distance } = await import("fastest-levenshtein");
  const bare = word.replace(/^-+/, "");
  const nearest = closest(
    bare,
    known.map(({ name }) => name),
  );
  if (nearest === undefined || distance(bare, nearest) > Math.ceil(nearest.length / 3)) return undefined;
  return `Did you mean ${isOption ? "--" : ""}${nearest}?`;
}
