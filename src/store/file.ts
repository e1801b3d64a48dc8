/**
 * The store on disk: one small file a record, so that the cost of one does not grow with the number of the others.
 *
 *   HOME/connections/<connection>@<provider>.json
 *   HOME/providers/<provider>.json
 *
 * Rules: directories 0700, files 0600; written beside, synced and renamed (conf), then read back; a file that cannot be
 * read or does not hold what it should is an error and is left as it is.
 */
import { chmodSync, lstatSync, mkdirSync, readdirSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import Conf from "conf";
import type * as z from "zod/mini";
import type { Process } from "../context.ts";
import { Failure } from "../protocol/failure.ts";
import { Connection, Learned } from "./record.ts";
import type { Store, Unreadable } from "./store.ts";

interface Place {
  directory: string;
  /** File name without its extension. */
  name: string;
}

export function fileStore(home: string): Store {
  const connections = join(home, "connections");
  const providers = join(home, "providers");
  const placeOf = (provider: string, connection: string) => ({
    directory: connections,
    name: `${connection}@${provider}`,
  });
  const connection = async (provider: string, name: string) => read(placeOf(provider, name), Connection());

  return {
    connection,
    async prepare() {
      makeDirectory(connections);
      makeDirectory(providers);
      const probe = join(connections, `.probe-${crypto.randomUUID()}`);
      attempt("write to", connections, () => {
        writeFileSync(probe, "", { mode: 0o600 });
        rmSync(probe);
      });
    },
    async connections(provider) {
      const found: (Connection | Unreadable)[] = [];
      for (const [name, owner] of list(connections)) {
        if (provider !== undefined && owner !== provider) continue;
        try {
          const record = await connection(owner, name);
          if (record) found.push(record);
        } catch (error) {
          found.push({ provider: owner, connection: name, problem: (error as Failure).message });
        }
      }
      return found;
    },
    async keep(record) {
      write(placeOf(record.provider, record.connection), record, Connection());
    },
    async remove(provider, name) {
      const { directory, name: file } = placeOf(provider, name);
      const path = join(directory, `${file}.json`);
      if (!exists(path)) return false;
      attempt("delete", path, () => rmSync(path));
      return true;
    },
    async learned(provider) {
      return read({ directory: providers, name: provider }, Learned());
    },
    async learn(learned) {
      write({ directory: providers, name: learned.provider }, learned, Learned());
    },
  };
}

/** [connection, provider] of every file, sorted by provider, then connection. */
function list(directory: string): [string, string][] {
  if (!exists(directory)) return [];
  const files = attempt("read", directory, () => readdirSync(directory));
  const names = files.flatMap((file) => {
    const [, connection, provider] = file.match(/^([^@.][^@]*)@([^@]+)\.json$/) ?? [];
    return connection && provider ? [[connection, provider] as [string, string]] : [];
  });
  return names.sort(([a, p], [b, q]) => compare(p, q) || compare(a, b));
}

/** Only "there is none" is no: whatever else keeps us from looking is a fault of the store. */
const exists = (path: string) => attempt("read", path, () => lstatSync(path, { throwIfNoEntry: false })) !== undefined;

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

const open = ({ directory, name }: Place) =>
  new Conf({
    cwd: directory,
    configName: name,
    configFileMode: 0o600,
    clearInvalidConfig: false,
    accessPropertiesByDotNotation: false,
  });

function read<S extends z.ZodMiniType>(place: Place, schema: S): z.infer<S> | undefined {
  const path = join(place.directory, `${place.name}.json`);
  if (!exists(path)) return undefined;
  const parsed = schema.safeParse(attempt("read", path, () => open(place).store));
  if (parsed.success && nameOf(parsed.data as Named) === place.name) return parsed.data;
  const field = parsed.error?.issues[0]?.path.join(".") || "its content";
  throw new Failure("store", `${path} is not a record that authline wrote, or a newer authline wrote it (${field}).`, {
    hint: "Nothing was changed. Move the file away, or use the version that wrote it.",
  });
}

interface Named {
  provider: string;
  connection?: string;
}
/** A record under another's name would send one provider's token to whoever asks for the other's. */
const nameOf = ({ provider, connection }: Named) => (connection === undefined ? provider : `${connection}@${provider}`);

function write<S extends z.ZodMiniType>(place: Place, record: z.infer<S>, schema: S): void {
  const text = JSON.stringify(schema.parse(record), undefined, 2); // what does not fit must not even be tried
  makeDirectory(place.directory);
  read(place, schema); // a file that cannot be read is never overwritten
  const path = join(place.directory, `${place.name}.json`);
  attempt("write", path, () => replaceFile(path, text));
  if (JSON.stringify(read(place, schema), undefined, 2) !== text) {
    throw new Failure("store", `${path} does not hold what was written to it.`, { hint: "Check the disk it is on." });
  }
}

/**
 * Written beside, synced, renamed. Not by conf: it takes the short write of a disk that fills up for a whole one and then
 * renames the stump over the record, and in the shell of a snap package it writes in place.
 */
function replaceFile(path: string, text: string): void {
  const target = exists(path) ? realpathSync(path) : path;
  const beside = `${target}.tmp-${crypto.randomUUID()}`;
  try {
    writeFileSync(beside, text, { mode: 0o600, flag: "wx", flush: true });
    renameSync(beside, target);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
}

/** Ours alone; what is above it stays as its owner made it. */
function makeDirectory(path: string): void {
  attempt("create", path, () => {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chmodSync(path, 0o700);
  });
}

const HINTS: Record<string, string> = {
  EACCES: "Check who owns it, or point AUTHLINE_HOME at a directory that you can write to.",
  EPERM: "Check who owns it, or point AUTHLINE_HOME at a directory that you can write to.",
  EROFS: "The file system is read-only: point AUTHLINE_HOME at a directory that can be written to.",
  ENOSPC: "The disk is full: free some space and run the command again.",
  ENOTDIR: "Something on the way is a file: point AUTHLINE_HOME at a directory.",
};

/** Runs a call to the file system; its error becomes a Failure that never quotes what a file holds. */
function attempt<T>(verb: string, path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (error instanceof Failure) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    const why = code ?? (error instanceof SyntaxError ? "it is not JSON" : "unknown reason");
    const hint = HINTS[code ?? ""] ?? "Nothing was changed. Check the file and its permissions.";
    throw new Failure("store", `Cannot ${verb} ${path} (${why}).`, { cause: error, hint });
  }
}

/** AUTHLINE_HOME moves everything; else the place that the system has for such things. */
export function homeOf({ env, platform }: Pick<Process, "env" | "platform">): string {
  if (env["AUTHLINE_HOME"]) return resolve(env["AUTHLINE_HOME"]);
  if (platform === "win32" && env["APPDATA"]) return join(env["APPDATA"], "authline");
  return join(env["XDG_CONFIG_HOME"] || join(homedir(), ".config"), "authline");
}
