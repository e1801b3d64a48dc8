/**
 * The reader that the package exports.
 *
 * What is protected: a whole stream is read however it arrives; whatever was lost, doubled, cut off or is not the
 * stream at all is refused, with its line and its `seq`; and what later versions may add is not.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { ReadableStream as WebStream } from "node:stream/web";
import fc from "fast-check";
import { expect, test } from "vitest";
import { MAX_LINE } from "../src/protocol/machine.ts";
import { readStream, StreamError, type StreamSource } from "../src/reader.ts";

const FIXTURES = join(import.meta.dirname, "../fixtures");
const golden = (name: string) => readFileSync(join(FIXTURES, name, "stream.ndjson"), "utf8");
const eventsIn = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

async function readAll(source: StreamSource, from?: number) {
  const events: unknown[] = [];
  const reading = from === undefined ? readStream(source) : readStream(source, { from });
  for await (const event of reading) events.push(event);
  return events;
}

/** How it is refused: `fault line/seq`; "read" when it is not. */
const refusal = (source: StreamSource, from?: number): Promise<string> =>
  readAll(source, from).then(
    () => "read",
    (error) => {
      if (!(error instanceof StreamError)) throw error;
      expect(error.message).toMatch(new RegExp(`^Line ${error.line} \\(seq ${error.seq}\\): .+\\.$`, "s"));
      return `${error.fault} ${error.line}/${error.seq}`;
    },
  );

const STAMP = { v: 1, time: "2026-03-01T12:00:00.000Z", command: "login", message: "A word." };
const step = (seq: number, more: object = {}) => ({
  ...STAMP,
  seq,
  phase: "progress",
  step: "discover",
  state: "done",
  ...more,
});
const end = (seq: number, more: object = {}) => ({
  ...STAMP,
  seq,
  phase: "result",
  status: "success",
  exit_code: 0,
  ...more,
});
/** With its end it has so many bytes. */
const longLine = (size: number) =>
  step(0, { message: "x".repeat(size - 1 - JSON.stringify(step(0, { message: "" })).length) });
const lines = (...events: unknown[]) =>
  events.map((event) => `${typeof event === "string" ? event : JSON.stringify(event)}\n`).join("");

test("every golden is read as it stands", async () => {
  const names = readdirSync(FIXTURES).filter((name) => existsSync(join(FIXTURES, name, "stream.ndjson")));
  expect(names.length).toBeGreaterThan(50);
  for (const name of names) expect(await readAll([golden(name)]), name).toEqual(eventsIn(golden(name)));
});

const text = lines(step(0, { message: "Grüße 🙂" }), step(1), end(2));

/** The same bytes in pieces of this size: within characters, within line ends. */
const pieces = (size: number) => {
  const bytes = Buffer.from(text);
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  );
};

const SOURCES: [name: string, source: () => StreamSource][] = [
  ["a list of strings", () => [text]],
  ["single bytes", () => pieces(1)],
  ["sevens", () => pieces(7)],
  ["empty chunks between", () => ["", ...pieces(50), new Uint8Array()]],
  ["a Node stream of bytes", () => Readable.from(pieces(11))],
  ["a Node stream of text", () => Readable.from(pieces(11), { objectMode: false }).setEncoding("utf8")],
  ["a web stream", () => WebStream.from(pieces(11))],
  ["a web stream that cannot be iterated over", () => ({ getReader: () => WebStream.from(pieces(11)).getReader() })],
  [
    "an async generator",
    async function* () {
      yield* pieces(13);
    },
  ],
  ["memory that is used again", () => reused(pieces(9))],
];

async function* reused(parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  const memory = new Uint8Array(9);
  for (const part of parts) {
    memory.fill(0x20).set(part);
    yield memory.subarray(0, part.length);
  }
}

test.each(SOURCES)("from %s", async (_, source) => {
  expect(await readAll(source())).toEqual(eventsIn(text));
});

const BROKEN: [what: string, stream: string | Uint8Array, refused: string][] = [
  ["nothing", "", "no_result 1/0"],
  ["no result", lines(step(0), step(1)), "no_result 3/2"],
  ["cut off", lines(step(0), end(1)).slice(0, -20), "cut_off 2/1"],
  ["without the last line end", lines(step(0), end(1)).slice(0, -1), "cut_off 2/1"],
  ["words of another program", lines("Welcome!", end(0)), "not_json 1/0"],
  ["words after it", lines(step(0), end(1), "Goodbye."), "after_result 3/2"],
  ["an empty line", lines(step(0), "", end(1)), "not_json 2/1"],
  ["a list", lines([1], end(0)), "not_json 1/0"],
  ["null", lines("null", end(0)), "not_json 1/0"],
  ["two objects on a line", lines(`${JSON.stringify(step(0))}${JSON.stringify(step(1))}`, end(2)), "not_json 1/0"],
  ["a byte order mark", `\uFEFF${lines(end(0))}`, "not_json 1/0"],
  ["no UTF-8", Buffer.concat([Buffer.from(lines(step(0))), Buffer.from([0xff, 0x0a])]), "not_utf8 2/1"],
  ["another version", lines(step(0), step(1, { v: 2 }), end(2)), "unknown_version 2/1"],
  ["no version", lines(end(0, { v: undefined })), "unknown_version 1/0"],
  ["a version in words", lines(end(0, { v: "1" })), "unknown_version 1/0"],
  ["a lost line", lines(step(0), end(2)), "gap 2/1"],
  ["a lost beginning", lines(step(1), end(2)), "gap 1/0"],
  ["a doubled line", lines(step(0), step(0), end(1)), "out_of_order 2/1"],
  ["lines in another order", lines(step(0), step(2), step(1), end(3)), "gap 2/1"],
  ["a second result", lines(end(0), end(1)), "after_result 2/1"],
  ["a second stream behind it", lines(end(0), step(0), end(1)), "after_result 2/1"],
  ["half a seq", lines(end(0.5)), "malformed 1/0"],
  ["a seq in words", lines(step(0), { ...end(1), seq: "1" }), "malformed 2/1"],
  ["a fifth phase", lines(step(0, { phase: "news" }), end(1)), "malformed 1/0"],
  ["no command", lines(end(0, { command: undefined })), "malformed 1/0"],
  ["no message", lines(end(0, { message: undefined })), "malformed 1/0"],
  ["no time", lines(end(0, { time: 7 })), "malformed 1/0"],
  ["a result without exit code", lines(end(0, { exit_code: undefined })), "malformed 1/0"],
  ["a line that is a byte too long", lines(longLine(MAX_LINE + 1), end(1)), "too_long 1/0"],
  ["a line that is too long", lines(step(0, { message: "x".repeat(MAX_LINE) }), end(1)), "too_long 1/0"],
];

test.each(BROKEN)("refused: %s", async (_, stream, refused) => {
  expect(await refusal([stream])).toBe(refused);
});

test("what came before the fault was read", async () => {
  const seen: number[] = [];
  const reading = async () => {
    for await (const { seq } of readStream([lines(step(0), step(1), "{")])) seen.push(seq);
  };
  await expect(reading()).rejects.toThrow("Line 3 (seq 2): it is not a JSON object.");
  expect(seen).toEqual([0, 1]);
});

test("wherever a stream is cut, its reader notices; and whichever line is taken out", async () => {
  const whole = Buffer.from(golden("login-device"));
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), async (length) => {
      expect(await refusal([whole.subarray(0, length)])).toMatch(/^(cut_off|no_result) /);
    }),
  );
  const all = golden("login-device").split(/(?<=\n)/);
  for (const index of all.keys()) expect(await refusal([all.toSpliced(index, 1).join("")])).not.toBe("read");
});

const TAKEN: [what: string, stream: string][] = [
  ["fields that are not known", lines(step(0, { colour: "blue" }), end(1, { extra: [{}] }))],
  [
    "words that are not known",
    lines(step(0, { step: "levitate", state: "dreaming" }), end(1, { status: "odd", exit_code: 99 })),
  ],
  ["a command that is not known", lines(end(0, { command: "dance" }))],
  ["a line of exactly the length that is allowed", lines(longLine(MAX_LINE), end(1))],
  ["a result that is a document", lines(end(0, { data: { text: "x".repeat(100_000) } }))],
  ["line ends of another system", lines(step(0), end(1)).replaceAll("\n", "\r\n")],
  ["a clock that is set back", lines(step(0), end(1, { time: "2020-01-01T00:00:00.000Z" }))],
];

test.each(TAKEN)("taken: %s", async (_, stream) => {
  expect(await refusal([stream])).toBe("read");
});

test("session wait may begin anywhere, unless its reader knows where", async () => {
  const waiting = lines(step(4, { command: "session wait" }), end(5, { command: "session wait" }));
  expect(await refusal([waiting])).toBe("read");
  expect(await refusal([waiting], 4)).toBe("read");
  expect(await refusal([waiting], 3)).toBe("gap 1/3");
  expect(await refusal([waiting], 5)).toBe("out_of_order 1/5");
  const gap = lines(step(4, { command: "session wait" }), end(6, { command: "session wait" }));
  expect(await refusal([gap])).toBe("gap 2/5");
});

test("ten megabytes in small chunks", async () => {
  const count = 40_000;
  async function* source() {
    for (let seq = 0; seq < count; seq++) yield lines(step(seq, { message: "x".repeat(150) }));
    yield lines(end(count));
  }
  let read = 0;
  for await (const _ of readStream(source())) read++;
  expect(read).toBe(count + 1);
});

test("a line that never ends is given up", async () => {
  const megabyte = new Uint8Array(1 << 20).fill(0x78);
  let given = 0;
  async function* endless() {
    for (;;) {
      given++;
      yield megabyte;
    }
  }
  expect(await refusal(endless())).toBe("too_long 1/0");
  expect(given).toBe(65);
});

test("who leaves early leaves the source behind, closed", async () => {
  const child = spawn(process.execPath, [
    "-e",
    `process.stdout.write(${JSON.stringify(lines(step(0)))}); setInterval(() => {}, 1e6)`,
  ]);
  for await (const { seq } of readStream(child.stdout)) {
    expect(seq).toBe(0);
    break;
  }
  expect(child.stdout.destroyed).toBe(true);
  child.kill();
  await once(child, "exit");

  let cancelled = false;
  const web = new WebStream<string>({
    pull: (controller) => controller.enqueue(lines(step(0))),
    cancel() {
      cancelled = true;
    },
  });
  for await (const _ of readStream({ getReader: () => web.getReader() })) break;
  expect([cancelled, web.locked]).toEqual([true, false]);
});

test("what the source fails with is handed on", async () => {
  async function* failing() {
    yield lines(step(0));
    throw new Error("the pipe broke");
  }
  await expect(readAll(failing())).rejects.toThrow("the pipe broke");
});
