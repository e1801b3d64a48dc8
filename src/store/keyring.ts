/**
 * The OS keyring: Keychain, Credential Manager, or a Secret Service on D-Bus (never the kernel's keyutils, which forgets).
 *
 * Rule: it is asked by a process of its own, with a hard timeout. A keyring that hangs would keep our threads, and with them
 * our process; one that crashes would take us with it; and what another process has read back is really kept.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Every call rejects where there is no keyring, or none that answers in time. */
export interface Keyring {
  get(id: string): Promise<string | undefined>;
  set(id: string, value: string): Promise<void>;
  remove(id: string): Promise<void>;
}

interface Host {
  platform: NodeJS.Platform;
  env: Readonly<Record<string, string | undefined>>;
  /** The runtime that runs us. */
  file: string;
}

const TIMEOUT_SECONDS = 8;

export function keyringOf(host: Host): Keyring {
  const ask = (verb: "get" | "set" | "remove", id: string, value = "") =>
    new Promise<string>((resolve, reject) => {
      if (!isThere(host)) throw new Error("there is none");
      const helper = fileURLToPath(new URL("./keyring.js", import.meta.url));
      const options = { timeout: TIMEOUT_SECONDS * 1000, killSignal: "SIGKILL", windowsHide: true } as const;
      const child = execFile(host.file, [helper, verb, id], options, (error, stdout) => {
        if (!error) return resolve(stdout);
        const why = error.killed ? `it did not answer within ${TIMEOUT_SECONDS} s` : reasonOf(stdout);
        reject(Object.assign(new Error(why), { retryable: error.killed ?? false }));
      });
      child.stdin?.on("error", () => {}); // it may be gone before it has read
      child.stdin?.end(value);
    });
  return {
    get: async (id) => (await ask("get", id)) || undefined,
    set: async (id, value) => void (await ask("set", id, value)),
    remove: async (id) => void (await ask("remove", id)),
  };
}

/** The last line of what the helper says; anything else is not ours to repeat. */
const reasonOf = (stdout: string) => /^error: ([\w .,:'-]{1,120})$/m.exec(stdout)?.[1] ?? "it does not work here";

/** Without a session bus there is nobody to ask, and the library would look for long. */
function isThere({ platform, env }: Host): boolean {
  if (platform === "darwin" || platform === "win32") return true;
  if (env["DBUS_SESSION_BUS_ADDRESS"]) return true;
  return env["XDG_RUNTIME_DIR"] !== undefined && existsSync(join(env["XDG_RUNTIME_DIR"], "bus"));
}
