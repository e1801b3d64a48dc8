/**
 * The golden streams: each folder of fixtures/ is one scenario and what came of it.
 *
 *   scenario.json   what was asked, what the server said, what must be stored in the end (test/support/scenario.ts)
 *   stream.ndjson   stdout
 *   human.txt       stderr where it is not a terminal
 *   human.tty.txt   stderr on a terminal: ␛ and ␍ are shown, and where a line ends in ␊ it really ends
 *
 * Rules: a scenario runs once and every renderer gets the same transitions; whatever the goldens say, the stream must
 * keep the contract, fit its published schema and show no secret. `UPDATE_GOLDENS=1` writes the goldens anew: read
 * them before you commit them.
 */

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { read } from "../src/cli.ts";
import type { Process } from "../src/context.ts";
import { modesOf } from "../src/modes.ts";
import { human } from "../src/render/human.ts";
import { ndjson } from "../src/render/ndjson.ts";
import { openStream, run } from "../src/run.ts";
import { Scenario } from "./support/scenario.ts";
import { MemoryStore, type Script, scripted } from "./support/scripted.ts";
import { checkStream, leaks } from "./support/stream.ts";

const ROOM = join(import.meta.dirname, "../fixtures");
const UPDATE = process.env["UPDATE_GOLDENS"] === "1";
const names = readdirSync(ROOM, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() && entry.name !== "screens" ? [entry.name] : [],
);

beforeAll(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
});
afterAll(() => {
  vi.useRealTimers();
});

describe("fixtures", () => {
  test.each(names)("%s", async (name) => {
    const folder = join(ROOM, name);
    const scenario = Scenario.parse(JSON.parse(readFileSync(join(folder, "scenario.json"), "utf8")));
    const script = scripted(scenario);
    const goldens = await play(scenario, script);
    expect(script.faults().join("\n")).toBe("");
    await checkStore(scenario, script);

    expect(readdirSync(folder).filter((file) => file !== "scenario.json" && !(file in goldens))).toEqual([]);
    for (const [file, text] of Object.entries(goldens)) {
      if (UPDATE) writeFileSync(join(folder, file), text);
      expect(text, file).toBe(readFileSync(join(folder, file), "utf8"));
    }

    const stream = goldens["stream.ndjson"];
    const { all, allow } = script.secrets();
    const expectations = { exitCode: scenario.exit, secrets: all, allow };
    expect(checkStream(stream, expectations)).toEqual([]);
    const lines = stream.trimEnd().split("\n");
    expect(silences(lines)).toEqual([]);
    expect(leaks(withoutAuthUrls(goldens["human.txt"], lines), all)).toEqual([]);
    expect(goldens["human.txt"]).not.toMatch(/[^\P{Cc}\n]/u);
    const revealed = JSON.parse(lines.at(-1) ?? "{}").data?.access_token ?? "{nothing}";
    expect(leaks(withoutAuthUrls(goldens["human.tty.txt"], lines).replace(`${revealed}␊`, ""), all)).toEqual([]);
  });

  test("are there", () => expect(names.length).toBeGreaterThan(0));
});

/** Runs a scenario once, for every renderer. */
async function play(scenario: Scenario, { context, signal, told }: Script) {
  const host = (terminal: boolean): Process => ({
    argv: scenario.argv,
    env: scenario.env ?? {},
    platform: "linux",
    node: "20.19.0",
    terminal: { stdin: terminal, stdout: terminal, stderr: terminal },
    stdin: () => Readable.from([scenario.stdin ?? ""]),
    signal,
    pid: process.pid,
    ppid: process.ppid,
    isAlive: () => true,
    kill: () => {},
    program: ["node", "authline"],
  });
  const call = read(scenario.argv, () => context);
  const plain = human(modesOf(host(false), call).look);
  const tty = human(modesOf(host(true), call).look);
  const goldens = { "stream.ndjson": "", "human.txt": "", "human.tty.txt": "" };
  const stream = openStream({
    command: call.name,
    kind: call.kind,
    challenges: call.challenges,
    signal,
    now: context.now,
    show(transition) {
      goldens["stream.ndjson"] += ndjson(transition);
      goldens["human.txt"] += plain(transition);
      goldens["human.tty.txt"] += tty(transition);
      told(transition.event);
    },
  });
  const exit = await run(stream, call.flow(host(false)), signal);
  expect(`exit code ${exit}`, goldens["human.txt"]).toBe(`exit code ${scenario.exit}`);
  return { ...goldens, "human.tty.txt": visible(goldens["human.tty.txt"]) };
}

/** While a person is waited for, a line comes at least every 15 s: where it does not. */
function silences(lines: string[]): string[] {
  const events = lines.map((line) => JSON.parse(line));
  return events.flatMap((event, index) => {
    const before = events[index - 1];
    const waiting = before && ("expires_in" in before || before.step === "await_user");
    const seconds = (Date.parse(event.time) - Date.parse(before?.time)) / 1000;
    return waiting && seconds > 15.5 ? [`${seconds} s without a word before seq ${event.seq}`] : [];
  });
}

/** Escape sequences as characters that can be read, one rewriting of the line below the other. */
const visible = (text: string) =>
  text
    .replaceAll("\n", "␊\n")
    .replaceAll("\u001b", "␛")
    .replaceAll(/(?<!\n|^)\r/g, "\n\r")
    .replaceAll("\r", "␍");

/** An auth_url carries `state` and `nonce`: it has to. */
const withoutAuthUrls = (text: string, lines: string[]) =>
  lines
    .map((line) => JSON.parse(line).auth_url ?? "")
    .reduce((rest, url) => (url ? rest.replaceAll(url, "") : rest), text);

async function checkStore({ kept, taught, left_open = [], ...scenario }: Scenario, { store }: Script): Promise<void> {
  const { connections, learned } = await store.content();
  const before = await new MemoryStore(scenario).content();
  expect(store.leftOpen(), "refreshes whose end is not known").toEqual(left_open);
  if (!kept) expect(connections, "stored").toEqual(before.connections);
  else expect(connections, "stored").toMatchObject(kept);
  if (taught) expect(learned, "learned").toMatchObject(taught);
  else if (!kept) expect(learned, "learned").toEqual(before.learned);
  for (const [index, { secrets }] of (kept ?? []).entries()) {
    if (secrets) expect(connections[index], "stored").toHaveProperty("secrets", secrets);
  }
}
