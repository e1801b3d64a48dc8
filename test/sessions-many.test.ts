/**
 * Many processes at one sign-in: the built binary, twenty at a time, against a real oidc-provider whose own list of
 * requests is the judge.
 *
 * What is protected: however many wait, and however often the one that drives is killed with -9, the server is asked
 * once for what is good once and never sooner than its interval, and whoever lives to the end has the same whole log and
 * the same result. However many start at once, a person is asked once for each thing that is wanted, and no more.
 */
import { readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type AuthorizationServer, startAuthorizationServer } from "./support/authorization-server.ts";
import { approveRedirect, visit } from "./support/person.ts";
import { authline, type Run, type Running, sweep, tempHome } from "./support/spawn.ts";
import { checkStream, type Event } from "./support/stream.ts";

const MANY = 20;
const INTERVAL_MS = 1000;
/** Two clocks are read: when a request was sent, and when the server looked at it. */
const MEASURING_MS = 10;
const LIMIT = 90_000;
const DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code";

let home: string;
let server: AuthorizationServer;

beforeEach(async () => {
  home = tempHome();
  server = await startAuthorizationServer({ interval: INTERVAL_MS / 1000 });
});
afterEach(async () => {
  await server.close();
  expect(await sweep()).toEqual([]);
});

const start = (argv: string[], env = {}) => authline(argv, { home, env, timeoutMs: LIMIT - 5000 });
const many = (argv: string[], env = {}) => Array.from({ length: MANY }, () => start(argv, env));

/** A disk so slow that whoever looks whether there is a sign-in, and then writes one, is overtaken by the others. */
const SLOW_DISK = `
  import fs from "node:fs";
  import { syncBuiltinESMExports } from "node:module";
  const { writeFileSync } = fs;
  fs.writeFileSync = (path, ...rest) => {
    const isRecord = /sess_[^/]*[.]json/.test(String(path));
    if (isRecord) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
    return writeFileSync(path, ...rest);
  };
  syncBuiltinESMExports();`;
const onSlowDisk = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(SLOW_DISK)}` };
const login = (...more: string[]) => {
  const usual = { "--client-id": server.clients.native, "--scope": "openid api:read" };
  const unsaid = Object.entries(usual).filter(([option]) => !more.includes(option));
  return ["login", "acme", "--issuer", server.issuer, ...unsaid.flat(), ...more];
};

const requestsTo = (path: string) => server.requests.filter((request) => request.path === path);
const tokenRequests = (grant: string) =>
  requestsTo("/token")
    .filter(({ grant_type }) => grant_type === grant)
    .sort((a, b) => a.time - b.time);
const activeTokens = () => server.records().accessTokens.filter(({ active }) => active);

/** Gaps between polls that are shorter than the server allows. */
function hasty(): number[] {
  const times = tokenRequests(DEVICE_GRANT).map(({ time }) => time);
  const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  return gaps.filter((gap) => gap < INTERVAL_MS - MEASURING_MS);
}

/** Who drives, by its claim on disk; undefined while nobody does. */
function driverOf(session_id: string): number | undefined {
  const directory = join(home, "sessions", `${session_id}.lock`);
  try {
    const claims = readdirSync(directory).filter((name) => /^\d+$/.test(name));
    const top = Math.max(...claims.map(Number));
    const { pid } = JSON.parse(readFileSync(join(directory, String(top)), "utf8"));
    return typeof pid === "number" && isAlive(pid) ? pid : undefined;
  } catch {
    return undefined; // swept while we looked
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function until<T>(look: () => T | undefined | false | Promise<T | undefined | false>, what: string): Promise<T> {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; await sleep(5)) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
  }
  throw new Error(`in 20 s there was never ${what}`);
}

/** `kill -9`, and the one that comes after. */
async function killDriver(session_id: string): Promise<number> {
  const victim = await until(() => driverOf(session_id), "a driver");
  process.kill(victim, "SIGKILL");
  await until(() => !isAlive(victim), "an end of the driver");
  await until(() => driverOf(session_id), "another driver");
  return victim;
}

const isBound = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("close", () => socket.destroy());
    socket.once("connect", () => socket.destroy());
  });

/** What two processes that saw the same must have in common. */
const told = ({ events }: Pick<Run, "events">) =>
  events.map(({ command: _, duration_ms: __, warnings: ___, ...rest }) => rest);

/** Every one of them ended well, and saw the same. */
async function sameSuccess(runs: readonly Running[], command: string): Promise<Run[]> {
  const ended = await Promise.all(runs.map(({ done }) => done));
  for (const { stdout, code } of ended) expect(checkStream(stdout, { command, exitCode: code })).toEqual([]);
  const [first, ...others] = ended.map(told);
  expect(first?.at(-1)).toMatchObject({ phase: "result", status: "success", data: { record_status: "connected" } });
  for (const other of others) expect(other).toEqual(first);
  // Whoever made the key says where it is, and nobody else says anything.
  const warnings = ended.flatMap(({ events }) => (events.at(-1)?.["warnings"] as { code: string }[]) ?? []);
  expect(["", "key_in_file"]).toContain(warnings.map(({ code }) => code).join());
  return ended;
}

const written = (session_id: string) =>
  readFileSync(join(home, "sessions", `${session_id}.ndjson`), "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Event);

async function begun(flow: string): Promise<Event["data"]> {
  const { events, code } = await start(login("--flow", flow, "--no-wait")).done;
  const result = events.at(-1);
  expect([code, result?.status]).toEqual([0, "started"]);
  return result?.data;
}

describe("twenty wait for one sign-in, and whoever drives is killed again and again", () => {
  test("device code: one grant, polled at the server's pace", { timeout: LIMIT }, async () => {
    const { session_id, user_code } = await begun("device_code");
    const waiters = many(["session", "wait", session_id]);
    const seen = await Promise.all(waiters.map((waiter) => waiter.next("device_code")));
    expect(new Set(seen.map((event) => event.user_code))).toEqual(new Set([user_code]));

    const killed: number[] = [];
    // Right after an answer, in the middle of the pause, shortly before the next question, and around it.
    for (const delay of [0, 0, 300, 600, 900, 960, 1000, 0]) {
      const polls = tokenRequests(DEVICE_GRANT).length;
      await until(() => tokenRequests(DEVICE_GRANT).length > polls, "another poll");
      await sleep(delay);
      killed.push(await killDriver(session_id));
    }
    await server.approveDevice(user_code);
    const survivors = waiters.filter(({ pid }) => !killed.includes(pid));
    expect(new Set(killed).size).toBe(8);
    expect(survivors.length).toBe(MANY - 8);
    const [first] = await sameSuccess(survivors, "session wait");
    expect(told({ events: written(session_id) })).toEqual(told(first as Run));

    expect(hasty()).toEqual([]);
    const polls = tokenRequests(DEVICE_GRANT);
    expect(polls.length).toBeGreaterThan(8);
    expect(polls.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(polls.filter(({ error }) => error && error !== "authorization_pending")).toEqual([]);
    expect(activeTokens()).toHaveLength(1);
    expect(requestsTo("/device/auth")).toHaveLength(1);
  });

  test("redirect: the next one holds the same port, and one code is redeemed once", { timeout: LIMIT }, async () => {
    const { session_id, auth_url } = await begun("authorization_code");
    const port = Number(new URL(new URL(auth_url).searchParams.get("redirect_uri") ?? "").port);
    const waiters = many(["session", "wait", session_id]);
    const seen = await Promise.all(waiters.map((waiter) => waiter.next("auth_url")));
    expect(new Set(seen.map((event) => event.auth_url))).toEqual(new Set([auth_url]));

    const killed: number[] = [];
    for (const delay of [0, 0, 50, 200, 500]) {
      await until(() => isBound(port), "a listener");
      await sleep(delay);
      killed.push(await killDriver(session_id));
    }
    const callback = await approveRedirect(auth_url);
    killed.push(await killDriver(session_id)); // between the person's yes and the browser's return
    await until(() => isBound(port), "a listener");
    expect((await visit(callback)).status).toBe(200);

    const survivors = waiters.filter(({ pid }) => !killed.includes(pid));
    expect(new Set(killed).size).toBe(6);
    expect(survivors.length).toBeGreaterThanOrEqual(MANY - 6);
    const [first] = await sameSuccess(survivors, "session wait");
    expect(told({ events: written(session_id) })).toEqual(told(first as Run));

    expect(tokenRequests("authorization_code").map(({ status }) => status)).toEqual([200]);
    expect(activeTokens()).toHaveLength(1);
    expect(await isBound(port)).toBe(false);
  });
});

// What is left behind is looked for in /proc.
const onLinux = test.skipIf(process.platform !== "linux");

describe("twenty sign in at once", () => {
  test("one prompt, and one approval is enough for all", { timeout: LIMIT }, async () => {
    const logins = many(login(), onSlowDisk);
    const codes = await Promise.all(logins.map((each) => each.next("device_code")));
    const urls = await Promise.all(logins.map((each) => each.next("auth_url")));
    expect(new Set(codes.map(({ user_code, session_id }) => `${user_code} ${session_id}`)).size).toBe(1);
    expect(new Set(urls.map(({ auth_url, session_id }) => `${auth_url} ${session_id}`)).size).toBe(1);
    expect(requestsTo("/device/auth")).toHaveLength(1);

    await server.approveDevice(codes[0]?.user_code ?? "");
    await sameSuccess(logins, "login");
    expect(tokenRequests(DEVICE_GRANT).filter(({ status }) => status === 200)).toHaveLength(1);
    expect(requestsTo("/device/auth")).toHaveLength(1);
    expect(hasty()).toEqual([]);
    expect(activeTokens()).toHaveLength(1);
  });

  onLinux(
    "with --no-wait: the same start twenty times, and one process that holds it",
    { timeout: LIMIT },
    async () => {
      const logins = many(login("--no-wait"));
      const ended = await Promise.all(logins.map(({ done }) => done));
      for (const { stdout, code } of ended)
        expect(checkStream(stdout, { command: "login", exitCode: code })).toEqual([]);
      const results = ended.map(({ events }) => events.at(-1));
      expect(results[0]).toMatchObject({ status: "started", data: { record_status: "pending" } });
      const [data] = results.map((result) => result?.data);
      expect(data).toMatchObject({ user_code: expect.any(String), auth_url: expect.any(String) });
      for (const result of results) expect(result?.data).toEqual(data);
      expect(requestsTo("/device/auth")).toHaveLength(1);

      await until(() => holders().length === 1, "exactly one process left behind");
      await until(() => holders()[0] === driverOf(data.session_id), "one that drives");
      await sleep(1000);
      expect(holders()).toHaveLength(1);

      await server.approveDevice(data.user_code);
      const [last] = await sameSuccess([start(["session", "wait", data.session_id])], "session wait");
      expect(last?.events.at(-1)?.data).toMatchObject({ session_id: data.session_id });
      await until(() => holders().length === 0, "an end of the process that was left behind");
      expect(requestsTo("/device/auth")).toHaveLength(1);
      expect(hasty()).toEqual([]);
      expect(activeTokens()).toHaveLength(1);
    },
  );

  test("what is not the same is asked for by itself", { timeout: LIMIT }, async () => {
    const device = (...more: string[]) => login("--flow", "device_code", ...more);
    const kinds = [
      device(),
      device("--scope", "openid api:write"),
      device("--connection", "work"),
      device("--client-id", server.clients.confidential.id, "--client-secret-from", "env:SECRET"),
    ];
    const env = { SECRET: server.clients.confidential.secret };
    const logins = kinds
      .flatMap((argv) => [argv, argv])
      .map((argv) => authline(argv, { home, env, timeoutMs: 60_000 }));
    const prompts = await Promise.all(logins.map((each) => each.next("device_code")));
    const shown = prompts.map(({ user_code, session_id }) => `${user_code} ${session_id}`);
    expect(new Set(shown).size).toBe(kinds.length);
    for (let index = 0; index < shown.length; index += 2) expect(shown[index]).toBe(shown[index + 1]);

    const fresh = authline([...device(), "--new"], { home, timeoutMs: 60_000 });
    const another = await fresh.next("device_code");
    expect(shown).not.toContain(`${another.user_code} ${another.session_id}`);
    expect(requestsTo("/device/auth")).toHaveLength(kinds.length + 1);

    const codes = new Set([...prompts, another].map(({ user_code }) => user_code ?? ""));
    for (const code of codes) await server.approveDevice(code);
    for (const { code } of await Promise.all([...logins, fresh].map(({ done }) => done))) expect(code).toBe(0);
    expect(tokenRequests(DEVICE_GRANT).filter(({ status }) => status === 200)).toHaveLength(codes.size);
  });
});

/** The processes that a login has left behind. */
function holders(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        if (!readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").includes(`AUTHLINE_HOME=${home}`)) return false;
        return readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0").includes("--hold");
      } catch {
        return false; // gone
      }
    })
    .map(Number);
}
