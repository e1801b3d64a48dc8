/**
 * argv -> one flow. The only file that knows yargs.
 *
 * Rules: bad argv is a flow that throws; help is made from the commands' own tables; what cannot be understood is never
 * guessed at.
 */
import yargs, { type Argv } from "yargs";
import type { Command, Options, Positional } from "./commands/command.ts";
import { commands, type Entry } from "./commands/index.ts";
import { type Context, createContext, type Process } from "./context.ts";
import type { Flow, Outcome } from "./flow.ts";
import { modesOf } from "./modes.ts";
import { output } from "./output.ts";
import type { CommandHelp, Kind, OptionHelp } from "./protocol/data.ts";
import { VERSION } from "./protocol/event.ts";
import { codes, EXIT_READER_GONE, Failure } from "./protocol/failure.ts";
import { human } from "./render/human.ts";
import { ndjson } from "./render/ndjson.ts";
import { openStream, run, type Stream } from "./run.ts";
import { fileStore, homeOf } from "./store/file.ts";

declare const AUTHLINE_VERSION: string;

export interface Host extends Process {
  onStream(stream: Stream): void;
  /** Told when stdout cannot be written any more, with what the process must exit with. */
  onLost(exitCode: number): void;
}

/** Runs what argv says; when it returns, the result is out. */
export async function start(host: Host): Promise<void> {
  const call = read(host.argv);
  const modes = modesOf(host, call.json);
  let readerGone = false;
  const stderr = output(2, () => {});
  const stdout = output(1, (code) => {
    readerGone = code === "EPIPE" || code === "EOF"; // a reader that leaves is told nothing more
    if (!readerGone) stderr.write(`Nothing more can be written to stdout (${code}).\n`);
    host.onLost(readerGone ? EXIT_READER_GONE : codes.store.exit);
  });
  const words = human(modes);
  const stream = openStream({
    command: call.name,
    kind: call.kind,
    challenges: call.challenges,
    signal: host.signal,
    now: () => new Date(),
    show(transition) {
      if (modes.stream) stdout.write(ndjson(transition));
      if (!readerGone) stderr.write(words(transition));
    },
  });
  host.onStream(stream);
  await run(stream, call.flow(host), host.signal);
}

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
  if (given.has("--help") || given.has("-h")) return call("help", "help", () => help(entry));
  if (given.has("--version") && !entry) return call("version", "version", version);
  const first = tokens[0];
  if (first === undefined) return call("help", "help", () => help(undefined));
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
  return yield* command.flow(args, context());
}

type ContextOf = (host: Process) => Context;

const realContext: ContextOf = (host) => createContext(host, fileStore(homeOf(host)));

async function* unknown(word: string): Flow<never> {
  const message = word.startsWith("-") ? `Unknown option: ${word}` : `Unknown command: ${word}`;
  throw new Failure("usage", message, { hint: `Commands are ${commands.map(({ name }) => name).join(", ")}.` });
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
    new Failure("usage", message, { hint });
  const parser = parserFor(entry, command);
  let parsed: Record<string, unknown>;
  try {
    parsed = (await parser.parseAsync([...rest])) as Record<string, unknown>;
  } catch (error) {
    throw usage(said((error as Error).message));
  }

  const args: Record<string, unknown> = {};
  const words = (parsed["_"] as unknown[]).map(String);
  for (const [name, { required, parse }] of Object.entries(command.positionals)) {
    const word = words.shift();
    if (word !== undefined) args[name] = parse(word, `<${name}>`);
    else if (required) throw usage(`<${name}> is missing.`);
  }
  if (words.length > 0) throw usage(`Unexpected argument: ${words[0]}`);

  for (const [name, option] of Object.entries(command.options)) {
    const value = parsed[name];
    if (Array.isArray(value)) throw usage(`--${name} was given twice.`);
    if (option.type === "boolean") args[name] = value === true;
    else if (typeof value === "string") args[name] = option.parse(value, `--${name}`);
    else if (value !== undefined) throw usage(`--${name} needs a value.`);
    else if (option.default !== undefined) args[name] = option.parse(option.default, `--${name}`);
  }
  return args as never;
}

/** yargs' words, less its habits. */
const said = (message: string) =>
  message
    .replace(
      /^Unknown arguments?: (.+)$/,
      (_, names: string) => `Unknown option: ${names.split(", ").map(dashed).join(", ")}`,
    )
    .replace(/^Not enough arguments following: (.+)$/, (_, name: string) => `${dashed(name)} needs a value.`);

const dashed = (name: string) => (name.length === 1 ? `-${name}` : `--${name}`);

function parserFor(entry: Entry | undefined, command: Command | undefined): Argv {
  const parser = yargs()
    .scriptName("authline")
    .detectLocale(false)
    .help(false)
    .version(false)
    .exitProcess(false)
    .fail(false)
    .wrap(80)
    .strictOptions()
    .parserConfiguration({
      "camel-case-expansion": false,
      "dot-notation": false,
      "parse-numbers": false,
      "parse-positional-numbers": false,
      "boolean-negation": false,
      "unknown-options-as-args": false,
    });
  for (const { name, summary, type, placeholder, default: initial } of optionHelp(command?.options ?? {})) {
    const described = initial === undefined ? summary : `${summary} [${initial}]`;
    parser.option(name, { type, describe: described, ...(placeholder && { requiresArg: true }) });
  }
  if (!entry) for (const { name, summary } of commands) parser.command(name, summary);
  return parser;
}

// --- help ------------------------------------------------------------------------------------------------------------

const GLOBAL_OPTIONS: OptionHelp[] = [
  { name: "json", summary: "write the stream to stdout, even to a terminal", type: "boolean" },
  { name: "no-json", summary: "never write the stream", type: "boolean" },
  { name: "help", summary: "show this", type: "boolean" },
  { name: "version", summary: "show the versions", type: "boolean" },
];

async function* help(entry: Entry | undefined): Flow<Outcome<"help">> {
  const entries = entry ? [entry] : commands;
  const described = await Promise.all(entries.map(async (each) => describe(each, await each.load())));
  const parser = parserFor(entry, entry && (await entry.load()));
  for (const { name, summary, type } of GLOBAL_OPTIONS)
    parser.option(name, { type, describe: summary, group: "Everywhere:" });
  const [first] = described;
  parser.usage(
    entry && first
      ? `${first.usage}\n\n${capital(first.summary)}.`
      : "authline <command> [options]\n\nSigns in, and keeps and hands out credentials.",
  );
  if (entry && first) for (const example of first.examples) parser.example(example, "");
  if (!entry) parser.epilogue("authline <command> --help says more about each.");
  return {
    message: entry ? `How to use authline ${entry.name}.` : "How to use authline.",
    data: { text: `${(await parser.getHelp()).trimEnd()}\n`, commands: described, options: GLOBAL_OPTIONS },
  };
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

function describe({ name, summary }: Entry, { positionals, options, examples }: Command): CommandHelp {
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

const optionHelp = (options: Options): OptionHelp[] =>
  Object.entries(options).map(([name, { summary, type, placeholder, default: initial, choices }]) => ({
    name,
    summary,
    type,
    ...(placeholder !== undefined && { placeholder }),
    ...(initial !== undefined && { default: initial }),
    ...(choices && { choices: [...choices] }),
  }));
