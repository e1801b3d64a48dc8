/**
 * The store on disk: one small file a record, so that the cost of one does not grow with the number of the others.
 *
 *   HOME/connections/<connection>@<provider>.json   a credential        HOME/defaults/<provider>.json    which one is meant
 *   HOME/providers/<provider>.json                  what a login taught HOME/refreshes/<connection>@…    one that was begun
 *   HOME/locks/<connection>@<provider>/             who may change it   HOME/keys.json, HOME/keys/       see keys.ts
 *   HOME/clients/<host>-<hash>.json                 who we are to an issuer  HOME/config.json                   see config.ts
 */
import { createHash, randomBytes } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import type { Process } from "../context.ts";
import type { Failure } from "../protocol/failure.ts";
import { attempt, makeDirectory, sweep } from "./files.ts";
import type { Keys } from "./keys.ts";
import { type Locks, patiently } from "./locks.ts";
import {
  type Connection,
  ConnectionSecrets,
  ConnectionView,
  LearnedSecrets,
  LearnedView,
  Refreshing,
  RegisteredSecrets,
  RegisteredView,
  Standard,
} from "./record.ts";
import { shelf } from "./shelf.ts";
import type { Store, Unreadable } from "./store.ts";

type Named = Pick<Connection, "provider" | "connection">;
const fileOf = ({ provider, connection }: Named) => `${connection}@${provider}`;
const ofProvider = ({ provider }: { provider: string }) => provider;
const nothing = () => LearnedSecrets(); // what has no secrets

/** More than a credential with long tokens takes; at random, because some file systems make little of what repeats. */
const PROBE_BYTES = 16 * 1024;

/** `configured`: which connection is meant where the provider has no default of its own. */
export function fileStore(home: string, keys: Keys, locks: Locks, configured: () => string | undefined): Store {
  const directory = (name: string) => join(home, name);
  const connections = shelf(
    {
      directory: directory("connections"),
      kind: "connection",
      clear: ConnectionView,
      secrets: ConnectionSecrets,
      nameOf: fileOf,
      mustBeSealed: ({ revoked }) => !revoked, // what is dead may have no secrets left
    },
    keys,
  );
  const providers = shelf(
    {
      directory: directory("providers"),
      kind: "provider",
      clear: LearnedView,
      secrets: LearnedSecrets,
      nameOf: ofProvider,
    },
    keys,
  );
  const defaults = shelf(
    { directory: directory("defaults"), kind: "default", clear: Standard, secrets: nothing, nameOf: ofProvider },
    keys,
  );
  const refreshes = shelf(
    { directory: directory("refreshes"), kind: "refresh", clear: Refreshing, secrets: nothing, nameOf: fileOf },
    keys,
  );
  const clients = shelf(
    {
      directory: directory("clients"),
      kind: "client",
      clear: RegisteredView,
      secrets: RegisteredSecrets,
      nameOf: ({ issuer }) => issuerFile(issuer),
    },
    keys,
  );
  const lockOf = (named: Named) => locks.take(fileOf(named));
  const providerLock = (provider: string) => locks.take(`@${provider}`);
  const registrationLock = (name: string) => locks.take(`client@${name}`);
  const standardLock = (provider: string) => locks.take(`${provider}.default`);
  const standard = async (provider: string) => defaults.glance(provider)?.connection ?? configured() ?? "default";

  return {
    connection: (provider, connection) => connections.read(fileOf({ provider, connection })),
    glance: async (provider, connection) => connections.glance(fileOf({ provider, connection })),
    async prepare(whose) {
      for (const name of ["connections", "providers"]) {
        makeDirectory(directory(name));
        sweep(directory(name));
      }
      const warnings = await keys.prepare();
      const probe = join(directory("connections"), `.probe-${crypto.randomUUID()}`);
      attempt("write to", directory("connections"), () => {
        try {
          writeFileSync(probe, randomBytes(PROBE_BYTES), { mode: 0o600, flush: true });
        } finally {
          rmSync(probe, { force: true });
        }
      });
      if (whose) for (const lock of [lockOf(whose), providerLock(whose.provider)]) lock?.release(); // they need room too, once
      return warnings;
    },
    async connections(provider) {
      const found: (ConnectionView | Unreadable)[] = [];
      for (const [connection, owner] of connections.names().flatMap(namesIn).sort(byProvider)) {
        if (provider !== undefined && owner !== provider) continue;
        try {
          const record = connections.glance(fileOf({ provider: owner, connection }));
          if (record) found.push(record);
        } catch (error) {
          found.push({ provider: owner, connection, problem: (error as Failure).message });
        }
      }
      return found;
    },
    names: () =>
      connections
        .names()
        .flatMap(namesIn)
        .map(([connection, provider]) => ({ provider, connection })),
    taught: () => providers.names(),
    lock: (provider, connection) => lockOf({ provider, connection }),
    keep: (record) => connections.write(record),
    async remove(provider, connection) {
      const wasThere = connections.remove(fileOf({ provider, connection })); // first: it alone says that there is something
      refreshes.remove(fileOf({ provider, connection }));
      return wasThere;
    },
    standard,
    async setStandard(provider, connection, instead) {
      const lock = await patiently(() => standardLock(provider));
      try {
        if (instead !== undefined && (await standard(provider)) !== instead) return;
        await defaults.write({ v: 1, provider, connection, secrets: {} });
      } finally {
        lock.release();
      }
    },
    async interrupted(record) {
      const begun = refreshes.glance(fileOf(record));
      return begun?.updated_at === record.updated_at ? begun : undefined;
    },
    begin: (refreshing) => refreshes.write({ ...refreshing, secrets: {} }),
    async settle(provider, connection) {
      refreshes.remove(fileOf({ provider, connection }));
    },
    learned: async (provider) => providers.glance(provider),
    clientSecret: async (provider) => (await providers.read(provider))?.secrets.client_secret,
    clientKey: async (provider) => (await providers.read(provider))?.secrets.client_key,
    async learn(learned) {
      const lock = await patiently(() => providerLock(learned.provider));
      try {
        await providers.write(learned);
      } finally {
        lock.release();
      }
    },
    registered: (issuer) => clients.read(issuerFile(issuer)),
    registeredIn: (name) => clients.read(name),
    keepRegistered: (registered) => clients.write(registered),
    async forgetRegistered(issuer, client_id) {
      const lock = await patiently(() => registrationLock(issuerFile(issuer)));
      try {
        if (clients.glance(issuerFile(issuer))?.client_id === client_id) clients.remove(issuerFile(issuer));
      } finally {
        lock.release();
      }
    },
    registrationLock: (issuer) => registrationLock(issuerFile(issuer)),
    sealed: () => [
      ...connections.sealed(locks.take),
      ...providers.sealed(providerLock),
      ...clients.sealed(registrationLock),
    ],
    writers: () =>
      locks
        .taken()
        .filter((name) => name.includes("@")) // the others lock no record
        .map((name) => ({ name, isDone: () => !locks.isTaken(name) })),
  };
}

/** Readable, and one of its own for each issuer. */
function issuerFile(issuer: string): string {
  const host = URL.canParse(issuer) ? new URL(issuer).host : "";
  const readable = host.replace(/[^a-z0-9.-]/g, "-").slice(0, 60);
  return `${readable}-${createHash("sha256").update(issuer).digest("hex").slice(0, 16)}`;
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
