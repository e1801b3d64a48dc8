/**
 * Records of one kind, each in a file of its own: what anybody may know in the clear, and beside it `sealed`, what is secret.
 *
 * Rules: a file that cannot be read is never overwritten; what was written is read back; whoever changes a record that
 * others change too holds its lock.
 */
import { join } from "node:path";
import type * as z from "zod/mini";
import { asFailure, Failure } from "../protocol/failure.ts";
import { makeDirectory, type NameOf, readRecord, recordsIn, removeRecord, writeWhole } from "./files.ts";
import type { Keys } from "./keys.ts";
import type { Lock } from "./lock.ts";

export type Secrets = Record<string, unknown>;
export type Whole<C, S> = C & { secrets: S };

export interface Shelf<C, S> {
  names(): string[];
  /** The record without its secrets, for which no key is needed. */
  glance(name: string): C | undefined;
  read(name: string): Promise<Whole<C, S> | undefined>;
  /** On disk and read back when it returns. */
  write(record: Whole<C, S>): Promise<void>;
  /** False when there was none. */
  remove(name: string): boolean;
  /** Every file with something in it that may be sealed, and with the lock of whoever writes it. */
  sealed(lock: (name: string) => Lock | undefined): Sealed[];
}

/** A file with something sealed in it, for whoever changes the key. */
export interface Sealed {
  name: string;
  isSealed(): boolean;
  /** Sealed with the key that is in use now, or nothing is sealed in it. */
  isCurrent(): boolean;
  /** Undefined while another process writes it. */
  lock(): Lock | undefined;
  /** The caller has the lock. */
  reseal(): Promise<void>;
  /** Asks whoever has had the lock for long to do it. */
  ask?(): Promise<void>;
  /** Why it cannot be opened; undefined where it can. */
  fault(): Promise<Failure | undefined>;
}

/** Somebody who writes something just now, and may have looked up the key a moment ago. */
export interface Writing {
  name: string;
  isDone(): boolean;
}

interface Kind<C, S> {
  directory: string;
  /** What they are: a secret cannot be moved to another kind. */
  kind: string;
  clear: () => z.ZodMiniType<C>;
  secrets: () => z.ZodMiniType<S>;
  nameOf: NameOf<C>;
  /** Such a record without secrets was made by something else: whoever takes them away must not go unnoticed. */
  mustBeSealed?: (record: C) => boolean;
}

export function shelf<C extends object, S extends Secrets>(
  { directory, kind, clear, secrets, nameOf, mustBeSealed = () => false }: Kind<C, S>,
  keys: Pick<Keys, "seal" | "unseal" | "isCurrent" | "isInUse">,
): Shelf<C, S> {
  const find = (name: string) => readRecord({ directory, name }, clear(), nameOf);
  const about = (name: string, raw: object) => JSON.stringify([kind, name, raw]);

  async function read(name: string): Promise<Whole<C, S> | undefined> {
    const found = find(name);
    if (!found) return undefined;
    const { sealed, ...raw } = found.raw;
    if (sealed === undefined && mustBeSealed(found.record)) {
      const path = join(directory, `${name}.json`);
      throw new Failure("store", `${path} holds no sealed secrets: something else wrote it.`, {
        hint: "Nothing was changed. Move the file away, or sign in again.",
      });
    }
    const hidden = sealed === undefined ? {} : await open(name, String(sealed), raw);
    return { ...found.record, secrets: secrets().parse(hidden) };
  }

  async function open(name: string, sealed: string, raw: object): Promise<unknown> {
    try {
      return JSON.parse(await keys.unseal(sealed, about(name, raw)));
    } catch (error) {
      if (!(error instanceof Failure) || error.code !== "store") throw error;
      const path = join(directory, `${name}.json`);
      throw new Failure("store", `${path} cannot be opened. ${error.message}`, error.details);
    }
  }

  async function write({ secrets: hidden, ...rest }: Whole<C, S>): Promise<void> {
    const raw = clear().parse(rest) as C; // what does not fit must not even be tried
    const text = JSON.stringify(secrets().parse(hidden));
    const name = nameOf(raw);
    const path = join(directory, `${name}.json`);
    makeDirectory(directory);
    find(name); // a file that cannot be read is never overwritten
    let sealed: string | undefined;
    do {
      sealed = text === "{}" ? undefined : await keys.seal(text, about(name, raw));
      writeWhole(path, JSON.stringify({ ...raw, sealed }, undefined, 2));
    } while (sealed && !keys.isInUse(sealed)); // somebody changes the key just now
    // It may be another's by now, who wrote at the same time; but it must be a whole one.
    if (await read(name)) return;
    throw new Failure("store", `${path} is gone right after it was written.`, { hint: "Check the disk it is on." });
  }

  const sealedIn = (name: string) => find(name)?.raw["sealed"] as string | undefined;

  return {
    names: () => recordsIn(directory),
    glance: (name) => find(name)?.record,
    read,
    write,
    remove: (name) => removeRecord({ directory, name }),
    sealed: (lock) =>
      recordsIn(directory).map((name) => ({
        name,
        isSealed() {
          try {
            return sealedIn(name) !== undefined;
          } catch {
            return false; // what cannot be read cannot be opened by any key either
          }
        },
        isCurrent() {
          const sealed = sealedIn(name);
          return sealed === undefined || keys.isCurrent(sealed);
        },
        lock: () => lock(name),
        async reseal() {
          const record = await read(name);
          if (record) await write(record);
        },
        fault: () =>
          read(name).then(
            () => undefined,
            (error) => asFailure(error),
          ),
      })),
  };
}
