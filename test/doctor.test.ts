/**
 * `doctor`: one fault is planted, and it is the one that is told.
 *
 * What is protected: every check has each of its states, and says of what it is; a report changes nothing (each run here compares the whole home
 * before and after); the command that is offered mends what was found, for a home whose name a shell would stumble over;
 * a report comes whatever is broken, in time, and without a secret.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { commandLine } from "../src/doctor/check.ts";
import { checks } from "../src/doctor/checks.ts";
import { tryLock } from "../src/store/lock.ts";
import { keyOf as keyOfBytes } from "../src/store/seal.ts";
import { type AuthorizationServer, startAuthorizationServer } from "./support/authorization-server.ts";
import { program } from "./support/inside.ts";
import { contextAt, keyIn, opened, putSealed } from "./support/sealed.ts";
import { binary, type Options, sweep, tempHome } from "./support/spawn.ts";
import { checkStream, type Event, leaks } from "./support/stream.ts";

interface Finding {
  check: string;
  state: "ok" | "warning" | "failed" | "skipped";
  message: string;
  fix?: string;
  subject?: string;
}

let server: AuthorizationServer;
/** A home in which somebody is signed in: copied for every test. */
let template: string;
let secrets: string[];
/** Directories that outlive a test. */
let nursery: string;

beforeAll(async () => {
  server = await startAuthorizationServer({ interval: 1 });
  nursery = tempHome();
  template = join(nursery, "template");
  const argv = ["login", "acme", "--issuer", server.issuer, "--client-id", server.clients.native];
  const login = program([...argv, "--flow", "device_code"], { env: { AUTHLINE_HOME: template } });
  await server.approveDevice((await login.next("device_code")).user_code as string);
  expect(await login.done).toMatchObject({ code: 0 });
  secrets = Object.values(opened(template, "connection", "default@acme").secrets).map(String);
  secrets.push(keyIn(template).bytes.toString("base64url"));
  const kept = execFileSync("mktemp", ["-d"], { encoding: "utf8" }).trim();
  renameSync(template, join(kept, "home")); // what `sweep` removes must not be it
  template = join(kept, "home");
});
afterAll(async () => {
  await server.close();
  rmSync(dirname(template), { recursive: true, force: true });
});

let home: string;
const servers: Server[] = [];
beforeEach(() => {
  home = join(tempHome(), "it's a home");
  cpSync(template, home, { recursive: true, preserveTimestamps: true });
});
afterEach(async () => {
  for (const each of servers.splice(0)) {
    each.close();
    each.closeAllConnections();
  }
  expect(await sweep()).toEqual([]);
});

/** Everything below a directory: what it is, who may read it, when it was changed and what is in it. */
function snapshot(root: string): string[] {
  if (!existsSync(root)) return [];
  const below = lstatSync(root).isFile() ? [] : readdirSync(root, { recursive: true, encoding: "utf8" });
  const paths = ["", ...below].sort();
  return paths.map((path) => {
    const stats = lstatSync(join(root, path));
    const content = stats.isFile() ? readFileSync(join(root, path), "base64") : "";
    const touched = stats.isFile() ? stats.mtimeMs : 0; // the probe comes and goes in a directory
    return `${path} ${stats.mode.toString(8)} ${touched} ${content}`;
  });
}

const checksOf = (events: Event[]): Finding[] => events.at(-1)?.data?.checks ?? [];

interface Report {
  found: Finding[];
  result: Event;
  stderr: string;
  durationMs: number;
}

async function examine(options: Options = {}, ...argv: string[]): Promise<Report> {
  const env = { AUTHLINE_HOME: home, ...options.env };
  const at = env.AUTHLINE_HOME ?? home;
  const before = snapshot(at);
  const run = await program(["doctor", ...argv], { ...options, env }).done;
  expect(snapshot(at)).toEqual(before);
  const { stdout, stderr, code, events, durationMs } = run;
  expect(checkStream(stdout, { command: "doctor", exitCode: code, secrets }), stderr).toEqual([]);
  expect(leaks(stderr, secrets)).toEqual([]);
  const result = events.at(-1) as Event;
  const found = checksOf(events);
  if (result.data) expectToAgree(found, events, result);
  return { found, result, stderr, durationMs };
}

/** Each finding is a line of its own too, and what is wrong is a warning. */
function expectToAgree(found: Finding[], events: Event[], result: Event): void {
  const STATES = { ok: "done", warning: "done", failed: "failed", skipped: "skipped" };
  const lines = events.filter(({ step, state }) => step === "check" && state !== "started");
  expect(lines.map(({ state, reason, message }) => [state, reason, message.slice(0, 200)])).toEqual(
    found.map(({ check, state, message }) => [
      STATES[state],
      state === "warning" ? "warning" : undefined,
      `${check}: ${message}`.slice(0, 200),
    ]),
  );
  const wrong = found.filter(({ state }) => state === "failed" || state === "warning");
  const codes = (result.warnings as { code: string }[]).map(({ code }) => code).sort();
  expect(codes).toEqual(wrong.map(({ check, state }) => `${check}_${state}`).sort());
  expect(result.data.healthy).toBe(!found.some(({ state }) => state === "failed"));
  expect(new Set(found.map(({ check }) => check))).toEqual(new Set(checks.map(({ check }) => check)));
}

const about = (report: Report, check: string) => report.found.filter((each) => each.check === check);
/** What is wrong, but for that there is no keyring here. */
const wrongIn = ({ found }: Report) =>
  found.filter(({ check, state }) => (state === "failed" || state === "warning") && check !== "keyring");

/** What is wrong, by what it is about: nothing more than was planted, and nothing less. */
async function faults(planted: string[]): Promise<Record<string, Finding>> {
  const wrong = wrongIn(await examine());
  expect(wrong.map(({ subject }) => subject).sort()).toEqual(planted.sort());
  return Object.fromEntries(wrong.map((each) => [each.subject, each]));
}

/** The only thing that is wrong. */
async function fault(options: Options = {}): Promise<Finding> {
  const report = await examine(options);
  const wrong = wrongIn(report);
  expect(wrong).toHaveLength(1);
  return wrong[0] as Finding;
}

/** Does as it is told, in a shell; then nothing is wrong any more. */
async function mend(...found: Finding[]): Promise<void> {
  for (const { message, fix } of found) {
    expect(fix, message).toBeDefined();
    execFileSync("sh", ["-euc", fix as string], { stdio: "pipe" });
  }
  expect(wrongIn(await examine())).toEqual([]);
}

/** What these checks find, without the rest of the program: of what stands in the home, and of these variables. */
async function look(names: string[], env: Record<string, string> = {}, at = home): Promise<Finding[]> {
  const [ctx, known, found] = [contextAt(at, env), { skews: [] }, [] as Finding[]];
  for (const { check, run } of checks.filter((each) => names.includes(each.check))) {
    for (const { fix, ...rest } of await run(ctx, known)) {
      const line = fix && commandLine(fix);
      found.push({ check, ...rest, ...(line !== undefined && { fix: line }) });
    }
  }
  return found;
}
const wrong = (found: Finding[]) => found.filter(({ state }) => state === "failed" || state === "warning");
const shell = (line: string | undefined) => execFileSync("sh", ["-euc", line as string], { stdio: "pipe" });

/** To root no mode means anything: `body` runs as a user to whom all of the test's files belong. */
async function asUser<T>(body: () => Promise<T>): Promise<T> {
  if (process.getuid?.() !== 0) return body();
  execFileSync("chown", ["-R", "nobody", dirname(home)]);
  process.seteuid?.("nobody");
  try {
    return await body();
  } finally {
    process.seteuid?.(0);
  }
}
const onWindows = process.platform === "win32";

const recordPath = () => join(home, "connections", "default@acme.json");

/** A server that answers as it is told; at `issuer` its address. */
async function serve(answer: (issuer: string, request: IncomingMessage, response: ServerResponse) => void) {
  const listener = createServer((request, response) => answer(issuer, request, response));
  servers.push(listener);
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const issuer = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`;
  return issuer;
}

/** Another connection, as a login at this issuer would have left it. */
function signedInAt(issuer: string, provider = "other", connection = "default"): void {
  const record = opened(home, "connection", "default@acme");
  const { revocation_endpoint: _, ...endpoints } = record["server"];
  const at = { ...endpoints, issuer, token_endpoint: `${issuer}/token` };
  putSealed(home, "connection", `${connection}@${provider}`, { ...record, provider, connection, server: at });
}

const metadata = (issuer: string, over: object = {}) =>
  JSON.stringify({ issuer, token_endpoint: `${issuer}/token`, ...over });
const JSON_TYPE = { "content-type": "application/json" };

// --- the report ------------------------------------------------------------------------------------------------------

test("where all is well, it says so of everything", async () => {
  const report = await examine();
  expect(wrongIn(report)).toEqual([]);
  expect(report.result).toMatchObject({ status: "success", message: "All is well.", data: { healthy: true } });
  const said = Object.fromEntries(report.found.map(({ check, message }) => [check, message]));
  expect(said).toMatchObject({
    home: `${home}, as AUTHLINE_HOME says.`,
    modes: "Nobody else can read or change what is kept.",
    records: expect.stringMatching(/^1 connection, 1 provider(, 1 default)? and 1 sign-in can be read and opened\.$/),
    leftovers: "Nothing is left of anything that was cut off.",
    refreshes: "None was cut off.",
    sessions: "No sign-in is open.",
    issuers: `${server.issuer} can be reached and is who it was.`,
    clock: "It agrees with the servers.",
    proxy: "No proxy is asked for.",
    terminal: "None of stdin, stdout and stderr is one.",
  });
  expect(said["key"]).toContain(keyIn(home).id);
  expect(said["runtime"]).toContain(`Node ${process.versions.node}`);
});

test("people read a list, with the command on a line of its own", async () => {
  chmodSync(recordPath(), 0o644);
  const { stderr } = await examine();
  const lines = stderr.trimEnd().split("\n");
  const states = lines.slice(0, -1).filter((line) => !line.startsWith(" "));
  for (const line of states) expect(line).toMatch(/^(ok {5}|warning|failed |skipped) {2}[a-z ]{9} {2}\S/);
  expect(states).toHaveLength(checks.length);
  const at = lines.findIndex((line) => line.startsWith("warning  modes"));
  expect(lines[at + 1]?.trim()).toBe(`mend it: chmod 600 '${recordPath().replace("'", "'\\''")}'`);
  expect(stderr).not.toContain("\u001b");
  expect(lines.at(-1)).toBe("It works; one thing is worth knowing.");
});

test("what failed is in a report all the same; with --strict it is an error", async () => {
  chmodSync(recordPath(), 0o666);
  const { result } = await examine();
  expect(result).toMatchObject({ status: "success", exit_code: 0, data: { healthy: false } });
  expect(result.message).toBe("One thing has to be mended.");
  const strict = await examine({}, "--strict");
  expect(strict.result).toMatchObject({ exit_code: 1, error: { code: "failed", reason: "unhealthy" } });
  expect(strict.result.warnings).toMatchObject([{ code: "modes_failed" }]);
});

test("--strict says nothing of what is only worth knowing, and fits a line however much is wrong", async () => {
  chmodSync(recordPath(), 0o644);
  expect((await examine({}, "--strict")).result).toMatchObject({ status: "success" });
  const long = join(home, "connections");
  for (let i = 0; i < 30; i++)
    writeFileSync(join(long, `${"x".repeat(60)}${i}@${"y".repeat(60)}.json`), "{", { mode: 0o600 });
  const { result } = await examine({}, "--strict");
  expect(result.error?.code).toBe("failed");
  expect(result.warnings).toHaveLength(3);
});

// --- home, modes, store ----------------------------------------------------------------------------------------------

describe("home", () => {
  test("one that is not there is not made", async () => {
    const fresh = join(home, "not", "yet");
    const report = await examine({ env: { AUTHLINE_HOME: fresh } });
    expect(wrongIn(report)).toEqual([]);
    expect(about(report, "home")).toMatchObject([{ state: "ok", message: expect.stringContaining("not there yet") }]);
    expect(about(report, "store")).toMatchObject([{ state: "ok", message: expect.stringContaining("can be made") }]);
    expect(about(report, "key")).toMatchObject([{ state: "ok", message: expect.stringContaining("none yet") }]);
    expect(about(report, "issuers")).toMatchObject([{ state: "skipped" }]);
    expect(about(report, "clock")).toMatchObject([{ state: "skipped" }]);
    expect(existsSync(join(home, "not"))).toBe(false);
  });

  test.each([
    ["XDG_CONFIG_HOME", (root: string) => ({ XDG_CONFIG_HOME: root }), "as XDG_CONFIG_HOME says"],
    ["nothing", (root: string) => ({ HOME: root }), "unless AUTHLINE_HOME says otherwise"],
  ])("says why it is where it is: %s", async (_, env, why) => {
    const run = await program(["doctor"], { home, env: { AUTHLINE_HOME: undefined, ...env(home) } }).done;
    const [found] = checksOf(run.events).filter(({ check }) => check === "home");
    expect(found).toMatchObject({ state: "ok", message: expect.stringContaining(why) });
    expect(found?.message.startsWith(home)).toBe(true);
  });

  test("a link is told, and one that leads nowhere is a fault", async () => {
    const real = `${home} moved`;
    renameSync(home, real);
    symlinkSync(real, home);
    const report = await examine();
    expect(wrongIn(report)).toEqual([]);
    expect(about(report, "home")[0]?.message).toContain(`a link to ${real}`);

    rmSync(real, { recursive: true });
    const [found] = wrongIn(await examine());
    expect(found).toMatchObject({ check: "home", state: "failed", message: expect.stringContaining("not there") });
    await mend(found as Finding);
  });

  test("a file is no home", async () => {
    rmSync(home, { recursive: true });
    writeFileSync(home, "");
    const report = await examine();
    expect(about(report, "home")).toMatchObject([{ state: "failed", subject: home }]);
    expect(about(report, "store")).toMatchObject([{ state: "failed" }]);
    expect(about(report, "home")[0]?.message).toContain("Choose another AUTHLINE_HOME.");
    expect(about(report, "home")[0]?.fix).toBeUndefined(); // it may be any file at all

    writeFileSync(`${home}.moved`, ""); // where it is by default, it is in the way
    const [found] = await look(["home"]);
    shell(found?.fix);
    expect(wrong(await look(["home"]))).toEqual([]);
    expect(existsSync(`${home}.moved.1`)).toBe(true);
  });

  test.skipIf(onWindows)("settings alone, damaged, are moved aside where they are ours, and nowhere else", async () => {
    const fresh = join(dirname(home), "fresh");
    const path = join(fresh, "config.json");
    const damage = () => writeFileSync(path, "[]", { mode: 0o600 });
    const found = async (env: Record<string, string> = {}) => wrong(await look(["records"], env, fresh));
    mkdirSync(fresh, { mode: 0o700 });
    damage();
    expect(await found({ AUTHLINE_HOME: fresh })).toMatchObject([{ state: "failed", subject: path }]);
    expect((await found({ AUTHLINE_HOME: fresh }))[0]?.fix).toBeUndefined(); // it may be anybody's
    for (const [index, env] of [{}, { AUTHLINE_HOME: fresh }].entries()) {
      damage();
      shell((await found(env))[0]?.fix);
      expect(await found(env)).toEqual([]);
      expect(readFileSync(`${path}.${index + 1}`, "utf8")).toBe("[]");
      await contextAt(fresh, env).config.set("browser", "never"); // from now on it is known who made it
    }
  });

  test.skipIf(onWindows)("one that is not ours is left as it is, and so is all above it", async () => {
    const shared = join(dirname(home), "shared");
    mkdirSync(join(shared, "sessions"), { recursive: true });
    for (const path of ["sessions/theirs", "config.json", "a.tmp-0a1b"]) {
      writeFileSync(join(shared, path), "{", { mode: 0o666 });
      utimesSync(join(shared, path), new Date(0), new Date(0));
    }
    symlinkSync("config.json", join(shared, "audit.ndjson"));
    chmodSync(join(shared, "config.json"), 0o666);
    chmodSync(shared, 0o1777);
    const all = ["home", "modes", "store", "records", "leftovers", "audit"];
    for (const at of ["/not-there", "/etc/not-there", "/root/not-there", "/etc", "/etc/passwd", shared]) {
      const found = await asUser(() => look(all, { AUTHLINE_HOME: at }, at));
      expect(found.flatMap(({ fix }) => fix ?? []).filter((fix) => /chown|chmod|mv|rm/.test(fix))).toEqual([]);
      const advice = wrong(found).some(({ message }) =>
        /Choose another AUTHLINE_HOME|point AUTHLINE_HOME/.test(message),
      );
      const isAsked = process.getuid?.() !== 0 || !at.endsWith("not-there"); // access(2) asks for the real user
      if (isAsked) expect(advice, at).toBe(true);
    }
  });

  test.skipIf(onWindows)("what was taken from ourselves, we give back ourselves", async () => {
    const key = join(home, "keys", keyIn(home).id);
    const quoted = `'${home.replace("'", "'\\''")}'`;
    const taken: [mode: string, path: string, fix: string][] = [
      ["a-w", home, `chmod -R u+rwX ${quoted}`],
      ["000", recordPath(), `chmod -R u+rwX ${quoted}`],
      ["000", key, `chmod -R u+rwX ${quoted}`],
      ["000", dirname(key), `chmod -R u+rwX ${quoted}`],
      ["000", join(home, "keys.json"), `chmod -R u+rwX ${quoted}`],
      ["a-w", join(home, "audit.ndjson"), `chmod -R u+rwX ${quoted}`],
      ["000", home, `chmod u+rwx ${quoted}`],
    ];
    const all = ["modes", "store", "key", "records", "audit"];
    for (const [mode, path, fix] of taken) {
      execFileSync("chmod", [...(mode === "a-w" ? ["-R"] : []), mode, path]);
      const found = wrong(await asUser(() => look(all)));
      expect(new Set(found.flatMap((each) => each.fix ?? [])), `${mode} ${path}`).toEqual(new Set([fix]));
      shell(fix);
      expect(wrong(await asUser(() => look(all)))).toEqual([]);
    }
  });

  test.skipIf(process.getuid?.() !== 0)("what is another user's in a home of ours is asked for", async () => {
    const found = await asUser(async () => {
      process.seteuid?.(0);
      execFileSync("chown", ["root", recordPath()]);
      process.seteuid?.("nobody");
      return wrong(await look(["records"]));
    });
    expect(found).toMatchObject([
      { subject: recordPath(), fix: expect.stringMatching(/^sudo chown -R \d+ '.*home'$/) },
    ]);
  });

  test.skipIf(process.getuid?.() !== 0)("one that belongs to somebody else", async () => {
    execFileSync("chown", ["12345", home]);
    const found = await fault();
    expect(found).toMatchObject({ check: "home", state: "warning", message: expect.stringContaining("12345") });
  });
});

describe("modes", () => {
  test("what others can read, and what they can change", async () => {
    const planted: [path: string, mode: number, state: string, done: string][] = [
      ["connections/default@acme.json", 0o644, "warning", "read"],
      ["providers/acme.json", 0o620, "failed", "read or changed"],
      ["locks", 0o750, "warning", "read"],
      ["keys.json", 0o604, "warning", "read"],
    ];
    for (const [path, mode] of planted) chmodSync(join(home, path), mode);
    const found = await faults(planted.map(([path]) => join(home, path)));
    for (const [path, mode, state, done] of planted) {
      expect(found[join(home, path)]).toMatchObject({ check: "modes", state });
      expect(found[join(home, path)]?.message).toContain(`mode ${mode.toString(8)}) can be ${done} by other users`);
    }
    await mend(...Object.values(found));
  });

  test("the key", async () => {
    const path = join(home, "keys", keyIn(home).id);
    chmodSync(path, 0o640);
    const report = await examine();
    expect(about(report, "modes")).toMatchObject([{ state: "failed", subject: path }]);
    expect(about(report, "key")).toMatchObject([{ state: "failed", message: expect.stringContaining("other users") }]);
    expect(about(report, "key")[0]?.fix).toBe(about(report, "modes")[0]?.fix);
    expect(about(report, "records")[0]?.message).toContain("not opened");
    await mend(about(report, "key")[0] as Finding);
  });

  test("many in one room are one finding", async () => {
    for (const name of ["a", "b"]) signedInAt(server.issuer, "acme", name);
    for (const name of readdirSync(join(home, "connections"))) chmodSync(join(home, "connections", name), 0o644);
    const found = await fault();
    expect(found.message).toMatch(/^3 files in .* can be read by other users, such as /);
    await mend(found);
  });

  test("a home that others can write to; what they may read is the business of its rooms", async () => {
    chmodSync(home, 0o755);
    writeFileSync(join(home, "notes.txt"), "mine", { mode: 0o666 });
    expect(wrongIn(await examine())).toEqual([]);
    chmodSync(home, 0o775);
    const found = await fault();
    expect(found).toMatchObject({ check: "modes", state: "failed", subject: home });
    await mend(found);
  });
});

const noDisks = (() => {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return true;
  const probe = execFileSync("mktemp", ["-d"], { encoding: "utf8" }).trim();
  try {
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", probe], { stdio: "ignore" });
    execFileSync("umount", [probe]);
    return false;
  } catch {
    return true;
  } finally {
    rmSync(probe, { recursive: true });
  }
})();

describe.skipIf(noDisks)("on another disk", () => {
  const onDisk = async (size: string, body: (disk: string) => Promise<void>) => {
    const disk = join(home, "disk");
    mkdirSync(disk);
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size},mode=700`, "tmpfs", disk]);
    try {
      cpSync(template, disk, { recursive: true });
      await body(disk);
    } finally {
      execFileSync("umount", [disk]);
    }
  };

  test("nearly full, and full", () =>
    onDisk("1m", async (disk) => {
      const options = { env: { AUTHLINE_HOME: disk } };
      expect(await fault(options)).toMatchObject({
        check: "home",
        state: "warning",
        fix: expect.stringMatching(/^df /),
      });
      try {
        for (;;) writeFileSync(join(disk, "filler"), Buffer.alloc(4096), { flag: "a" });
      } catch {
        // it is full
      }
      const report = await examine(options);
      expect(about(report, "store")).toMatchObject([{ state: "failed", message: expect.stringContaining("ENOSPC") }]);
      expect(about(report, "records")).toMatchObject([{ state: "ok" }]);
      truncateSync(join(disk, "filler"), 0);
      expect(about(await examine(options), "store")).toMatchObject([{ state: "ok" }]);
    }));

  test("read-only, with a home and without", () =>
    onDisk("32m", async (disk) => {
      execFileSync("mount", ["-o", "remount,ro", disk]);
      const found = await fault({ env: { AUTHLINE_HOME: disk } });
      expect(found).toMatchObject({ check: "store", state: "failed", message: expect.stringContaining("EROFS") });
      const absent = await fault({ env: { AUTHLINE_HOME: join(disk, "a", "b") } });
      expect(absent).toMatchObject({ check: "store", state: "failed", message: expect.stringContaining("EROFS") });
      expect(absent.message).toContain("Choose another AUTHLINE_HOME.");
    }));
});

// --- key, keyring ----------------------------------------------------------------------------------------------------

const OTHER_KEY = Buffer.alloc(32, 7).toString("base64");

describe("key", () => {
  const keyOf = async (options: Options = {}) => {
    const report = await examine(options);
    const [found] = about(report, "key");
    return {
      ...(found as Finding),
      records: about(report, "records").map(({ state, message }) => `${state} ${message}`),
    };
  };

  test("one that is gone", async () => {
    rmSync(join(home, "keys", keyIn(home).id));
    const { state, message, records } = await keyOf();
    expect([state, message]).toEqual(["failed", expect.stringContaining("no longer holds")]);
    expect(records).toEqual([expect.stringMatching(/^ok .*not opened: there is no key/)]);
  });

  test("a list that is gone, and one that is torn", async () => {
    const list = readFileSync(join(home, "keys.json"), "utf8");
    rmSync(join(home, "keys.json"));
    expect(await keyOf()).toMatchObject({ state: "failed", message: expect.stringContaining("is gone") });
    writeFileSync(join(home, "keys.json"), list.slice(0, 20), { mode: 0o600 });
    expect(await keyOf()).toMatchObject({ state: "failed", message: expect.stringContaining("no JSON object") });
  });

  test("another one in the environment, which is to be unset", async () => {
    const found = await keyOf({ env: { AUTHLINE_KEY: OTHER_KEY } });
    expect(found).toMatchObject({ state: "failed", fix: "unset AUTHLINE_KEY" });
    expect(JSON.stringify(found)).not.toContain(OTHER_KEY);
  });

  test("something in the environment that is none, with a home and without", async () => {
    const env = { AUTHLINE_KEY: "not-a-key-at-all" };
    for (const at of [home, join(home, "absent")]) {
      const found = await keyOf({ env: { ...env, AUTHLINE_HOME: at } });
      expect(found).toMatchObject({ state: "failed", message: expect.stringContaining("AUTHLINE_KEY is not a key") });
      expect(JSON.stringify(found)).not.toContain("not-a-key-at-all");
      expect(found.fix).toBe(at === home ? "unset AUTHLINE_KEY" : undefined); // else nothing else is known to be good
    }
    const gone = { AUTHLINE_KEY_FILE: join(home, "no such file") };
    expect(await look(["key"], gone)).toMatchObject([{ state: "failed", fix: "unset AUTHLINE_KEY_FILE" }]);
  });

  test("a key file of the user's that others can read", async () => {
    const file = join(dirname(home), "my key");
    writeFileSync(file, OTHER_KEY, { mode: 0o644 });
    const options = { env: { AUTHLINE_HOME: join(home, "absent"), AUTHLINE_KEY_FILE: file } };
    const found = await keyOf(options);
    expect(found).toMatchObject({ state: "failed", fix: `chmod 600 '${file.replace("'", "'\\''")}'` });
    execFileSync("sh", ["-c", found.fix as string]);
    expect(await keyOf(options)).toMatchObject({ state: "ok", message: expect.stringContaining("begins to use") });
  });

  test("a change of the key that was cut off, and a key that nothing uses", async () => {
    const list = JSON.parse(readFileSync(join(home, "keys.json"), "utf8"));
    const stray = join(home, "keys", "0123456789abcdef");
    writeFileSync(stray, OTHER_KEY, { mode: 0o600 });
    const report = await examine();
    expect(about(report, "key")).toMatchObject([{ state: "ok" }, { state: "warning", subject: stray }]);
    rmSync(stray);
    const old = { id: "0123456789abcdef", source: "file", created_at: list.keys[0].created_at, retired: true };
    writeFileSync(join(home, "keys.json"), JSON.stringify({ ...list, keys: [old, ...list.keys] }), { mode: 0o600 });
    const found = await fault();
    expect(found).toMatchObject({ check: "key", state: "warning", fix: "authline store rekey" });
  });

  test("a change that was cut off between two keys from outside goes on with both", async () => {
    const { id, bytes } = keyIn(home);
    const [old, fresh] = [bytes.toString("base64"), keyOfBytes(Buffer.from(OTHER_KEY, "base64")).id];
    const created_at = new Date().toISOString();
    const keys = [id, fresh].map((each) => ({ id: each, source: "env", created_at }));
    writeFileSync(join(home, "keys.json"), JSON.stringify({ v: 1, current: fresh, keys }), { mode: 0o600 });
    rmSync(join(home, "keys", id)); // it was never in a file
    const file = join(dirname(home), "new.key");
    writeFileSync(file, OTHER_KEY, { mode: 0o600 });
    const found = (await look(["key"], { AUTHLINE_KEY: old })).find(({ state }) => state === "warning");
    expect(found?.fix).toBeUndefined();
    const [, words = ""] = found?.message.match(/: AUTHLINE_KEY=<old> authline (.+)$/) ?? [];
    const env = { AUTHLINE_HOME: home, AUTHLINE_KEY: old };
    expect((await program(words.replace("<new>", file).split(" "), { env }).done).code).toBe(0);
    expect(wrong(await look(["key", "records"], { AUTHLINE_KEY: OTHER_KEY }))).toEqual([]);
  });
});

describe("keyring", () => {
  const DBUS_SESSION_BUS_ADDRESS = "unix:path=/nowhere/at/all";

  /** The library as it would be, in every process that is started. */
  function library(source: string): Record<string, string> {
    const hooks = join(nursery, `hooks-${crypto.randomUUID()}.mjs`);
    const module = `data:text/javascript,${encodeURIComponent(source)}`;
    mkdirSync(nursery, { recursive: true });
    writeFileSync(
      `${hooks}.hooks.mjs`,
      `export const resolve = (name, context, next) => name === "@napi-rs/keyring"
         ? { url: ${JSON.stringify(module)}, shortCircuit: true } : next(name, context);`,
    );
    writeFileSync(
      hooks,
      `import { register } from "node:module"; register("./${hooks.split("/").at(-1)}.hooks.mjs", import.meta.url);`,
    );
    return { DBUS_SESSION_BUS_ADDRESS, NODE_OPTIONS: `--import=${hooks}` };
  }
  const working = (answer: string) => `export class AsyncEntry { async getPassword() { return ${answer}; } }`;
  const keyringOf = async (env: Record<string, string>, at = home) => {
    const report = await examine({ env: { AUTHLINE_HOME: at, ...env } });
    return { ...(about(report, "keyring")[0] as Finding), durationMs: report.durationMs };
  };
  const absent = () => join(home, "absent");

  test("none", async () => {
    expect(await keyringOf({}, absent())).toMatchObject({
      state: "warning",
      message: expect.stringContaining("there is none"),
    });
    expect(await keyringOf({})).toMatchObject({ state: "skipped", message: expect.stringContaining("there is none") });
  });

  test("one that answers", async () => {
    const env = library(working("null"));
    expect(await keyringOf(env, absent())).toMatchObject({ state: "ok", message: expect.stringContaining("answers") });
    expect(await keyringOf(env)).toMatchObject({
      state: "skipped",
      message: expect.stringContaining("rekey --to keyring"),
    });
    expect(await keyringOf({ ...env, AUTHLINE_KEY: OTHER_KEY }, absent())).toMatchObject({ state: "skipped" });
  });

  test("one whose library is not there", async () => {
    const missing = 'throw Object.assign(new Error("no"), { code: "ERR_MODULE_NOT_FOUND" });';
    const found = await keyringOf(library(missing), absent());
    expect(found).toMatchObject({ state: "warning", message: expect.stringContaining("library is not installed") });
  });

  test("one that hangs is not waited for", async () => {
    const found = await keyringOf(library("Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);"), absent());
    expect(found).toMatchObject({ state: "warning", message: expect.stringContaining("did not answer within 8 s") });
    expect(found.durationMs).toBeLessThan(13_000);
  });

  test("one that has the key, and one that has lost it", async () => {
    const { id, bytes } = keyIn(home);
    rmSync(join(home, "keys", id));
    const list = readFileSync(join(home, "keys.json"), "utf8").replace('"file"', '"keyring"');
    writeFileSync(join(home, "keys.json"), list, { mode: 0o600 });
    const good = await examine({ env: library(working(`"${bytes.toString("base64url")}"`)) });
    expect([...about(good, "key"), ...about(good, "keyring")]).toMatchObject([{ state: "ok" }, { state: "ok" }]);
    expect(about(good, "records")[0]?.message).toContain("opened");
    const lost = await examine({ env: library(working("null")) });
    expect([...about(lost, "key"), ...about(lost, "keyring")]).toMatchObject([
      { state: "failed" },
      { state: "skipped" },
    ]);
  });
});

// --- records, leftovers ----------------------------------------------------------------------------------------------

describe("records", () => {
  test("each that is damaged is told, and goes out of the way", async () => {
    const planted: [path: string, damage: (text: string) => string, why: string][] = [
      ["connections/torn@acme.json", (text) => text.slice(0, 100), "no JSON object"],
      ["connections/newer@acme.json", (text) => text.replace('"v":1', '"v":2'), "newer authline"],
      ["connections/changed@acme.json", (text) => text.replace('"token_type":"', '"token_type":"x'), "was changed"],
      ["connections/moved@acme.json", (text) => text.replace('"moved"', '"default"'), "authline wrote"],
      ["connections/strange@acme.json", (text) => text.replace(keyIn(home).id, "0".repeat(16)), "not known here"],
      ["connections/resealed@acme.json", (text) => text.replace(/"1\.[0-9a-f]{16}/, '"2.x'), "newer authline sealed"],
      ["providers/acme.json", () => "{", "no JSON object"],
      ["defaults/acme.json", () => "{", "no JSON object"],
      [
        `sessions/${readdirSync(join(home, "sessions")).find((file) => file.endsWith(".json"))}`,
        () => "[]",
        "no JSON object",
      ],
    ];
    mkdirSync(join(home, "defaults"), { recursive: true, mode: 0o700 });
    for (const [path, damage] of planted) {
      const [, name] = path.match(/^connections\/(\w+)@/) ?? [];
      if (name) signedInAt(server.issuer, "acme", name);
      const text = existsSync(join(home, path)) ? readFileSync(join(home, path), "utf8") : "";
      writeFileSync(join(home, path), damage(text), { mode: 0o600 });
    }
    const found = await faults(planted.map(([path]) => join(home, path)));
    for (const [path, , why] of planted) {
      expect(found[join(home, path)]).toMatchObject({ check: "records", state: "failed" });
      expect(found[join(home, path)]?.message, path).toContain(why);
    }
    await mend(...Object.values(found));
    expect(existsSync(join(home, "connections-changed@acme.json"))).toBe(true);
  });

  test("one that is damaged twice goes out of the way twice", async () => {
    for (const moved of ["connections-default@acme.json", "connections-default@acme.json.1"]) {
      writeFileSync(recordPath(), "{", { mode: 0o600 });
      const [found] = wrong(await look(["records"]));
      shell(found?.fix);
      expect(existsSync(recordPath())).toBe(false);
      expect(readFileSync(join(home, moved), "utf8")).toBe("{");
    }
  });

  test("twenty are told, and how many more there are", async () => {
    for (let i = 0; i < 25; i++) writeFileSync(join(home, "connections", `c${i}@acme.json`), "{", { mode: 0o600 });
    const found = about(await examine(), "records");
    expect(found).toHaveLength(22);
    expect(found.at(-1)).toMatchObject({ state: "failed", message: "… and 5 more of the kind." });
  });

  test("a thousand take less than three seconds", async () => {
    const record = opened(home, "connection", "default@acme");
    for (let i = 0; i < 999; i++) putSealed(home, "connection", `c${i}@acme`, { ...record, connection: `c${i}` });
    const told = "import{writeSync}from'node:fs';process.on('exit',()=>writeSync(2,'['+process.cpuUsage().user+']'))";
    const { found, stderr } = await examine({ env: { NODE_OPTIONS: `--import=data:text/javascript,${told}` } });
    expect(found.find(({ check }) => check === "records")?.message).toMatch(/^1000 connections, .* and opened\.$/);
    // Of the processor: how long it takes by the clock is for the machine's other work to say.
    expect(Number(stderr.match(/\[(\d+)\]$/)?.[1]) / 1e6).toBeLessThan(3);
  });
});

describe("leftovers", () => {
  const anHourAgo = new Date(Date.now() - 3600_000);
  test("of writes, and of others", async () => {
    const planted: [path: string, why: string][] = [
      ["connections/default@acme.json.tmp-0a1b-2c", "left of a write"],
      ["keys.json.tmp-0a1b-2c", "left of a write"],
      ["keys/0123456789abcdef.tmp-0a1b-2c", "left of a write"],
      ["connections/.probe-0a1b-2c", "left of a write"],
      ["connections/notes.txt", "nothing that authline wrote"],
      ["sessions/what is this", "nothing that authline wrote"],
      ["providers/No Name.json", "nothing that authline wrote"],
    ];
    for (const [path] of planted) {
      writeFileSync(join(home, path), "x", { mode: 0o600 });
      utimesSync(join(home, path), anHourAgo, anHourAgo);
    }
    const found = await faults(planted.map(([path]) => join(home, path)));
    for (const [path, why] of planted) {
      expect(found[join(home, path)]).toMatchObject({ check: "leftovers", state: "warning" });
      expect(found[join(home, path)]?.message).toContain(why);
    }
    await mend(...Object.values(found));
    expect(existsSync(join(home, "connections-notes.txt"))).toBe(true);
  });

  test("a write that is under way is none", async () => {
    writeFileSync(join(home, "connections", "x@acme.json.tmp-0a1b-2c"), "x", { mode: 0o600 });
    expect(wrongIn(await examine())).toEqual([]);
  });

  test("a name that no terminal may show has no command", async () => {
    writeFileSync(join(home, "connections", "evil\n\u001b[2Jname"), "x", { mode: 0o600 });
    const found = await fault();
    expect(found).toMatchObject({ check: "leftovers", state: "warning" });
    expect(found.fix).toBeUndefined();
  });
});

// --- refreshes, locks, sessions --------------------------------------------------------------------------------------

describe("refreshes", () => {
  const mark = (over: object = {}) => {
    const { updated_at } = opened(home, "connection", "default@acme");
    const begun = { v: 1, provider: "acme", connection: "default", updated_at, begun_at: updated_at, ...over };
    mkdirSync(join(home, "refreshes"), { recursive: true, mode: 0o700 });
    writeFileSync(join(home, "refreshes", "default@acme.json"), JSON.stringify(begun), { mode: 0o600 });
  };

  test("one that was cut off is finished by the command that is named", async () => {
    mark();
    const report = await examine();
    expect(wrongIn(report)).toMatchObject([{ check: "refreshes", state: "warning", subject: "default@acme" }]);
    const [action] = report.result.next_actions ?? [];
    expect(action?.argv).toEqual(["authline", "token", "acme", "--refresh"]);
    // The copies of the template share one refresh token: only this test may use it.
    const again = await program(action?.argv.slice(1) ?? [], { env: { AUTHLINE_HOME: home } }).done;
    expect(again.code).toBe(0);
    secrets.push(...Object.values(opened(home, "connection", "default@acme").secrets).map(String));
    expect(wrongIn(await examine())).toEqual([]);
  });

  test("one of an older record is of the past, and one that is under way is not cut off", async () => {
    mark({ updated_at: "2020-01-01T00:00:00.000Z" });
    expect(about(await examine(), "refreshes")).toMatchObject([
      { state: "ok", message: expect.stringContaining("past") },
    ]);
    mark();
    const lock = tryLock(join(home, "locks", "default@acme"), contextAt(home).surroundings.self);
    const found = about(await examine(), "refreshes");
    lock?.release();
    expect(found).toMatchObject([{ state: "ok", message: "1 is under way; none was cut off." }]);
  });

  test("a note that cannot be read stands in the way", async () => {
    mark({ v: 2 });
    const found = await fault();
    expect(found).toMatchObject({ check: "refreshes", state: "failed" });
    await mend(found);
  });
});

describe("locks", () => {
  const self = () => contextAt(home).surroundings.self;
  const at = (path: string) => join(home, path);
  const claim = (path: string, holder: object) => {
    mkdirSync(at(path), { recursive: true, mode: 0o700 });
    writeFileSync(join(at(path), "77"), JSON.stringify(holder), { mode: 0o600 });
  };

  test("those that are held", async () => {
    const held: [path: string, what: string][] = [
      ["locks/default@acme", "The lock of default@acme"],
      ["sessions/door.lock", "The lock for opening sign-ins"],
      ["sessions/sess_AAAAAAAAAAAAAAAAAAAAAA.lock", "The sign-in sess_AAAAAAAAAAAAAAAAAAAAAA"],
      ["sessions/sess_AAAAAAAAAAAAAAAAAAAAAA.holder", "The listener of sess_AAAAAAAAAAAAAAAAAAAAAA"],
    ];
    const taken = held.map(([path]) => tryLock(at(path), self()));
    const report = await examine();
    for (const lock of taken) lock?.release();
    expect(wrongIn(report)).toEqual([]);
    const found = about(report, "locks");
    expect(found).toHaveLength(held.length);
    for (const [path, what] of held) {
      const { state, message } = found.find(({ subject }) => subject === at(path)) as Finding;
      expect(state).toBe("ok");
      expect(message).toMatch(new RegExp(`^${what} is held by process ${process.pid}, since \\d{4}-`));
    }
  });

  test("one that is held for long is worth a look; a sign-in may take as long as it likes", async () => {
    const lock = tryLock(at("locks/default@acme"), self());
    const other = tryLock(at("sessions/sess_AAAAAAAAAAAAAAAAAAAAAA.lock"), self());
    const rekey = tryLock(at("locks/keys"), self());
    const longAgo = new Date(Date.now() - 3 * 60_000);
    for (const path of ["locks/default@acme", "locks/keys", "sessions/sess_AAAAAAAAAAAAAAAAAAAAAA.lock"]) {
      for (const claim of readdirSync(at(path))) utimesSync(join(at(path), claim), longAgo, longAgo);
    }
    const found = await fault();
    lock?.release();
    other?.release();
    rekey?.release();
    expect(found).toMatchObject({ check: "locks", state: "warning", fix: `kill ${process.pid}` });
    expect(found.subject).toBe(at("locks/default@acme"));
  });

  test.skipIf(process.platform !== "linux")("one of a process that is stopped is let go on, then ended", async () => {
    const child = spawn("sleep", ["60"]);
    const pid = child.pid as number;
    try {
      child.kill("SIGSTOP");
      await vi.waitFor(() => expect(readFileSync(`/proc/${pid}/stat`, "utf8")).toContain(") T "));
      claim("locks/default@acme", { pid, host: self().host, start: self().startOf(pid) });
      const longAgo = new Date(Date.now() - 3 * 60_000);
      utimesSync(join(at("locks/default@acme"), "77"), longAgo, longAgo);
      const [stopped] = await look(["locks"]);
      expect(stopped).toMatchObject({ state: "warning", fix: `kill -CONT ${pid}` });
      shell(stopped?.fix);
      await vi.waitFor(() => expect(readFileSync(`/proc/${pid}/stat`, "utf8")).not.toContain(") T "));
      const [slow] = await look(["locks"]);
      expect(slow).toMatchObject({ state: "warning", fix: `kill ${pid}` });
      const ended = once(child, "exit");
      shell(slow?.fix);
      await ended;
      expect(wrong(await look(["locks"]))).toEqual([]);
    } finally {
      child.kill("SIGKILL");
    }
  });

  test("one of a process that is gone is told, and harms nobody", async () => {
    const { pid } = spawnSync("true");
    claim("locks/default@acme", { pid, host: self().host });
    const report = await examine();
    expect(wrongIn(report)).toEqual([]);
    expect(about(report, "locks")).toMatchObject([
      { state: "ok", message: expect.stringContaining("1 lock was left") },
    ]);
  });

  test("one of another machine is told with its name", async () => {
    claim("locks/default@acme", { pid: 4711, host: "elsewhere boot ns" });
    const [found] = about(await examine(), "locks");
    expect(found).toMatchObject({ state: "ok", message: expect.stringContaining("process 4711 on elsewhere, since") });

    const tomorrow = new Date(Date.now() + 24 * 3600_000);
    utimesSync(join(at("locks/default@acme"), "77"), tomorrow, tomorrow);
    const [ahead] = await look(["locks"]);
    expect(ahead).toMatchObject({ state: "warning", message: expect.stringContaining("in the future") });
  });
});

describe("sessions", () => {
  test("one that is open, and one whose time is up", async () => {
    const login = ["login", "acme", "--connection", "work", "--flow", "device_code", "--no-wait"];
    expect((await program(login, { env: { AUTHLINE_HOME: home } }).done).code).toBe(0);
    const report = await examine();
    expect(wrongIn(report)).toEqual([]);
    const [found] = about(report, "sessions");
    expect(found?.message).toMatch(/^1 sign-in waits for somebody: sess_[\w-]{22} \(acme\)\.$/);

    const [id = ""] = found?.message.match(/sess_[\w-]{22}/) ?? [];
    const session = opened(home, "session", id);
    putSealed(home, "session", id, { ...session, expires_at: "2020-01-01T00:00:00.000Z" });
    const late = await examine();
    expect(wrongIn(late)).toMatchObject([{ check: "sessions", state: "warning", fix: "authline session list" }]);
    const [action] = late.result.next_actions ?? [];
    await program(action?.argv.slice(1) ?? [], { env: { AUTHLINE_HOME: home } }).done;
    expect(wrongIn(await examine())).toEqual([]);
  });
});

describe("audit", () => {
  const log = () => join(home, "audit.ndjson");
  const planted: [what: string, plant: () => void, state: string, words: string][] = [
    ["a directory", () => mkdirSync(log()), "failed", "is not a file"],
    ["a pipe", () => execFileSync("mkfifo", [log()]), "failed", "is not a file"],
    ["a link to elsewhere", () => symlinkSync("/dev/null", log()), "warning", "is a link"],
    ["one that is never rotated", () => grow(log(), 9), "warning", "takes 9.0 MiB"],
    [
      "more than are kept",
      () => {
        for (let i = 1; i < 10; i++) grow(join(home, `audit.${i}.ndjson`), 0.9);
      },
      "warning",
      "takes 8.1 MiB",
    ],
  ];
  const grow = (path: string, mib: number) => {
    writeFileSync(path, "", { mode: 0o600 });
    truncateSync(path, Math.floor(mib * 1024 * 1024));
  };

  test.skipIf(onWindows).each(planted)("%s", async (_, plant, state, words) => {
    rmSync(log());
    plant();
    const [found, ...more] = wrong(await look(["audit"]));
    expect(more).toEqual([]);
    expect(found).toMatchObject({ check: "audit", state, message: expect.stringContaining(words) });
    shell(found?.fix);
    expect(wrong(await look(["audit"]))).toEqual([]);
  });

  test("one that is well, and none", async () => {
    expect(await look(["audit"])).toMatchObject([{ state: "ok", message: expect.stringContaining("0.0 MiB") }]);
    rmSync(log());
    expect(await look(["audit"])).toMatchObject([{ state: "ok", message: "There is none yet." }]);
  });
});

// --- servers ---------------------------------------------------------------------------------------------------------

describe("issuers", () => {
  /** What is found of one issuer, with nobody signed in anywhere else. */
  async function foundOf(issuer: string) {
    signedInAt(issuer);
    rmSync(recordPath());
    const report = await examine();
    return { found: about(report, "issuers"), clock: about(report, "clock")[0] as Finding };
  }

  test("what keeps one from being asked is said of each, and two that hang are given up on together", async () => {
    const dead = await serve(() => {});
    servers.pop()?.close();
    const plain = await serve((_, __, response) => response.end());
    const planted: [issuer: string, words: string][] = [
      [dead, "nothing listens there. ECONNREFUSED"],
      ["https://authline-test.invalid", "(DNS)"],
      [plain.replace("http:", "https:"), "(TLS)"],
      ["not an address", "is not an address"],
      [await serve(() => {}), "nothing came within 5 s"],
      [await serve(() => {}), "nothing came within 5 s"],
      [
        await serve((_, __, response) => response.writeHead(200, JSON_TYPE).end(metadata("https://evil.example"))),
        "names another issuer: https://evil.example",
      ],
      [await serve((_, __, response) => response.writeHead(503).end()), "is in trouble (HTTP 503)"],
      [await serve((_, __, response) => response.writeHead(404).end()), "publishes no metadata"],
      [await serve((_, __, response) => response.writeHead(200).end("<html>")), "cannot be read"],
      [await serve((issuer, _, response) => response.writeHead(302, { location: issuer }).end()), "redirect"],
    ];
    for (const [index, [issuer]] of planted.entries()) signedInAt(issuer, `p${index}`);
    const report = await examine();
    const found = about(report, "issuers");
    expect(found).toHaveLength(planted.length + 1);
    for (const [issuer, words] of planted) {
      const { state, message } = found.find(({ subject }) => subject === issuer) as Finding;
      expect({ state, message }).toEqual({ state: "failed", message: expect.stringContaining(words) });
    }
    expect(found.find(({ subject }) => subject === dead)?.fix).toBe(`curl -sSI ${dead}`);
    expect(found.find(({ message }) => message.includes("DNS"))?.fix).toBe("getent hosts authline-test.invalid");
    expect(report.durationMs).toBeLessThan(12_000);
  });

  test("one whose token endpoint has moved: the credential stays with the old one", async () => {
    const issuer = await serve((issuer, _, response) =>
      response.writeHead(200, JSON_TYPE).end(metadata(issuer, { token_endpoint: `${issuer}/new/token` })),
    );
    signedInAt(issuer, "other", "work");
    const report = await examine();
    const [found] = wrongIn(report);
    expect(found).toMatchObject({ check: "issuers", state: "warning", subject: issuer });
    expect(found?.message).toContain(`${issuer}/token;`);
    expect(report.result.next_actions?.map(({ argv }) => argv)).toEqual([
      ["authline", "login", "other", "--connection", "work"],
    ]);
  });

  test("a provider that publishes nothing need only answer, and gets nothing to read", async () => {
    const asked: string[] = [];
    const issuer = await serve((_, { method, url, headers }, response) => {
      asked.push(`${method} ${url} ${headers.authorization ?? ""}`.trim());
      response.writeHead(403).end();
    });
    signedInAt(issuer);
    const definition = { name: "other", display_name: "Other", issuer, discovery: false };
    putSealed(home, "provider", "other", { v: 1, provider: "other", definition, secrets: {} });
    const report = await examine();
    expect(wrongIn(report)).toEqual([]);
    expect(about(report, "issuers").map(({ message }) => message)).toContain(`${issuer} can be reached.`);
    expect(asked).toEqual(["GET /"]);
  });

  test("as many as there may be", async () => {
    const issuer = await serve((issuer, { url = "" }, response) =>
      response
        .writeHead(200, JSON_TYPE)
        .end(metadata(`${issuer}${url.replace("/.well-known/openid-configuration", "")}`)),
    );
    for (let i = 0; i < 40; i++) signedInAt(`${issuer}/t${i}`, `p${i}`);
    const report = await examine();
    expect(wrongIn(report)).toEqual([]);
    expect(about(report, "issuers").at(-1)).toMatchObject({
      state: "skipped",
      message: "9 more issuers were not asked.",
    });
  });

  test.each([
    [-3600, "warning", "3600 seconds fast"],
    [90, "warning", "seconds slow"],
    [30, "ok", "agrees"],
  ])("clock: a server whose time is %i seconds from ours", async (ahead, state, words) => {
    const issuer = await serve((issuer, _, response) => {
      response.setHeader("date", new Date(Date.now() + ahead * 1000).toUTCString());
      response.writeHead(200, JSON_TYPE).end(metadata(issuer));
    });
    const { clock } = await foundOf(issuer);
    expect(clock).toMatchObject({ check: "clock", state });
    expect(clock.message.replace(/3(599|601)/, "3600")).toContain(words);
    if (state === "warning") expect(clock.fix).toContain("timedatectl");
  });

  test("clock: one server that agrees with us is enough, and an error has a time too", async () => {
    const late = await serve((_, __, response) => {
      response.setHeader("date", new Date(0).toUTCString());
      response.writeHead(500).end();
    });
    signedInAt(late);
    expect(about(await examine(), "clock")).toMatchObject([{ state: "ok" }]);
    rmSync(recordPath());
    expect(about(await examine(), "clock")).toMatchObject([{ state: "warning" }]);
  });

  test("clock: nobody says", async () => {
    const issuer = await serve((issuer, _, response) => {
      response.sendDate = false;
      response.writeHead(200, JSON_TYPE).end(metadata(issuer));
    });
    expect((await foundOf(issuer)).clock).toMatchObject({ state: "skipped" });
  });
});

test("proxy: one that is set and not used is told", async () => {
  const found = await fault({ env: { HTTPS_PROXY: "http://user:proxy-password@127.0.0.1:1", no_proxy: "x" } });
  expect(found).toMatchObject({
    check: "proxy",
    state: "warning",
    message: expect.stringContaining("HTTPS_PROXY is set and not used"),
  });
  expect(JSON.stringify(found)).not.toContain("proxy-password");
});

// --- browser, terminal, runtime --------------------------------------------------------------------------------------

describe("browser", () => {
  const bin = () => {
    const directory = join(dirname(home), "bin");
    mkdirSync(directory, { recursive: true });
    for (const name of ["xdg-open", "my-browser"])
      writeFileSync(join(directory, name), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    return directory;
  };
  const cases: [what: string, env: () => Record<string, string>, state: string, words: string][] = [
    ["over SSH", () => ({ SSH_CONNECTION: "1 2 3 4", DISPLAY: ":0" }), "ok", "another machine (SSH_CONNECTION)"],
    ["without a screen", () => ({}), "ok", "no screen"],
    ["with a screen", () => ({ DISPLAY: ":0", PATH: bin() }), "ok", "xdg-open would be asked"],
    [
      "with a screen and no opener",
      () => ({ DISPLAY: ":0", PATH: dirname(home) }),
      "warning",
      "none of xdg-open and gio",
    ],
    ["with a browser of one's own", () => ({ BROWSER: join(bin(), "my-browser") }), "ok", "my-browser would be asked"],
    ["with one that is not there", () => ({ BROWSER: "no-such-browser" }), "warning", "BROWSER names no-such-browser"],
  ];
  test.each(cases)("%s", async (_, env, state, words) => {
    const [found] = await look(["browser"], { PATH: "/usr/bin", ...env() });
    expect(found).toMatchObject({ state, message: expect.stringContaining(words) });
  });

  test("PATH is what a shell takes it for", () => expect(delimiter).toBe(":"));
});

describe("terminal", () => {
  test("what it can", async () => {
    const run = await program(["doctor"], {
      sink: "pty-stderr",
      cols: 91,
      env: { AUTHLINE_HOME: home, TERM: "xterm-256color" },
    }).done;
    const [found] = checksOf(run.events).filter(({ check }) => check === "terminal");
    expect(found).toMatchObject({
      state: "ok",
      message: "stdin and stderr are. TERM is xterm-256color: colours. 91 columns.",
    });
    expect(run.stderr).toContain("\u001b[32mok");
  });

  test("one whose locale is not of this time", async () => {
    const env = { AUTHLINE_HOME: home, LANG: "C" };
    const run = await program(["doctor"], { sink: "pty-stderr", env }).done;
    const found = checksOf(run.events).filter(({ check }) => check === "terminal");
    expect(found).toMatchObject([{ state: "ok" }, { state: "warning", fix: "export LANG=C.UTF-8" }]);
  });
});

test("a Node that is too old, one that knows proxies, and a terminal that is dumb", () => {
  const context = contextAt(home, { HTTP_PROXY: "http://127.0.0.1:1" });
  const under = (node: string, env = context.env) => ({
    ...context,
    env,
    surroundings: { ...context.surroundings, node },
  });
  const foundBy = (check: string, ctx: typeof context) =>
    checks.find((each) => each.check === check)?.run(ctx, { skews: [] });
  const stderr = { stdin: false, stdout: false, stderr: true };
  const dumb = contextAt(home, { TERM: "dumb", LC_ALL: "de_DE.utf8" });
  const found = foundBy("terminal", { ...dumb, surroundings: { ...dumb.surroundings, terminal: stderr } });
  expect(found).toEqual([{ state: "ok", message: "stderr is one. TERM is dumb: no colours." }]);
  expect(foundBy("runtime", under("20.18.9"))).toMatchObject([{ state: "warning" }]);
  expect(foundBy("runtime", under("20.19.0"))).toMatchObject([{ state: "ok" }]);
  expect(foundBy("proxy", under("24.1.0"))).toMatchObject([
    { state: "warning", fix: ["export", "NODE_USE_ENV_PROXY=1"] },
  ]);
  const told = (name: string) => (name === "NODE_USE_ENV_PROXY" ? "1" : context.env(name));
  expect(foundBy("proxy", under("24.1.0", told))).toMatchObject([{ state: "ok" }]);
  expect(foundBy("proxy", under("20.19.0", told))).toMatchObject([{ state: "warning" }]);
});

test("whoever stops it gets no report", async () => {
  signedInAt(await serve(() => {}));
  const run = program(["doctor"], { env: { AUTHLINE_HOME: home } });
  await run.next(({ message }) => message === "Asking the servers.");
  run.kill("SIGINT");
  const { stdout, code } = await run.done;
  expect(checkStream(stdout, { command: "doctor", exitCode: code, secrets })).toEqual([]);
  expect(code).toBe(2);
});

test("its document has a row for each check", () => {
  const text = readFileSync(fileURLToPath(new URL("../docs/doctor.md", import.meta.url)), "utf8");
  const rows = [...text.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
  expect(rows).toEqual(checks.map(({ check }) => check));
  expect(binary).toContain("authline"); // what the rest of this file has looked at
});
