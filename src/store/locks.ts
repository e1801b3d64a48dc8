/**
 * The locks of the store, by name, under HOME/locks. A lock's directory is never deleted: what it locks may come again, and
 * a number that comes again could be held twice.
 */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Failure } from "../protocol/failure.ts";
import { attempt, exists, makeDirectory } from "./files.ts";
import { isLocked, type Lock, type Self, tryLock } from "./lock.ts";

export interface Locks {
  /** Undefined while another process has it. */
  take(name: string): Lock | undefined;
  isTaken(name: string): boolean;
  /** The names of those that are taken now. */
  taken(): string[];
}

export function locksAt(home: string, self: Self): Locks {
  const directory = join(home, "locks");
  const isTaken = (name: string) => attempt("read", join(directory, name), () => isLocked(join(directory, name), self));
  return {
    take(name) {
      makeDirectory(directory);
      return attempt("lock", join(directory, name), () => tryLock(join(directory, name), self));
    },
    isTaken,
    taken: () => (exists(directory) ? attempt("read", directory, () => readdirSync(directory)) : []).filter(isTaken),
  };
}

/** Longer than a keyring takes that is slow to keep a key and then hangs when it is asked for it. */
const PATIENCE_MS = 20_000;
const LOOK_MS = 20;

/** For what is held for a moment only. */
export async function patiently(take: () => Lock | undefined): Promise<Lock> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    const lock = take();
    if (lock) return lock;
    if (performance.now() > until) {
      throw new Failure("locked", "Another process has been writing for too long.", {
        hint: "See who: authline doctor",
      });
    }
    await pause(LOOK_MS);
  }
}
