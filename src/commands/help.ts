/** What help says of commands and options, made from their own tables: nothing of it is written twice. */
import { defined } from "../defined.ts";
import type { CommandHelp, OptionHelp, VariableHelp } from "../protocol/data.ts";
import { codes, type Ending, ends } from "../protocol/failure.ts";
import { table } from "../protocol/machine.ts";
import type { Command, Options, Positional } from "./command.ts";
import type { Entry } from "./index.ts";

const global = (name: string, summary: string, env?: string): OptionHelp => ({
  ...{ name, summary, type: "boolean", repeatable: true },
  ...defined({ env }),
});

export const GLOBAL_OPTIONS: OptionHelp[] = [
  global("json", "write the stream to stdout, even to a terminal", "AUTHLINE_JSON"),
  global("no-json", "never write the stream"),
  global("quiet", "tell people only what they must do or know, and what was asked for"),
  global("help", "show this"),
  global("version", "show the versions"),
];

const WHOSE = "<PROVIDER> is its name in capitals, with _ for what is no letter or digit";

/** Those that no single option stands for. Each is read alone. */
export const VARIABLES: VariableHelp[] = [
  { name: "AUTHLINE_HOME", summary: "where everything is kept" },
  { name: "AUTHLINE_KEY", summary: "the key that secrets are sealed with: 32 random bytes in base64 or hex" },
  { name: "AUTHLINE_KEY_FILE", summary: "the file that has the key that secrets are sealed with" },
  { name: "AUTHLINE_TOKEN_<PROVIDER>", summary: `an access token that token hands out as it is; ${WHOSE}` },
  {
    name: "AUTHLINE_TOKEN_<PROVIDER>__<CONNECTION>",
    summary: "the access token that token hands out for this connection; both names as with AUTHLINE_TOKEN_<PROVIDER>",
  },
  { name: "AUTHLINE_CLIENT_ID_<PROVIDER>", summary: `the client to sign in as; ${WHOSE}` },
  { name: "AUTHLINE_CLIENT_SECRET_<PROVIDER>", summary: `the secret of the client to sign in as; ${WHOSE}` },
  { name: "AUTHLINE_JSON", summary: "1: write the stream even to a terminal, as --json does" },
  {
    name: "AUTHLINE_NO_PROMPT",
    summary: "1: open no browser that nobody asked for, and read no terminal; CI says the same",
  },
  { name: "AUTHLINE_FORCE_TTY", summary: "1: take stdin, stdout and stderr for terminals, though they are none" },
  { name: "CI", summary: "anything but empty, 0 and false: as AUTHLINE_NO_PROMPT" },
  { name: "NO_COLOR", summary: "anything: no colour" },
  { name: "FORCE_COLOR", summary: "1: colour even where nothing is drawn; 0: none" },
  { name: "BROWSER", summary: "the program that opens URLs" },
  { name: "VISUAL", summary: "the editor that provider edit opens" },
  { name: "EDITOR", summary: "the editor of definitions, where VISUAL is not set" },
];

/** Under which heading people find a command, by its first word; what is in none is about the machine. */
const GROUPS: Record<string, readonly string[]> = {
  "Sign in": ["login", "logout"],
  Credentials: ["token", "whoami", "status", "connection"],
  Sessions: ["session"],
  Providers: ["provider"],
};
const REST = "This machine";

/** The headings, in order. */
export const groups = [...Object.keys(GROUPS), REST];

const groupOf = (name: string): string =>
  Object.keys(GROUPS).find((group) => GROUPS[group]?.includes(name.split(" ")[0] ?? "")) ?? REST;

/** How any command may end. */
const ALWAYS: readonly Ending[] = ["success", "cancelled", "usage", "internal"];

export function describe(entry: Entry, { positionals, options, examples, ends = [] }: Command): CommandHelp {
  const { name, summary, challenges, kind, stdout = "stream" } = entry;
  const places = Object.entries(positionals as Record<string, Positional>);
  const settable = [...Object.values<Positional | Options[string]>(positionals), ...Object.values(options)].some(
    ({ env, config }) => env !== undefined || config !== undefined,
  );
  return {
    name,
    group: groupOf(name),
    usage: `${usageOf(entry, { positionals })} [options]`,
    summary,
    positionals: places.map(([place, { summary, required, many, choices, env, config }]) => ({
      ...{ name: place, summary, required, repeatable: many ?? false },
      ...defined({ choices: choices && [...choices], env, config }),
    })),
    options: optionHelp(options),
    examples: [...examples],
    // A setting may be wrong wherever it was made.
    exit_codes: exitCodes([...ALWAYS, ...ends, ...(settable ? (["config"] as const) : [])]),
    phases: Object.keys(table[challenges ? "working" : "quiet"]),
    stdout,
    data: kind,
  };
}

export const usageOf = ({ name }: Entry, { positionals }: Pick<Command, "positionals">): string => {
  const places = Object.entries(positionals).map(([place, { required, many }]) => {
    const words = many ? `${place}...` : place;
    return required ? `<${words}>` : `[${words}]`;
  });
  return ["authline", name, ...places].join(" ");
};

/** By exit code, each once. */
function exitCodes(endings: readonly Ending[]): CommandHelp["exit_codes"] {
  const all = { ...ends, ...codes };
  const found = new Map<number, Ending[]>();
  for (const ending of new Set(endings)) found.set(all[ending].exit, [...(found.get(all[ending].exit) ?? []), ending]);
  return [...found]
    .sort(([one], [other]) => one - other)
    .map(([exit_code, codes]) => ({ exit_code, codes, when: codes.map((code) => all[code].when).join("; ") }));
}

export const optionHelp = (options: Options): OptionHelp[] =>
  Object.entries(options).map(
    ([name, { summary, group, type, placeholder, default: initial, choices, repeatable, env, config }]) => ({
      ...{ name, summary, type, repeatable: repeatable ?? false },
      ...defined({ group, placeholder, default: initial, choices: choices && [...choices], env, config }),
    }),
  );

export const helpAction = (words = "") => ({
  id: "help",
  argv: ["authline", ...words.split(" ").filter(Boolean), "--help"],
  description: "See how it is used.",
});
