/**
 * What may come next on a command line: what the scripts of `completion` ask for at every press of the key.
 *
 * Rules: made from the commands' own tables; names come from file names that fit, so that no record is opened, no key is
 * needed and nothing foreign gets into a command line; whatever goes wrong, there is just nothing to offer.
 */
import { settings, settled } from "../config.ts";
import type { Context } from "../context.ts";
import type { DataOf } from "../protocol/data.ts";
import { NAME } from "../store/record.ts";
import {
  provider as byName,
  type Command,
  type Completes,
  command,
  type Option,
  type Options,
  type Positional,
} from "./command.ts";
import { GLOBAL_OPTIONS } from "./help.ts";
import { commands } from "./index.ts";

type Candidate = DataOf<"candidates">["candidates"][number];
type Taker = Pick<Option<unknown> & Positional, "choices" | "completes">;

/** What was typed so far of one command. */
interface Typed {
  words: string[];
  given: ReadonlySet<string>;
  /** The option whose value comes next. */
  awaits: string | undefined;
  /** After `--` nothing is an option. */
  ended: boolean;
}

export const complete = command({
  positionals: {
    words: {
      summary: "the command line behind authline, up to the word at the cursor, which may be empty",
      required: false,
      many: true,
      parse: (raw: string) => raw,
    },
  },
  options: {},
  examples: ["authline complete -- token gi"],

  async *flow({ words }, ctx) {
    const current = words.at(-1) ?? "";
    const found = await offers(words.slice(0, -1), current, ctx).catch(() => []);
    const candidates = found.filter(({ value }) => value.startsWith(current));
    const lines = candidates.map(({ value, summary }) => `${value}${summary ? `\t${summary}` : ""}\n`);
    ctx.pass(Buffer.from(lines.join("")));
    return { message: "What may come next.", data: { candidates } };
  },
});

async function offers(before: string[], current: string, ctx: Context): Promise<Candidate[]> {
  const line = before.filter((word) => !isGlobal(word));
  if (line[0] === "help") return current.startsWith("-") ? optionsIn(GLOBAL_OPTIONS) : nextWords(line.slice(1));
  const entry = commands.find(({ name }) => name.split(" ").every((word, index) => line[index] === word));
  if (!entry) return current.startsWith("-") ? optionsIn(GLOBAL_OPTIONS) : nextWords(line);
  const { options, positionals } = (await entry.load()) as Command;
  const typed = read(line.slice(entry.name.split(" ").length), options);
  const values = (taker: Taker | undefined) => valuesOf(taker, typed, positionals, ctx);
  if (typed.awaits !== undefined) return values(options[typed.awaits]);
  const [, assigned] = typed.ended ? [] : (current.match(/^--([^=]+)=/) ?? []);
  if (assigned !== undefined && Object.hasOwn(options, assigned)) {
    return (await values(options[assigned])).map(({ value }) => ({ value: `--${assigned}=${value}` }));
  }
  const places = Object.values(positionals);
  const place = places[typed.words.length] ?? (places.at(-1)?.many && places.at(-1));
  if (!current.startsWith("-")) {
    const found = place ? await values(place) : [];
    if (found.length > 0 || current !== "" || typed.ended) return found;
  }
  if (typed.ended) return [];
  const left = Object.entries(options).filter(([name, { repeatable }]) => repeatable || !typed.given.has(name));
  return optionsIn([...left.map(([name, { summary }]) => ({ name, summary })), ...GLOBAL_OPTIONS]);
}

const isGlobal = (word: string) => GLOBAL_OPTIONS.some(({ name }) => word === `--${name}`);

const optionsIn = (options: readonly { name: string; summary: string }[]): Candidate[] =>
  options.map(({ name, summary }) => ({ value: `--${name}`, summary }));

/** The next word of each command that begins so, each once; but of this one, which nobody types. */
function nextWords(line: readonly string[]): Candidate[] {
  const found = new Map<string, Candidate>();
  for (const { name, summary } of commands) {
    const words = name.split(" ");
    const value = words[line.length];
    if (value === undefined || name === "complete" || line.some((word, index) => words[index] !== word)) continue;
    const isWhole = words.length === line.length + 1;
    found.set(value, isWhole ? { value, summary } : { value });
  }
  return [...found.values()];
}

function read(rest: readonly string[], options: Options): Typed {
  const words: string[] = [];
  const given = new Set<string>();
  let awaits: string | undefined;
  let ended = false;
  for (const word of rest) {
    const [, name, value] = ended ? [] : (word.match(/^--([^=]+)(=.*)?$/s) ?? []);
    if (awaits !== undefined && name === undefined) awaits = undefined;
    else if (word === "--" && !ended) ended = true;
    else if (name === undefined) words.push(word);
    else {
      given.add(name);
      const takesOne = Object.hasOwn(options, name) && options[name]?.type === "string";
      awaits = takesOne && value === undefined ? name : undefined;
    }
  }
  return { words, given, awaits, ended };
}

async function valuesOf(
  taker: Taker | undefined,
  { words }: Typed,
  positionals: Command["positionals"],
  ctx: Context,
): Promise<Candidate[]> {
  if (taker?.choices) return taker.choices.map((value) => ({ value }));
  if (!taker?.completes) return [];
  const typed = (what: Completes | "key") => {
    const index = Object.entries(positionals).findIndex(([name, { completes }]) => what === (completes ?? name));
    return words[index];
  };
  const found = await LOOK_UPS[taker.completes]({ provider: typed("provider"), key: typed("key") }, ctx);
  return [...new Set(found)].sort().map((value) => ({ value }));
}

const LOOK_UPS: Record<
  Completes,
  (typed: { provider: string | undefined; key: string | undefined }, ctx: Context) => string[] | Promise<string[]>
> = {
  async provider(_, ctx) {
    const { builtInNames } = await import("../providers/lookup.ts");
    const { definitions, store } = ctx;
    const used = [...store.names().map(({ provider }) => provider), ...store.taught()];
    return [...builtInNames(), ...definitions.names(), ...used].filter(isName);
  },
  connection({ provider }, ctx) {
    const target = provider ?? settled(settings.provider, ctx);
    const whose = target && byName.parse(target, "<provider>");
    return ctx.store
      .names()
      .filter((each) => each.provider === whose)
      .map(({ connection }) => connection)
      .filter(isName);
  },
  session: (_, ctx) => ctx.sessions.ids(),
  value({ key }, ctx) {
    const setting =
      key !== undefined && Object.hasOwn(settings, key) ? settings[key as keyof typeof settings] : undefined;
    if (!setting) return [];
    const { choices } = setting as { choices?: readonly string[] };
    if (choices) return [...choices];
    return "completes" in setting ? LOOK_UPS[setting.completes]({ provider: undefined, key: undefined }, ctx) : [];
  },
};

const isName = (name: string) => NAME.test(name);
