// The skill that tells agents how to use authline: what is on the stream, and where it is put.
//
// What is protected: it has the form of Agent Skills and is the file of this repository; it goes where an agent has a folder
// and nowhere else; what somebody else wrote there is left alone until --force; and each place is told.
// Its examples are run by docs.test.ts.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { commands } from "../src/commands/index.ts";
import { authline, sweep, tempHome } from "./support/spawn.ts";
import { checkStream } from "./support/stream.ts";

const document = readFileSync(join(import.meta.dirname, "../skills/authline/SKILL.md"), "utf8");

afterEach(async () => {
  await sweep();
});

async function skill(argv: string[], home = tempHome()) {
  const run = await authline(["skill", ...argv], { home, cwd: home }).done;
  expect(checkStream(run.stdout, { command: "skill", exitCode: run.code })).toEqual([]);
  return { ...run, result: run.events.at(-1), data: run.events.at(-1)?.data };
}

const placeIn = (folder: string) => join(folder, "authline", "SKILL.md");

test("it has a name and a description, as agentskills.io wants them, and is short", () => {
  const [, front = ""] = document.match(/^---\n(.*?)\n---\n\n# authline\n/s) ?? [];
  const fields = Object.fromEntries(front.split("\n").map((line) => line.match(/^(\w+): (.*)$/)?.slice(1) ?? []));
  expect(Object.keys(fields)).toEqual(["name", "description"]);
  expect(fields["name"]).toBe("authline"); // the name of its folder
  expect(fields["description"].length).toBeLessThanOrEqual(1024);
  expect(fields["description"]).toMatch(/ Use when /);
  expect(fields["description"]).not.toMatch(/[:#<>]\s|[<>]/); // plain YAML, and no markup
  expect(document.split("\n").length).toBeLessThan(100);
});

test("its two patterns are there: the stream, and --no-wait with session wait", () => {
  expect(document).toMatch(/^authline login \S+ \| jq /m);
  expect(document).toMatch(/^authline login \S+ --no-wait /m);
  expect(document).toMatch(/^authline session wait /m);
  expect(commands.map(({ name }) => name)).toContain("session wait");
});

test("authline skill puts it on the stream, whole", async () => {
  const { data, code } = await skill([]);
  expect([code, data]).toEqual([0, { name: "authline", text: document }]);
});

test("--install puts it where an agent has a folder, and nowhere else", async () => {
  const home = tempHome();
  for (const agent of [".claude", ".codex", ".config/opencode", ".agents"])
    mkdirSync(join(home, agent), { recursive: true });
  const first = await skill(["--install"], home);
  const paths = [".agents", ".claude", ".codex", ".config/opencode"].map((agent) =>
    placeIn(join(home, agent, "skills")),
  );
  expect(first.data.installed).toEqual(paths.map((path) => ({ path, state: "written" })));
  for (const path of paths) {
    expect(readFileSync(path, "utf8")).toBe(document);
    expect(readdirSync(dirname(path))).toEqual(["SKILL.md"]);
    expect(first.stderr).toContain(`${path}: written`);
  }
  expect(readdirSync(home).sort()).toEqual([".agents", ".claude", ".codex", ".config"]);

  const before = statSync(paths[0] as string).mtimeMs;
  const again = await skill(["--install"], home);
  expect(again.data.installed).toEqual(paths.map((path) => ({ path, state: "unchanged" })));
  expect(statSync(paths[0] as string).mtimeMs).toBe(before);
});

test("what says something else is left alone, said, and written over with --force", async () => {
  const home = tempHome();
  const [mine, free] = [".agents", ".claude"].map((agent) => placeIn(join(home, agent, "skills"))) as [string, string];
  mkdirSync(dirname(mine), { recursive: true });
  mkdirSync(join(home, ".claude"));
  writeFileSync(mine, "mine\n");
  const { data, result } = await skill(["--install"], home);
  expect(data.installed).toEqual([
    { path: mine, state: "differs" },
    { path: free, state: "written" },
  ]);
  expect(result?.warnings).toEqual([{ code: "skill_differs", message: expect.stringContaining(mine) }]);
  expect(readFileSync(mine, "utf8")).toBe("mine\n");

  const forced = await skill(["--install", "--force"], home);
  expect(forced.data.installed).toEqual([
    { path: mine, state: "written" },
    { path: free, state: "unchanged" },
  ]);
  expect(readFileSync(mine, "utf8")).toBe(document);
});

test("one folder that cannot be written to keeps the others from nothing, and is told", async () => {
  const home = tempHome();
  const agents = [".agents", ".claude", ".codex", ".cursor"];
  for (const agent of agents) mkdirSync(join(home, agent));
  const [good, blocked, taken, mine] = agents.map((agent) => placeIn(join(home, agent, "skills"))) as [
    ...[string, string, string, string],
  ];
  writeFileSync(join(home, ".claude", "skills"), "a file");
  mkdirSync(taken, { recursive: true });
  mkdirSync(dirname(mine), { recursive: true });
  writeFileSync(mine, "mine\n");
  const { data, result, stderr, code } = await skill(["--install"], home);
  expect(code).toBe(0);
  expect(data.installed).toEqual([
    { path: good, state: "written" },
    { path: blocked, state: "failed", reason: expect.stringMatching(/^E[A-Z]+$/) },
    { path: taken, state: "failed", reason: "EISDIR" },
    { path: mine, state: "differs" },
  ]);
  expect(result?.message).toBe("The skill is in 1 place.");
  expect(result?.warnings).toMatchObject([
    ...[{ code: "skill_failed" }, { code: "skill_failed" }, { code: "skill_differs" }],
  ]);
  expect(stderr).toContain(`warning: ${taken} cannot be written (EISDIR).`);

  rmSync(join(home, ".agents"), { recursive: true });
  const nowhere = await skill(["--install"], home);
  expect([nowhere.code, nowhere.result?.error]).toMatchObject([1, { message: "The skill could be put nowhere." }]);
  expect(nowhere.result?.warnings).toHaveLength(3);
  expect(readFileSync(mine, "utf8")).toBe("mine\n");
});

test("--install DIR puts it there; where all is somebody else's it fails", async () => {
  const home = tempHome();
  const path = placeIn(join(home, "tools", "skills"));
  const { data } = await skill(["--install", "./tools/skills"], home);
  expect(data.installed).toEqual([{ path, state: "written" }]);
  expect(readFileSync(path, "utf8")).toBe(document);

  writeFileSync(path, "mine\n");
  const refused = await skill(["--install", "./tools/skills"], home);
  expect([refused.code, refused.result?.error]).toMatchObject([1, { code: "failed", reason: "differs" }]);
  expect(refused.result?.error?.hint).toContain("--force");
  expect(readFileSync(path, "utf8")).toBe("mine\n");
});

test("where no agent is, or a folder cannot be made, it says what to do and leaves nothing", async () => {
  const home = tempHome();
  const nobody = await skill(["--install"], home);
  expect([nobody.code, nobody.result?.error]).toMatchObject([1, { code: "failed", reason: "no_agent" }]);
  expect(nobody.result?.error?.hint).toContain("authline skill --install ./skills");

  writeFileSync(join(home, "skills"), "a file");
  const blocked = await skill(["--install", "./skills"], home);
  expect([blocked.code, blocked.result?.error?.code]).toEqual([1, "failed"]);
  expect(readFileSync(join(home, "skills"), "utf8")).toBe("a file");
  expect(existsSync(join(home, "skills.part"))).toBe(false);
});
