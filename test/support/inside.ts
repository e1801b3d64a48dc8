/**
 * The program without a process of its own: the same from argv to the last line, with real servers and a real store, and a
 * hundred times as fast. For the many cases that are not about processes, pipes and signals; those spawn the binary.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Stream } from "../../src/run.ts";
import { start } from "../../src/start.ts";
import { binary, cleanEnv, mustHide, type Options, type Run, type Running, shownOf, Tap, tempHome } from "./spawn.ts";

type Inner = Pick<Options, "env" | "home" | "timeoutMs">;

export function inside(argv: string[], { env: more = {}, home = tempHome(), timeoutMs = 20_000 }: Inner = {}): Running {
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
    stdin: () => {
      throw new Error("there is no stdin inside");
    },
    signal: aborter.signal,
    pid: process.pid,
    ppid: process.ppid,
    isAlive: (pid) => pid === process.pid,
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
    pid: 0,
    home,
    done,
    kill(signal) {
      aborter.abort(signal);
      return true;
    },
    next: (wanted) => tap.next(typeof wanted === "function" ? wanted : (event) => event.phase === wanted, stderr),
    write() {},
    hangUp() {},
  };
}
