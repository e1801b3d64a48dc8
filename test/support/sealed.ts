/** What stands sealed on disk, opened with the key file beside it; and the store of a home, as the program has it. */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { type Context, createContext } from "../../src/context.ts";
import { type Key, keyOf, seal, unseal } from "../../src/store/seal.ts";

const ROOMS = { connection: "connections", provider: "providers", session: "sessions" } as const;
export type Kind = keyof typeof ROOMS;

// biome-ignore lint/suspicious/noExplicitAny: whatever stands there
type Opened = Record<string, any> & { secrets: Record<string, any> };

const pathOf = (home: string, kind: Kind, name: string) => join(home, ROOMS[kind], `${name}.json`);
const aboutOf = (kind: Kind, name: string, raw: object) => JSON.stringify([kind, name, raw]);

/** The key that is in use, out of its file. */
export function keyIn(home: string): Key {
  const { current } = JSON.parse(readFileSync(join(home, "keys.json"), "utf8"));
  return keyOf(Buffer.from(readFileSync(join(home, "keys", current), "utf8"), "base64url"));
}

export function opened(home: string, kind: Kind, name: string): Opened {
  const { sealed, ...raw } = JSON.parse(readFileSync(pathOf(home, kind, name), "utf8"));
  const secrets = sealed === undefined ? {} : JSON.parse(unseal(sealed, aboutOf(kind, name, raw), keyIn(home)));
  return { ...raw, secrets };
}

/** As the program would have written it. */
export function putSealed(home: string, kind: Kind, name: string, { secrets, ...raw }: Opened): void {
  const text = JSON.stringify(secrets);
  const sealed = text === "{}" ? undefined : seal(text, aboutOf(kind, name, raw), keyIn(home));
  writeFileSync(pathOf(home, kind, name), JSON.stringify({ ...raw, sealed }), { mode: 0o600 });
}

export function namesOf(home: string, kind: Kind): string[] {
  const room = join(home, ROOMS[kind]);
  const isThere = existsSync(room) && statSync(room).isDirectory(); // what is above it may be a file
  const files = isThere ? readdirSync(room).filter((file) => file.endsWith(".json")) : [];
  return files.map((file) => file.slice(0, -".json".length)).sort();
}

/** The secrets of every connection. */
export const connectionSecrets = (home: string): string[] =>
  namesOf(home, "connection").flatMap((name) => strings(opened(home, "connection", name).secrets));

const strings = (value: unknown): string[] =>
  typeof value === "object" && value !== null ? Object.values(value).flatMap(strings) : partsOf(String(value));

/** What nobody may see: of a private key its private half (RFC 7518 §6). */
export const partsOf = (secret: string): string[] => {
  const { d } = secret.startsWith("{") ? JSON.parse(secret) : {};
  return d === undefined ? [secret] : [d, secret];
};

/** What a flow is given, for a home. */
export function contextAt(home: string, env: Record<string, string> = {}): Context {
  return createContext(
    {
      argv: [],
      env,
      platform: "linux",
      node: process.versions.node,
      terminal: { stdin: false, stdout: false, stderr: false },
      stdin: () => Readable.from([]),
      pid: process.pid,
      ppid: process.ppid,
      isAlive(pid) {
        try {
          return process.kill(pid, 0);
        } catch {
          return false;
        }
      },
      kill: () => {},
      program: [process.execPath, ""],
      signal: new AbortController().signal,
    },
    home,
  );
}

export const storeAt = (home: string, env?: Record<string, string>) => contextAt(home, env).store;
