import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";

/** In characters. What is longer than any address comes from no person. */
const MAX_LINE = 64 * 1024;

/** Lines as somebody types or pastes them, until `signal` aborts, or one of them is too long. */
export async function* linesIn(input: Readable, signal: AbortSignal): AsyncGenerator<string> {
  const decoder = new StringDecoder("utf8");
  const stop = () => input.destroy();
  signal.addEventListener("abort", stop, { once: true });
  let begun = "";
  try {
    if (signal.aborted) return;
    for await (const chunk of input) {
      const lines = (begun + decoder.write(chunk)).split("\n");
      begun = lines.pop() ?? "";
      yield* lines;
      if (begun.length > MAX_LINE) return;
    }
    if (begun !== "") yield begun;
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
