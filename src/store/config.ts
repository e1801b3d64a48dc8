/**
 * What a user has settled once for all: HOME/config.json, one object of names and texts as they were written.
 *
 * Rules: no secret ever stands in it; it is read at most once a call, and only by who needs it; what is not ours in it
 * stays, and a value that is no text is a fault only of who needs it; a file that cannot be read is never overwritten;
 * whoever changes it has its lock.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "../protocol/failure.ts";
import { readObject, writeWhole } from "./files.ts";
import { type Locks, patiently } from "./locks.ts";

/** Both throw a Failure `store` where the file is there and cannot be used. */
export interface ConfigFile {
  readonly path: string;
  /** By key, in the order of the file. A map: to an object a name such as __proto__ means something. */
  read(): ReadonlyMap<string, unknown>;
  /** Undefined takes the key away. On disk when it returns. */
  set(key: string, value: string | undefined): Promise<void>;
}

export function configAt(home: string, locks: Locks): ConfigFile {
  const path = join(home, "config.json");
  let known: Map<string, unknown> | undefined;

  function load(): Map<string, unknown> {
    if (!existsSync(path)) return new Map(); // a home that cannot be looked into is for the store to complain of
    try {
      return new Map(Object.entries(readObject({ directory: home, name: "config" }) ?? {}));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      throw new Failure(error.code, `The configuration cannot be used. ${error.message}`, {
        cause: error.details.cause,
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
      const lock = await patiently(() => locks.take("config")); // which makes the home, where there is none
      try {
        const changed = load(); // somebody else may have been faster
        if (value === undefined) changed.delete(key);
        else changed.set(key, value);
        writeWhole(path, `${JSON.stringify(Object.fromEntries(changed), undefined, 2)}\n`);
        known = changed;
      } finally {
        lock.release();
      }
    },
  };
}
