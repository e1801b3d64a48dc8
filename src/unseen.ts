/**
 * A line that somebody types at the terminal and that is shown nowhere.
 *
 * Rule: from here to `close` the terminal shows nothing of what is typed, and hands on every key, Ctrl-C included; after it the
 * terminal is as it was. Node does the same at the end of the process, however that comes.
 */
import type { Readable } from "node:stream";
import type { ReadStream } from "node:tty";
import { Failure } from "./protocol/failure.ts";

export interface Unseen {
  /** Rejects with `cancelled` at Ctrl-C. */
  line: Promise<string>;
  close(): void;
}

/** More is no line that anybody has typed. */
const MAX_LENGTH = 64 * 1024;

const [CTRL_C, CTRL_D, CTRL_U, ESCAPE] = ["\u0003", "\u0004", "\u0015", "\u001b"];
const ENTER = new RegExp(`[\r\n${CTRL_D}]`);

export function readUnseen(input: Readable): Unseen {
  const { setRawMode } = input as Partial<ReadStream>;
  let typed = "";
  let onData = (_: Buffer) => {};
  const line = new Promise<string>((resolve, reject) => {
    onData = (chunk) => {
      typed += String(chunk);
      const [first = "", ...more] = typed.split(ENTER);
      if (first.includes(CTRL_C)) reject(new Failure("cancelled", "Cancelled by SIGINT.", { reason: "SIGINT" }));
      else if (more.length > 0) resolve(edited(first));
      else if (typed.length > MAX_LENGTH) reject(new Failure("config", "What was typed is too long for a key."));
    };
    const end = () => resolve(edited(typed));
    input.on("data", onData).once("end", end).once("error", end); // a terminal that was closed
  });
  line.catch(() => {}); // whoever waits for it still sees it
  setRawMode?.call(input, true); // what goes wrong there is heard as an error of the terminal
  return {
    line,
    close() {
      input.off("data", onData).pause();
      setRawMode?.call(input, false);
    },
  };
}

/** Arrow keys and their like, and the marks that some terminals put around what is pasted. */
const ESCAPES = new RegExp(`${ESCAPE}(?:\\[[0-9;?]*[ -/]*[@-~]|O.)`, "g");

/** What is left of the keys that were pressed. */
function edited(keys: string): string {
  let line = "";
  for (const key of keys.replace(ESCAPES, "")) {
    if (key === "\u007f" || key === "\b") line = line.slice(0, -1);
    else if (key === CTRL_U) line = "";
    else if (key >= " ") line += key;
  }
  return line;
}
