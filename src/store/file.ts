/**
 * The store on disk: one small file a record, so that the cost of one does not grow with the number of the others.
 *
 *   HOME/connections/<connection>@<provider>.json
 *   HOME/providers/<provider>.json
 */
import { rmSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import type { Process } from "../context.ts";
import type { Failure } from "../protocol/failure.ts";
import { attempt, makeDirectory, readRecord, recordsIn, removeRecord, sweep, writeRecord } from "./files.ts";
import { Connection, Learned } from "./record.ts";
import type { Store, Unreadable } from "./store.ts";

export function fileStore(home: string): Store {
  const connections = join(home, "connections");
  const providers = join(home, "providers");
  const fileOf = ({ provider, connection }: Pick<Connection, "provider" | "connection">) => `${connection}@${provider}`;
  const nameOf = ({ provider }: Learned) => provider;
  const connection = async (provider: string, name: string) =>
    readRecord({ directory: connections, name: fileOf({ provider, connection: name }) }, Connection(), fileOf);

  return {
    connection,
    async prepare() {
      makeDirectory(connections);
      makeDirectory(providers);
      for (const directory of [connections, providers]) sweep(directory);
      const probe = join(connections, `.probe-${crypto.randomUUID()}`);
      attempt("write to", connections, () => {
        writeFileSync(probe, "", { mode: 0o600 });
        rmSync(probe);
      });
    },
    async connections(provider) {
      const found: (Connection | Unreadable)[] = [];
      for (const [name, owner] of recordsIn(connections).flatMap(namesIn).sort(byProvider)) {
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
      writeRecord({ directory: connections, name: fileOf(record) }, record, Connection(), fileOf);
    },
    async remove(provider, name) {
      return removeRecord({ directory: connections, name: fileOf({ provider, connection: name }) });
    },
    async learned(provider) {
      return readRecord({ directory: providers, name: provider }, Learned(), nameOf);
    },
    async learn(learned) {
      writeRecord({ directory: providers, name: learned.provider }, learned, Learned(), nameOf);
    },
  };
}

type Names = [connection: string, provider: string];

function namesIn(file: string): Names[] {
  const [, connection, provider] = file.match(/^([^@]+)@([^@]+)$/) ?? [];
  return connection && provider ? [[connection, provider]] : [];
}

const byProvider = ([a, p]: Names, [b, q]: Names) => compare(p, q) || compare(a, b);
const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

/** AUTHLINE_HOME moves everything; else the place that the system has for such things. */
export function homeOf({ env, platform }: Pick<Process, "env" | "platform">): string {
  if (env["AUTHLINE_HOME"]) return resolve(env["AUTHLINE_HOME"]);
  if (platform === "win32" && env["APPDATA"]) return join(env["APPDATA"], "authline");
  const { XDG_CONFIG_HOME: config } = env; // a relative one is to be ignored, says its specification
  if (config && isAbsolute(config)) return join(config, "authline");
  return join(env["HOME"] || userInfo().homedir, ".config", "authline");
}
