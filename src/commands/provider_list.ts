import type { Context } from "../context.ts";
import type { DataOf } from "../protocol/data.ts";
import { Failure } from "../protocol/failure.ts";
import type { Definition } from "../providers/definition.ts";
import { builtIn, builtInNames } from "../providers/lookup.ts";
import { command, text } from "./command.ts";
import { factsOf, shown } from "./provider.ts";

type Listed = DataOf<"providers">["providers"][number];

export const providerList = command({
  positionals: {},
  options: { search: text("only those with this in their name, hosts or variables", "TEXT") },
  examples: ["authline provider list", "authline provider list --search google"],
  ends: ["store"],

  async *flow({ search }, ctx) {
    const wanted = search?.toLowerCase();
    const names = new Set([...builtInNames(), ...ctx.definitions.names(), ...ctx.store.taught()]);
    const providers: Listed[] = [];
    for (const name of [...names].sort()) {
      const found = await entryOf(name, ctx);
      if (found && (wanted === undefined || found.words.some((word) => word.toLowerCase().includes(wanted)))) {
        providers.push(found.entry);
      }
    }
    const count = `${providers.length} provider${providers.length === 1 ? "" : "s"}`;
    return {
      message: search === undefined ? `${count}.` : `${count} with "${search}".`,
      data: { providers },
      warnings: providers.flatMap(({ problem }) => (problem ? [{ code: "unreadable", message: problem }] : [])),
    };
  },
});

/** One that cannot be used is in the list all the same. */
async function entryOf(name: string, ctx: Context): Promise<{ entry: Listed; words: string[] } | undefined> {
  try {
    const found = await shown(name, ctx);
    if (!found) return undefined;
    const { definition, source, overrides } = found;
    const entry = { name, ...factsOf(definition), source, ...(overrides && { overrides }) };
    return { entry, words: wordsOf(definition) };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const source = ctx.definitions.names().includes(name) ? "user" : "learned";
    const hides = source === "user" && builtIn(name) !== undefined;
    const entry: Listed = { name, display_name: name, kinds: [], source, problem: error.message };
    return { entry: { ...entry, ...(hides && { overrides: true }) }, words: [name] };
  }
}

/** What one may be looked for by. */
const wordsOf = ({ name, display_name, issuer, endpoints = {}, api, environment = {} }: Definition) => [
  name,
  display_name,
  ...(api?.hosts ?? []),
  ...[issuer, ...Object.values(endpoints)].map((address) => address?.replace(/^\w+:\/\/|\/.*$/g, "") ?? ""),
  ...Object.values(environment).flatMap((names) => names ?? []),
];
