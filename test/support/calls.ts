/**
 * Calls that a script builds from `authline --help --json` and nothing else.
 *
 * Rule: it imports nothing from src/. A value is taken from where help gives one: a default, a choice, or an example, of
 * the same command or of another with an argument of the same name.
 */

export interface Option {
  name: string;
  type: string;
  placeholder?: string;
  default?: string;
  choices?: string[];
}

export interface CommandHelp {
  name: string;
  group: string;
  usage: string;
  summary: string;
  stdout: string;
  phases: string[];
  data: string;
  examples: string[];
  positionals: { name: string; required: boolean; choices?: string[] }[];
  options: Option[];
  exit_codes: { exit_code: number; codes: string[]; when: string }[];
}

export interface Call {
  command: CommandHelp;
  argv: string[];
}

/** Every example, the shortest call of each command, and for each option that no example gives a call with it. */
export function callsFrom(tree: CommandHelp[]): Call[] {
  const examples = tree.flatMap(({ examples }) => examples.flatMap((line) => callsIn(line, tree)));
  const values = new Map<string, string>();
  for (const call of examples) for (const [name, value] of given(call)) if (!values.has(name)) values.set(name, value);
  const valueFor = (name: string, choices: string[] = [], initial?: string): string => {
    const value = initial ?? choices[0] ?? values.get(name);
    if (value === undefined) throw new Error(`help gives no value for ${name}`);
    return value;
  };
  const built = tree.flatMap((command) => {
    const { name, positionals, options } = command;
    const needed = positionals.filter(({ required }) => required);
    const shortest = [...name.split(" "), ...needed.map((each) => valueFor(`<${each.name}>`, each.choices))];
    const own = examples.filter((call) => call.command === command);
    const untold = options.filter((option) => !own.some(({ argv }) => argv.some((word) => names(word, option))));
    const more = untold.map(({ name, type, choices, default: initial, placeholder }) =>
      type === "boolean" ? [`--${name}`] : [`--${name}`, valueFor(placeholder ?? name, choices, initial)],
    );
    return [[], ...more].map((words) => ({ command, argv: [...shortest, ...words] }));
  });
  return [...examples, ...built];
}

/** The calls of a command line, by whatever pipes they are joined. */
function callsIn(line: string, tree: CommandHelp[]): Call[] {
  return line
    .split(/ \| | < /)
    .filter((part) => part.startsWith("authline "))
    .map((part) => {
      const argv = [...part.matchAll(/"([^"]*)"|(\S+)/g)].slice(1).map(([, quoted, bare]) => quoted ?? bare ?? "");
      const command = tree.find(({ name }) => `${argv.join(" ")} `.startsWith(`${name} `));
      if (!command) throw new Error(`no command of help is called by ${part}`);
      return { command, argv };
    });
}

/** What stands for what in a call: by `<name>` for arguments, by placeholder for options. */
function given({ command, argv }: Call): [name: string, value: string][] {
  const found: [string, string][] = [];
  const places = command.positionals.map(({ name }) => `<${name}>`);
  const words = argv.slice(command.name.split(" ").length);
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const option = command.options.find((each) => names(word as string, each));
    if (option?.type === "string") found.push([option.placeholder ?? option.name, words.shift() ?? ""]);
    else if (!option && word !== "--") found.push([places.shift() ?? "", word]);
  }
  return found;
}

const names = (word: string, { name }: Option) => word === `--${name}`;
