/**
 * A lock between processes that a killed process cannot keep and a slow one is not robbed of.
 *
 *   <path>/1, 2, 3 …   each a claim: who made it, or that it was given back
 *
 * Rules: the claim with the highest number counts. A new one is made only over one that was given back or whose process
 * is gone, by link(2), which one process wins. A number is never used for two claims at once, because the winner looks
 * again whether it is still the highest before it believes itself. Nothing is ever taken away from a living process of
 * this machine; of a process elsewhere (a shared home) only its sign of life is known, and that it stopped.
 */
import {
  existsSync,
  linkSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { uptime } from "node:os";
import { join } from "node:path";
import { makeDirectories } from "./files.ts";

/** Who locks. */
export interface Self {
  pid: number;
  /** What tells process IDs of this machine from others': its host name, and its PID namespace where there are some. */
  host: string;
  isAlive(pid: number): boolean;
  /** Tells a process from a later one with the same ID; undefined where the system does not say. */
  startOf(pid: number): string | undefined;
}

export interface Lock {
  release(): void;
}

/** Who made the last claim, for people. */
export interface Holder {
  pid: number;
  host: string;
  since: Date;
  /** Whether it counts: its process is there, or is elsewhere and gives signs of life. */
  holds: boolean;
}

interface Claim {
  pid: number;
  host: string;
  start?: string;
}

const HEARTBEAT_MS = 5_000;
const SILENCE_MS = 60_000;

/** The lock, or undefined while another process has it. */
export function tryLock(path: string, self: Self): Lock | undefined {
  makeDirectories(path, 0o700);
  for (let attempt = 0; attempt < 20; attempt++) {
    const top = highest(path);
    if (top > 0 && isHeld(join(path, String(top)), self)) return undefined;
    const mine = claim(path, top + 1, self);
    if (mine) return mine;
  }
  return undefined; // so many others want it that one of them has it
}

/** Whether somebody has it now. */
export function isLocked(path: string, self: Self): boolean {
  if (!existsSync(path)) return false;
  const top = highest(path);
  return top > 0 && isHeld(join(path, String(top)), self);
}

/** Undefined where it was given back, or nobody ever had it. */
export function holderOf(path: string, self: Self): Holder | undefined {
  const file = join(path, String(highest(path)));
  try {
    const { pid, host = "" }: Partial<Claim> = JSON.parse(readFileSync(file, "utf8"));
    if (pid === undefined) return undefined;
    const { birthtime, mtime } = statSync(file);
    const since = birthtime.getTime() > 0 && birthtime < mtime ? birthtime : mtime; // not every file system knows
    return { pid, host, since, holds: isHeld(file, self) };
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function claim(path: string, number: number, self: Self): Lock | undefined {
  const file = join(path, String(number));
  const start = self.startOf(self.pid);
  const draft = write(path, { pid: self.pid, host: self.host, ...(start !== undefined && { start }) });
  try {
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return undefined;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  if (highest(path) !== number) {
    rmSync(file, { force: true }); // made over a number that was swept while we looked
    return undefined;
  }
  for (const old of numbers(path)) if (old < number) rmSync(join(path, String(old)), { force: true });

  const beat = setInterval(() => {
    try {
      utimesSync(file, new Date(), new Date());
    } catch {
      // gone with its directory: there is nothing left to hold
    }
  }, HEARTBEAT_MS).unref();
  return {
    release() {
      clearInterval(beat);
      try {
        renameSync(write(path, {}), file); // not deleted: its number must not come again
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return; // swept with what it locked
        truncateSync(file, 0); // a full disk still has room for nothing, which is no claim
      }
    },
  };
}

function write(path: string, claim: Partial<Claim>): string {
  const draft = join(path, `.${crypto.randomUUID()}`);
  writeFileSync(draft, JSON.stringify(claim), { mode: 0o600, flag: "wx" });
  return draft;
}

const numbers = (path: string) => readdirSync(path).flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));
const highest = (path: string) => Math.max(0, ...numbers(path));

function isHeld(file: string, self: Self): boolean {
  try {
    const { pid, host, start }: Partial<Claim> = JSON.parse(readFileSync(file, "utf8"));
    const touched = statSync(file).mtimeMs;
    if (pid === undefined) return false;
    if (host !== self.host) return Math.abs(Date.now() - touched) < SILENCE_MS; // a time to come is no sign of life
    if (!self.isAlive(pid)) return false;
    const now = self.startOf(pid);
    if (start !== undefined && now !== undefined) return start === now;
    return touched >= Date.now() - uptime() * 1000 - HEARTBEAT_MS; // or made before this machine started
  } catch (error) {
    if (error instanceof SyntaxError) return false; // written whole, so it was torn by a machine that stopped
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
