// Whatever is told in more than one place is told in all of them.
//
// What is protected: no command, option, code, exit code, kind, field, step or variable of the source is missing in help, the
// schema, the completion of a shell, README, the documents or the skill, where it belongs there. That each of them would be
// missed is shown by taking it away.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GLOBAL_OPTIONS, VARIABLES } from "../src/commands/help.ts";
import { commands } from "../src/commands/index.ts";
import { outcomes } from "../src/protocol/data.ts";
import { notices, steps } from "../src/protocol/event.ts";
import { codes, ends } from "../src/protocol/failure.ts";
import { program } from "./support/inside.ts";
import { sweep } from "./support/spawn.ts";

const root = join(import.meta.dirname, "..");
const load = (file: string) => readFileSync(join(root, file), "utf8");

/** Each place as text. */
type Place = "help" | "schema" | "command schema" | "completion" | "README" | "contract" | "docs" | "skill";
const places = {} as Record<Place, string>;
/** What there is of each sort: what it is called, and how it stands in each place where it must. */
const inventory: { sort: string; name: string; at: Partial<Record<Place, string>> }[] = [];

const add = (sort: string, name: string, at: Partial<Record<Place, string>>) => inventory.push({ sort, name, at });
const quoted = (text: string) => JSON.stringify(text);
/** As a word of its own: `--new` is not told by `--no-new` or `--new-one`. */
const holds = (text: string, word: string) => {
  const whole = word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`(?<![\\w-])${whole}(?![\\w-])`).test(text);
};

const missing = (told: Record<Place, string>) =>
  inventory.flatMap(({ sort, name, at }) =>
    Object.entries(at).flatMap(([place, word]) =>
      holds(told[place as Place], word) ? [] : [`${sort} ${name} is missing in ${place}`],
    ),
  );

async function resultOf(...argv: string[]) {
  return (await program(argv).done).events.at(-1)?.data;
}

/** What a shell is offered behind these words. */
const offered = async (...words: string[]) => String((await program(["complete", "--", ...words]).done).stdout);

beforeAll(async () => {
  const [help, event, shape, nothing, dash, ...behind] = await Promise.all([
    resultOf("--help"),
    resultOf("schema"),
    resultOf("schema", "command"),
    offered(""),
    offered("login", "--"),
    ...[...new Set(commands.flatMap(({ name }) => (name.includes(" ") ? [name.replace(/ .*/, "")] : [])))].map(
      async (group) => (await offered(group, "")).replace(/^/gm, `${group} `),
    ),
  ]);
  const { text, ...data } = help;
  const guides = readdirSync(join(root, "docs")).filter((file) => file.endsWith(".md"));
  Object.assign(places, {
    help: JSON.stringify(data),
    schema: JSON.stringify(event),
    "command schema": JSON.stringify(shape),
    completion: [nothing, dash, ...behind].join("\n"),
    README: load("README.md"),
    contract: load("docs/contract.md"),
    docs: ["README.md", ...guides.map((file) => `docs/${file}`)].map(load).join("\n"),
    skill: load("skills/authline/SKILL.md"),
  } satisfies Record<Place, string>);

  for (const entry of commands) {
    const { options } = await entry.load();
    const [group = "", word] = entry.name.split(" ");
    const isListed = word !== undefined && group === "session"; // `session list|show`
    add("command", entry.name, {
      help: quoted(entry.name),
      ...(entry.name === "complete" ? {} : { completion: entry.name }),
      README: isListed ? word : `authline ${entry.name}`,
      docs: entry.name,
    });
    for (const [name, { env }] of Object.entries(options)) {
      add("option", `${entry.name} --${name}`, { help: quoted(name), docs: `--${name}` });
      if (entry.name === "login") add("option", `login --${name}`, { completion: `--${name}` });
      if (env !== undefined) add("variable", env, { help: quoted(env), README: env });
    }
    add("kind", entry.kind, { help: `"data":${quoted(entry.kind)}` });
  }
  for (const { name } of GLOBAL_OPTIONS) add("option", `--${name}`, { help: quoted(name), docs: `--${name}` });
  for (const { name } of VARIABLES) add("variable", name, { help: quoted(name), README: name });
  for (const step of steps) add("step", step, { schema: quoted(step), contract: `\`${step}\`` });
  for (const [code, { exit }] of Object.entries(codes)) {
    add("code", code, { schema: quoted(code), help: quoted(code), contract: `\`${code}\`` });
    add("exit code", String(exit), { help: `"exit_code":${exit}`, contract: `${exit}`, skill: `${exit}` });
  }
  for (const [status, { exit }] of Object.entries(ends)) {
    add("status", status, { schema: quoted(status), help: quoted(status), contract: `\`${status}\`` });
    add("exit code", String(exit), { help: `"exit_code":${exit}`, contract: `${exit}`, skill: `${exit}` });
  }
  const fieldsOf = (shape: object) => Object.keys((shape as { shape: object }).shape);
  for (const [phase, shape] of Object.entries(notices)) {
    add("phase", phase, {
      schema: quoted(phase),
      help: quoted(phase),
      contract: `\`${phase}\``,
      README: `\`${phase}\``,
      skill: `\`${phase}\``,
    });
    for (const field of fieldsOf(shape())) add("field", field, { schema: quoted(field), contract: `\`${field}\`` });
  }
  for (const [kind, shape] of Object.entries(outcomes)) {
    const place = kind === "help" ? "command schema" : "schema";
    for (const field of fieldsOf(shape()))
      add("field", `${kind}.${field}`, { [place]: quoted(field), contract: `\`${field}\`` });
  }
});
afterAll(async () => {
  await sweep();
});

test("nothing is missing anywhere", () => {
  expect(inventory.length).toBeGreaterThan(150);
  expect(missing(places).join("\n")).toBe("");
});

describe("what is taken away is missed", () => {
  test("each, in each place", () => {
    const unmissed = inventory.flatMap(({ sort, name, at }) =>
      Object.entries(at).flatMap(([place, word]) => {
        const spoilt = { ...places, [place]: places[place as Place].replaceAll(word, "") };
        return missing(spoilt).includes(`${sort} ${name} is missing in ${place}`) ? [] : [`${sort} ${name}, ${place}`];
      }),
    );
    expect(unmissed).toEqual([]);
  });
});
