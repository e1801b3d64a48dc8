// What the binary says of itself is enough to drive it, and is true.
//
// What is protected: help as JSON has every command, fits its published schema and is the same on a pipe; a group shows
// its own; from help alone a script builds a valid call for every command and option; and no golden stream ends in a way
// or shows a phase that its command's help does not name.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { helpOn } from "../src/commands/help_text.ts";
import { commands } from "../src/commands/index.ts";
import { type Call, type CommandHelp, callsFrom } from "./support/calls.ts";
import { authline, type Run, sweep, tempHome } from "./support/spawn.ts";
import { checkStream, parseStream } from "./support/stream.ts";

const root = join(import.meta.dirname, "..");

const said = async (...argv: string[]) => {
  const run = await authline(argv).done;
  expect(checkStream(run.stdout, { exitCode: run.code })).toEqual([]);
  return run;
};
const dataOf = ({ events }: Run) => events.at(-1)?.data;

let whole: Run;
let tree: CommandHelp[];

beforeAll(async () => {
  whole = await said("--help", "--json");
  tree = dataOf(whole).commands;
});
afterAll(async () => {
  await sweep();
});

test("it has every command, in the order of the list", () => {
  expect(tree.map(({ name }) => name)).toEqual(commands.map(({ name }) => name));
});

test.each([["--help"], ["help"], ["-h"], []])("on a pipe authline %s says the same", async (...argv) => {
  expect(dataOf(await said(...argv))).toEqual(dataOf(whole));
});

test.each([["session"], ["connection"]])("authline %s --help shows that subtree only", async (group) => {
  const { text, commands: shown } = dataOf(await said(group, "--help"));
  expect(shown).toEqual(tree.filter(({ name }) => name.startsWith(`${group} `)));
  expect(text).toMatch(new RegExp(`^authline ${group} <command> \\[options\\]\n`));
  expect(text).not.toMatch(/^ {2}login /m);
});

test("people read it in groups, with examples, on lines of 80 columns", () => {
  const { text } = dataOf(whole);
  const heads = [...text.matchAll(/^(\S.*):$/gm)].map(([, head]) => head);
  expect(heads).toEqual(["Sign in", "Credentials", "Sessions", "Providers", "This machine", "Everywhere", "Examples"]);
  for (const { name } of tree) expect(text).toMatch(new RegExp(`^ {2}${name} {2}`, "m"));
  expect(text.split("\n").filter((line: string) => line.length > 80)).toEqual([]);
  expect(whole.stderr).toBe(text);
});

test("no line of help is wider than 80 columns, but for an example", async () => {
  for (const { name, examples } of tree) {
    const { text } = (await helpOn(name)).data;
    const wide = text.split("\n").filter((line) => line.length > 80 && !examples.includes(line.trim()));
    expect([name, wide]).toEqual([name, []]);
  }
});

describe("schemas", () => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  const schemaOf = async (...name: string[]) => {
    const schema = dataOf(await said("schema", ...name)).schema;
    expect(schema.$schema).toBe("https://json-schema.org/draft/2020-12/schema");
    expect(JSON.stringify(schema)).not.toContain('"additionalProperties":false');
    return ajv.compile(schema);
  };

  test("help fits its own, and would with more fields and not with fewer", async () => {
    const fits = await schemaOf("command");
    const data = dataOf(whole);
    expect([fits(data), fits.errors]).toEqual([true, null]);
    expect(fits({ ...data, more: 1, commands: [{ ...tree[0], more: 1 }] })).toBe(true);
    for (const field of Object.keys(tree[0] ?? {})) {
      const { [field as "name"]: _, ...rest } = tree[0] as CommandHelp;
      expect([field, fits({ ...data, commands: [rest] })]).toEqual([field, false]);
    }
  });

  test("without a name it is that of an event", async () => {
    const fits = await schemaOf();
    for (const event of whole.events) expect([fits(event), fits.errors]).toEqual([true, null]);
    expect(fits({ ...whole.events[0], v: 2 })).toBe(false);
  });

  test("the built-in providers fit theirs", async () => {
    const fits = await schemaOf("provider");
    const catalogue = join(root, "src/providers/catalogue");
    for (const file of readdirSync(catalogue)) {
      const definition = JSON.parse(readFileSync(join(catalogue, file), "utf8"));
      expect([file, fits({ ...definition, more: 1 }), fits.errors]).toEqual([file, true, null]);
      expect(fits({ ...definition, grants: ["implicit"] })).toBe(false);
    }
  });
});

describe("from help alone", () => {
  /** What waits is told to stop: it has understood what it was asked. */
  async function outcomeOf({ argv }: Call): Promise<Run> {
    const home = tempHome();
    const running = authline(argv, { home, cwd: home, faults: "offline", env: { PATH: `${process.env["PATH"]}` } });
    const enough = setTimeout(() => running.kill("SIGINT"), 1500);
    return running.done.finally(() => clearTimeout(enough));
  }

  test("a script builds a valid call for every command, and with every option", async () => {
    const calls = callsFrom(tree);
    for (const { name, options } of tree) {
      const own = calls.filter(({ command }) => command.name === name).flatMap(({ argv }) => argv);
      expect(own.length, name).toBeGreaterThan(0);
      expect(options.filter((option) => !own.includes(`--${option.name}`))).toEqual([]);
    }
    const refused: string[] = [];
    const waiting = calls[Symbol.iterator]();
    const work = async () => {
      for (const call of waiting) {
        const { code, events, stderr } = await outcomeOf(call);
        const result = events.at(-1);
        const known = call.command.exit_codes.flatMap(({ exit_code, codes }) => codes.map((each) => [exit_code, each]));
        const ended = result?.error?.code ?? result?.status;
        const isKnown = known.some(
          ([exit, each]) => exit === code && (each === ended || call.command.stdout !== "stream"),
        );
        const wantsTerminal = call.command.name === "provider edit" && /needs a terminal/.test(stderr);
        if ((code === 64 && !wantsTerminal) || code === 70 || !isKnown)
          refused.push(`authline ${call.argv.join(" ")}: exit ${code}, ${ended}: ${stderr}`);
      }
    };
    await Promise.all(Array.from({ length: 6 }, work));
    expect(refused).toEqual([]);
  }, 60_000);

  test("a call that help does not allow is told apart", () => {
    const [first] = tree.filter(({ name }) => name === "token");
    const spoilt = { ...first, examples: [], positionals: [{ name: "nobody-knows", required: true }] } as CommandHelp;
    expect(() => callsFrom([spoilt])).toThrow("help gives no value for <nobody-knows>");
  });
});

test("each variable says by itself what it is for", () => {
  const { variables } = dataOf(whole) as { variables: { name: string; summary: string }[] };
  const summaries = new Map(variables.map(({ name, summary }) => [name, summary]));
  expect(summaries.size).toBe(variables.length);
  const own = tree.flatMap(({ name, positionals, options }) =>
    [
      ...positionals.map((each) => ({ ...each, word: `<${each.name}>` })),
      ...options.map((each) => ({ ...each, word: `--${each.name}` })),
    ].flatMap(({ env, word }: { env?: string; word: string }) => (env ? [[env, `${word} of ${name}`] as const] : [])),
  );
  expect(own.length).toBeGreaterThan(5);
  for (const [env, what] of own) expect(summaries.get(env)).toContain(what);
  for (const summary of summaries.values()) expect(summary).not.toMatch(/^(its|the same|the file that has it)\b/);
});

test("what takes all the words that are left says so", () => {
  expect(tree.find(({ name }) => name === "complete")?.usage).toBe("authline complete [words...] [options]");
});

test("what draws the stream of another command may end in any way, and has no data of its own", () => {
  const { data, exit_codes, phases } = tree.find(({ name }) => name === "render") as CommandHelp;
  const endings = tree.flatMap((each) => each.exit_codes.flatMap(({ codes }) => codes));
  expect(data).toBe("any");
  expect(new Set(exit_codes.flatMap(({ codes }) => codes))).toEqual(new Set(endings));
  expect(phases).toEqual(tree.find(({ name }) => name === "login")?.phases);
});

test("every golden stream ends as its command's help says, and shows no other phase", () => {
  const untold: string[] = [];
  let judged = 0;
  for (const folder of readdirSync(join(root, "fixtures"))) {
    const file = join(root, "fixtures", folder, "stream.ndjson");
    const events = parseStream(readOr(file));
    const last = events.at(-1);
    const command = tree.find(({ name }) => name === last?.command);
    if (!last || !command) continue;
    judged += 1;
    const ended = last.error?.code ?? last.status ?? "";
    const named = command.exit_codes.some(
      ({ exit_code, codes }) => exit_code === last.exit_code && codes.includes(ended),
    );
    if (!named) untold.push(`${folder}: ${command.name} ends with ${ended}, ${last.exit_code}`);
    for (const { phase } of events) if (!command.phases.includes(phase)) untold.push(`${folder}: ${phase}`);
  }
  expect(judged).toBeGreaterThan(50);
  expect(untold).toEqual([]);
});

function readOr(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // a folder of something else
  }
}
