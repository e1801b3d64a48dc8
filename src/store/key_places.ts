/**
 * Where keys are kept: in the environment, in the OS keyring, in a file of their own.
 *
 * Rule: a key comes out of its place as it went in, or there is an error, which quotes nothing of it.
 */
import { readFileSync, rmSync, statSync } from "node:fs";
import { userInfo } from "node:os";
import { join, sep } from "node:path";
import { Failure } from "../protocol/failure.ts";
import { attempt, exists, makeDirectory, writeWhole } from "./files.ts";
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

  /** Read once: the file may be a pipe. */
  let read: { key: Key | undefined } | undefined;
  function inEnv(): Key | undefined {
    read ??= { key: readEnv() };
    return read.key;
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

function textOf(path: string): string {
  return attempt("read", path, () => {
    const { mode, uid } = statSync(path);
    // As ssh has it: what another user gave us, a container's secret say, is that user's to close. Windows has no such modes.
    if (sep === "/" && uid === userInfo().uid && (mode & 0o077) !== 0) {
      throw new Failure("store", `${path} holds a key and can be read by other users of this machine.`, {
        hint: `Close it: chmod 600 ${path}`,
      });
    }
    return readFileSync(path, "utf8");
  });
}

export const capital = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
