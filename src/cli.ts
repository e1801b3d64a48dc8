/**
 * argv -> one flow. The only file that knows yargs.
 *
 * Rules: bad argv is a flow that throws; help is made from the commands' own tables; what cannot be understood is never
 * guessed at.
 */
import yargs, { type Argv } from "yargs";
import { audited } from "./audited.ts";
import type { Command, Options, Positional } from "./commands/command.ts";
import { GLOBAL_OPTIONS, helpAction, optionHelp } from "./commands/help.ts";
import { commands, type Entry } from "./commands/index.ts";
import { settled } from "./config.ts";
import { type Context, createContext, type Process } from "./context.ts";
import type { Flow, Outcome } from "./flow.ts";
import type { Kind, OptionHelp } from "./protocol/data.ts";
import { VERSION } from "./protocol/event.ts";
import { Failure } from "./protocol/failure.ts";
import { lazily } from "./protocol/shapes.ts";
import { homeOf } from "./store/file.ts";

declare const AUTHLINE_VERSION: string;

interface Call {
  name: string;
  kind: Kind;
  challenges: boolean;
  /** Whether it takes what somebody pastes while it waits. */
  pastes: boolean;
  /** Who has stdout, where that is not the stream of the command: its own result does not stand there. */
  stdout?: string | undefined;
  /** --json or --no-json, where one was given. */
  json: boolean | undefined;
  quiet: boolean;
  flow(host: Process): Flow<Outcome>;
}

const GLOBAL = new Set(["--json", "--no-json", "--quiet", "--help", "-h", "--version"]);

/** Which command, and what is left for it. Loads nothing yet. */
export function read(argv: readonly string[], contextOf: ContextOf = realContext): Call {
  const end = argv.indexOf("--");
  const head = end < 0 ? argv : argv.slice(0, end);
  const given = new Set(head.filter((token) => GLOBAL.has(token)));
  const tokens = [...head.filter((token) => !GLOBAL.has(token)), ...argv.slice(head.length)];
  const json = given.has("--no-json") ? false : given.has("--json") ? true : undefined;
  const flags = { json, quiet: given.has("--quiet") };
  const call = (name: string, kind: Kind, flow: Call["flow"]): Call => ({
    name,
    kind,
    challenges: false,
    pastes: false,
    ...flags,
    flow,
  });

  const entry = commands.find(({ name }) => name.split(" ").every((word, index) => tokens[index] === word));
  const first = tokens[0];
  if (given.has("--version")) return call("version", "version", version);
  if (first === undefined) return call("help", "help", () => help(""));
  if (first === "help") return read([...tokens.slice(1), "--help", ...given]);
  const asksForHelp = given.has("--help") || given.has("-h");
  const topic = entry?.name ?? (first.startsWith("-") ? "" : tokens.join(" "));
  if (asksForHelp && (entry || topic === "" || isGroup(topic))) return call("help", "help", () => help(topic));
  if (!entry) return call("authline", "help", () => unknown(tokens));
  const rest = tokens.slice(entry.name.split(" ").length);
  const kind = entry.kind === "any" ? "version" : entry.kind; // the lines that are shown again bring their own along
  return {
    ...call(entry.name, kind, (host) => invoke(entry, rest, () => contextOf(host))),
    challenges: entry.challenges ?? false,
    pastes: entry.pastes !== undefined && !rest.includes(entry.pastes.unless),
    stdout: entry.stdout,
  };
}

async function* invoke(entry: Entry, rest: readonly string[], contextOf: () => Context): Flow<Outcome> {
  const command = await entry.load();
  const context = lazily(contextOf);
  const args = await parse(entry, command, rest, (option) => settled(option, context()));
  const ctx = context();
  const flow = command.flow(args, ctx);
  return yield* entry.audited ? audited(flow, { command: entry.name, args }, ctx) : flow;
}

type ContextOf = (host: Process) => Context;

const realContext: ContextOf = (host) => createContext(host, homeOf(host));

/** Whether there are commands below it: `session`. */
const isGroup = (word: string) => commands.some(({ name }) => name.startsWith(`${word} `));

async function* unknown(tokens: readonly string[]): Flow<never> {
  const { misfit } = await import("./commands/unknown.ts");
  throw await misfit(tokens);
}

async function* help(topic: string): Flow<Outcome<"help">> {
  const { helpOn } = await import("./commands/help_text.ts");
  return helpOn(topic);
}

async function* version({ node }: Process): Flow<Outcome<"version">> {
  const version = AUTHLINE_VERSION;
  return {
    message: `authline ${version} (contract ${VERSION}, node ${node})`,
    data: { version, contract: VERSION, node },
  };
}

// --- parsing ---------------------------------------------------------------------------------------------------------

type Taker = Options[string] | Positional;

/** `settled`: what stands for an option or argument that is not given (config.ts). */
async function parse(
  entry: Entry,
  command: Command,
  rest: readonly string[],
  settled: (taker: Taker) => unknown,
): Promise<never> {
  const usage = (message: string, hint = `See: authline ${entry.name} --help`) =>
    new Failure("usage", message, { hint, next_actions: [helpAction(entry.name)] });
  // Before yargs sees them: a name such as --constructor means something to JavaScript.
  const names = namesIn(rest, command.options);
  for (const name of names) {
    if (Object.hasOwn(command.options, name)) continue;
    if (isGlobal(name)) throw usage(`${dashed(name)} takes no value.`, `Write ${dashed(name)} alone.`);
    const known = [...optionHelp(command.options), ...GLOBAL_OPTIONS];
    throw usage(`There is no option ${dashed(name)} for ${entry.name}.`, await optionMeant(name, known));
  }
  const twice = names.find((name, index) => names.indexOf(name) !== index && !command.options[name]?.repeatable);
  if (twice !== undefined) throw usage(`--${twice} was given twice.`, `Give --${twice} once.`);
  const parsed = parserFor(command).parseSync(withValues(rest, command.options)) as Record<string, unknown>;

  const args: Record<string, unknown> = {};
  const { _: bare, $0, ...named } = parsed;
  for (const [name, value] of Object.entries(named)) {
    const option = command.options[name] as Options[string];
    if (option.type === "string" && [value].flat().some((each) => typeof each !== "string" || each === ""))
      throw usage(`--${name} needs a value.`, `Write --${name}=${option.placeholder ?? "VALUE"}.`);
    if (option.type === "boolean" && rest.some((word) => word.startsWith(`--${name}=`)))
      throw usage(`--${name} takes no value.`, `Write --${name} alone, or leave it out.`);
  }
  for (const [name, option] of Object.entries(command.options)) {
    if (option.repeatable) {
      args[name] = [named[name] ?? []].flat().map((each) => option.parse(each as string, `--${name}`));
      continue;
    }
    const given = named[name] as string | undefined;
    const { unless = "" } = option;
    const value =
      given !== undefined
        ? option.type === "boolean" || option.parse(given, `--${name}`)
        : ((named[unless] === true ? undefined : settled(option)) ??
          (option.default === undefined ? undefined : option.parse(option.default, `--${name}`)));
    if (option.type === "boolean") args[name] = value === true;
    else if (value !== undefined) args[name] = value;
  }

  const words = (bare as unknown[]).map(String);
  for (const [name, place] of Object.entries(command.positionals)) {
    const read = (word: string) => place.parse(word, `<${name}>`);
    const word = place.many ? undefined : words.shift();
    const isFree = place.unless !== undefined && named[place.unless] !== undefined;
    const settledOn = () => (isFree ? undefined : settled(place));
    const value = place.many ? words.splice(0).map(read) : word === undefined ? settledOn() : read(word);
    if (value !== undefined) args[name] = value;
    else if (place.required && !isFree) throw usage(`<${name}> is missing.`, exampleOf(command, place));
  }
  if (words[0] !== undefined) {
    const meant = await optionMeant(words[0].replace(/^-+/, ""), optionHelp(command.options));
    throw usage(`There is one argument too many: ${words[0]}`, meant ?? exampleOf(command));
  }
  return args as never;
}

/** Where a setting would do, it says how that is made. */
const exampleOf = ({ examples }: Command, { config }: Partial<Positional> = {}) =>
  `For example: ${examples[0]}${config === undefined ? "" : `; or once for all: authline config set ${config} …`}`;

async function optionMeant(name: string, known: OptionHelp[]): Promise<string | undefined> {
  const nearest = await import("./nearest.ts");
  return nearest.optionMeant(name, known);
}

const isGlobal = (name: string) => GLOBAL_OPTIONS.some((option) => option.name === name);

/** The names of the options in argv, in order. */
function namesIn(rest: readonly string[], options: Options): string[] {
  const end = rest.indexOf("--");
  const words = end < 0 ? rest : rest.slice(0, end);
  const isValue = (index: number) => index > 0 && takesNext(words[index - 1] as string);
  const takesNext = (word: string) => word.startsWith("--") && options[word.slice(2)]?.type === "string";
  return words.flatMap((word, index) => {
    const [, long, short] = word.match(/^(?:--([^=]*)|-([^-]))/s) ?? [];
    if (long !== undefined) return [long];
    return short !== undefined && !isValue(index) ? [short] : [];
  });
}

/** An option that takes a value takes the next word, whatever it looks like, unless that is an option itself. */
function withValues(rest: readonly string[], options: Options): string[] {
  const joined: string[] = [];
  for (let index = 0; index < rest.length; index++) {
    const word = rest[index] as string;
    if (word === "--") return [...joined, ...rest.slice(index)];
    const next = rest[index + 1];
    const takesNext = word.startsWith("--") && options[word.slice(2)]?.type === "string" && next?.startsWith("-");
    if (takesNext && next !== undefined && !next.startsWith("--")) {
      joined.push(`${word}=${next}`);
      index++;
    } else {
      joined.push(word);
    }
  }
  return joined;
}

const dashed = (name: string) => (name.length === 1 ? `-${name}` : `--${name}`);

function parserFor(command: Command): Argv {
  const parser = bareParser();
  for (const [name, { type }] of Object.entries(command.options)) parser.option(name, { type });
  return parser;
}

const bareParser = (): Argv =>
  yargs()
    .scriptName("authline")
    .detectLocale(false)
    .help(false)
    .version(false)
    .exitProcess(false)
    .fail(false)
    .parserConfiguration({
      "boolean-negation": false,
      "camel-case-expansion": false,
      "dot-notation": false,
      "parse-numbers": false,
      "parse-positional-numbers": false,
    });
