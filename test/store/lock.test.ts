/**
 * The lock between processes, by every schedule that can be thought of.
 *
 * What is protected: never two holders; a killed holder keeps nothing, wherever it was killed; a living one is never
 * robbed, however long it takes; what killed writers leave behind harms nobody; a number is never given out twice.
 *
 * The calls of lock.ts to the file system are real, but before each of them a schedule may let other processes run, or
 * kill the one that calls: it then does nothing more, not even its `finally`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { build } from "rolldown";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { isLocked, type Lock, type Self, tryLock } from "../../src/store/lock.ts";

const world = vi.hoisted(() => ({
  /** Called before each call of lock.ts to the file system. */
  before: (_call: string) => {},
  uptime: 24 * 3600,
}));

vi.mock("node:fs", async (original) => {
  const real = await original<typeof import("node:fs")>();
  const calls = ["existsSync", "linkSync", "mkdirSync", "readdirSync", "readFileSync", "renameSync", "rmSync"] as const;
  const more = ["statSync", "utimesSync", "writeFileSync", "truncateSync", "lstatSync"] as const;
  const watched = [...calls, ...more].map((name) => {
    const call = real[name] as (...args: unknown[]) => unknown;
    const watchedCall = (...args: unknown[]) => {
      world.before(name);
      return call(...args);
    };
    return [name, watchedCall] as const;
  });
  return { ...real, ...Object.fromEntries(watched) };
});
vi.mock("node:os", async (original) => ({
  ...(await original<typeof import("node:os")>()),
  uptime: () => world.uptime,
}));

/** For the test itself, which nobody interrupts. */
const fs = await vi.importActual<typeof import("node:fs")>("node:fs");

let directory: string;
let path: string;
/** PID to when it started. */
let processes: Map<number, string>;

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "authline-lock-"));
  path = join(directory, "it.lock");
  processes = new Map();
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
});
afterEach(() => {
  vi.useRealTimers();
  world.uptime = 24 * 3600;
  fs.rmSync(directory, { recursive: true, force: true });
});

const HERE = "here pid:[1]";
function selfOf(pid: number, { host = HERE, start = `start ${pid}` }: { host?: string; start?: string } = {}): Self {
  processes.set(pid, start);
  return {
    pid,
    host,
    isAlive: (other) => processes.has(other),
    startOf: (other) => processes.get(other),
  };
}
const end = (pid: number) => processes.delete(pid);

const claims = () =>
  fs
    .readdirSync(path)
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
const top = () => Math.max(0, ...(fs.existsSync(path) ? claims() : []));
const touch = (secondsAgo: number, number = top()) => {
  const then = new Date(Date.now() - secondsAgo * 1000);
  fs.utimesSync(join(path, String(number)), then, then);
};
function held(self: Self): Lock {
  const lock = tryLock(path, self);
  if (!lock) throw new Error(`${self.pid} should have got it`);
  return lock;
}

describe("one after the other", () => {
  test("who has it keeps it, who gives it back does not", () => {
    const [a, b] = [selfOf(1), selfOf(2)];
    expect(isLocked(path, a)).toBe(false);
    expect(fs.existsSync(path)).toBe(false); // who only asks leaves nothing behind
    const first = held(a);
    expect([isLocked(path, a), isLocked(path, b)]).toEqual([true, true]);
    expect([tryLock(path, b), tryLock(path, a)]).toEqual([undefined, undefined]);
    first.release();
    expect(isLocked(path, b)).toBe(false);
    const second = held(b);
    expect(tryLock(path, a)).toBeUndefined();
    second.release();
    expect(fs.readdirSync(path)).toEqual(["2"]); // a number is not forgotten, all else is
  });

  test("a dead one's is taken, and so is that of a PID that is somebody else's now", () => {
    held(selfOf(1));
    end(1);
    expect(isLocked(path, selfOf(2))).toBe(false);
    held(selfOf(2));
    selfOf(2, { start: "later" });
    expect(isLocked(path, selfOf(3))).toBe(false);
    held(selfOf(3));
    expect(tryLock(path, selfOf(4))).toBeUndefined();
  });

  test("a living one's never, however long it has been silent", () => {
    held(selfOf(1));
    touch(20 * 3600);
    expect(isLocked(path, selfOf(2))).toBe(true);
    expect(tryLock(path, selfOf(2))).toBeUndefined();
  });

  test("a living one's not even where the system cannot say when it started", () => {
    held(selfOf(1));
    const other: Self = { ...selfOf(2), startOf: () => undefined };
    expect(tryLock(path, other)).toBeUndefined();
  });

  test("a claim from before this machine started is nobody's", () => {
    const before = { ...selfOf(1), startOf: () => undefined };
    held(before);
    const other = { ...selfOf(2), startOf: () => undefined };
    world.uptime = 600;
    touch(500);
    expect(isLocked(path, other)).toBe(true);
    touch(700);
    expect(isLocked(path, other)).toBe(false);
    held(other);
  });

  test("a clock that is set while it is held robs nobody", () => {
    held(selfOf(1));
    world.uptime = 30;
    touch(365 * 24 * 3600); // started with the wrong date, which was set right a moment ago
    expect(tryLock(path, selfOf(2))).toBeUndefined();
  });

  test("of another host only its silence counts, and a sign of life ends that", () => {
    const there = selfOf(1, { host: "there" });
    const lock = held(there);
    end(1); // what lives here under that number says nothing
    const here = selfOf(2);
    expect(isLocked(path, here)).toBe(true);
    touch(50);
    expect(isLocked(path, here)).toBe(true);
    touch(65);
    expect(isLocked(path, here)).toBe(false);
    touch(-65); // a clock that was wrong, or somebody who set it so: it would be held until then
    expect(isLocked(path, here)).toBe(false);
    touch(-50);
    expect(isLocked(path, here)).toBe(true);
    vi.advanceTimersByTime(6000);
    expect(isLocked(path, here)).toBe(true);
    touch(65);
    const mine = held(here);
    vi.advanceTimersByTime(6000); // the one that was robbed wakes up …
    lock.release();
    expect(tryLock(path, selfOf(3))).toBeUndefined(); // … and takes nothing away
    mine.release();
    held(selfOf(3));
  });

  test("nothing beats for a lock that was given back", () => {
    const lock = held(selfOf(1));
    expect(vi.getTimerCount()).toBe(1);
    lock.release();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("what killed writers leave is in nobody's way, and what was locked may go", () => {
    fs.mkdirSync(path);
    fs.writeFileSync(join(path, `.${crypto.randomUUID()}`), '{"pid":1');
    fs.writeFileSync(join(path, `.${crypto.randomUUID()}`), "");
    fs.writeFileSync(join(path, ".DS_Store"), "\0");
    expect(isLocked(path, selfOf(1))).toBe(false);
    const lock = held(selfOf(1));
    expect(tryLock(path, selfOf(2))).toBeUndefined();
    fs.rmSync(path, { recursive: true });
    vi.advanceTimersByTime(6000);
    lock.release();
    expect(isLocked(path, selfOf(2))).toBe(false);
  });

  test.each(["", "\0\0\0\0", '{"pid":1'])("a claim that a power failure left as %j is nobody's", (torn) => {
    held(selfOf(1));
    fs.writeFileSync(join(path, "1"), torn);
    expect(isLocked(path, selfOf(2))).toBe(false);
    held(selfOf(2));
    expect(claims()).toEqual([2]);
  });
});

/** Thrown into a process that is killed: it makes no further call. */
class Killed extends Error {}

/** Some processes and a tape that says when each of them runs, stops in the middle, is killed and is born again. */
class Schedule {
  /** The processes in the middle of a call, the one that runs last. */
  readonly #running: number[] = [];
  readonly #locks = new Map<number, Lock>();
  #births = 0;
  #last = 0;
  #tape: readonly number[];
  #at = 0;
  readonly #count: number;
  overtaken = 0;
  killed = 0;
  taken = 0;

  constructor(tape: readonly number[], count: number) {
    this.#tape = tape;
    this.#count = count;
    for (let pid = 1; pid <= count; pid++) this.#bear(pid);
  }

  run(): void {
    world.before = () => this.#interrupt();
    try {
      while (this.#at < this.#tape.length) this.#step();
    } finally {
      world.before = () => {};
    }
    for (const lock of this.#locks.values()) lock.release();
    this.#locks.clear();
    this.#try(1); // nobody is in the middle of anything: it must be there for the taking
    expect(claims()).toEqual([top()]);
  }

  #next = () => this.#tape[this.#at++] ?? 0;
  #bear(pid: number) {
    processes.set(pid, `birth ${++this.#births}`);
  }

  /** Before a call: perhaps others run first, perhaps this is its end. */
  #interrupt() {
    const me = this.#running.at(-1);
    if (me === undefined) return; // the test itself is looking
    if (!processes.has(me)) throw new Killed();
    for (let many = this.#next() % 16; many > 11; many--) {
      this.overtaken++;
      this.#step();
    }
    if (this.#next() % 40 === 1) this.#kill(me);
    if (!processes.has(me)) throw new Killed();
  }

  #step() {
    const pid = 1 + (this.#next() % this.#count);
    const what = this.#next() % 12;
    if (this.#running.length > 5) return;
    if (what === 0) this.#kill(pid);
    if (this.#running.includes(pid)) return; // stopped in the middle of something: it may only die
    if (!processes.has(pid)) this.#bear(pid);
    else if (this.#locks.has(pid)) {
      if (what < 6) this.#release(pid);
    } else this.#try(pid);
  }

  #kill(pid: number) {
    if (!processes.delete(pid)) return;
    this.#locks.delete(pid);
    this.killed++;
  }

  #release(pid: number) {
    const lock = this.#locks.get(pid);
    this.#locks.delete(pid);
    this.#as(pid, () => lock?.release());
  }

  #try(pid: number) {
    const free = this.#running.length === 0 && this.#locks.size === 0;
    const start = processes.get(pid);
    const self = { pid, host: HERE, isAlive: (other: number) => processes.has(other) };
    const startOf = (other: number) => (other === pid ? start : processes.get(other));
    let killed = false;
    const lock = this.#as(
      pid,
      () => tryLock(path, { ...self, startOf }),
      () => (killed = true),
    );
    if (lock) {
      expect([...this.#locks.keys()]).toEqual([]); // nobody else has it
      this.#locks.set(pid, lock);
      this.taken++;
    } else if (free && !killed && this.#locks.size === 0 && this.#undisturbed) throw new Error("nobody has it");
    if (!lock) return;
    expect(top()).toBeGreaterThan(this.#last); // a number of its own
    this.#last = top();
  }

  /** Nobody ran while the last call was made. */
  #undisturbed = true;

  #as<T>(pid: number, call: () => T, onKilled = () => {}): T | undefined {
    const overtaken = this.overtaken;
    this.#running.push(pid);
    try {
      return call();
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      onKilled();
      return undefined;
    } finally {
      this.#running.pop();
      this.#undisturbed = this.overtaken === overtaken;
    }
  }
}

test("whatever the schedule: one holder, nobody robbed, nothing stuck", { timeout: 30_000 }, () => {
  const tapes = fc.array(fc.nat({ max: 239 }), { minLength: 50, maxLength: 400, size: "max" });
  const seen = { overtaken: 0, killed: 0, taken: 0 };
  let schedules = 0;
  fc.assert(
    fc.property(tapes, fc.integer({ min: 2, max: 6 }), (tape, count) => {
      processes.clear();
      fs.rmSync(path, { recursive: true, force: true });
      vi.clearAllTimers();
      const schedule = new Schedule(tape, count);
      schedule.run();
      for (const name of ["overtaken", "killed", "taken"] as const) seen[name] += schedule[name];
      schedules++;
    }),
    { numRuns: 1000, interruptAfterTimeLimit: 20_000 }, // to shrink takes a while
  );
  // Schedules in which nothing happens would prove nothing, and so would few; how many there is time for is for the machine to say.
  expect(schedules).toBeGreaterThan(100);
  expect(seen.overtaken / schedules).toBeGreaterThan(3);
  expect(seen.killed / schedules).toBeGreaterThan(1.3);
  expect(seen.taken / schedules).toBeGreaterThan(3);
});

describe("real processes", () => {
  const PROCESSES = 30;
  const ROUNDS = 50;
  const KILLS = 12;

  const WORKER = `
    import { readFileSync, renameSync, writeFileSync } from "node:fs";
    import { setTimeout as sleep } from "node:timers/promises";
    import { tryLock } from "./lock.mjs";
    const [path, counter, rounds] = process.argv.slice(2);
    const { pid } = process;
    const self = {
      pid,
      host: "here",
      isAlive(pid) { try { return process.kill(pid, 0); } catch { return false; } },
      startOf() { return undefined; },
    };
    for (let round = 0; round < Number(rounds); round++) {
      let lock;
      while (!(lock = tryLock(path, self))) await sleep(Math.random() * 30);
      const value = Number(readFileSync(counter, "utf8")) + 1;
      if (Math.random() < 0.2) await sleep(1);
      writeFileSync(counter + pid, String(value));
      renameSync(counter + pid, counter);
      lock.release();
      process.stdout.write(value + "\\n");
    }`;

  test("count together, and whoever has the lock may be killed", { timeout: 60_000 }, async () => {
    vi.useRealTimers();
    const worker = join(directory, "worker.mjs");
    const counter = join(directory, "counter");
    fs.writeFileSync(worker, WORKER);
    fs.writeFileSync(counter, "0");
    await build({
      input: new URL("../../src/store/lock.ts", import.meta.url).pathname,
      platform: "node",
      logLevel: "silent",
      output: { file: join(directory, "lock.mjs"), format: "esm" },
    });

    let said = "";
    const children = Array.from({ length: PROCESSES }, () => {
      const child: ChildProcess = spawn(process.execPath, [worker, path, counter, String(ROUNDS)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      child.stdout?.on("data", (chunk) => {
        said += chunk; // a line is one write to a pipe: never torn
      });
      return child;
    });
    const deadline = setTimeout(() => {
      for (const child of children) child.kill("SIGKILL");
    }, 40_000);
    const ends = Promise.all(children.map(async (child) => (await once(child, "close"))[0] as number | null));

    const killed = new Set<number>();
    while (killed.size < KILLS && children.some(({ exitCode }) => exitCode === null)) {
      await sleep(50 + Math.random() * 100);
      const holder = children.find((child) => child.pid === holderNow());
      if (holder?.exitCode === null && holder.kill("SIGKILL")) killed.add(holder.pid ?? 0);
    }
    const codes = await ends;
    clearTimeout(deadline);

    expect(killed.size).toBe(KILLS);
    expect(codes.filter((code) => code === 0)).toHaveLength(PROCESSES - KILLS); // nobody waited for ever
    const values = said.trimEnd().split("\n").map(Number);
    expect(new Set(values).size).toBe(values.length); // no two read the same
    const final = Number(fs.readFileSync(counter, "utf8"));
    expect(values.length).toBeGreaterThanOrEqual((PROCESSES - KILLS) * ROUNDS);
    expect(Math.max(...values)).toBeLessThanOrEqual(final);
    expect(final - values.length).toBeGreaterThanOrEqual(0);
    expect(final - values.length).toBeLessThanOrEqual(KILLS); // each of them may have been about to say so
    expect(claims()).toEqual([top()]);
    expect(top()).toBeGreaterThanOrEqual(final);
  });

  function holderNow(): number | undefined {
    try {
      return JSON.parse(fs.readFileSync(join(path, String(top())), "utf8")).pid;
    } catch {
      return undefined; // swept while we looked
    }
  }
});
