/**
 * Every command in front of every kind of reader, with nothing stored.
 *
 * What is protected: a stream that keeps the contract wherever one is due and not one byte of it elsewhere; the same end
 * everywhere; and nobody waits for a person who is not there. The calls are built from what the binary's own help says, so
 * that a new command stands here by itself.
 *
 * A process here is started with as little as it takes (support/spawn.ts does more, and takes longer than the command).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { undrawn } from "./support/matrix.ts";
import { binary } from "./support/spawn.ts";
import { checkStream, parseStream } from "./support/stream.ts";
import { onTerminal as openTerminal } from "./support/terminal.ts";

interface Mode {
  /** `held-open` is a pipe that nobody writes to and nobody closes: who reads it hangs. */
  stdin?: "held-open" | "null" | "closed";
  stdout?: "pipe" | "file";
  /** All three are one. */
  terminal?: true;
  env?: Record<string, string>;
  flags?: string[];
  /** Whether a stream is due on stdout. */
  stream: boolean;
}

const PIPE: Mode = { stream: true };
const MODES: Record<string, Mode> = {
  "a pipe": PIPE,
  "a file": { stdout: "file", stream: true },
  "a terminal": { terminal: true, stream: false },
  "closed stdin": { stdin: "closed", stream: true },
  "</dev/null": { stdin: "null", stream: true },
  CI: { env: { CI: "true" }, stream: true },
  "CI on a terminal": { terminal: true, env: { CI: "true" }, stream: false },
  NO_PROMPT: { env: { AUTHLINE_NO_PROMPT: "1" }, stream: true },
  FORCE_TTY: { env: { AUTHLINE_FORCE_TTY: "1" }, stream: false },
  "--json on a terminal": { terminal: true, flags: ["--json"], stream: true },
  "--no-json": { flags: ["--no-json"], stream: false },
  "--quiet": { flags: ["--quiet"], stream: true },
};

interface Help {
  name: string;
  positionals: { name: string; required: boolean; choices?: string[] }[];
  /** Who has its stdout. */
  stdout: string;
}

interface Ran {
  stdout: string;
  stderr: string;
  code: number | null;
  seconds: number;
}

/** What stands for an argument; a word that is a name for anything else. */
const VALUES: Record<string, string> = { id: "sess_9fJ2kQ7mX0aB4cD8eF1gHi" };
const argvOf = ({ name, positionals }: Help) => [
  ...name.split(" "),
  ...positionals.filter(({ required }) => required).map(({ name, choices }) => choices?.[0] ?? VALUES[name] ?? "acme"),
];

/** What is given to those that read standard input, and so may wait for its end. */
const GIVEN = readFileSync(join(import.meta.dirname, "../fixtures/version/stream.ndjson"), "utf8");

let scratch: string;
let helped: Help[];
/** How each call goes in a pipe. */
let usual: Ran[];

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "authline-modes-"));
  const { stdout } = await launch(["--help"], PIPE, undefined);
  helped = parseStream(stdout)[0]?.data.commands;
  usual = await launchAll(PIPE);
}, 60_000);
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Every command, a few at a time. */
async function launchAll(mode: Mode): Promise<Ran[]> {
  const runs: Ran[] = [];
  const left = [...helped.entries()];
  const worker = async () => {
    for (let next = left.shift(); next; next = left.shift()) {
      const [index, help] = next;
      runs[index] = await launch(argvOf(help), mode, help.stdout === "stream" ? undefined : GIVEN);
    }
  };
  await Promise.all([worker(), worker(), worker()]);
  return runs;
}

/** After this many seconds a command that has nothing to do hangs. */
const DEADLINE = 5;

async function launch(argv: string[], mode: Mode, input: string | undefined): Promise<Ran> {
  const { env = {}, flags = [], terminal } = mode;
  const home = mkdtempSync(join(scratch, "home-"));
  const { PATH = "" } = process.env;
  const clean = { PATH, LANG: "C.UTF-8", HOME: home, AUTHLINE_HOME: home, TMPDIR: scratch, ...env };
  const startedAt = performance.now();
  const begin = terminal ? onTerminal : onPipes;
  const ended = await begin([binary, ...argv, ...flags], { ...mode, env: clean, home, input });
  return { ...ended, seconds: (performance.now() - startedAt) / 1000 };
}

type Settled = Omit<Mode, "env"> & { env: Record<string, string>; home: string; input: string | undefined };

async function onPipes(argv: string[], { stdin = "held-open", stdout = "pipe", env, home, input }: Settled) {
  const file = join(home, "..", `${home.split("/").at(-1)}.out`);
  const fd = stdout === "file" ? openSync(file, "w") : undefined;
  const words =
    stdin === "closed" ? ["sh", "-c", 'exec "$@" <&-', "sh", process.execPath, ...argv] : [process.execPath, ...argv];
  const child: ChildProcess = spawn(words[0] as string, words.slice(1), {
    cwd: tmpdir(),
    env,
    detached: true, // a group of its own, that can be looked for
    stdio: [stdin === "held-open" ? "pipe" : "ignore", fd ?? "pipe", "pipe"],
  });
  if (fd !== undefined) closeSync(fd);
  const seen = { stdout: "", stderr: "" };
  child.stdin?.on("error", () => {}); // it need not be read
  if (input !== undefined) child.stdin?.end(input);
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8").on("data", (text: string) => {
      seen[name] += text;
    });
  }
  const timer = setTimeout(() => child.kill("SIGKILL"), 3 * DEADLINE * 1000);
  const [code] = await once(child, "close");
  clearTimeout(timer);
  child.stdin?.destroy();
  return { ...seen, ...(fd !== undefined && { stdout: readFileSync(file, "utf8") }), code };
}

async function onTerminal(argv: string[], { env }: Settled) {
  let screen = "";
  const onText = (text: string) => {
    screen += text;
  };
  const terminal = openTerminal([process.execPath, ...argv], { cols: 120, cwd: tmpdir(), env, onText });
  const timer = setTimeout(terminal.kill, 3 * DEADLINE * 1000);
  const { code } = await terminal.ended;
  clearTimeout(timer);
  return { stdout: screen, stderr: screen, code };
}

/** The lines of the stream among the words of a terminal; elsewhere all that there is. */
const streamIn = ({ stdout }: Ran, { terminal }: Mode) =>
  terminal ? undrawn(stdout).replaceAll(/^(?!\{"v":).*\n?/gm, "") : stdout;

const codeOf = (stream: string) => parseStream(stream).at(-1)?.error?.code;

/** Everything that is wrong with a run; `usual` is the same call in a pipe. */
function faultsOf({ name }: Help, mode: Mode, run: Ran, usual: Ran): string[] {
  const stream = streamIn(run, mode);
  const faults = mode.stream ? checkStream(stream, { command: name, exitCode: run.code }) : [];
  const check = (isRight: boolean, fault: string) => isRight || faults.push(fault);
  check(run.code === usual.code, `it ended with ${run.code}, and with ${usual.code} in a pipe`);
  if (mode.stream) check(codeOf(stream) === codeOf(usual.stdout), `it failed with ${codeOf(stream)}`);
  else check(stream === "", `stdout is not empty: ${stream.slice(0, 100)}`);
  return [...faults, ...faultsAnywhere(mode, run, usual)];
}

/** Whoever has stdout: it is passed on where a stream would be due, or is none of ours to judge; never a line more. */
function faultsOfOthers({ name }: Help, mode: Mode, run: Ran, usual: Ran): string[] {
  const lines = streamIn(run, mode);
  const isGiven = mode.stream && !mode.terminal && (mode.stdin ?? "held-open") === "held-open";
  const due = name === "render" && isGiven ? GIVEN : "";
  const isRight = parseStream(lines).length === parseStream(due).length && (due === "" || lines === due);
  return [...(isRight ? [] : [`stdout is ${lines.slice(0, 100)}`]), ...faultsAnywhere(mode, run, usual)];
}

function faultsAnywhere({ flags = [] }: Mode, run: Ran, usual: Ran): string[] {
  const isQuiet = flags.includes("--quiet");
  return [
    ...(run.code === null || run.seconds >= DEADLINE ? [`it took ${run.seconds.toFixed(1)} s`] : []),
    ...(isQuiet && run.stderr.length > usual.stderr.length ? ["it is not quieter"] : []),
    ...(/paste/i.test(run.stderr) ? ["somebody is asked to paste"] : []),
    ...(run.code !== 0 && run.stderr === "" ? ["nobody is told why"] : []),
  ];
}

test("help names the commands", () => {
  expect(helped.length).toBeGreaterThan(15);
  expect(helped.filter(({ stdout }) => stdout === "stream").length).toBeGreaterThan(15);
});

test.each(Object.entries(MODES))("%s: every command", async (_, mode) => {
  const runs = mode === PIPE ? usual : await launchAll(mode);
  const faults = helped.flatMap((help, index) => {
    const judge = help.stdout === "stream" ? faultsOf : faultsOfOthers;
    const found = judge(help, mode, runs[index] as Ran, usual[index] as Ran);
    return found.map((fault) => `authline ${argvOf(help).join(" ")}: ${fault}`);
  });
  expect(faults.join("\n")).toBe("");
});
