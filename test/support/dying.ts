/**
 * A process that dies at any step at which it changes something on disk, without being one: from that step on nothing that
 * it does reaches the disk any more, its locks stay where they are, and everybody knows that it is gone. As cheap as a call.
 */
import fs, { type PathLike } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { read } from "../../src/cli.ts";
import { type Context, createContext } from "../../src/context.ts";
import type { Outcome } from "../../src/flow.ts";
import type { Notice } from "../../src/protocol/event.ts";
import { asFailure, Failure } from "../../src/protocol/failure.ts";

const DEAD = 2 ** 22 + 1; // more than any system gives

/** What a flow is given, for a home. */
export function contextOf(home: string, env: Record<string, string> = {}, pid = process.pid): Context {
  return createContext(
    {
      argv: [],
      env,
      platform: "linux",
      node: process.versions.node,
      terminal: { stdin: false, stdout: false, stderr: false },
      stdin: () => Readable.from([]),
      pid,
      ppid: process.ppid,
      isAlive: (other: number) => other !== DEAD,
      kill: () => {},
      program: [process.execPath, ""],
      signal: new AbortController().signal,
    },
    home,
  );
}

/** What a command ends with; `said` gets what it says on the way. */
export async function end(argv: string[], ctx: Context, said: Notice[] = []): Promise<Outcome | Failure> {
  try {
    const flow = read(argv, () => ctx).flow({} as never);
    for (;;) {
      const { done, value } = await flow.next();
      if (done) return value;
      said.push(value);
    }
  } catch (error) {
    return asFailure(error);
  }
}

/** The same, where it must end well. */
export async function success(argv: string[], ctx: Context, said?: Notice[]): Promise<Outcome> {
  const outcome = await end(argv, ctx, said);
  if (outcome instanceof Failure) throw new Error(`${argv.join(" ")}: ${outcome.message}`, { cause: outcome });
  return outcome;
}

// biome-ignore format: one list
const CALLS = ["mkdirSync", "chmodSync", "writeFileSync", "appendFileSync", "renameSync", "linkSync", "rmSync", "unlinkSync", "truncateSync", "utimesSync"] as const;

class Death extends Error {}

/** Runs `argv` until it dies at `step`, before the call; a file that is written also dies half-way. False: it got to its end. */
async function dies(step: number, argv: string[], home: string, env: Record<string, string>): Promise<boolean> {
  const originals = Object.fromEntries(CALLS.map((name) => [name, fs[name]]));
  let steps = 0;
  const isLast = () => ++steps === step;
  for (const name of CALLS) {
    const real = fs[name] as (...args: unknown[]) => unknown;
    const dying = (path: PathLike, ...rest: unknown[]) => {
      if (!String(path).startsWith(home)) return real(path, ...rest);
      if (steps >= step) throw new Death();
      if (isLast()) throw new Death();
      if (name === "writeFileSync" && isLast()) {
        const [text, options] = rest as [string, object];
        real(path, text.slice(0, text.length / 2), options);
        throw new Death();
      }
      return real(path, ...rest);
    };
    Object.assign(fs, { [name]: dying });
  }
  syncBuiltinESMExports();
  try {
    const outcome = await end(argv, contextOf(home, env, DEAD));
    if (steps < step && outcome instanceof Failure) throw outcome;
  } finally {
    Object.assign(fs, originals);
    syncBuiltinESMExports();
  }
  return steps >= step;
}

interface Deaths {
  argv: string[];
  env?: Record<string, string>;
  /** Makes what the command finds. */
  prepare(home: string): Promise<void>;
  /** Judges what it has left. */
  judge(home: string, step: number): Promise<void>;
}

/** Where there is one: on a disk every one of thousands of writes would be waited for. */
const MEMORY = "/dev/shm";

/** The number of steps at which it could die. */
export async function dieAtEveryStep({ argv, env = {}, prepare, judge }: Deaths): Promise<number> {
  const root = fs.mkdtempSync(join(fs.existsSync(MEMORY) ? MEMORY : tmpdir(), "authline-dying-"));
  try {
    await prepare(join(root, "before"));
    for (let step = 1; ; step++) {
      const home = join(root, `step${step}`);
      fs.cpSync(join(root, "before"), home, { recursive: true });
      const hasDied = await dies(step, argv, home, env);
      await judge(home, step);
      if (!hasDied) return step - 1;
    }
  } finally {
    fs.rmSync(root, { recursive: true });
  }
}
