/** What goes where: whether there is a stream, and how the words for people look. Flag beats variable beats detection. */
import type { Process } from "./context.ts";

export interface Modes {
  /** Whether the stream is written to stdout. */
  stream: boolean;
  /** Whether stderr is a terminal that may be drawn on. */
  terminal: boolean;
  /** Whether a person who asked for a token may see it on stderr. */
  reveal: boolean;
}

const isOn = (value: string | undefined) => value === "1" || value === "true";

export function modesOf({ env, terminal }: Pick<Process, "env" | "terminal">, json: boolean | undefined): Modes {
  const stream = json ?? (isOn(env["AUTHLINE_JSON"]) || !terminal.stdout);
  return {
    stream,
    // Where lines of the stream land on the same screen, a redrawn status line would break them.
    terminal: terminal.stderr && env["TERM"] !== "dumb" && !(stream && terminal.stdout),
    reveal: terminal.stderr && !stream,
  };
}
