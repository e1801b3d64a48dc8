/**
 * Where keys are kept: in the environment, in the OS keyring, in a file of their own.
 *
 * Rule: a key comes out of its place as it went in, or there is an error, which quotes nothing of it.
 */
import { closeSync, constants, fstatSync, openSync, readSync, rmSync } from "node:fs";
import { join, sep } from "node:path";
import { Failure } from "../protocol/failure.ts";
import { attempt, exists, makeDirectory, ownUid, writeWhole } from "./files.ts";
import type { Keyring } from "./keyring.ts";
import { KEY_BYTES, type Key, keyOf } from "./seal.ts";

export const keySources = ["env", "keyring", "file"] as const;
export type KeySource = (typeof keySources)[number];

export const VARIABLE = "AUTHLINE_KEY";
export const KEY_FORM = `${KEY_BYTES} random bytes in base64 or hex, such as openssl rand -base64 ${KEY_BYTES} prints`;

/** For a sentence. */
export const PLACES: Record<KeySource, string> = {
  env: VARIABLE,
  keyring: "the OS keyring",
  file: "a file beside the store",
};

export const NOTHING_CHANGED = { hint: "Nothing was changed. See what is wrong: authline doctor" };

export interface KeyPlace {
  /** Undefined where it is not there. */
  get(id: string): Promise<Key | undefined>;
  put(key: Key): Promise<void>;
  remove(id: string): Promise<void>;
}

export interface KeyPlaces {
  places: Record<KeySource, KeyPlace>;
  /** The key that the environment holds. */
  inEnv(): Key | undefined;
  /** A key that somebody gave as text. */
  given(text: string): Key;
  fileOf(id: string): string;
}

export function keyPlaces(home: string, env: (name: string) => string | undefined, keyring: Keyring): KeyPlaces {
  const directory = join(home, "keys");
  const fileOf = (id: string) => join(directory, id);

  /** Read once: the file may be a pipe, and one that nothing comes out of is waited for only once. */
  let read: (() => Key | undefined) | undefined;
  function inEnv(): Key | undefined {
    read ??= outcomeOf(readEnv);
    return read();
  }

  function readEnv(): Key | undefined {
    const value = env(VARIABLE);
    if (value) return keyOf(bytesIn(value, VARIABLE));
    const path = env(`${VARIABLE}_FILE`);
    return path ? keyOf(bytesIn(textOf(path), `${VARIABLE}_FILE`)) : undefined;
  }

  const places: KeyPlaces["places"] = {
    env: {
      get: async () => inEnv(),
      put: async () => {},
      remove: async () => {},
    },
    keyring: {
      async get(id) {
        const value = await asking(() => keyring.get(id));
        return value === undefined ? undefined : keyOf(bytesIn(value, "the OS keyring's entry", "store"));
      },
      put: ({ id, bytes }) =>
        asking(async () => {
          const value = bytes.toString("base64url");
          await keyring.set(id, value);
          // Read by another process than the one that wrote it: some keyrings forget.
          if ((await keyring.get(id)) !== value) throw new Error("it does not keep what it is given");
        }),
      remove: (id) => asking(() => keyring.remove(id)),
    },
    file: {
      get: async (id) => (exists(fileOf(id)) ? keyOf(bytesIn(textOf(fileOf(id)), fileOf(id), "store")) : undefined),
      async put({ id, bytes }) {
        makeDirectory(directory);
        writeWhole(fileOf(id), `${bytes.toString("base64url")}\n`);
      },
      remove: async (id) => attempt("delete", fileOf(id), () => rmSync(fileOf(id), { force: true })),
    },
  };
  return { places, inEnv, given: (text) => keyOf(bytesIn(text, "the new key")), fileOf };
}

async function asking<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    const { message, retryable = false } = error as Error & { retryable?: boolean };
    throw new Failure("store", `The OS keyring cannot be used: ${message}.`, {
      ...NOTHING_CHANGED,
      cause: error,
      retryable,
    });
  }
}

/** Never quotes what it was given. */
function bytesIn(value: string, name: string, code: "config" | "store" = "config"): Buffer {
  const text = value.trim();
  const isHex = new RegExp(`^[0-9a-f]{${KEY_BYTES * 2}}$`, "i").test(text);
  const bytes = /^[A-Za-z0-9+/_-]+=*$/.test(text) ? Buffer.from(text, isHex ? "hex" : "base64") : Buffer.alloc(0);
  if (bytes.length === KEY_BYTES) return bytes;
  const details = code === "store" ? NOTHING_CHANGED : { hint: `It is ${KEY_FORM}.` };
  throw new Failure(code, `${capital(name)} is not a key.`, details);
}

/** Ends as the first call did, each time. */
function outcomeOf<T>(call: () => T): () => T {
  try {
    const value = call();
    return () => value;
  } catch (error) {
    return () => {
      throw error;
    };
  }
}

/** Longer than any form of a key. */
const MAX_BYTES = 4096;
/** Nothing else goes on while a pipe is waited for, not even to be cancelled. */
const MAX_SECONDS = 8;
const LOOK_MS = 20;

function textOf(path: string): string {
  return attempt("read", path, () => {
    const fd = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      mustBeClosed(fd, path);
      return readFileOrPipe(fd, path);
    } finally {
      closeSync(fd);
    }
  });
}

function mustBeClosed(fd: number, path: string): void {
  const stats = fstatSync(fd);
  if (!stats.isFile() && !stats.isFIFO()) {
    throw new Failure("store", `${path} is neither a file nor a pipe.`, NOTHING_CHANGED);
  }
  // As ssh has it: what another user gave us, a container's secret say, is that user's to close. Windows has no such modes.
  if (sep === "/" && stats.uid === ownUid() && (stats.mode & 0o077) !== 0) {
    throw new Failure("store", `${path} holds a key and can be read by other users of this machine.`, {
      hint: `Close it: chmod 600 ${path}`,
    });
  }
}

/** A pipe is what <(command) makes of a command. One that nobody writes to is empty, and does not make us wait. */
function readFileOrPipe(fd: number, path: string): string {
  const buffer = Buffer.alloc(MAX_BYTES + 1);
  const deadline = performance.now() + MAX_SECONDS * 1000;
  for (let length = 0; ; ) {
    const bytesRead = unlessEmpty(() => readSync(fd, buffer, length, buffer.length - length, null));
    if (bytesRead === 0) return buffer.toString("utf8", 0, length);
    length += bytesRead ?? 0;
    if (length > MAX_BYTES) throw new Failure("store", `${path} is too long for a key.`, NOTHING_CHANGED);
    if (bytesRead !== undefined) continue;
    if (performance.now() >= deadline) {
      throw new Failure("store", `${path} is a pipe, and nothing came within ${MAX_SECONDS} s.`, NOTHING_CHANGED);
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_MS);
  }
}

/** Undefined while a pipe has a writer who has not written yet. */
function unlessEmpty(read: () => number): number | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return undefined;
    throw error;
  }
}

export const capital = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
