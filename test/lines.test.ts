/**
 * What is read of somebody who may type while a sign-in waits.
 *
 * What is protected: each line, however it comes; nobody who writes without end fills the memory, keeps the processor
 * busy or floods the stream; and the end of the wait is the end of the reading.
 */
import { PassThrough, Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { linesIn } from "../src/lines.ts";

const never = new AbortController().signal;
const read = async (chunks: Iterable<Uint8Array | string>) => {
  const lines: string[] = [];
  for await (const line of linesIn(Readable.from(chunks, { objectMode: true }), never)) lines.push(line);
  return lines;
};
const bytesOf = (text: string) => Array.from(Buffer.from(text), (byte) => Uint8Array.of(byte));

describe("lines", () => {
  test.each<[what: string, chunks: Iterable<Uint8Array | string>, lines: string[]]>([
    ["nothing", [], []],
    ["one", [Buffer.from("a\n")], ["a"]],
    ["the last without an end", [Buffer.from("a\nb")], ["a", "b"]],
    ["byte by byte, within characters", bytesOf("Grüße\n🙂\n"), ["Grüße", "🙂"]],
    ["with the line ends of another system", [Buffer.from("a\r\nb\r\n")], ["a\r", "b\r"]],
    ["empty ones too", [Buffer.from("\n\na\n")], ["", "", "a"]],
  ])("%s", async (_, chunks, lines) => expect(await read(chunks)).toEqual(lines));

  test("without end, they are given up", async () => {
    let asked = 0;
    function* endless() {
      for (;;) {
        asked++;
        yield Buffer.alloc(16_384, "x");
      }
    }
    const start = [Buffer.from("first\n")];
    expect(
      await read(
        (function* () {
          yield* start;
          yield* endless();
        })(),
      ),
    ).toEqual(["first"]);
    expect(asked).toBeLessThan(40);
  });

  test("an abort ends them, and nothing more is read", async () => {
    const input = new PassThrough();
    const over = new AbortController();
    const lines: string[] = [];
    input.write("a\n");
    for await (const line of linesIn(input, over.signal)) {
      lines.push(line);
      over.abort();
    }
    expect([lines, input.destroyed]).toEqual([["a"], true]);
    for await (const line of linesIn(new PassThrough(), over.signal)) lines.push(line);
    expect(lines).toEqual(["a"]);
  });
});
