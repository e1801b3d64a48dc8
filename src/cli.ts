/**
 * argv -> one flow. The only file that knows yargs.
 *
 * Rules: bad argv is a flow that throws; help is made from the commands' own tables; what cannot be understood is never
 * guessed at.
 */
import yargs, { type Argv } from "yargs";
import { audited } from "./audited.ts";
import type { Command, Options } from "./commands/command.ts";
import { describe, didYouMean, GLOBAL_OPTIONS, helpAction, optionHelp } from "./commands/help.ts";
import { commands, type Entry } from "./commands/index.ts";
import { type Context, createContext, type Process } from "./context.ts";
import type { Flow, Outcome } from "./flow.ts";
import type { CommandHelp, Kind, OptionHelp } from "./protocol/data.ts";
import { VERSION } from "./protocol/event.ts";
import { Failure } from "./protocol/failure.ts";
import { homeOf } from "./store/file.ts";

declare const AUTHLINE_VERSION: string;

interface Call {
  name: string;
  kind: Kind;
  challenges: boolean;
  /** --json or --no-json, where one was given. */
  json: boolean | undefined;
  flow(host: Process): Flow<Outcome>;
}

const GLOBAL = new Set(["--json", "--no-json", "--help", "-h", "--version"]);

/** Which command, and what is left for it. Loads nothing yet. */
export function read(argv: readonly string[], contextOf: ContextOf = realContext): Call {
  const end = argv.indexOf("--");
  const head = end < 0 ? argv : argv.slice(0, end);
  const given = new Set(head.filter((token) => GLOBAL.has(token)));
  const tokens = [...head.filter((token) => !GLOBAL.has(token)), ...argv.slice(head.length)];
  const json = given.has("--no-json") ? false : given.has("--json") ? true : undefined;
  const call = (name: string, kind: Kind, flow: Call["flow"]): Call => ({ name, kind, challenges: false, json, flow });

  const entry = commands.find(({ name }) => name.split(" ").every((word, index) => tokens[index] === word));
  const first = tokens[0];
  if (given.has("--version")) return call("version", "version", version);
  if (first === undefined) return call("help", "help", () => help(undefined));
  if (first === "help")
    return read([...tokens.slice(1), "--help", ...(json === undefined ? [] : [json ? "--json" : "--no-json"])]);
  const asksForHelp = given.has("--help") || given.has("-h");
  if (asksForHelp && (entry || first.startsWith("-"))) return call("help", "help", () => help(entry));
  if (!entry) return call("authline", "help", () => unknown(first));
  const rest = tokens.slice(entry.name.split(" ").length);
  return {
    ...call(entry.name, entry.kind, (host) => invoke(entry, rest, () => contextOf(host))),
    challenges: entry.challenges ?? false,
  };
}

async function* invoke(entry: Entry, rest: readonly string[], context: () => Context): Flow<Outcome> {
  const command = await entry.load();
  const args = await parse(entry, command, rest);
  const ctx = context();
  const flow = command.flow(args, ctx);
  return yield* entry.audited ? audited(flow, { command: entry.name, args }, ctx) : flow;
}

type ContextOf = (host: Process) => Context;

const realContext: ContextOf = (host) => createContext(host, homeOf(host));

async function* unknown(word: string): Flow<never> {
  const isOption = word.startsWith("-");
  const known = isOption ? GLOBAL_OPTIONS : commands;
  throw new Failure("usage", `There is no ${isOption ? "option" : "command"} ${word}.`, {
    hint: (await didYouMean(word, known, isOption)) ?? `Commands are ${commands.map(({ name }) => name).join(", ")}.`,
    next_actions: [helpAction()],
  });
}

async function* version({ node }: Process): Flow<Outcome<"version">> {
  const version = AUTHLINE_VERSION;
  return {
    message: `authline ${version} (contract ${VERSION}, node ${node})`,
    data: { version, contract: VERSION, node },
  };
}

// --- parsing ---------------------------------------------------------------------------------------------------------

async function parse(entry: Entry, command: Command, rest: readonly string[]): Promise<never> {
  const usage = (message: string, hint = `See: authline ${entry.name} --help`) =>
    new Failure("usage", message, { hint, next_actions: [helpAction(entry)] });
  // Before yargs sees them: a name such as --constructor means something to JavaScript.
  for (const name of namesIn(rest)) {
    if (Object.hasOwn(command.options, name)) continue;
    if (isGlobal(name)) throw usage(`${dashed(name)} takes no value.`);
    const known = [...optionHelp(command.options), ...GLOBAL_OPTIONS];
    throw usage(`There is no option ${dashed(name)} for ${entry.name}.`, await didYouMean(name, known, true));
  }
  const parsed = parserFor(command).parseSync(withValues(rest, command.options)) as Record<string, unknown>;

  const args: Record<string, unknown> = {};
  const { _: bare, $0, ...named } = parsed;
  for (const [name, value] of Object.entries(named)) {
    const option = command.options[name] as Options[string];
    if (Array.isArray(value)) throw usage(`--${name} was given twice.`);
    if (option.type === "string" && (typeof value !== "string" || value === ""))
      throw usage(`--${name} needs a value.`);
  }
  for (const [name, option] of Object.entries(command.options)) {
    const value = (named[name] as string | undefined) ?? option.default;
    if (option.type === "boolean") args[name] = named[name] === true;
    else if (value !== undefined) args[name] = option.parse(value, `--${name}`);
  }

  const words = (bare as unknown[]).map(String);
  for (const [name, { required, parse }] of Object.entries(command.positionals)) {
    const word = words.shift();
    if (word !== undefined) args[name] = parse(word, `<${name}>`);
    else if (required) throw usage(`<${name}> is missing.`);
  }
  if (words[0] !== undefined) throw usage(`There is one argument too many: ${words[0]}`);
  return args as never;
}

const isGlobal = (name: string) => GLOBAL_OPTIONS.some((option) => option.name === name);

/** The names of the options in argv, in order. */
function namesIn(rest: readonly string[]): string[] {
  const end = rest.indexOf("--");
  const words = end < 0 ? rest : rest.slice(0, end);
  const isValue = (index: number) => index > 0 && takesNext(words[index - 1] as string);
  const takesNext = (word: string) => word.startsWith("--") && !word.includes("=");
  return words.flatMap((word, index) => {
    const [, long, short] = word.match(/^(?:--([^=]+)|-([^-=]))/) ?? [];
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

// --- help ------------------------------------------------------------------------------------------------------------

async function* help(entry: Entry | undefined): Flow<Outcome<"help">> {
  const entries = entry ? [entry] : commands;
  const described = await Promise.all(entries.map(async (each) => describe(each, await each.load())));
  return {
    message: entry ? `How to use authline ${entry.name}.` : "How to use authline.",
    data: {
      text: await (entry ? commandText(described[0] as CommandHelp) : rootText()),
      commands: described,
      options: GLOBAL_OPTIONS,
    },
  };
}

function commandText({ usage, summary, positionals, options, examples }: CommandHelp): Promise<string> {
  const places = positionals.map(
    ({ name, summary, required }) => `${required ? `<${name}>` : `[${name}]`}  ${summary}`,
  );
  const parser = bareParser().usage([usage, `${capital(summary)}.`, ...places].join("\n\n"));
  for (const each of options) parser.option(...shown(each, "Options:"));
  for (const each of GLOBAL_OPTIONS) parser.option(...shown(each, "Everywhere:"));
  return textOf(parser, `Examples:\n${examples.map((example) => `  ${example}`).join("\n")}`);
}

function rootText(): Promise<string> {
  const parser = bareParser().usage(
    "authline <command> [options]\n\nSigns in to any OAuth 2 or OpenID Connect provider, keeps the credentials and hands them out.",
  );
  for (const { name, summary } of commands) parser.command(name, summary);
  for (const each of GLOBAL_OPTIONS) parser.option(...shown(each, "Everywhere:"));
  return textOf(parser, "authline <command> --help says more about each.");
}

/** yargs lays it out; the last part it would break in the middle of a command. */
const textOf = async (parser: Argv, last: string) => `${(await parser.wrap(80).getHelp()).trimEnd()}\n\n${last}\n`;

/** An option as yargs' help shows it: with a name for its value, without a word on types. */
function shown({ name, summary, placeholder, choices, default: initial }: OptionHelp, group: string) {
  const facts = [choices?.join(", "), initial !== undefined && `default ${initial}`].filter(Boolean).join("; ");
  const key = placeholder ? `${name} ${placeholder}` : name;
  return [key, { describe: facts ? `${summary} (${facts})` : summary, group }] as const;
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
