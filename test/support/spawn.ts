// Runs the built binary the way users do, and looks at what comes out of it.
//
// Rules of this file:
// - stdout and stderr are real pipes (FIFOs), not the socket pairs that Node makes: size, EPIPE and EAGAIN are a shell's.
// - The environment is built, not inherited: what a developer's machine or a CI sets does not reach the child.
// - Every child leads its own process group, so that what it leaves behind can be found (`leftovers`) and ended (`sweep`).
// - Nothing is guessed from a sleep: `next` awaits an event on the stream, `done` the end of process and streams.
// - No secret that a server of the test has issued gets out: every stream is searched, and every home before it is removed.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  watch,
} from "node:fs";
import { Socket } from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { secretsIn, secretsUnder } from "./issued.ts";
import { type Event, parseStream } from "./stream.ts";
import { type Ended, onTerminal } from "./terminal.ts";

const { AUTHLINE_BIN, PATH, TMPDIR } = process.env;

/** What is under test: an .mjs or .js file that `process.execPath` runs. */
export const binary = path.resolve(AUTHLINE_BIN ?? fileURLToPath(new URL("../../dist/authline.js", import.meta.url)));

/**
 * Who reads stdout:
 * - `pipe`: somebody who reads as fast as possible. `slow`: 512 bytes at a time, with pauses.
 * - `closed`: nobody, fd 1 does not exist (`>&-`). `gone`: somebody who leaves after the first line (`| head -1`).
 * - `file`: a regular file (`> file`).
 * - `pty`: a terminal, as is stderr. `pty-stderr`: stdout is a pipe and stderr a terminal (`authline … | jq`).
 */
export type Sink = "pipe" | "slow" | "closed" | "gone" | "file" | "pty" | "pty-stderr";

export interface Options {
  /** On top of the clean environment; `undefined` takes a variable away. */
  env?: Record<string, string | undefined>;
  /** AUTHLINE_HOME and HOME. Default: a fresh `tempHome()`. */
  home?: string;
  cwd?: string;
  /** Text, then end of file; `held-open`: a pipe that never ends; `inherit-null` (default): /dev/null. A pty gets it typed. */
  stdin?: string | "inherit-null" | "held-open";
  sink?: Sink;
  /** The name of a file in faults/ to preload: "noisy". */
  faults?: string;
  /** After this everything is killed and `done` fails. Default: 20 s. */
  timeoutMs?: number;
  cols?: number;
  rows?: number;
}

export interface Run {
  pid: number;
  home: string;
  /** With the sink `pty`: all that the terminal received, which is where stderr went too. */
  stdout: Buffer;
  stderr: string;
  code: number | null;
  signal: string | null;
  /** Read leniently: hand `stdout` to `checkStream` to judge it. */
  events: Event[];
  durationMs: number;
  /** From the arrival of the `result` line to the end of the process. */
  lingeredMs: number | undefined;
}

export interface Running {
  pid: number;
  home: string;
  /** False if it is gone already. */
  kill(signal: NodeJS.Signals): boolean;
  /** The first event that matches, among those that no earlier call went past. Fails if the stream ends before. */
  next(wanted: Event["phase"] | ((event: Event) => boolean)): Promise<Event>;
  /** To stdin, or typed at the terminal: `write("\x03")` is Ctrl-C there. */
  write(text: string): void;
  /** The reader of stdout leaves now: the next write of the child fails with EPIPE. */
  hangUp(): void;
  done: Promise<Run>;
}

const started = new Set<{ pid: number; home: string }>();
const homes = new Set<string>();
/** Where a secret was seen, since the last `sweep`. */
const leaked = new Set<string>();

/** A fresh directory to be AUTHLINE_HOME, removed by `sweep` or with this process. */
export function tempHome(): string {
  const home = mkdtempSync(path.join(os.tmpdir(), "authline-home-"));
  homes.add(home);
  return home;
}

export function authline(argv: string[], options: Options = {}): Running {
  const { sink = "pipe", stdin = "inherit-null", timeoutMs = 20_000, home = tempHome() } = options;
  const startedAt = performance.now();
  const tap = new Tap();
  const stderr: Buffer[] = [];
  const command = [process.execPath, binary, ...argv];
  const launch = sink === "pty" || sink === "pty-stderr" ? launchOnTerminal : launchOnPipes;
  const child = launch(command, { ...options, sink, stdin, home, env: cleanEnv(options, home) }, tap, (chunk) =>
    stderr.push(chunk),
  );
  const run = { pid: child.pid, home };
  started.add(run);

  const finish = async (): Promise<Run> => {
    const { code, signal } = await child.exited;
    const endedAt = performance.now();
    await child.drained;
    const lingeredMs = tap.resultAt === undefined ? undefined : endedAt - tap.resultAt;
    const durationMs = endedAt - startedAt;
    const { bytes: stdout, events } = tap;
    // A terminal shows what is typed there, and a token to who asks for it.
    const onScreen = { pty: [], "pty-stderr": [shownOf(stdout)] }[sink as string];
    mustHide(argv, onScreen ?? [shownOf(stdout), String(Buffer.concat(stderr))]);
    return { ...run, stdout, stderr: String(Buffer.concat(stderr)), code, signal, events, durationMs, lingeredMs };
  };
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const alive = living(run);
      for (const pid of alive) signalTo(pid, "SIGKILL");
      const what = alive.includes(run.pid) ? "did not end" : "ended, but something still holds its output open";
      const seen = `stdout: ${tap.bytes}\nstderr: ${Buffer.concat(stderr)}`;
      reject(new Error(`authline ${argv.join(" ")} ${what} within ${timeoutMs} ms\n${seen}`));
    }, timeoutMs);
  });
  const done = Promise.race([finish(), tooLong]).finally(() => {
    clearTimeout(timer);
    tap.end();
  });
  done.catch(() => {}); // whoever awaits `done` still sees it; a test that failed before that must not fail twice

  return {
    ...run,
    done,
    kill: child.kill,
    next: (wanted) => tap.next(typeof wanted === "function" ? wanted : (event) => event.phase === wanted, stderr),
    write: child.write,
    hangUp: child.hangUp,
  };
}

/**
 * What a run left running: members of its process group or session, and anything that has its AUTHLINE_HOME. A process
 * may need a moment to die, and /proc cannot be awaited: it is asked until nothing is left or `withinMs` is over.
 * Linux only; elsewhere nothing is found.
 */
export async function leftovers(run: { pid: number; home: string }, withinMs = 1000): Promise<string[]> {
  const deadline = performance.now() + withinMs;
  let alive = living(run);
  while (alive.length > 0 && performance.now() < deadline) {
    await sleep(10);
    alive = living(run);
  }
  return alive.map(describe);
}

const describe = (pid: number) => `${pid} ${readProc(pid, "cmdline").replaceAll("\0", " ").trim()}`;

/** Remembers what got out, for `sweep` to fail upon. */
export function mustHide(argv: readonly string[], texts: readonly string[]): void {
  for (const text of texts) {
    for (const secret of secretsIn(text)) leaked.add(`authline ${argv.join(" ")} shows ${secret}`);
  }
}

/** What a stream shows besides the one token that it is for. */
export const shownOf = (stdout: Buffer) =>
  String(stdout).replace(/("command":"token",.*"data":\{[^{}]*?"access_token":)"[^"]*"/g, "$1");

/** For afterEach: ends what still runs and removes the homes. Returns what it had to end. Throws where a secret got out. */
export async function sweep(): Promise<string[]> {
  const found: string[] = [];
  const processes = started.size > 0 ? everyProcess() : [];
  for (const run of started) {
    const alive = living(run, processes);
    if (alive.length === 0) continue;
    found.push(...alive.map(describe));
    for (const pid of alive) signalTo(pid, "SIGKILL");
    await leftovers(run);
  }
  started.clear();
  for (const home of homes) for (const place of secretsUnder(home)) leaked.add(place);
  removeHomes();
  const places = [...leaked];
  leaked.clear();
  if (places.length > 0) throw new Error(`secrets in sight:\n${places.join("\n")}`);
  return found;
}

process.once("exit", () => {
  for (const run of started) for (const pid of living(run)) signalTo(pid, "SIGKILL");
  removeHomes();
  for (const directory of fifoDirectories) rmSync(directory, { recursive: true, force: true });
});

/** Collects stdout and cuts it into events while it streams. */
export class Tap {
  #chunks: Buffer[] = [];
  #rest = "";
  #decoder = new TextDecoder();
  #passed = 0;
  #ended = false;
  #bell = new EventEmitter().setMaxListeners(0);
  events: Event[] = [];
  resultAt: number | undefined;

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#rest += this.#decoder.decode(chunk, { stream: true });
    const complete = this.#rest.lastIndexOf("\n") + 1;
    const fresh = parseStream(this.#rest.slice(0, complete));
    this.#rest = this.#rest.slice(complete);
    this.events.push(...fresh);
    if (fresh.some((event) => event.phase === "result")) this.resultAt ??= performance.now();
    this.#bell.emit("change");
  }

  end(): void {
    this.#ended = true;
    this.#bell.emit("change");
  }

  async next(wanted: (event: Event) => boolean, stderr: Buffer[]): Promise<Event> {
    for (;;) {
      for (let event = this.events[this.#passed]; event; event = this.events[this.#passed]) {
        this.#passed += 1;
        if (wanted(event)) return event;
      }
      if (this.#ended) break;
      await once(this.#bell, "change");
    }
    throw new Error(`the stream ended without it\nstdout: ${this.bytes}\nstderr: ${Buffer.concat(stderr)}`);
  }
}

type Settled = Options & Required<Pick<Options, "sink" | "stdin" | "home">> & { env: Record<string, string> };

interface Launched {
  pid: number;
  exited: Promise<Ended>;
  /** Both streams were read to their end, or nobody reads them any more. */
  drained: Promise<unknown>;
  kill(signal: NodeJS.Signals): boolean;
  write(text: string): void;
  hangUp(): void;
}

function launchOnPipes(command: string[], options: Settled, tap: Tap, onStderr: (chunk: Buffer) => void): Launched {
  const out = openStdout(options.sink, tap);
  const err = openFifo();
  // `>&-` is for a shell to do. exec keeps the process id.
  const [file = "", ...args] = options.sink === "closed" ? ["sh", "-c", 'exec "$@" >&-', "sh", ...command] : command;
  const child: ChildProcess = spawn(file, args, {
    cwd: options.cwd ?? os.tmpdir(),
    env: options.env,
    stdio: [options.stdin === "inherit-null" ? "ignore" : "pipe", out.fd ?? "ignore", err.write],
    detached: true,
  });
  if (out.fd !== undefined) closeSync(out.fd);
  closeSync(err.write);
  err.unlink();
  const stderrRead = read(err.read, onStderr).ended;
  child.stdin?.on("error", () => {}); // a child need not read its stdin
  if (!["inherit-null", "held-open"].includes(options.stdin)) child.stdin?.end(options.stdin);

  const exited = new Promise<Ended>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      out.atExit();
      resolve({ code, signal });
    });
  });
  return {
    pid: child.pid ?? 0,
    exited,
    drained: Promise.all([out.ended, stderrRead]),
    kill: (signal) => signalTo(child.pid ?? 0, signal),
    write: (text) => child.stdin?.write(text),
    hangUp: out.hangUp,
  };
}

function launchOnTerminal(command: string[], options: Settled, tap: Tap, onStderr: (chunk: Buffer) => void): Launched {
  // The command must open the pipe by its name: a terminal hands over no descriptors. We hold a writing end until it is
  // gone, for without any writer a reader would see the end of the file before the beginning.
  const pipe = options.sink === "pty-stderr" ? openFifo() : undefined;
  const words = pipe ? ["sh", "-c", 'out=$1; shift; exec "$@" >"$out"', "sh", pipe.path, ...command] : command;
  const { cols = 80, rows = 24, cwd = os.tmpdir(), env } = options;
  const onScreen = pipe ? onStderr : (chunk: Buffer) => tap.push(chunk);
  const terminal = onTerminal(words, { cols, rows, cwd, env, onText: (text) => onScreen(Buffer.from(text)) });
  if (!["inherit-null", "held-open"].includes(options.stdin)) terminal.type(options.stdin);

  const reader = pipe ? read(pipe.read, (chunk) => tap.push(chunk)) : undefined;
  const exited = terminal.ended.finally(() => {
    if (!pipe) return;
    closeSync(pipe.write);
    pipe.unlink();
  });
  return {
    pid: terminal.pid,
    exited,
    drained: Promise.resolve(reader?.ended),
    kill: (signal) => signalTo(terminal.commandPid() ?? terminal.pid, signal),
    write: terminal.type,
    hangUp: () => reader?.hangUp(),
  };
}

interface Stdout {
  fd: number | undefined;
  ended: Promise<unknown>;
  hangUp(): void;
  atExit(): void;
}

function openStdout(sink: Sink, tap: Tap): Stdout {
  const nothing = () => {};
  if (sink === "closed") return { fd: undefined, ended: Promise.resolve(), hangUp: nothing, atExit: nothing };
  if (sink === "file") return openFile(mkdtempSync(path.join(os.tmpdir(), "authline-out-")), tap);

  const pipe = openFifo();
  pipe.unlink();
  let gone = false;
  const reader = read(
    pipe.read,
    (chunk) => {
      if (gone) return;
      const firstLine = sink === "gone" ? chunk.indexOf(0x0a) : -1;
      tap.push(firstLine === -1 ? chunk : chunk.subarray(0, firstLine + 1));
      if (firstLine === -1) return;
      gone = true;
      reader.hangUp();
    },
    sink === "slow" ? { bytes: 512, pauseMs: 1 } : undefined,
  );
  return { fd: pipe.write, ended: reader.ended, hangUp: reader.hangUp, atExit: nothing };
}

/** `> file`: follows the file while it grows, so that `next` works on it too. */
function openFile(directory: string, tap: Tap): Stdout {
  const file = path.join(directory, "stdout");
  const fd = openSync(file, "w");
  const follower = openSync(file, "r");
  const buffer = Buffer.alloc(65_536);
  const catchUp = () => {
    for (let size = readSync(follower, buffer); size > 0; size = readSync(follower, buffer)) {
      tap.push(Buffer.from(buffer.subarray(0, size)));
    }
  };
  const watcher = watch(file, catchUp);
  const atExit = () => {
    watcher.close();
    catchUp();
    closeSync(follower);
    rmSync(directory, { recursive: true });
  };
  return { fd, ended: Promise.resolve(), hangUp: () => {}, atExit };
}

/** A pipe as a shell makes it. Node cannot call pipe(2), but it can open both ends of a FIFO. */
function openFifo() {
  const fifo = fifos.pop() ?? freshFifo();
  // Without O_NONBLOCK the first end would wait for the second one, which is ours as well.
  const readEnd = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  const writeEnd = openSync(fifo, constants.O_WRONLY);
  return { path: fifo, read: readEnd, write: writeEnd, unlink: () => rmSync(fifo) };
}

const fifos: string[] = [];
const fifoDirectories: string[] = [];

/** Many at once: to start a program for each would cost a test as much as what it tests. */
function freshFifo(): string {
  const directory = mkdtempSync(path.join(os.tmpdir(), "authline-pipe-"));
  fifoDirectories.push(directory);
  const [first = "", ...more] = Array.from({ length: 50 }, (_, index) => path.join(directory, `${index}`));
  execFileSync("mkfifo", ["-m", "600", first, ...more]);
  fifos.push(...more);
  return first;
}

/** Reads a pipe to its end; with `sips`, a few bytes at a time, so that the pipe stays full behind them. */
function read(fd: number, onChunk: (chunk: Buffer) => void, sips?: { bytes: number; pauseMs: number }) {
  const onread = sips && {
    buffer: Buffer.alloc(sips.bytes),
    callback: (size: number, buffer: Uint8Array) => {
      onChunk(Buffer.from(buffer.subarray(0, size)));
      setTimeout(() => socket.resume(), sips.pauseMs);
      socket.pause();
      return false;
    },
  };
  const socket: Socket = new Socket({ fd, readable: true, writable: false, ...(onread && { onread }) });
  const ended = once(socket, "close");
  socket.on("data", onChunk);
  socket.resume();
  return { ended, hangUp: () => void socket.destroy() };
}

/** What any login shell has, and nothing that says who or where we are: no CI, NO_COLOR, DISPLAY, BROWSER, XDG_*. */
export function cleanEnv({ env = {}, faults }: Pick<Options, "env" | "faults">, home: string): Record<string, string> {
  const preload = faults && new URL(`faults/${faults.replace(/\.mjs$/, "")}.mjs`, import.meta.url);
  if (preload && !existsSync(preload)) throw new Error(`no such fault: ${faults}`);
  const flag = preload && `--import=${preload.href}`;
  const { NODE_OPTIONS } = env;
  const variables: Record<string, string | undefined> = {
    PATH,
    TMPDIR,
    LANG: "C.UTF-8",
    HOME: home,
    AUTHLINE_HOME: home,
    ...env,
    NODE_OPTIONS: [NODE_OPTIONS, flag].filter(Boolean).join(" ") || undefined,
  };
  return Object.fromEntries(
    Object.entries(variables).filter((pair): pair is [string, string] => pair[1] !== undefined),
  );
}

interface Process {
  pid: number;
  group: number;
  session: number;
  environ: string;
}

/** Every one but ourselves that is not dead. */
function everyProcess(): Process[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((name) => {
      const pid = Number(name);
      // pid (name) state ppid group session …, where the name may hold spaces and parentheses
      const [state = "", , group, session] = readProc(pid, "stat")
        .replace(/^.*\) /s, "")
        .split(" ");
      if (["", "Z", "X"].includes(state)) return [];
      return { pid, group: Number(group), session: Number(session), environ: `\0${readProc(pid, "environ")}\0` };
    });
}

function living({ pid, home }: { pid: number; home: string }, processes = everyProcess()): number[] {
  const isOurs = ({ environ }: Process) => environ.includes(`\0AUTHLINE_HOME=${home}\0`);
  // After its end a process id may be given to a stranger, whose group is none of our business: we kill what we find.
  const holder = processes.find((each) => each.pid === pid);
  const mayHaveGroup = pid !== 0 && (holder === undefined || isOurs(holder));
  return processes
    .filter((each) => isOurs(each) || (mayHaveGroup && (each.group === pid || each.session === pid)))
    .map((each) => each.pid);
}

function readProc(pid: number, file: "stat" | "environ" | "cmdline"): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return ""; // gone in the meantime, or not ours
  }
}

function signalTo(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return pid !== 0 && process.kill(pid, signal);
  } catch {
    return false;
  }
}

function removeHomes(): void {
  for (const home of homes) rmSync(home, { recursive: true, force: true });
  homes.clear();
}
