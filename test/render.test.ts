/**
 * `authline render`: what is drawn of a stream, and what becomes of it.
 *
 * What is protected: every golden is drawn as it was when it was written; what is given comes out of stdout byte for byte,
 * whole or broken, and nothing else does; what is broken is said by line and `seq`; a hostile stream draws nothing
 * but words; and whoever watches costs the one who is watched nothing.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, describe, expect, test } from "vitest";
import { read } from "../src/cli.ts";
import { modesOf } from "../src/modes.ts";
import type { PhaseEvent } from "../src/protocol/event.ts";
import { human } from "../src/render/human.ts";
import { openStream, run } from "../src/run.ts";
import { authline, leftovers, sweep, tempHome } from "./support/spawn.ts";

const FIXTURES = join(import.meta.dirname, "../fixtures");
const goldens = readdirSync(FIXTURES).filter((name) => existsSync(join(FIXTURES, name, "stream.ndjson")));
const fileOf = (name: string) => join(FIXTURES, name, "stream.ndjson");
const streamOf = (name: string) => readFileSync(fileOf(name), "utf8");
const exitOf = (stream: string): number => JSON.parse(stream.trimEnd().split("\n").at(-1) ?? "{}").exit_code;

afterEach(async () => {
  await sweep();
});

/** Draws in this process. */
async function drawn(argv: string[], input: Uint8Array[] = [], terminal = false) {
  const { signal } = new AbortController();
  const passed: Uint8Array[] = [];
  const host = {
    argv: ["render", ...argv],
    env: { AUTHLINE_HOME: tempHome() },
    platform: "linux" as const,
    node: "20.19.0",
    terminal: { stdin: false, stdout: false, stderr: terminal },
    stdin: () => Readable.from(input),
    pass: (bytes: Uint8Array) => passed.push(Buffer.from(bytes)),
    signal,
    pid: process.pid,
    ppid: process.ppid,
    isAlive: () => true,
    kill: () => {},
    program: ["node", "authline"] as const,
  };
  const call = read(host.argv);
  const words = human(modesOf(host, call).look);
  const events: PhaseEvent[] = [];
  let text = "";
  const stream = openStream({
    command: call.name,
    kind: call.kind,
    challenges: call.challenges,
    signal,
    now: () => new Date(),
    show(transition) {
      events.push(transition.event);
      text += words(transition);
    },
  });
  const exit = await run(stream, call.flow(host), signal);
  return { exit, words: text, passed: Buffer.concat(passed), events };
}

/** As it may come out of a pipe: in pieces. */
const given = (stream: string) =>
  drawn(
    [],
    Buffer.from(stream)
      .toString("latin1")
      .match(/.{1,60}/gs)
      ?.map((piece) => Buffer.from(piece, "latin1")),
  );

describe("goldens", () => {
  test.each(goldens)("%s", async (name) => {
    const { exit, words, passed } = await drawn([fileOf(name)]);
    expect(words).toBe(readFileSync(join(FIXTURES, name, "human.txt"), "utf8"));
    expect([exit, String(passed)]).toEqual([exitOf(streamOf(name)), streamOf(name)]);
  });

  test("are there", () => expect(goldens.length).toBeGreaterThan(50));
});

const STAMP = { v: 1, time: "2026-03-01T12:00:00.000Z", command: "login", message: "A word." };
const step = (seq: number, more: object = {}) => ({
  ...STAMP,
  seq,
  phase: "progress",
  step: "discover",
  state: "done",
  ...more,
});
const END = { phase: "result", duration_ms: 1, warnings: [], next_actions: [] };
const SIGNED_IN = { provider: "acme", connection: "default", record_status: "connected" };
const end = (seq: number, more: object = {}) => ({
  ...STAMP,
  ...END,
  seq,
  status: "success",
  exit_code: 0,
  data: SIGNED_IN,
  ...more,
});
const refused = (exit_code: number, error: object) =>
  end(0, { status: "error", exit_code, data: undefined, error: { message: "No.", retryable: false, ...error } });
const code = {
  ...{ ...STAMP, seq: 0, phase: "device_code", provider: "acme", connection: "default", user_code: "WDJB-MJHT" },
  ...{
    verification_uri: "https://acme.example/",
    expires_at: STAMP.time,
    expires_in: 900,
    interval: 5,
    next_actions: [],
  },
};
const lines = (...events: unknown[]) =>
  events.map((event) => `${typeof event === "string" ? event : JSON.stringify(event)}\n`).join("");

const BROKEN: [what: string, stream: string, said: string][] = [
  ["nothing", "", "Line 1 (seq 0): the stream has ended without a result."],
  ["without its end", lines(step(0)), "Line 2 (seq 1): the stream has ended without a result."],
  ["cut off", lines(step(0), end(1)).slice(0, -9), "Line 2 (seq 1): it is cut off."],
  ["no stream at all", "Hello.\nBye.\n", "Line 1 (seq 0): it is not a JSON object."],
  ["of another version", lines(step(0), end(1, { v: 2 })), "Line 2 (seq 1): its v is 2, which is not known."],
  ["with a gap", lines(step(0), end(2)), "Line 2 (seq 1): its seq is 2, so that something before it is lost."],
  ["with a line twice", lines(step(0), step(0), end(1)), "Line 2 (seq 1): its seq is 0, which has been before."],
  ["with words after it", lines(end(0), "Bye."), "Line 2 (seq 1): it stands after the result."],
  [
    "with an endless line",
    lines(step(0, { message: "x".repeat(5000) }), end(1)),
    "Line 1 (seq 0): it has more than 4096 bytes.",
  ],
  [
    "without a code to type",
    lines({ ...code, user_code: undefined }, end(1)),
    "Line 1 (seq 0): it is no device_code as the contract has it (user_code).",
  ],
  [
    "with an address that is none",
    lines({ ...code, verification_uri: "javascript:alert(1)" }, end(1)),
    "Line 1 (seq 0): it is no device_code as the contract has it (verification_uri).",
  ],
  [
    "with another exit code",
    lines(end(0, { exit_code: 7 })),
    "Line 1 (seq 0): its exit_code is 7, which is another end.",
  ],
  [
    "with the exit code of another error",
    lines(refused(77, { code: "network" })),
    "Line 1 (seq 0): its exit_code is 77, which is another end.",
  ],
];

describe("a broken stream is reported, and passed on all the same", () => {
  test.each(BROKEN)("%s", async (_, stream, said) => {
    const { exit, words, passed, events } = await given(stream);
    expect(words.match(/^error: .*$/m)?.[0]).toBe(`error: The stream is broken. ${said}`);
    expect([exit, String(passed)]).toEqual([1, stream]);
    expect(events.at(-1)).toMatchObject({ status: "error", error: { code: "failed", hint: expect.any(String) } });
  });

  test("in a file too", async () => {
    const file = join(tempHome(), "stream.ndjson");
    const stream = lines(step(0), step(5), end(6));
    writeFileSync(file, stream);
    const { exit, words, passed } = await drawn([file]);
    expect(words.split("\n").slice(0, 2)).toEqual(["A word.", expect.stringMatching(/^error: .*Line 2 \(seq 1\)/)]);
    expect([exit, String(passed)]).toEqual([1, stream]);
  });
});

describe("what a later version may add is drawn by its message", () => {
  const NEW: [what: string, stream: string, exit: number][] = [
    ["a field", lines(step(0, { colour: "blue" }), end(1, { data: { ...SIGNED_IN, moon: 1 } })), 0],
    ["a step", lines(step(0, { step: "levitate" }), end(1)), 0],
    ["a command", lines(step(0, { command: "dance" }), end(1, { command: "dance", data: { steps: 3 } })), 0],
    ["a command that is named like a method", lines(end(0, { command: "constructor", data: {} })), 0],
    ["data of another shape", lines(end(0, { data: { surprise: true } })), 0],
    ["an error code", lines(refused(75, { code: "moonlight" })), 75],
    ["an error code named like a method", lines(refused(1, { code: "toString" })), 1],
    ["a session from the middle", lines(step(7, { command: "session wait" }), end(8, { command: "session wait" })), 0],
    ["a result that is a long document", lines(end(0, { command: "help", data: { book: "x".repeat(200_000) } })), 0],
  ];
  test.each(NEW)("%s", async (_, stream, exit) => {
    const { words, passed, ...ended } = await given(stream);
    expect(words.replace("error: ", "")).toMatch(/^(A word\.\n){1,2}$/);
    expect([ended.exit, String(passed)]).toEqual([exit, stream]);
  });
});

test("a hostile stream draws words and nothing else", async () => {
  const evil = "\u001b[2J\u001b]0;owned\u0007\u202egpj\u0000\r\n\u009b31m";
  const stream = lines(
    { ...code, message: evil, user_code: evil, provider: evil },
    step(1, { message: evil, step: evil, reason: evil }),
    end(2, { message: evil, data: { ...SIGNED_IN, account: evil }, warnings: [{ code: evil, message: evil }] }),
  );
  const { exit, words, passed } = await given(stream);
  expect([exit, String(passed)]).toEqual([0, stream]);
  expect(words).not.toMatch(/[^\P{C}\n]/u);
  const failing = lines(refused(1, { code: evil, hint: evil }));
  expect((await given(failing)).words).not.toMatch(/[^\P{C}\n]/u);
  expect((await given(`${evil}\n`)).words).not.toMatch(/[^\P{C}\n]/u);
});

test("nobody is asked to paste what only the command itself could read", async () => {
  const stream = streamOf("login-redirect");
  const { words } = await drawn([], [Buffer.from(stream)], true);
  expect(stream).toContain('"phase":"auth_url"');
  expect(words).not.toContain("paste");
});

describe("the binary", () => {
  const stream = lines(step(0, { message: "Grüße." }), { ...code, seq: 1 }, end(2));

  test("draws each line as it comes, and passes it on at once", async () => {
    const running = authline(["render"], { stdin: "held-open" });
    running.write(lines(step(0)));
    expect((await running.next("progress")).seq).toBe(0);
    running.write(lines({ ...code, seq: 1 }).slice(0, 50));
    running.write(lines({ ...code, seq: 1 }).slice(50));
    expect((await running.next("device_code")).user_code).toBe("WDJB-MJHT");
    running.kill("SIGINT"); // who interrupts the whole pipeline wants to see how it ended
    running.write(
      lines(
        end(2, {
          status: "cancelled",
          exit_code: 2,
          data: undefined,
          error: { code: "cancelled", message: "Over.", retryable: true },
        }),
      ),
    );
    await running.next("result");
    const { code: exit, stderr } = await running.done;
    expect([exit, stderr.match(/WDJB-MJHT/g)?.length]).toEqual([2, 1]);
    expect(await leftovers(running)).toEqual([]);
  });

  test("a signal ends it though its source goes on", async () => {
    const running = authline(["render"], { stdin: "held-open" });
    running.write(lines(step(0)));
    await running.next("progress");
    running.kill("SIGTERM");
    const { code: exit, stderr, stdout, lingeredMs } = await running.done;
    expect([exit, stderr, String(stdout)]).toEqual([2, "A word.\nCancelled by SIGTERM.\n", lines(step(0))]);
    expect(lingeredMs).toBeUndefined(); // no result of its own gets into the stream of another
  });

  test("its reader leaves: 141, in silence", async () => {
    const running = authline(["render"], { stdin: "held-open" });
    running.write(lines(step(0)));
    await running.next("progress");
    running.hangUp();
    running.write(lines(step(1)));
    expect(await running.done).toMatchObject({ code: 141, stderr: "A word.\n" });
  });

  test("ten megabytes come through whole", async () => {
    const count = 40_000;
    const many = lines(
      ...Array.from({ length: count }, (_, seq) => step(seq, { message: "x".repeat(140) })),
      end(count),
    );
    expect(many.length).toBeGreaterThan(10_000_000);
    const {
      code: exit,
      stdout,
      stderr,
    } = await authline(["render", "--quiet"], { stdin: many, timeoutMs: 60_000 }).done;
    expect([exit, stdout.equals(Buffer.from(many))]).toEqual([0, true]);
    expect(stderr.length).toBeLessThan(100 + count * 200);
  }, 60_000);

  test("a slow reader gets every byte", async () => {
    const many = lines(...Array.from({ length: 700 }, (_, seq) => step(seq)), end(700));
    const { code: exit, stdout } = await authline(["render"], { stdin: many, sink: "slow" }).done;
    expect([exit, String(stdout) === many]).toEqual([0, true]);
  });

  const MODES: [what: string, argv: string[], options: Parameters<typeof authline>[1], stdout: string][] = [
    ["--json", ["--json"], {}, stream],
    ["--no-json: only words", ["--no-json"], {}, ""],
    ["a file", [], { sink: "file" }, stream],
    ["a terminal beside a pipe", [], { sink: "pty-stderr" }, stream],
  ];
  test.each(MODES)("%s", async (_, argv, options, stdout) => {
    const file = join(tempHome(), "stream.ndjson");
    writeFileSync(file, stream);
    const ran = await authline(["render", file, ...argv], options).done;
    expect([ran.code, String(ran.stdout)]).toEqual([0, stdout]);
    expect(ran.stderr).toContain("Grüße.");
    expect(ran.stderr).toContain("WDJB-MJHT");
  });

  test("on a terminal there are words and no lines of a stream", async () => {
    const { code: exit, stdout } = await authline(["render", fileOf("login-device")], { sink: "pty" }).done;
    expect(exit).toBe(0);
    expect(String(stdout)).toContain("WDJB-MJHT");
    expect(String(stdout)).not.toContain('"seq"');
  });

  const MISUSED: [what: string, argv: string[], options: Parameters<typeof authline>[1], exit: number, said: RegExp][] =
    [
      [
        "standard input is a terminal",
        [],
        { sink: "pty" },
        64,
        /error: There is no stream to draw: standard input is a terminal\.\s+Pipe one in/,
      ],
      [
        "a file that is not there",
        ["nowhere.ndjson"],
        {},
        66,
        /^error: There is no file nowhere\.ndjson\.\nName a file that holds a stream/,
      ],
      ["a directory", ["."], {}, 1, /^error: \. cannot be read \(EISDIR\)\.\nName a file that holds a stream/],
      ["two files", ["a", "b"], {}, 64, /^error: There is one argument too many: b\n/],
      ["an option that it does not have", ["--colour"], {}, 64, /^error: There is no option --colour for render\.\n/],
      ["nothing on standard input", [], {}, 1, /^error: The stream is broken\. Line 1 \(seq 0\)/],
    ];
  test.each(MISUSED)("%s: no line of its own", async (_, argv, options, exit, said) => {
    const ran = await authline(["render", ...argv], options).done;
    const onTerminal = options?.sink === "pty";
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal takes for colour and wiping
    const words = onTerminal ? String(ran.stdout).replaceAll(/\u001b\[\d*[mK]|\r/g, "") : ran.stderr;
    expect(words).toMatch(said);
    expect([ran.code, onTerminal ? "" : String(ran.stdout)]).toEqual([exit, ""]);
  });
});
