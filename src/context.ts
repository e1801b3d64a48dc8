/**
 * Everything outside the program that a flow may touch. What is slow to load is loaded when it is first used.
 */
import { randomBytes } from "node:crypto";
import { createReadStream, readFileSync, readlinkSync, statSync } from "node:fs";
import type { Socket } from "node:net";
import { hostname, userInfo } from "node:os";
import type { Readable } from "node:stream";
import { setTimeout as wait } from "node:timers/promises";
import { type Audit, auditAt, type Who } from "./audit.ts";
import { configuredConnection } from "./config.ts";
import { defined } from "./defined.ts";
import type { Listener } from "./flows/listener.ts";
import { type Holds, newHolds } from "./holds.ts";
import { type Sessions, sessionsAt } from "./sessions/sessions.ts";
import { type ConfigFile, configAt } from "./store/config.ts";
import { type Definitions, definitionsAt } from "./store/definitions.ts";
import { fileStore } from "./store/file.ts";
import { type Keyring, keyringOf } from "./store/keyring.ts";
import { type Keys, keysAt } from "./store/keys.ts";
import type { Self } from "./store/lock.ts";
import { locksAt, patiently } from "./store/locks.ts";
import type { Store } from "./store/store.ts";
import type { Unseen } from "./unseen.ts";

export interface Context {
  /** Aborted when the command is cancelled. Everything that waits heeds it and rejects with its reason. */
  readonly signal: AbortSignal;
  readonly fetch: typeof globalThis.fetch;
  readonly config: ConfigFile;
  readonly definitions: Definitions;
  readonly store: Store;
  readonly keys: Keys;
  readonly sessions: Sessions;
  readonly holds: Holds;
  readonly audit: Audit;
  readonly browser: Browser;
  readonly surroundings: Surroundings;
  now(): Date;
  /** Seconds by a clock that only runs forward: what waits are measured with. */
  uptime(): number;
  /** Rejects with the reason of `signal`, the command's own unless another is given, when that aborts. */
  sleep(seconds: number, signal?: AbortSignal): Promise<void>;
  /** 256 random bits in base64url: state, nonce, PKCE verifier (RFC 7636 §4.1 wants 43 characters or more). */
  random(): string;
  /** Binds the loopback listener behind a redirect URI; a URI without a port gets a free one. */
  listen(redirectUri: string, page: { displayName: string }): Promise<Listener>;
  env(name: string): string | undefined;
  /** All of standard input. */
  stdin(bounds: Bounds): Promise<string>;
  /** The bytes of a file, or of standard input, as they come. */
  bytes(file: string | undefined): Readable;
  /** Hands bytes on to stdout, where a stream is due there. */
  pass(bytes: Uint8Array): void;
  /** Lines that somebody types or pastes, until `signal` aborts; none where nobody can. */
  lines(signal: AbortSignal): AsyncIterable<string>;
  /** A line that somebody types at the terminal without seeing it; undefined where nobody can be asked. Hides from now on. */
  unseen(): Promise<Unseen | undefined>;
  /** What a shell command printed on its stdout; its stderr goes to ours. Nothing of it outlives an abort. */
  execute(command: string, bounds: Bounds): Promise<string>;
  /** Lets whoever is at the terminal change a file, with the editor of their choice; false where that did not end well. */
  edit(path: string): Promise<boolean>;
  /** Starts authline again, in a process that lives on when this one ends. */
  leaveBehind(argv: readonly string[]): Promise<void>;
}

export interface Bounds {
  signal: AbortSignal;
  maxBytes: number;
}

export interface Browser {
  /** Whether a browser of the person in front of this command can be expected to reach this host's loopback. */
  readonly reachesThisHost: boolean;
  /** Whether one may be opened without being asked to: a person is at a terminal. */
  readonly welcome: boolean;
  /** True when an opener took the URL. */
  open(url: string): Promise<boolean>;
}

/** What `doctor` looks at. */
export interface Surroundings {
  home: string;
  self: Self;
  keyring: Keyring;
  platform: NodeJS.Platform;
  node: string;
  terminal: Process["terminal"];
  /** What a browser would be opened with, the first choice first. */
  openers(): Promise<string[]>;
}

/** What the process tells the program about itself. */
export interface Process {
  argv: readonly string[];
  env: Readonly<Record<string, string | undefined>>;
  platform: NodeJS.Platform;
  node: string;
  terminal: { stdin: boolean; stdout: boolean; stderr: boolean; columns?(): number | undefined };
  /** Whether a person may be asked (modes.ts). */
  prompt?: boolean;
  stdin(): Readable;
  /** To stdout, where a stream is due there. */
  pass?(bytes: Uint8Array): void;
  pid: number;
  /** Of the process that started this one. */
  ppid: number;
  isAlive(pid: number): boolean;
  /** Ends a process and its group at once; does nothing when there is none. */
  kill(pid: number): void;
  /** How this program was started: the runtime and the script. */
  program: readonly [file: string, script: string];
  signal: AbortSignal;
  /** What the loop that runs us waits for. */
  holds?: Holds;
}

export function createContext(host: Process, home: string): Context {
  const { env, platform, signal, prompt = true } = host;
  const self = selfOf(host);
  const locks = locksAt(home, self);
  const keyring = keyringOf({ platform, env, file: host.program[0] });
  const keys: Keys = keysAt(home, {
    env: (name) => env[name],
    keyring,
    lock: () => patiently(() => locks.take("keys")),
    isInUse: () => [...store.sealed(), ...sessions.sealed()].some(({ isSealed }) => isSealed()),
    now: () => new Date(),
  });
  const config = configAt(home, locks);
  const store = fileStore(home, keys, locks, () => configuredConnection({ config }));
  const sessions = sessionsAt(home, self, keys);
  return {
    signal,
    config,
    definitions: definitionsAt(home, locks),
    store,
    keys,
    sessions,
    holds: host.holds ?? newHolds(),
    audit: auditAt(home, locks, () => whoOf(host)),
    fetch: (input, init) => globalThis.fetch(input, init),
    now: () => new Date(),
    uptime: () => performance.now() / 1000,
    random: () => randomBytes(32).toString("base64url"),
    async sleep(seconds, until = signal) {
      try {
        await wait(seconds * 1000, undefined, { signal: until });
      } catch {
        throw until.reason; // node's own AbortError hides why
      }
    },
    async listen(redirectUri, page) {
      const { listen } = await import("./flows/listener.ts");
      return listen(redirectUri, page);
    },
    browser: {
      reachesThisHost: hasDisplay(host),
      welcome: prompt && host.terminal.stdin && host.terminal.stderr,
      async open(url) {
        const { openBrowser } = await import("./browser.ts");
        return openBrowser(url, { env, platform });
      },
    },
    surroundings: {
      ...{ home, self, keyring, platform, node: host.node, terminal: host.terminal },
      async openers() {
        const { openers } = await import("./browser.ts");
        return openers({ env, platform }).map(([file]) => file);
      },
    },
    env: (name) => env[name],
    async stdin({ signal, maxBytes }) {
      if (host.terminal.stdin && !prompt) return "";
      const chunks: Buffer[] = [];
      let size = 0;
      const input = host.stdin();
      const stop = () =>
        input.destroy(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
      signal.addEventListener("abort", stop, { once: true });
      for await (const chunk of input) {
        size += chunk.length;
        if (size > maxBytes) throw Object.assign(new Error("too long"), { code: "TOO_LONG" });
        chunks.push(Buffer.from(chunk));
      }
      return Buffer.concat(chunks).toString("utf8");
    },
    bytes: (file) => (file === undefined ? host.stdin() : createReadStream(file)),
    pass: (bytes) => host.pass?.(bytes),
    async *lines(signal) {
      if (host.terminal.stdin && !(prompt && isInForeground())) return; // to read would stop the whole process group
      const { linesIn } = await import("./lines.ts");
      const input = host.stdin();
      (input as Partial<Socket>).unref?.(); // somebody may type: that alone is nothing to stay for
      yield* linesIn(input, signal);
    },
    async unseen() {
      const { stdin, stderr } = host.terminal;
      if (!prompt || !stdin || !stderr || !isInForeground()) return undefined;
      const { readUnseen } = await import("./unseen.ts");
      return readUnseen(host.stdin());
    },
    async execute(command, { signal, maxBytes }) {
      const { execa } = await import("execa");
      // A process group of its own: the shell's children must not outlive it.
      const options = { shell: true, detached: platform !== "win32", stdin: "ignore", stderr: "inherit" } as const;
      const child = execa(command, { ...options, maxBuffer: maxBytes, stripFinalNewline: false });
      const stop = () => child.pid !== undefined && host.kill(child.pid);
      signal.addEventListener("abort", stop, { once: true });
      try {
        return (await child).stdout;
      } finally {
        signal.removeEventListener("abort", stop);
        stop(); // what it left in the background
      }
    },
    async edit(path) {
      const { execa } = await import("execa");
      const editor = env["VISUAL"] || env["EDITOR"] || (platform === "win32" ? "notepad" : "vi");
      // As git and crontab do: it may come with options. Stdout may be a pipe for our stream; the terminal is on stderr too.
      const [file, args] =
        platform === "win32" ? ["cmd", ["/c", editor, path]] : ["sh", ["-c", `${editor} "$@"`, editor, path]];
      const options = { stdio: ["inherit", 2, "inherit"], reject: false, cancelSignal: signal } as const;
      return (await execa(file as string, args as string[], options)).exitCode === 0;
    },
    async leaveBehind(argv) {
      const { execa } = await import("execa");
      const [file, script] = host.program;
      const options = { detached: true, stdio: "ignore", cleanup: false, reject: false, windowsHide: true } as const;
      execa(file, [script, ...argv], options).unref();
    },
  };
}

function selfOf({ pid, isAlive }: Process): Self {
  return {
    pid,
    // A killed process that nobody has buried yet holds nothing any more.
    isAlive: (other) => isAlive(other) && !["Z", "X"].includes(statOf(other)?.[STATE] ?? ""),
    // In containers and on machines that share a home the same number is another process.
    host: [hostname(), textOf("/proc/sys/kernel/random/boot_id"), linkOf("/proc/self/ns/pid")].join(" ").trim(),
    startOf: (other) => statOf(other)?.[START_TIME],
  };
}

/** For the audit log. */
const whoOf = ({ pid, ppid }: Process): Who => ({
  pid,
  ppid,
  ...defined({ parent: textOf(`/proc/${ppid}/comm`) || undefined, user: userName() }),
  host: hostname(),
});

/** A user of a container may have no name there. */
function userName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return statSync("/proc/self", { throwIfNoEntry: false })?.uid.toString();
  }
}

/** proc(5): what stat says after the name, which may hold anything; nothing where there is no /proc. */
const [STATE, GROUP, TERMINAL_GROUP, START_TIME] = [0, 2, 5, 19];

function statOf(pid: number | "self"): string[] | undefined {
  const stat = textOf(`/proc/${pid}/stat`);
  return stat === "" ? undefined : stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

/** Whether the terminal listens to our process group, as far as can be known. */
export function isInForeground(): boolean {
  const stat = statOf("self");
  // -1: there is none that could stop us.
  return stat === undefined || ["-1", stat[GROUP]].includes(stat[TERMINAL_GROUP]);
}

/** A browser started here would have a screen; over SSH the person's browser is on another machine. */
function hasDisplay({ env, platform }: Process): boolean {
  if (env["SSH_CONNECTION"] || env["SSH_TTY"] || env["CODESPACES"]) return false;
  if (env["BROWSER"]) return true;
  if (platform === "darwin" || platform === "win32") return true;
  return Boolean(env["DISPLAY"] || env["WAYLAND_DISPLAY"] || env["WSL_DISTRO_NAME"]);
}
