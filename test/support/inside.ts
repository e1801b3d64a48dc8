/**
 * The program without a process of its own: the same from argv to the last line, with real servers and a real store, and
 * many times as fast. For the many cases that are not about processes, pipes and signals; those spawn the binary.
 */
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { Stream } from "../../src/run.ts";
import { start } from "../../src/start.ts";
import {
  authline,
  binary,
  cleanEnv,
  mustHide,
  type Options,
  type Run,
  type Running,
  shownOf,
  Tap,
  tempHome,
} from "./spawn.ts";

type Inner = Pick<Options, "env" | "home" | "stdin" | "timeoutMs">;

/** What only a process has. */
const OF_A_PROCESS = ["sink", "faults", "cwd"] as const satisfies (keyof Options)[];

/**
 * The program, for a test that asks for no process: inside, unless what is asked for can only be had with one, or
 * `AUTHLINE_SPAWN=1` wants the built binary everywhere.
 */
export function program(argv: string[], options: Options = {}): Running {
  const isAskedFor = OF_A_PROCESS.some((name) => options[name] !== undefined) || options.env?.["NODE_OPTIONS"];
  const leavesOneBehind = argv.includes("--no-wait");
  const spawned = isAskedFor || leavesOneBehind || process.env["AUTHLINE_SPAWN"] === "1";
  return (spawned ? authline : inside)(argv, options);
}

export function inside(argv: string[], options: Inner = {}): Running {
  const { env: more = {}, home = tempHome(), stdin = "inherit-null", timeoutMs = 20_000 } = options;
  const env = cleanEnv({ env: more }, home);
  const startedAt = performance.now();
  const tap = new Tap();
  const stderr: Buffer[] = [];
  const aborter = new AbortController();
  let stream: Stream | undefined;
  const ended = start({
    argv,
    env,
    platform: process.platform,
    node: process.versions.node,
    terminal: { stdin: false, stdout: false, stderr: false },
    stdin: () =>
      (stdin === "held-open"
        ? new Readable({ read() {} })
        : Readable.from(stdin === "inherit-null" ? [] : [Buffer.from(stdin)])) as NodeJS.ReadStream,
    signal: aborter.signal,
    pid: process.pid,
    ppid: process.ppid,
    isAlive,
    kill: () => {},
    program: [process.execPath, binary],
    onStream(opened) {
      stream = opened;
    },
    onLost() {},
    output: (fd) => ({
      write(content) {
        if (fd === 1) tap.push(Buffer.from(content));
        else stderr.push(Buffer.from(content));
      },
    }),
  });
  const finish = async (): Promise<Run> => {
    await ended;
    const code = stream?.abandon() ?? null;
    const { bytes: stdout, events } = tap;
    const said = String(Buffer.concat(stderr));
    mustHide(argv, [shownOf(stdout), said]);
    const durationMs = performance.now() - startedAt;
    return { pid: 0, home, stdout, stderr: said, code, signal: null, events, durationMs, lingeredMs: undefined };
  };
  const enough = new AbortController();
  const tooLong = sleep(timeoutMs, undefined, { signal: enough.signal }).then(() => {
    aborter.abort("the test");
    throw new Error(`authline ${argv.join(" ")} did not end within ${timeoutMs} ms\n${tap.bytes}`);
  });
  const done = Promise.race([finish(), tooLong]).finally(() => {
    enough.abort();
    tap.end();
  });
  tooLong.catch(() => {});
  done.catch(() => {});
  return {
    pid: Number.NaN, // none: a signal to 0 would be one to ourselves
    home,
    done,
    kill(signal) {
      if (signal === "SIGKILL") throw new Error("whoever is to be killed needs a process");
      aborter.abort(signal);
      return true;
    },
    next: (wanted) => tap.next(typeof wanted === "function" ? wanted : (event) => event.phase === wanted, stderr),
    write() {},
    hangUp() {},
  };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
