/**
 * A command that is killed at every step at which it changes something on disk, one run after the other, until it gets to
 * its end; and the same command in this process, to see what a later one makes of what is left.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { read } from "../../src/cli.ts";
import type { Outcome } from "../../src/flow.ts";
import { Failure } from "../../src/protocol/failure.ts";
import { contextAt } from "./sealed.ts";
import { authline, tempHome } from "./spawn.ts";

export interface KillPoints {
  argv: string[];
  env?: Record<string, string>;
  /** Makes what the command finds. `name` is another one for each run. */
  prepare(home: string, name: string): Promise<void>;
  /** Judges what a run has left that was killed at this step. */
  judge(home: string, name: string, step: number): Promise<void>;
}

const AT_ONCE = 4;

/** The number of steps: a run that is to be killed after them comes to its end. */
export async function killAtEveryStep({ argv, env, prepare, judge }: KillPoints): Promise<number> {
  let steps: number | undefined;
  let next = 1;
  const worker = async () => {
    while (steps === undefined) {
      const step = next++;
      const [home, name] = [tempHome(), `step${step}`];
      await prepare(home, name);
      const { code, signal, stderr } = await authline(argv, {
        home,
        faults: "kill-at",
        env: { ...env, KILL_AT: String(step) },
      }).done;
      if (signal === "SIGKILL") {
        await judge(home, name, step);
        continue;
      }
      if (code !== 0) throw new Error(`${argv.join(" ")} failed before it was killed at step ${step}: ${stderr}`);
      steps = Math.min(steps ?? step, step) - 1;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return steps ?? 0;
}

/** What a command ends with, run in this process. */
export async function inProcess(
  argv: string[],
  home: string,
  env: Record<string, string> = {},
): Promise<Outcome | Failure> {
  const context = contextAt(home, env);
  try {
    const flow = read(argv, () => context).flow({} as never);
    for (;;) {
      const { done, value } = await flow.next();
      if (done) return value;
    }
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
}

/** The paths below `home` whose name ends so, or all files. */
export function filesUnder(home: string, suffix = ""): string[] {
  const paths = readdirSync(home, { recursive: true }).map((path) => join(home, String(path)));
  return paths.filter((path) => path.endsWith(suffix) && statSync(path).isFile());
}

/** The files below `home` in which one of these words stands. */
export const filesWith = (home: string, words: RegExp): string[] =>
  filesUnder(home).filter((path) => words.test(readFileSync(path, "latin1")));
