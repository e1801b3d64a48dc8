/**
 * A terminal with a command on it, of which every byte is seen.
 *
 * Why it is not simply node-pty: when the leader of a session ends, the system hangs its terminal up, and what was written
 * and not read yet is gone. So a shell leads the session, says how the command has ended behind all that it has written,
 * and stops until we have read that far.
 */
import os from "node:os";
import { type IPty, type IPtyForkOptions, spawn } from "@lydell/node-pty";

export interface Ended {
  code: number | null;
  signal: string | null;
}

export interface Terminal {
  /** Of the shell, which leads the session and the group of the command. */
  pid: number;
  /** Of the command itself, once it runs. */
  commandPid(): number | undefined;
  /** All that was written to it has been told by then. */
  ended: Promise<Ended>;
  type(text: string): void;
  resize(columns: number, rows: number): void;
  /** The shell, and the terminal with it. */
  kill(): void;
}

/** Signs that nothing of ours writes, around what the shell says. */
const [BEGIN, END] = ["\u0001", "\u0002"];
const tell = (what: string, value: string) => `printf '\\001${what} %d\\002' ${value}`;
const HOLDER = `trap : INT QUIT; sh -c '${tell("pid", "$$").replaceAll("'", "'\\''")}; exec "$@"' sh "$@"; ${tell("ended", "$?")}; kill -STOP $$`;

export function onTerminal(
  command: readonly string[],
  { onText, ...options }: IPtyForkOptions & { onText(text: string): void },
): Terminal {
  const shell: IPty = spawn("sh", ["-c", HOLDER, "sh", ...command], { name: "xterm-256color", ...options });
  let commandPid: number | undefined;
  let ended: Ended | undefined;
  let rest = "";
  shell.onData((text) => {
    rest += text;
    for (let begin = rest.indexOf(BEGIN); begin >= 0; begin = rest.indexOf(BEGIN)) {
      const end = rest.indexOf(END, begin);
      if (end < 0) return; // the rest of it is on its way
      const [what, value] = rest.slice(begin + 1, end).split(" ");
      onText(rest.slice(0, begin));
      rest = rest.slice(end + 1);
      if (what === "pid") commandPid = Number(value);
      if (what !== "ended") continue;
      ended = endOf(Number(value));
      shell.kill("SIGKILL");
    }
    onText(rest);
    rest = "";
  });
  return {
    pid: shell.pid,
    commandPid: () => commandPid,
    ended: new Promise((resolve) => {
      shell.onExit(({ exitCode, signal }) =>
        resolve(ended ?? { code: signal ? null : exitCode, signal: nameOf(signal ?? 0) }),
      );
    }),
    type: (text) => shell.write(text),
    resize: (columns, rows) => shell.resize(columns, rows),
    kill: () => shell.kill("SIGKILL"),
  };
}

/** What the shell says of who was killed by a signal; 141 authline says itself, and nobody dies of SIGPIPE in Node. */
const endOf = (status: number): Ended =>
  status > 128 && status !== 141 ? { code: null, signal: nameOf(status - 128) } : { code: status, signal: null };

const nameOf = (signal: number) =>
  Object.entries(os.constants.signals).find(([, number]) => number === signal)?.[0] ?? null;
