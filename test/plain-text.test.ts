/**
 * The plain text of no secret is found where somebody may look: not in a file under AUTHLINE_HOME nor in its name, not on
 * a stream, not in what a crash says, not in the audit log, not in an argument list.
 *
 * One life with every command and every flow in it, also with processes that are killed in the middle and with errors
 * that quote what they choked on. Secrets are those that are planted here, and all that the server ever issues. Every
 * run's streams and every home are searched by `sweep` too, here and in all other tests (support/spawn.ts); what is
 * searched here is every stage between, and what runs.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { commands } from "../src/commands/index.ts";
import { type AuthorizationServer, startAuthorizationServer } from "./support/authorization-server.ts";
import { program } from "./support/inside.ts";
import { issuedSecrets, remember, secretsIn, secretsUnder } from "./support/issued.ts";
import { approveRedirect, visit } from "./support/person.ts";
import { authline, type Options, type Run, type Running, sweep, tempHome } from "./support/spawn.ts";
import { checkStream, type Event } from "./support/stream.ts";

const KEY = randomBytes(32);
/** From its own environment; `github` is a provider that is known by name. */
const TOKEN_GITHUB = `gho_${randomBytes(20).toString("hex")}`;
const keyForms = (key: Buffer) => [key.toString("base64"), key.toString("base64url"), key.toString("hex")];

let home: string;
let server: AuthorizationServer;
/** What every command of this life is given. */
let env: Record<string, string>;
let watcher: NodeJS.Timeout;
/** Every argument list that was ever seen. */
const seen = new Set<string>();
const ran = new Set<string>();
/** `state` and `nonce`: in an `auth_url`, and nowhere else. */
const inAddress = new Set<string>();

beforeAll(async () => {
  server = await startAuthorizationServer({ interval: 1 });
  home = tempHome();
  remember(...keyForms(KEY), TOKEN_GITHUB);
  env = { ROBOT_SECRET: server.clients.confidential.secret };
  watcher = setInterval(watch, 20);
});
afterAll(async () => {
  clearInterval(watcher);
  await server.close();
  expect(await sweep()).toEqual([]);
});
const contentOf = (path: string) => {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return ""; // gone in the meantime
  }
};

/** `ps -ef`, as anybody on the machine may call it. */
function watch(): void {
  for (const pid of readdirSync("/proc")) if (/^\d+$/.test(pid)) seen.add(contentOf(`/proc/${pid}/cmdline`));
}

const keyFiles = () => readdirSync(join(home, "keys")).filter((name) => /^[0-9a-f]{16}$/.test(name));

function nothingInSight(): void {
  watch();
  expect(secretsUnder(home)).toEqual([]);
  expect([...seen].flatMap((line) => secretsIn(line))).toEqual([]);
  // What seals them is in the file that is for it, and nowhere else.
  for (const id of keyFiles()) {
    const key = Buffer.from(contentOf(join(home, "keys", id)), "base64url");
    expect(key).toHaveLength(32);
    const places = secretsUnder(home, keyForms(key)).map((place) => place.split(" ")[0]);
    expect(new Set(places)).toEqual(new Set([join("keys", id)]));
    expect([...seen].flatMap((line) => secretsIn(line, keyForms(key)))).toEqual([]);
  }
  for (const { path, text } of logs()) {
    expect(secretsIn(addressesRemoved(text), [...inAddress]), path).toEqual([]);
  }
  for (const place of secretsUnder(home, [...inAddress])) expect(place).toMatch(/^sessions\/sess_[\w-]+\.ndjson /);
}

function logs(): { path: string; text: string }[] {
  const directory = join(home, "sessions");
  const names = readdirSync(home).includes("sessions") ? readdirSync(directory) : [];
  return names
    .filter((name) => name.endsWith(".ndjson"))
    .map((name) => ({ path: name, text: contentOf(join(directory, name)) }));
}

/** The whole address is what a person has to be told. */
const addressesRemoved = (text: string) => text.replace(/https?:\/\/[^\s"]*[?&]code_challenge=[^\s"]*/g, "");

function start(argv: string[], options: Options = {}, begin = program): Running {
  ran.add(commands.find(({ name }) => argv.join(" ").startsWith(name))?.name ?? "");
  return begin(argv, { home, ...options, env: { ...env, ...options.env } });
}

/** The end of a process, judged. */
async function ended(running: Running, argv: string[], code: number | null): Promise<Run & { result: Event }> {
  const run = await running.done;
  const address = [...inAddress];
  const allow = { auth_url: address, "data.auth_url": address };
  const found = checkStream(run.stdout, { exitCode: run.code, secrets: address, allow, partial: code === null });
  expect(found, argv.join(" ")).toEqual([]);
  expect(secretsIn(addressesRemoved(run.stderr), [...issuedSecrets(), ...address]), argv.join(" ")).toEqual([]);
  const result = run.events.at(-1) as Event;
  if (code !== null) expect(run.code, `${argv.join(" ")}: ${result.error?.message}`).toBe(code);
  return { ...run, result };
}

const run = (argv: string[], code = 0, options: Options = {}) => ended(start(argv, options), argv, code);

const login = (...more: string[]) => [
  ...["login", "acme", "--issuer", server.issuer, "--client-id", server.clients.native],
  ...["--browser", "never", "--scope", "openid email offline_access", ...more],
];

/** Takes note of what only the address may show. */
function noting(challenge: Event): Event {
  const { searchParams } = new URL(challenge.auth_url ?? "none:");
  for (const name of ["state", "nonce"]) {
    const value = searchParams.get(name);
    if (value) inAddress.add(value);
  }
  return challenge;
}

async function pid(id: string): Promise<number> {
  const holder = readdirSync("/proc").find((each) => contentOf(`/proc/${each}/cmdline`).includes(`${id}\0--hold`));
  return Number(holder);
}

describe("one life", { retry: 0 }, () => {
  afterEach(nothingInSight);

  test("device login", async () => {
    const argv = login("--flow", "device_code");
    const running = start(argv);
    const { user_code = "" } = await running.next("device_code");
    nothingInSight(); // the device code is on disk now
    await server.approveDevice(user_code);
    await ended(running, argv, 0);
    expect(issuedSecrets().length).toBeGreaterThan(6);
  });

  test("redirect login that is left behind, its address pasted while the holder sleeps", async () => {
    const { result } = await run(login("--connection", "web", "--flow", "authorization_code", "--no-wait"));
    noting(result.data);
    const { session_id: id = "", auth_url = "" } = result.data;
    nothingInSight(); // PKCE verifier, state and nonce are on disk now, and the holder runs
    const holder = await pid(id);
    expect(holder).toBeGreaterThan(0);
    const address = await approveRedirect(auth_url);
    process.kill(holder, "SIGSTOP");
    const argv = ["session", "callback", id, "--url", "-"];
    const running = start(argv, { stdin: `${address}\n` });
    const mail = join(home, "sessions", `${id}.mail`);
    await until(() => readdirSync(join(home, "sessions")).includes(`${id}.mail`) && readdirSync(mail).length > 0);
    nothingInSight(); // the authorization code is in the mail
    expect(readdirSync(mail)).toHaveLength(1);
    process.kill(holder, "SIGCONT");
    await ended(running, argv, 0);
    await run(["session", "wait", id]);
    await run(["session", "show", id]);
    await run(["session", "list"]);
  });

  test("redirect login, the address given by a browser", async () => {
    const argv = login("--connection", "here", "--flow", "authorization_code");
    const running = start(argv);
    const { auth_url = "" } = noting(await running.next("auth_url"));
    await visit(await approveRedirect(auth_url));
    await ended(running, argv, 0);
  });

  test("a program signs in as itself, with a secret from its environment and with one by name", async () => {
    const robot = ["robot", "--issuer", server.issuer, "--client-id", server.clients.confidential.id];
    const flow = ["--flow", "client_credentials"];
    await run(["login", ...robot, ...flow, "--client-secret-from", "env:ROBOT_SECRET"]);
    await run(["token", "robot", "--refresh"]);
    const given = { AUTHLINE_CLIENT_SECRET_ROBOT: server.clients.confidential.secret };
    await run(["login", "robot", "--connection", "again", ...flow], 0, { env: given });
  });

  test("tokens: stored, refreshed, from the environment", async () => {
    const { result } = await run(["token", "acme"]);
    expect(issuedSecrets()).toContain(result.data.access_token);
    await run(["token", "acme", "--refresh"]);
    for (const from of ["auto", "userinfo"]) await run(["whoami", "acme", "--from", from]);
    const given = { env: { AUTHLINE_TOKEN_GITHUB: TOKEN_GITHUB } };
    expect((await run(["token", "github"], 0, given)).result.data.access_token).toBe(TOKEN_GITHUB);
    await run(["status"], 0, given);
    await run(["logout", "github"], 66, given);
  });

  test("errors that quote what they choked on, caught and uncaught", async () => {
    const NODE_OPTIONS = "--stack-trace-limit=200 --enable-source-maps";
    const caught = { faults: "tattle", env: { NODE_OPTIONS } };
    const uncaught = { faults: "tattle", env: { NODE_OPTIONS, TATTLE: "uncaught" } };
    await run(["token", "robot", "--refresh"], 70, uncaught);
    await run(["token", "acme", "--connection", "web"], 0, caught);
    await run(["token", "acme", "--connection", "web", "--min-ttl", "30d"], 0, caught); // with a warning: not refreshed
    const device = login("--connection", "crash", "--flow", "device_code");
    await run(device, 70, uncaught);
    await run(["logout", "robot", "--connection", "again"], 0, caught); // with warnings: the server was not told
    const argv = login("--connection", "crash", "--flow", "authorization_code");
    const running = start(argv, uncaught);
    const { auth_url = "" } = noting(await running.next("auth_url"));
    await visit(await approveRedirect(auth_url)).catch(() => {}); // the browser may be left without an answer
    await ended(running, argv, 70); // in the exchange of the code
  });

  test("processes that are killed in the middle", async () => {
    const argv = login("--connection", "killed", "--flow", "authorization_code");
    const driver = start(argv, {}, authline);
    noting(await driver.next("auth_url"));
    driver.kill("SIGKILL");
    await ended(driver, argv, null);
    nothingInSight();
    const refreshing = start(["token", "acme", "--connection", "here", "--refresh"], {}, authline);
    await refreshing.next(({ step }) => step === "refresh");
    refreshing.kill("SIGKILL");
    await refreshing.done;
    nothingInSight();
    // The answer may have been lost, or nothing was sent: both are ends that are told.
    const after = await start(["token", "acme", "--connection", "here", "--refresh"]).done;
    expect([0, 4]).toContain(after.code);
    const { sessions } = (await run(["session", "list"])).result.data;
    for (const { session_id, state } of sessions) if (state === "pending") await run(["session", "cancel", session_id]);
  });

  test("errors of all kinds", async () => {
    const dead = "http://127.0.0.1:9";
    await run(["token", "acme", "--no-such-option"], 64);
    await run(["token", "nobody"], 66);
    await run(["token", "github"], 4);
    await run(["login", "dead", "--issuer", dead, "--client-id", "x", "--flow", "device_code"], 78);
    await run(login("--connection", "late", "--flow", "device_code", "--timeout", "1s"), 75);
    const wrong = { env: { WRONG: `${server.clients.confidential.secret}, not quite` } };
    const robot = ["--connection", "wrong", "--flow", "client_credentials", "--client-secret-from", "env:WRONG"];
    await run(["login", "robot", ...robot], 76, wrong);
    const unfit = { env: { AUTHLINE_TOKEN_GITHUB: `${TOKEN_GITHUB} and more` } };
    await run(["token", "github"], 78, unfit);
    await run(["token", "acme"], 74, { env: { AUTHLINE_KEY: randomBytes(32).toString("base64") } });
    await run(["token", "acme"], 78, { env: { AUTHLINE_KEY: `${KEY.toString("base64")}${KEY.toString("hex")}` } });
    writeFileSync(join(home, "connections", "torn@acme.json"), '{"v":1,"provider":"acme","sea', { mode: 0o600 });
    await run(["token", "acme", "--connection", "torn"], 74);
    await run(["logout", "acme", "--connection", "torn"]);
    const argv = login("--connection", "denied", "--flow", "device_code");
    const running = start(argv);
    await server.denyDevice((await running.next("device_code")).user_code ?? "");
    await ended(running, argv, 77);
  });

  test("a refresh that the server refuses", async () => {
    for (const { id } of server.records().refreshTokens) {
      await fetch(`${server.issuer}/token/revocation`, {
        method: "POST",
        body: new URLSearchParams({ client_id: server.clients.native, token: id }),
      });
    }
    const refused = await run(["token", "acme", "--refresh"], 4);
    expect(refused.result.error).toMatchObject({ code: "auth_expired", reason: "refused" });
    // The one whose request a dependency has choked on, and who knows whether it was sent.
    const lost = await run(["token", "acme", "--connection", "web", "--refresh"], 4);
    expect(lost.result.error).toMatchObject({ code: "auth_expired", reason: "answer_lost" });
    const { data } = (await run(["status", "acme"])).result;
    expect(data.connections.map(({ record_status }: Event) => record_status)).toContain("revoked");
  });

  test("connections are listed, renamed, chosen and removed", async () => {
    await run(["connection", "list"]);
    await run(["connection", "rename", "acme", "web", "work"]);
    await run(["connection", "default", "acme", "work"]);
    await run(["connection", "remove", "acme", "here"]);
  });

  test("another key, of a file and of the environment", async () => {
    await run(["store", "rekey"]);
    nothingInSight();
    env["AUTHLINE_KEY"] = KEY.toString("base64");
    await run(["store", "rekey", "--to", "env"]);
    expect(keyFiles()).toEqual([]);
    expect((await run(["token", "robot"])).result.data.access_token).toBeTruthy();
  });

  test("what looks at all of it", async () => {
    await run(["whoami", "robot"]);
    await run(["proof", "robot", "--url", `${server.issuer}/me`], 4); // its token is bound to no key
    await run(["doctor"]);
    const { result } = await run(["audit"]);
    expect(result.data.entries.length).toBeGreaterThan(10);
    await run(["schema"]);
    await run(["status"]);
  });

  test("settings, and what others are told of it", async () => {
    await run(["config", "set", "min_ttl", "2m"]);
    await run(["config", "get", "min_ttl"]);
    await run(["config", "list"]);
    await run(["config", "unset", "min_ttl"]);
    await run(["completion", "bash"]);
    await run(["skill"], 0, { sink: "pipe" }); // which is a file of the build
    const { stdout } = await run(["status"]);
    await run(["render"], 0, { stdin: stdout.toString() });
    const { stdout: candidates, code } = await start(["complete", "--", "token", ""]).done;
    expect([code, secretsIn(candidates.toString(), [...issuedSecrets()])]).toEqual([0, []]);
    expect(candidates.toString()).toContain("acme");
  });

  test("provider", async () => {
    const definition = JSON.stringify({ name: "own", display_name: "Own", issuer: server.issuer });
    await run(["provider", "add", "-"], 0, { stdin: definition });
    await run(["provider", "list"]);
    await run(["provider", "show", "acme"]);
    await run(["provider", "check", "acme"]);
    await run(["provider", "edit", "own"], 64);
    await run(["provider", "remove", "own"]);
  });

  test("logout", async () => {
    await run(["logout", "acme", "--all"]);
    await run(["logout", "robot"]);
  });

  test("every command was in it", () => {
    expect(commands.map(({ name }) => name).filter((name) => !ran.has(name))).toEqual([]);
  });
});

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe("the search finds", () => {
  const SECRET = "c2VjcmV0-of_this~test+1/2=";
  const bytes = Buffer.from(SECRET);
  test.each<[string, string, string]>([
    ["it as it is", "a.json", `{"secrets":{"access_token":"${SECRET}"}}`],
    ["it percent-encoded", "a.json", `token=${encodeURIComponent(SECRET)}&x=1`],
    ["it in base64 with something before it", "a.json", Buffer.from(`robot:${SECRET}:more`).toString("base64")],
    ["it in base64url", "deep/in/a.json", Buffer.from(`{"a":"${SECRET}"}`).toString("base64url")],
    ["it in hex", "a.json", bytes.toString("hex").toUpperCase()],
    ["it in a name", `deep/${bytes.toString("base64url")}.json`, ""],
    ["it in a name that hides", `.${bytes.toString("hex")}/x`, ""],
  ])("%s", (_, file, content) => {
    const place = tempHome();
    const path = join(place, file);
    expect(secretsUnder(place, [SECRET])).toEqual([]);
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, content);
    expect(secretsUnder(place, [SECRET])).not.toEqual([]);
  });

  test("one in an argument list", async () => {
    const child = spawn("sleep", ["20"], { argv0: `sleep ${SECRET}` });
    try {
      await until(() => {
        watch();
        return secretsIn([...seen].join("\n"), [SECRET]).length > 0;
      });
    } finally {
      child.kill("SIGKILL");
    }
  });

  test("one in a home or on a stream of any test, when that is swept", async () => {
    const leak = `leak-${randomBytes(16).toString("hex")}`;
    remember(leak);
    writeFileSync(join(tempHome(), "a.json"), leak);
    await expect(sweep()).rejects.toThrow("a.json holds");
    await program(["token", leak]).done; // an argument that is repeated, as a message may
    await expect(sweep()).rejects.toThrow("shows");
    expect(await sweep()).toEqual([]);
  });
});
