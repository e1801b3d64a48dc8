/**
 * Records as files, one a record.
 *
 * Rules: directories 0700, files 0600; written beside, synced and renamed, then read back; a file that cannot be read or
 * does not hold what it should is an error and is left as it is.
 */
import {
  chmodSync,
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { userInfo } from "node:os";
import { dirname, join, sep } from "node:path";
import Conf from "conf";
import type * as z from "zod/mini";
import { Failure } from "../protocol/failure.ts";

export interface Place {
  directory: string;
  /** File name without its extension. */
  name: string;
}

/** Under which name a record belongs: under another's it would send one provider's token to who asks for the other's. */
export type NameOf<T> = (record: T) => string;

/** A record, and the text of the file as JSON has it: a newer authline may have written more than we know of. */
export interface Found<T> {
  record: T;
  raw: Record<string, unknown>;
}

/** The names of the records there, sorted. */
export function recordsIn(directory: string): string[] {
  if (!exists(directory)) return [];
  const files = attempt("read", directory, () => readdirSync(directory));
  return files
    .filter((file) => /^[^.].*\.json$/.test(file))
    .map((file) => file.slice(0, -".json".length))
    .sort();
}

export function removeRecord({ directory, name }: Place): boolean {
  const path = join(directory, `${name}.json`);
  if (!exists(path)) return false;
  if (attempt("read", path, () => lstatSync(path, { throwIfNoEntry: false }))?.isDirectory()) {
    throw new Failure("store", `${path} is a directory, which authline did not make: it is left as it is.`, {
      hint: "Move it away.",
    });
  }
  attempt("delete", path, () => rmSync(path, { force: true })); // somebody else may be faster
  sweep(directory, `${name}.json.tmp-`, 0);
  return true;
}

/** What a killed writer left beside a record may hold tokens. */
export function sweep(directory: string, prefix = "", olderThanMs = 3600_000): void {
  for (const file of attempt("read", directory, () => readdirSync(directory))) {
    if (!file.startsWith(prefix) || !/\.tmp-[0-9a-f-]+$/.test(file)) continue;
    const path = join(directory, file);
    const touched = lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    if (Date.now() - touched >= olderThanMs) rmSync(path, { force: true });
  }
}

/** Only "there is none" is no: whatever else keeps us from looking is a fault of the store. */
export const exists = (path: string) =>
  attempt("read", path, () => lstatSync(path, { throwIfNoEntry: false })) !== undefined;

const open = ({ directory, name }: Place) =>
  new Conf({
    cwd: directory,
    configName: name,
    configFileMode: 0o600,
    clearInvalidConfig: false,
    accessPropertiesByDotNotation: false,
    deserialize: object, // conf takes [], null and 1 for an empty one
  });

function object(text: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new SyntaxError("not an object");
}

/** What stands in the file, whatever it is about; undefined where there is none. */
export function readObject(place: Place): Record<string, unknown> | undefined {
  const path = join(place.directory, `${place.name}.json`);
  if (!exists(path)) return undefined;
  if (!attempt("read", path, () => statSync(path)).isFile()) {
    throw new Failure("store", `${path} is not a file.`, { hint: "Nothing was changed. Move it away." });
  }
  const raw = attempt("read", path, () => open(place).store);
  if (Object.keys(raw).length === 0 && !exists(path)) return undefined; // deleted since we looked
  return raw;
}

export function readRecord<S extends z.ZodMiniType>(
  place: Place,
  schema: S,
  nameOf: NameOf<z.infer<S>>,
): Found<z.infer<S>> | undefined {
  const raw = readObject(place);
  if (!raw) return undefined;
  const path = join(place.directory, `${place.name}.json`);
  const parsed = schema.safeParse(raw);
  if (parsed.success && nameOf(parsed.data) === place.name) return { record: parsed.data, raw };
  const field = parsed.error?.issues[0]?.path.join(".") || "its content";
  throw new Failure("store", `${path} is not a record that authline wrote, or a newer authline wrote it (${field}).`, {
    hint: "Nothing was changed. Move the file away, or use the version that wrote it.",
  });
}

/**
 * Written beside, synced, renamed, and the rename synced. Not by conf: it takes the short write of a disk that fills up for
 * a whole one and then renames the stump over the record, and in the shell of a snap package it writes in place.
 */
export function writeWhole(path: string, text: string): void {
  attempt("write", path, () => {
    const target = exists(path) ? realpathSync(path) : path;
    const beside = `${target}.tmp-${crypto.randomUUID()}`;
    try {
      writeFileSync(beside, text, { mode: 0o600, flag: "wx", flush: true });
      chmodSync(beside, 0o600); // whatever the umask
      if (readFileSync(beside, "utf8") !== text) throw Object.assign(new Error("short write"), { code: "EIO" });
      renameSync(beside, target);
    } catch (error) {
      rmSync(beside, { force: true });
      throw error;
    }
    syncDirectory(dirname(target));
  });
}

/** Else a machine that stops may come back with the old name for the old file. Windows has no such call. */
function syncDirectory(path: string): void {
  if (sep !== "/") return;
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } catch {
    // some file systems cannot: the file itself is synced
  } finally {
    closeSync(directory);
  }
}

/** Ours alone; what is above it stays as its owner made it. */
export function makeDirectory(path: string): void {
  attempt("create", path, () => {
    makeDirectories(path, 0o700);
    chmodSync(path, 0o700);
  });
}

/** With all that is above it. Not by `recursive`: where nothing can be made, as under /proc, Node then tries for ever. */
export function makeDirectories(path: string, mode?: number): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  if (dirname(path) !== path) makeDirectories(dirname(path), mode);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST" || !statSync(path).isDirectory()) throw error;
  }
}

const HINTS: Record<string, string> = {
  EACCES: "Check who owns it, or point AUTHLINE_HOME at a directory that you can write to.",
  EPERM: "Check who owns it, or point AUTHLINE_HOME at a directory that you can write to.",
  EROFS: "The file system is read-only: point AUTHLINE_HOME at a directory that can be written to.",
  ENOSPC: "The disk is full: free some space and run the command again.",
  ENOTDIR: "Something on the way is a file: point AUTHLINE_HOME at a directory.",
};

/** Runs a call to the file system; its error becomes a Failure that never quotes what a file holds. */
export function attempt<T>(verb: string, path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (error instanceof Failure) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    const why = code ?? (error instanceof SyntaxError ? "it is no JSON object" : "unknown reason");
    const hint = HINTS[code ?? ""] ?? "Nothing was changed. Check the file and its permissions.";
    throw new Failure("store", `Cannot ${verb} ${path} (${why}).`, { cause: error, hint });
  }
}

/** Windows has no such numbers. A user of a container may have no name there. */
export function ownUid(): number {
  try {
    return userInfo().uid;
  } catch {
    return statSync("/proc/self", { throwIfNoEntry: false })?.uid ?? -1;
  }
}
