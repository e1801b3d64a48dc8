/**
 * One synchronous writer for a file descriptor.
 *
 * Why synchronous: a pipe behind `process.stdout` is asynchronous, and what it still holds when the process exits is
 * lost in silence. Why nobody else may write: two writers on one descriptor mix, and lines go missing.
 */
import { writeSync } from "node:fs";

export interface Output {
  write(content: string | Uint8Array): void;
}

/** `onLost` is called once, with the error's code, when nothing more can be written; later writes do nothing. */
export function output(fd: number, onLost: (code: string) => void): Output {
  let lost = false;
  return {
    write(content) {
      const buffer = typeof content === "string" ? Buffer.from(content) : content;
      for (let written = 0; written < buffer.length && !lost; ) {
        try {
          written += writeSync(fd, buffer, written);
        } catch (error) {
          const code = (error as NodeJS.ErrnoException).code ?? "UNKNOWN";
          if (code === "EAGAIN") {
            rest(2); // somebody made the descriptor non-blocking, and the reader is slow
          } else if (code !== "EINTR") {
            lost = true;
            onLost(code);
          }
        }
      }
    },
  };
}

/** For a screen: a line that will be rewritten has no end yet, and written again as it is it would only flicker. */
export function calm(output: Output): { write(text: string): void } {
  let shown = "";
  return {
    write(text) {
      if (text === "" || (text === shown && !text.endsWith("\n"))) return;
      shown = text;
      output.write(text);
    },
  };
}

const cell = new Int32Array(new SharedArrayBuffer(4));

/** Blocks the thread for some milliseconds. */
const rest = (ms: number) => Atomics.wait(cell, 0, 0, ms);
