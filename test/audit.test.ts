/**
 * The audit log: who did what to which credential.
 *
 * What is protected: every command that changes a credential or hands one out says so, each thing once and by the process
 * that did it, at once, so that a killed one has told what it did; no secret and no word of a server stands there; nobody
 * is kept from working by a log that cannot be written; no line is lost, doubled or torn, however many write at once.
 */
import { type ChildProcess, execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { build } from "rolldown";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Audit, auditAt, type Happening } from "../src/audit.ts";
import { audit as auditCommand } from "../src/commands/audit.ts";
import type { Notice } from "../src/protocol/event.ts";
import type { Lock } from "../src/store/lock.ts";
import type { Connection } from "../src/store/record.ts";
import { type AuthorizationServer, startAuthorizationServer } from "./support/authorization-server.ts";
import { connectionSecrets, contextAt, storeAt } from "./support/sealed.ts";
import { inSpawnedWorld } from "./support/sessions.ts";
import { authline, type Options, sweep, tempHome } from "./support/spawn.ts";
import { checkStream, type Event, leaks } from "./support/stream.ts";

// biome-ignore lint/suspicious/noExplicitAny: whatever stands there
type Line = Record<string, any>;

const GIVEN = "token-of-the-environment";

let server: AuthorizationServer;
beforeAll(async () => {
  server = await startAuthorizationServer({ interval: 1 });
});
afterAll(() => server.close());

let home: string;
beforeEach(() => {
  home = tempHome();
});
afterEach(async () => {
  expect(await sweep()).toEqual([]);
});

const logIn = (root: string) => join(root, "audit.ndjson");
/** Of a file; what else stands there may have no end. */
const textIn = (path: string) =>
  statSync(path, { throwIfNoEntry: false })?.isFile() ? readFileSync(path, "utf8") : "";

function entriesIn(root = home): Line[] {
  return textIn(logIn(root))
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

/** Without what differs from one process to the next. */
const essence = ({
  v: _,
  time: _t,
  pid: _p,
  ppid: _pp,
  parent: _pa,
  user: _u,
  host: _h,
  session_id: _s,
  ...rest
}: Line) => rest;
const essences = (root?: string) => entriesIn(root).map(essence);

/** Every secret that there is by now. */
function secrets(): string[] {
  const { accessTokens, refreshTokens, deviceCodes } = server.records();
  const issued = [...accessTokens, ...refreshTokens, ...deviceCodes].map(({ id }) => id);
  return [...issued, ...connectionSecrets(home), server.clients.confidential.secret, GIVEN];
}

/** Runs the binary to its end; its stream and the log are judged. */
async function run(argv: string[], options: Options = {}) {
  const running = authline(argv, { home, ...options });
  const ended = await running.done;
  const command = ["session", "connection", "store"].includes(argv[0] as string)
    ? `${argv[0]} ${argv[1]}`
    : (argv[0] as string);
  const allow = { "data.access_token": secrets() };
  expect(checkStream(ended.stdout, { command, exitCode: ended.code, secrets: secrets(), allow })).toEqual([]);
  expect(leaks(textIn(logIn(home)), secrets())).toEqual([]);
  return { ...ended, result: ended.events.at(-1) as Event };
}

/** A login that needs nobody. */
function login(provider: string, more: string[] = [], options: Options = {}) {
  const { id, secret } = server.clients.confidential;
  const who = ["--issuer", server.issuer, "--client-id", id, "--client-secret-from", "env:SECRET"];
  const argv = ["login", provider, "--flow", "client_credentials", ...who, ...more];
  return run(argv, { ...options, env: { SECRET: secret, ...options.env } });
}

const acme = { provider: "acme", connection: "default" };
const ended = (command: string, more: Line = {}) => ({
  ...{ command, ...acme, event: "end", state: "success", exit_code: 0 },
  ...more,
});
const done = (command: string, event: string, more: Line = {}) => ({
  ...{ command, ...acme, event, state: "done" },
  ...more,
});

// --- what is written down --------------------------------------------------------------------------------------------

test("what each command did, by whom and when", async () => {
  const before = Date.now();
  const signIn = await login("acme");
  expect(essences()).toEqual([done("login", "store"), ended("login")]);

  const [entry] = entriesIn();
  expect(entry).toMatchObject({
    v: 1,
    pid: signIn.pid,
    ppid: process.pid,
    user: userInfo().username,
    host: hostname(),
  });
  if (process.platform === "linux") expect(entry?.["parent"]).toBe(readFileSync("/proc/self/comm", "utf8").trim());
  expect(Date.parse(entry?.["time"])).toBeGreaterThanOrEqual(before);

  const said = async (argv: string[], options?: Options) => {
    const known = entriesIn().length;
    const { result } = await run(argv, options);
    expect(result.warnings?.filter((each) => (each as Line)["code"] === "audit_failed")).toEqual([]);
    return essences().slice(known);
  };
  const expired = { state: "error", exit_code: 4, code: "auth_required" };
  expect(await said(["token", "acme"])).toEqual([ended("token", { source: "store" })]);
  expect(await said(["token", "acme", "--refresh"])).toEqual([
    done("token", "refresh"),
    ended("token", { source: "store" }),
  ]);
  expect(await said(["token", "acme"], { env: { AUTHLINE_TOKEN_ACME: GIVEN } })).toEqual([
    ended("token", { source: "env" }),
  ]);
  expect(await said(["token", "acme", "--connection", "work"])).toEqual([
    ended("token", { connection: "work", ...expired }),
  ]);
  expect(await said(["logout", "acme", "--all", "--connection", "work"])).toEqual([
    { command: "logout", provider: "acme", event: "end", state: "error", exit_code: 64, code: "usage" },
  ]);
  expect(await said(["logout", "acme"])).toEqual([done("logout", "revoke"), done("logout", "store"), ended("logout")]);
  expect(await said(["token", "acme"])).toEqual([ended("token", expired)]);
});

test("what became of connections and of the key", async () => {
  await login("acme");
  const known = entriesIn().length;
  const work = { connection: "work" };
  await run(["connection", "rename", "acme", "default", "work"]);
  await run(["connection", "default", "acme", "work"]);
  await run(["token", "acme"]);
  await run(["connection", "remove", "acme", "work"]);
  await run(["connection", "remove", "acme", "work"]);
  await run(["connection", "list"]);
  expect(essences().slice(known)).toEqual([
    done("connection rename", "store"),
    ended("connection rename", work),
    done("connection default", "store", work),
    ended("connection default", work),
    ended("token", { ...work, source: "store" }),
    done("connection remove", "store", work),
    ended("connection remove", work),
    ended("connection remove", { ...work, state: "error", code: "not_found", exit_code: 66 }),
  ]);
  await run(["store", "rekey"]);
  expect(essences().at(-1)).toEqual({ command: "store rekey", event: "end", state: "success", exit_code: 0 });
});

test("what changes nothing is not written down, nor what was not understood", async () => {
  await login("acme");
  const before = textIn(logIn(home));
  for (const argv of [
    ["status"],
    ["session", "list"],
    ["audit"],
    ["token", "--help"],
    ["token"],
    ["login", "acme", "-x"],
  ])
    await authline(argv, { home }).done;
  expect(textIn(logIn(home))).toBe(before);
});

test("a logout of all names each connection that it was", async () => {
  await login("acme");
  await login("acme", ["--connection", "work"]);
  const known = entriesIn().length;
  await run(["logout", "acme", "--all"]);
  const work = { connection: "work" };
  const { connection: _, ...whole } = ended("logout");
  expect(essences().slice(known)).toEqual([
    done("logout", "revoke"),
    done("logout", "store"),
    done("logout", "revoke", work),
    done("logout", "store", work),
    whole,
  ]);
});

/** Keeps the token endpoint's secrets to itself, but says a lot. */
const HOSTILE = "\u001b[2J\u202eand the token is ";

describe("failures", () => {
  let hostile: Server;
  beforeAll(async () => {
    hostile = createServer((request, response) => {
      const { port } = hostile.address() as AddressInfo;
      const issuer = `http://127.0.0.1:${port}`;
      const metadata = { issuer, token_endpoint: `${issuer}/token`, response_types_supported: ["code"] };
      const isMetadata = request.url?.startsWith("/.well-known");
      response.writeHead(isMetadata ? 200 : 400, { "content-type": "application/json" });
      const refusal = {
        error: "invalid_client",
        error_description: HOSTILE,
      };
      response.end(JSON.stringify(isMetadata ? metadata : refusal));
    }).listen(0, "127.0.0.1");
    await once(hostile, "listening");
  });
  afterAll(() => {
    hostile.close();
  });

  test("are told in our words, never in a server's", async () => {
    const { port } = hostile.address() as AddressInfo;
    const { events } = await authline(
      [
        "login",
        "acme",
        "--flow",
        "client_credentials",
        "--issuer",
        `http://127.0.0.1:${port}`,
        "--client-id",
        "cli",
      ].concat(["--client-secret-from", "env:SECRET"]),
      { home, env: { SECRET: server.clients.confidential.secret } },
    ).done;
    const { error, exit_code } = events.at(-1) as Event;
    expect(error).toMatchObject({ oauth_error: "invalid_client" });
    expect(essences()).toEqual([ended("login", { state: "error", code: error?.code, exit_code })]);
    expect(textIn(logIn(home))).not.toMatch(/token is|invalid_client/);
  });

  test("of a refresh stand before the end of the command", async () => {
    const { port } = hostile.address() as AddressInfo;
    await expiredRecord(`http://127.0.0.1:${port}`);
    const known = entriesIn().length;
    const { result } = await run(["token", "acme", "--connection", "default"]);
    expect(result.error?.code).not.toBe("auth_required");
    expect(essences().slice(known)).toEqual([
      { command: "token", ...acme, event: "refresh", state: "failed", reason: result.error?.code },
      ended("token", { state: "error", code: result.error?.code, exit_code: result.exit_code }),
    ]);
  });
});

const record = (over: Partial<Connection> = {}): Connection => ({
  v: 1,
  provider: "acme",
  connection: "default",
  flow: "device_code",
  server: { issuer: "https://login.example.com" },
  client: { client_id: "cli", token_endpoint_auth_method: "none" },
  token_type: "bearer",
  created_at: "2026-01-02T03:04:05.678Z",
  updated_at: "2026-01-02T03:04:05.678Z",
  refreshable: true,
  secrets: { access_token: "old", refresh_token: "older" },
  ...over,
});

async function expiredRecord(issuer: string, over: Partial<Connection> = {}): Promise<void> {
  const at = storeAt(home);
  await at.prepare();
  const updated_at = new Date().toISOString();
  await at.keep(
    record({
      server: { issuer, token_endpoint: `${issuer}/token`, revocation_endpoint: `${issuer}/revoke` },
      expires_at: "2026-01-02T04:04:05.678Z",
      updated_at,
      ...over,
    }),
  );
}

// --- ends that come from outside -------------------------------------------------------------------------------------

/** Takes every request and never answers. */
async function silentServer(answers: (path: string) => boolean = () => false) {
  let heard: (path: string) => void = () => {};
  const silent = createServer((request, response) => {
    request.resume();
    if (answers(request.url ?? "")) response.writeHead(200).end();
    else heard(request.url ?? "");
  }).listen(0, "127.0.0.1");
  await once(silent, "listening");
  return {
    issuer: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`,
    asked: new Promise<string>((resolve) => {
      heard = resolve;
    }),
    close() {
      silent.closeAllConnections();
      silent.close();
    },
  };
}

test("a command that is cancelled says by what", async () => {
  const argv = [
    "login",
    "acme",
    "--issuer",
    server.issuer,
    "--client-id",
    server.clients.native,
    "--flow",
    "device_code",
  ];
  const running = authline(argv, { home });
  const { session_id } = await running.next("device_code");
  running.kill("SIGINT");
  await running.done;
  const cancelled = { state: "cancelled", code: "cancelled", reason: "SIGINT", exit_code: 2 };
  expect(entriesIn()).toMatchObject([{ ...ended("login", cancelled), session_id }]);
});

test("so does one that has to be torn away", async () => {
  const silent = await silentServer();
  await expiredRecord(silent.issuer);
  const running = authline(["token", "acme"], { home });
  await silent.asked; // what is asked now is waited for, whatever happens
  running.kill("SIGTERM");
  expect((await running.done).code).toBe(2);
  silent.close();
  expect(essences()).toEqual([
    ended("token", { state: "cancelled", code: "cancelled", reason: "SIGTERM", exit_code: 2 }),
  ]);
});

test("a killed one has told what it did until then", async () => {
  const silent = await silentServer();
  await expiredRecord(server.issuer, {
    server: { issuer: silent.issuer, revocation_endpoint: `${silent.issuer}/revoke` },
  });
  await login("acme", ["--connection", "a-first"]);
  const known = entriesIn().length;
  const running = authline(["logout", "acme", "--all"], { home });
  await silent.asked;
  running.kill("SIGKILL");
  await running.done;
  silent.close();
  const first = { connection: "a-first" };
  expect(essences().slice(known)).toEqual([done("logout", "revoke", first), done("logout", "store", first)]);
});

test("a token that is killed as soon as it says that it has refreshed has written that down", async () => {
  await login("acme");
  const known = entriesIn().length;
  const running = authline(["token", "acme", "--refresh"], { home });
  await running.next(({ step, state }) => step === "refresh" && state === "done");
  running.kill("SIGKILL");
  await running.done;
  expect(essences()[known]).toEqual(done("token", "refresh"));
});

test.each(["gone", "closed"] as const)("whose reader is %s is written down all the same", async (sink) => {
  await login("acme");
  const known = entriesIn().length;
  await authline(["token", "acme", "--refresh"], { home, sink }).done;
  const entries = essences().slice(known);
  expect(entries.at(0)).toEqual(done("token", "refresh"));
  expect(entries.at(-1)).toMatchObject({ event: "end" });
  expect(entries).toHaveLength(2);
});

// --- sessions --------------------------------------------------------------------------------------------------------

test(
  "what a session's driver did stands there once, however many look on",
  inSpawnedWorld(async (w) => {
    const { result } = await w.run(w.login("--no-wait", "--flow", "device_code"));
    const id = String(result.session_id);
    const watchers = [w.start(["session", "wait", id]), w.start(["session", "wait", id])];
    for (const watcher of watchers) await watcher.challenge();
    await w.approve(result.data);
    for (const watcher of watchers) await watcher.ended();
    await w.run(["session", "wait", id]);

    const entries = entriesIn(w.home);
    expect(entries.every(({ session_id }) => session_id === id)).toBe(true);
    expect(entries.map(essence)[0]).toEqual(ended("login", { state: "started" }));
    expect(entries.filter(({ event }) => event === "store").map(essence)).toEqual([done("session wait", "store")]);
    const ends = entries.filter(({ event, command }) => event === "end" && command === "session wait");
    expect(ends.map(essence)).toEqual(Array(3).fill(ended("session wait")));

    const known = entries.length;
    const second = await w.run(w.login("--no-wait", "--flow", "authorization_code"));
    const other = String(second.result.session_id);
    const address = await w.callback(second.result.data.auth_url);
    await w.run(["session", "callback", other, "--url", "-"], { stdin: address.href });
    await w.run(["session", "cancel", other]);
    const more = entriesIn(w.home).slice(known);
    // Whoever drove it, the process that was left behind or the callback, stored it.
    expect(more.filter(({ event }) => event === "store")).toHaveLength(1);
    expect(more.filter(({ event, command }) => event === "end" && command !== "session wait").map(essence)).toEqual([
      ended("login", { state: "started" }),
      ended("session callback"),
      ended("session cancel"),
    ]);
    expect(leaks(textIn(logIn(w.home)), [address.href, address.searchParams.get("code") as string])).toEqual([]);
  }),
);

/** Whether a small or read-only disk cannot be had here. */
const noMounts = (() => {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return true;
  const probe = tempHome();
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", probe], { stdio: "ignore" });
    execFileSync("umount", [probe]);
    return false;
  } catch {
    return true;
  }
})();

// --- the file --------------------------------------------------------------------------------------------------------

test.each(["000", "077", "277"])("nobody else can read it, whatever the umask is (%s)", async (umask) => {
  const preload = `--import=data:text/javascript,process.umask(0o${umask})`;
  await storeAt(home).prepare();
  await run(["token", "github"], { env: { NODE_OPTIONS: preload } });
  expect((statSync(logIn(home)).mode & 0o777).toString(8)).toBe("600");
  chmodSync(logIn(home), 0o644);
  await run(["token", "github"]);
  expect((statSync(logIn(home)).mode & 0o777).toString(8)).toBe("600");
});

test.each([
  ["one that is not understood", ["token", "acme", "--nothing"]],
  ["one that finds nothing", ["token", "acme"]],
  ["audit itself", ["audit"]],
])("a home that is not there is not made: %s", async (_, argv) => {
  const nowhere = join(home, "not", "there");
  await authline(argv, { home, env: { AUTHLINE_HOME: nowhere } }).done;
  expect(readdirSync(home)).toEqual([]);
});

describe("a log that cannot be written stops nobody, and is told once:", () => {
  const warningsOf = (result: Event) => (result.warnings as Line[]).map(({ code }) => code);

  test("a directory stands in its place", async () => {
    mkdirSync(logIn(home));
    const { result } = await login("acme");
    expect([result.status, warningsOf(result)]).toEqual(["success", ["key_in_file", "audit_failed"]]);
    const { result: refreshed } = await run(["token", "acme", "--refresh"]);
    expect([refreshed.data.refreshed, warningsOf(refreshed)]).toEqual([true, ["audit_failed"]]);
    const { result: refused } = await run(["token", "github"]);
    expect([refused.error?.code, warningsOf(refused)]).toEqual(["auth_required", ["audit_failed"]]);
    expect((refused.warnings as Line[])[0]?.["message"]).toContain("audit.ndjson");
    const { result: shown, code } = await run(["audit"]);
    expect([code, shown.error?.code, shown.message]).toEqual([74, "store", `${logIn(home)} is not a file.`]);
  });

  test.skipIf(process.platform !== "linux")("a pipe that nobody reads", async () => {
    await execa("mkfifo", [logIn(home)]);
    const { result } = await run(["token", "github"], { timeoutMs: 5000 });
    expect([result.error?.code, warningsOf(result)]).toEqual(["auth_required", ["audit_failed"]]);
    const { result: shown, code } = await run(["audit"], { timeoutMs: 5000 });
    expect([code, shown.error?.code, shown.message]).toEqual([74, "store", `${logIn(home)} is not a file.`]);
  });

  test.skipIf(noMounts)("a disk that is full in the middle of a line", async () => {
    const disk = join(home, "disk");
    mkdirSync(disk);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=128k", "tmpfs", disk]);
    try {
      await storeAt(disk).prepare();
      await storeAt(disk).keep(record({ refreshable: false, secrets: { access_token: "old" } }));
      const line = `${JSON.stringify({ v: 1, ...happening(0), pid: 1, ppid: 1, host: "h" })}\n`;
      const lines = Math.floor(4000 / line.length);
      writeFileSync(logIn(disk), line.repeat(lines).padStart(4000, "\n")); // the rest of its page can still be had
      const fill = () => writeFileSync(join(disk, "filler"), Buffer.alloc(4096), { flag: "a" });
      expect(() => upTo(100).forEach(fill)).toThrow("ENOSPC");

      const env = { AUTHLINE_HOME: disk };
      const { result } = await run(["token", "acme"], { env });
      expect([result.data.access_token, warningsOf(result)]).toEqual(["old", ["audit_failed"]]);
      expect(textIn(logIn(disk))).not.toMatch(/\n$/);

      rmSync(join(disk, "filler"));
      expect(warningsOf((await run(["token", "acme"], { env })).result)).toEqual([]);
      const shown = (await run(["audit"], { env })).result;
      expect([shown.data.entries.length, warningsOf(shown)]).toEqual([lines + 1, ["audit_damaged"]]);
    } finally {
      execFileSync("umount", [disk]);
    }
  });

  // To root everything is writable, unless the file system itself says no.
  test.skipIf(noMounts)("a home that is read-only", async () => {
    await login("acme");
    execFileSync("mount", ["--bind", home, home]);
    try {
      execFileSync("mount", ["-o", "remount,bind,ro", home]);
      const { result } = await run(["token", "acme"]);
      expect([result.status, (result.warnings as Line[]).map(({ code }) => code)]).toEqual([
        "success",
        ["audit_failed"],
      ]);
    } finally {
      execFileSync("umount", [home]);
    }
  });
});

// --- rotation --------------------------------------------------------------------------------------------------------

const held = (): Lock => ({ release() {} });
const auditWith = (maxBytes: number, take: () => Lock | undefined = held): Audit =>
  auditAt(home, { take }, () => ({ pid: 1, ppid: 1, host: "here" }), maxBytes);
const happening = (number: number, time = new Date().toISOString()): Happening => ({
  ...{ time, command: "token", provider: "acme", connection: `c${number}`, event: "end", state: "success" },
});
const numbersOf = (entries: { connection?: string | undefined }[]) =>
  entries.map(({ connection }) => Number(connection?.slice(1)));
const upTo = (end: number, from = 0) => Array.from({ length: end - from }, (_, index) => from + index);

test("what has grown too long is moved away, five times; the newest stays whole", () => {
  const log = auditWith(1000);
  for (const number of upTo(200)) log.append(happening(number));
  const names = readdirSync(home).sort();
  const kept = upTo(6, 1).map((number) => `audit.${number}.ndjson`);
  expect(names.filter((name) => name !== "audit.ndjson")).toEqual(kept);
  for (const name of kept) expect(statSync(join(home, name)).size).toBeLessThan(1400);
  const { entries, damaged } = log.reader().look();
  expect(damaged).toBe(0);
  const numbers = numbersOf(entries);
  expect(numbers).toEqual(upTo(200, numbers[0]));
  expect(numbers.length).toBeGreaterThan(25);
});

test("who does not get the lock writes on", () => {
  const log = auditWith(1000, () => undefined);
  for (const number of upTo(20)) log.append(happening(number));
  expect(readdirSync(home)).toEqual(["audit.ndjson"]);
  expect(numbersOf(log.reader().look().entries)).toEqual(upTo(20));
});

test("who comes too late to move it away leaves it", () => {
  const faster = auditWith(1000);
  const slower = auditWith(1000, () => {
    faster.append(happening(100));
    return held();
  });
  writeFileSync(logIn(home), "\n".repeat(1000));
  slower.append(happening(0));
  expect(readdirSync(home)).toEqual(["audit.1.ndjson"]);
});

test("a gap that a killed process left costs no file", () => {
  const log = auditWith(400);
  for (const number of [1, 2, 4, 5]) writeFileSync(join(home, `audit.${number}.ndjson`), `${number}\n`);
  for (const number of upTo(4)) log.append(happening(number)); // enough for one file, and not for two
  expect(upTo(6, 2).map((number) => textIn(join(home, `audit.${number}.ndjson`)).trim())).toEqual(["1", "2", "4", "5"]);
});

/** A process that writes many entries, with files that are soon full. */
async function writers(count: number, each: number, maxBytes: number): Promise<void> {
  const script = join(home, "writer.mjs");
  await build({
    input: join(import.meta.dirname, "../src/audit.ts"),
    platform: "node",
    logLevel: "warn",
    output: { file: join(home, "audit.mjs"), format: "esm", codeSplitting: false },
  });
  await build({
    input: join(import.meta.dirname, "../src/store/locks.ts"),
    platform: "node",
    logLevel: "warn",
    output: { file: join(home, "locks.mjs"), format: "esm", codeSplitting: false },
  });
  writeFileSync(
    script,
    `import { auditAt } from "./audit.mjs";
    import { locksAt } from "./locks.mjs";
    const isAlive = (pid) => { try { return process.kill(pid, 0); } catch { return false; } };
    const [home, first] = process.argv.slice(2);
    const self = { pid: process.pid, host: "here", isAlive, startOf: () => undefined };
    const log = auditAt(home, locksAt(home, self), () => ({ pid: process.pid, ppid: 1, host: "here" }), ${maxBytes});
    process.send("ready");
    process.once("message", () => {
      for (let number = Number(first); number < Number(first) + ${each}; number++) {
        log.append({ time: new Date().toISOString(), command: "token", provider: "acme", connection: "c" + number, event: "end", state: "success" });
      }
      process.disconnect();
    });`,
  );
  const children: ChildProcess[] = upTo(count).map((index) => fork(script, [home, String(index * each)]));
  await Promise.all(children.map((child) => once(child, "message")));
  const exits = children.map((child) => once(child, "exit"));
  for (const child of children) child.send("go");
  expect(await Promise.all(exits)).toEqual(Array(count).fill([0, null]));
}

test("twenty processes at once lose, double and tear nothing", { timeout: 30_000 }, async () => {
  const [count, each, maxBytes] = [20, 100, 96 * 1024];
  const follower = auditWith(maxBytes).reader();
  expect(follower.look().entries).toEqual([]);
  const followed: number[] = [];
  const timer = setInterval(() => followed.push(...numbersOf(follower.look().entries)), 5);
  await writers(count, each, maxBytes);
  clearInterval(timer);
  followed.push(...numbersOf(follower.look().entries));
  follower.close();

  expect(existsSync(join(home, "audit.1.ndjson"))).toBe(true); // it was moved while they wrote
  const { entries, damaged } = auditWith(maxBytes).reader().look();
  const inOrder = (numbers: number[]) => [...numbers].sort((a, b) => a - b);
  expect(damaged).toBe(0);
  expect(inOrder(numbersOf(entries))).toEqual(upTo(count * each));
  expect(inOrder(followed)).toEqual(upTo(count * each));
});

// --- showing it ------------------------------------------------------------------------------------------------------

const dataOf = (result: Event) => numbersOf(result.data.entries);

test("--since and --last say which, and are told when they make no sense", async () => {
  const log = auditWith(1e6);
  const hour = 3600_000;
  for (const number of upTo(10))
    log.append(happening(number, new Date(Date.now() - (9 - number) * hour).toISOString()));
  log.append(happening(10, "2026-01-02T03:04:05.678Z"));

  const shown = async (...argv: string[]) => dataOf((await run(["audit", ...argv])).result);
  expect(await shown()).toEqual(upTo(10));
  expect(await shown("--since", "150m")).toEqual([7, 8, 9]);
  expect(await shown("--since", "2026-01-02T04:04:05.678+01:00", "--last", "2")).toEqual([9, 10]);
  expect(await shown("--last", "3")).toEqual([7, 8, 9]);
  expect(await shown("--last", "0")).toEqual([]);

  for (const since of ["yesterday", "2026-01-02", "31d", "2026-13-02T03:04:05Z"]) {
    const { result } = await run(["audit", "--since", since]);
    expect(result.error).toMatchObject({ code: "usage", hint: expect.stringContaining("7d") });
  }
  expect((await run(["audit", "--last", "few"])).result.error?.code).toBe("usage");
});

test("however many there are, they are shown in one result", async () => {
  const log = auditWith(1e9);
  for (const number of upTo(1000)) log.append(happening(number));
  const { result, stderr } = await run(["audit", "--last", "2000"]);
  expect(dataOf(result)).toEqual(upTo(1000));
  expect(result.message).toBe("1000 entries.");
  expect(stderr.split("\n").filter((line) => /c\d+@acme: ended with success/.test(line))).toHaveLength(1000);
});

test("of more than can be shown only what is asked for is kept", () => {
  const log = auditWith(1e9);
  for (const number of upTo(3000)) log.append(happening(number, new Date(number).toISOString()));
  const look = (from: number, last: number) => numbersOf(log.reader().look({ from, last }).entries);
  expect(look(0, 5)).toEqual(upTo(3000, 2995));
  expect(look(2990, 100)).toEqual(upTo(3000, 2990));
  expect(look(0, 2500)).toEqual(upTo(3000, 500));
  expect(look(0, 0)).toEqual([]);
});

test("a file of any size is read, and a line without end is one damaged line", async () => {
  const log = auditWith(1e12);
  log.append(happening(0));
  const file = openSync(logIn(home), "a");
  ftruncateSync(file, 600 * 1024 * 1024); // zeros that no disk holds: longer than any string
  writeSync(file, "\n");
  closeSync(file);
  log.append(happening(1));
  const { events } = await authline(["audit"], { home }).done;
  rmSync(logIn(home)); // before it is searched for secrets, as all else is
  const result = events.at(-1) as Event;
  expect(dataOf(result)).toEqual([0, 1]);
  expect(result["warnings"]).toEqual([{ code: "audit_damaged", message: expect.stringMatching(/^1 line /) }]);
});

test("a damaged line is left out and counted; what is hostile in one is made harmless", async () => {
  await storeAt(home).prepare();
  await run(["token", "acme"]);
  const [whole] = textIn(logIn(home)).split("\n");
  const spoilt = {
    ...JSON.parse(whole as string),
    parent: `${HOSTILE}${"x".repeat(5000)}`,
    added_later: { any: "thing" },
  };
  appendFileSync(
    logIn(home),
    `${JSON.stringify(spoilt)}\n\n{"v":2}\nnot JSON\n{"v":1,"time":"now"}\n${whole?.slice(0, 50)}`,
  );
  await run(["token", "acme"]); // its line stands by itself, behind the torn one
  const { result, stderr } = await run(["audit"]);
  expect(result.data.entries).toHaveLength(3);
  expect(result.warnings).toEqual([{ code: "audit_damaged", message: expect.stringMatching(/^4 lines /) }]);
  expect(result.data.entries[1].parent).toMatch(/^\uFFFD\[2J\uFFFDand the token is x*…$/);
  expect(result.data.entries[1]).not.toHaveProperty("added_later");
  expect(stderr).not.toMatch(/[^\P{Cc}\n]/u);
});

test("--follow shows what was, and what comes, past rotations, until it is cancelled", async () => {
  const log = auditWith(2000);
  log.append(happening(0));
  log.append(happening(1));
  const running = authline(["audit", "--follow", "--last", "1"], { home });
  const shows = (number: number) =>
    running.next(({ entry }) => entry !== undefined && numbersOf([entry as Line])[0] === number);
  await shows(1);
  for (const number of upTo(60, 2)) {
    log.append(happening(number));
    if (number % 10 === 9) await shows(number); // not more than it can be late
  }
  expect(existsSync(join(home, "audit.3.ndjson"))).toBe(true);
  running.kill("SIGINT");
  const { events, stdout, code, stderr } = await running.done;
  expect(checkStream(stdout, { command: "audit", exitCode: 2 })).toEqual([]);
  expect([code, events.at(-1)?.status]).toEqual([2, "cancelled"]);
  const lines = events.slice(0, -1);
  expect(numbersOf(lines.map(({ entry }) => entry as Line))).toEqual(upTo(60, 1));
  for (const { message, entry } of lines) {
    const { time, connection } = entry as Line;
    expect(message).toBe(`${time} token ${connection}@acme: ended with success; process 1, on here.`);
    expect(stderr).toContain(`${message}\n`);
  }
});

test("--follow ends quietly when its reader leaves", async () => {
  const log = auditWith(2000);
  log.append(happening(0));
  const running = authline(["audit", "--follow"], { home, sink: "gone" });
  await running.next("progress");
  const timer = setInterval(() => log.append(happening(1)), 50);
  const { code, events } = await running.done;
  clearInterval(timer);
  expect([code, events.length]).toEqual([141, 1]);
});

test("--follow gives a sign of life at least every 15 s", async () => {
  let clock = 0;
  const context = contextAt(home);
  const sleep = async (seconds: number) => {
    clock += seconds;
    if (clock > 100) throw new Error("enough");
  };
  const args = { since: { ago: 60 }, last: 10, follow: true };
  const told: { at: number; notice: Notice }[] = [];
  const flow = auditCommand.flow(args, { ...context, sleep, uptime: () => clock });
  await expect(
    (async () => {
      for await (const notice of flow) told.push({ at: clock, notice });
    })(),
  ).rejects.toThrow("enough");
  expect(told.map(({ notice }) => notice)).toMatchObject(Array(told.length).fill({ step: "audit", state: "waiting" }));
  const times = [0, ...told.map(({ at }) => at), clock];
  const gaps = times.slice(1).map((at, index) => at - (times[index] as number));
  expect(told.length).toBeGreaterThan(5);
  expect(Math.max(...gaps)).toBeLessThan(15.5);
});
