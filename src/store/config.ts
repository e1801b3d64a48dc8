/**
 * What a user has settled once for all: HOME/config.json, one object of names and texts as they were written.
 *
 * Rules: no secret ever stands in it; it is read at most once a call, and only by who needs it; what is not ours in it
 * stays; a file that cannot be read is never overwritten; whoever changes it has its lock.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod/mini";
import { Failure } from "../protocol/failure.ts";
import { lazily } from "../protocol/shapes.ts";
import { makeDirectory, readRecord, writeWhole } from "./files.ts";
import { type Locks, patiently } from "./locks.ts";

/** A newer authline may know more keys. */
const Config = lazily(() => z.record(z.string().check(z.regex(/^[a-z][a-z0-9_]{0,63}$/)), z.string()));

/** Both throw a Failure `config` where the file is there and cannot be used. */
export interface ConfigFile {
  readonly path: string;
  read(): Readonly<Record<string, string>>;
  /** Undefined takes the key away. On disk when it returns. */
  set(key: string, value: string | undefined): Promise<void>;
}

export function configAt(home: string, locks: Locks): ConfigFile {
  const path = join(home, "config.json");
  let known: Record<string, string> | undefined;

  function load(): Record<string, string> {
    if (!existsSync(path)) return {}; // a home that cannot be looked into is for the store to complain of
    try {
      return { ...readRecord({ directory: home, name: "config" }, Config(), () => "config")?.record };
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      throw new Failure("config", `The configuration cannot be used. ${error.message}`, {
        cause: error,
        hint: `Nothing was changed. Mend ${path}, or move it away.`,
      });
    }
  }

  return {
    path,
    read() {
      known ??= load();
      return known;
    },
    async set(key, value) {
      makeDirectory(home);
      const lock = await patiently(() => locks.take("config"));
      try {
        const { [key]: _, ...others } = load(); // somebody else may have been faster
        known = value === undefined ? others : { ...others, [key]: value };
        writeWhole(path, `${JSON.stringify(known, undefined, 2)}\n`);
      } finally {
        lock.release();
      }
    },
  };
}
