/**
 * Help: the tree of commands for programs, and the same as text for people.
 *
 * Rules: made from the commands' own tables; 80 columns, whoever reads; an example is never broken, because it is copied.
 */
import type { Outcome } from "../flow.ts";
import type { CommandHelp, OptionHelp, VariableHelp } from "../protocol/data.ts";
import { describe, GLOBAL_OPTIONS, groups, VARIABLES } from "./help.ts";
import { commands } from "./index.ts";

const WIDTH = 80;

/** `topic`: a command, a group of them, or "" for all. */
export async function helpOn(topic: string): Promise<Outcome<"help">> {
  const chosen = commands.filter(({ name }) => topic === "" || name === topic || name.startsWith(`${topic} `));
  const described = await Promise.all(chosen.map(async (entry) => describe(entry, await entry.load())));
  const [only] = described;
  return {
    message: `How to use ${["authline", topic].join(" ").trim()}.`,
    data: {
      text: only?.name === topic ? commandText(only) : listText(topic, described),
      commands: described,
      options: GLOBAL_OPTIONS,
      variables: variablesOf(described),
    },
  };
}

/** Those of everywhere, and those that stand for an option or argument, of which they say the same. */
function variablesOf(described: readonly CommandHelp[]): VariableHelp[] {
  const own = new Map<string, { summary: string; where: string[] }>();
  for (const { name, positionals, options } of described) {
    const takers = [
      ...positionals.map((place) => ({ ...place, word: `<${place.name}>` })),
      ...options.map((option) => ({ ...option, word: `--${option.name}` })),
    ];
    for (const { env, summary, word } of takers) {
      if (env === undefined) continue;
      const { where } = own.get(env) ?? { where: [] };
      own.set(env, { summary, where: [...where, `${word} of ${name}`] });
    }
  }
  return [
    ...VARIABLES,
    ...[...own].map(([name, { summary, where }]) => ({ name, summary: `for ${where.join(", ")}: ${summary}` })),
  ];
}

function commandText({ usage, summary, positionals, options, examples, exit_codes, stdout }: CommandHelp): string {
  const places = positionals.map((each): Row => {
    return [each.required ? `<${each.name}>` : `[${each.name}]`, withFacts(each.summary, each)];
  });
  const exits = exit_codes.map(({ exit_code, codes }): Row => [String(exit_code), codes.join(", ")]);
  return parts(
    usage,
    wrapped(`${capital(summary)}.${stdout === "stream" ? "" : ` Its stdout is ${stdout}.`}`),
    columns("", places),
    ...optionBlocks(options),
    columns("Everywhere:", GLOBAL_OPTIONS.map(optionRow)),
    columns("Exit codes:", exits),
    lines("Examples:", examples.slice(0, MAX_EXAMPLES)),
    examples.length > MAX_EXAMPLES
      ? `${usage.replace(/ [<[].*/, "")} --help --json has ${examples.length - MAX_EXAMPLES} more.`
      : "",
  );
}

/** More are read by programs only. */
const MAX_EXAMPLES = 8;

/** Under their headings, in the order of the options; those without one come first. */
function optionBlocks(options: readonly OptionHelp[]): string[] {
  const headOf = ({ group = "Options" }: OptionHelp) => group;
  const heads = [...new Set(options.map(headOf))];
  return heads.map((head) => columns(`${head}:`, options.filter((each) => headOf(each) === head).map(optionRow)));
}

const EXAMPLES = [
  "authline login github --client-id Iv1.0123456789abcdef",
  "authline token github | jq -r 'select(.phase==\"result\").data.access_token'",
  "authline login github --no-wait",
];

function listText(topic: string, described: readonly CommandHelp[]): string {
  const all = topic === "";
  const headed = groups.map((group) => {
    const rows = described.filter((each) => each.group === group).map(({ name, summary }): Row => [name, summary]);
    return columns(all ? `${group}:` : "Commands:", rows, Math.max(...described.map(({ name }) => name.length)));
  });
  return parts(
    `authline ${all ? "<command>" : `${topic} <command>`} [options]`,
    all ? wrapped(ABOUT) : "",
    ...headed,
    columns("Everywhere:", GLOBAL_OPTIONS.map(optionRow)),
    lines("Examples:", all ? EXAMPLES : described.flatMap(({ examples }) => examples.slice(0, 1))),
    `authline ${all ? "" : `${topic} `}<command> --help says more about each${all ? "; with --json, to programs" : ""}.`,
  );
}

const ABOUT = "Signs in to any OAuth 2 or OpenID Connect provider, keeps the credentials and hands them out.";

// --- layout ----------------------------------------------------------------------------------------------------------

type Row = readonly [name: string, summary: string];

const parts = (...blocks: string[]) => `${blocks.filter((block) => block !== "").join("\n\n")}\n`;

/** An option with a name for its value, without a word on types. */
const optionRow = ({ name, summary, placeholder, ...facts }: OptionHelp): Row => [
  `--${name}${placeholder ? ` ${placeholder}` : ""}`,
  withFacts(summary, facts),
];

interface Facts {
  choices?: string[] | undefined;
  default?: string | undefined;
  env?: string | undefined;
  config?: string | undefined;
}

function withFacts(summary: string, { choices, default: initial, env, config }: Facts): string {
  const facts = [
    choices?.join(", "),
    initial !== undefined && `default ${initial}`,
    env !== undefined && `or ${env}`,
    config !== undefined && `config ${config}`,
  ].filter(Boolean);
  return facts.length === 0 ? summary : `${summary} (${facts.join("; ")})`;
}

const lines = (head: string, items: readonly string[]) =>
  items.length === 0 ? "" : [head, ...items.map((item) => `  ${item}`)].join("\n");

/** Names under each other, what they mean beside them. */
function columns(head: string, rows: readonly Row[], width = Math.max(...rows.map(([name]) => name.length))): string {
  if (rows.length === 0) return "";
  const rest = " ".repeat(width + 4);
  const body = rows.map(([name, summary]) => {
    const [first = "", ...more] = wrapped(summary, WIDTH - rest.length).split("\n");
    return [`  ${name.padEnd(width)}  ${first}`.trimEnd(), ...more.map((line) => `${rest}${line}`)].join("\n");
  });
  return [head, ...body].filter((line) => line !== "").join("\n");
}

function wrapped(text: string, width = WIDTH): string {
  const rows: string[] = [];
  for (const word of text.split(" ")) {
    const last = rows.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) rows[rows.length - 1] = `${last} ${word}`;
    else rows.push(word);
  }
  return rows.join("\n");
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
