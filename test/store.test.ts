/**
 * Where credentials live: the file store by itself, under processes that are killed and disks that are full, and through
 * the built binary.
 *
 * What is protected: nobody else can read a credential; a record is whole or it is the one before, whatever happens while
 * it is written; what cannot be read is said once, is left as it is, and hides nothing else; AUTHLINE_HOME moves all of it.
 */
import { type ChildProcess, execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { build } from "rolldown";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Context } from "../src/context.ts";
import type { Flow } from "../src/flow.ts";
import type { GrantRequest } from "../src/flows/grant.ts";
import { keep } from "../src/flows/keep.ts";
import { refresh } from "../src/flows/refresh.ts";
import type { Tokens } from "../src/flows/tokens.ts";
import { Failure } from "../src/protocol/failure.ts";
import { locksAt } from "../src/store/locks.ts";
import type { Connection } from "../src/store/record.ts";
import type { Store } from "../src/store/store.ts";
import { type AuthorizationServer, startAuthorizationServer } from "./support/authorization-server.ts";
import { program } from "./support/inside.ts";
import { contextAt, opened, storeAt } from "./support/sealed.ts";
import { authline, type Options, sweep, tempHome } from "./support/spawn.ts";
import { checkStream, type Event, leaks } from "./support/stream.ts";

const TOKEN = "token-that-nobody-may-see";

/** A record as a login would keep it. The access token has no end, so that `token` needs no server. */
const record = (provider: string, over: Partial<Connection> = {}): Connection => ({
  v: 1,
  provider,
  connection: "default",
  flow: "device_code",
  server: { issuer: "https://login.example.com" },
  client: { client_id: "cli", token_endpoint_auth_method: "none" },
  token_type: "bearer",
  scope: "openid",
  created_at: "2026-01-02T03:04:05.678Z",
  updated_at: "2026-01-02T03:04:05.678Z",
  refreshable: false,
  secrets: { access_token: TOKEN },
  ...over,
});

/** A record of many disk blocks, all of whose parts say which one it is. */
const large = (provider: string, mark: string, size = 256 * 1024): Connection =>
  record(provider, { scope: mark, secrets: { access_token: mark.padEnd(size, "x"), refresh_token: mark } });

let home: string;
beforeEach(() => {
  home = tempHome();
});
afterEach(async () => {
  expect(await sweep()).toEqual([]);
});

const fileOf = (provider: string, connection = "default", root = home) =>
  join(root, "connections", `${connection}@${provider}.json`);
const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);

/** Everything below a directory, by its path from there. */
const tree = (root: string) => (existsSync(root) ? readdirSync(root, { recursive: true }).map(String).sort() : []);

/** What there is without any secret. */
const seen = ({ secrets: _, ...view }: Connection) => view;

/** The same, but for what is random or counted in a name: a key's, and a lock's claims. */
const layout = (root: string) =>
  tree(root).map((path) => path.replace(/^keys\/[0-9a-f]{16}$/, "keys/<id>").replace(/^(locks\/.+\/)\d+$/, "$1<n>"));

/** Runs the binary to its end and judges its stream; what was stored is secret. */
async function run(argv: string[], options: Options = {}): Promise<{ result: Event; code: number | null }> {
  const { stdout, stderr, code, events } = await program(argv, { home, ...options }).done;
  const secrets = [TOKEN, server.clients.confidential.secret];
  const allow = { "data.access_token": [TOKEN] };
  expect(checkStream(stdout, { command: argv[0] ?? "", exitCode: code, secrets, allow })).toEqual([]);
  expect(leaks(stderr, secrets)).toEqual([]);
  const result = events.at(-1);
  if (!result) throw new Error(`${argv.join(" ")} said nothing on stdout; on stderr: ${stderr}`);
  return { result, code };
}

let server: AuthorizationServer;
beforeAll(async () => {
  server = await startAuthorizationServer();
});
afterAll(() => server.close());

/** A login that needs nobody. */
function login(provider: string, { env, ...options }: Options = {}, ...more: string[]) {
  const { id, secret } = server.clients.confidential;
  const who = ["--issuer", server.issuer, "--client-id", id, "--client-secret-from", "env:SECRET"];
  const argv = ["login", provider, "--flow", "client_credentials", ...who, ...more];
  return run(argv, { ...options, env: { ...env, SECRET: secret } });
}

/** The Failure that a call ends with. */
async function failureOf(call: Promise<unknown>): Promise<Failure> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(Failure);
  return error as Failure;
}

// --- who may read, and where it is -----------------------------------------------------------------------------------

test.each(["000", "022", "077"])("nobody else can read it, whatever the umask is (%s)", async (umask) => {
  const fresh = join(home, "not", "there", "yet");
  const preload = `--import=data:text/javascript,process.umask(0o${umask})`;
  const { result } = await login("acme", { env: { AUTHLINE_HOME: fresh, NODE_OPTIONS: preload } });
  expect(result.error).toBeUndefined();
  expect(layout(fresh)).toEqual([
    ...["audit.ndjson", "connections", "connections/default@acme.json", "keys", "keys.json", "keys/<id>"],
    ...["locks", "locks/@acme", "locks/@acme/<n>", "locks/default@acme", "locks/default@acme/<n>"],
    ...["locks/keys", "locks/keys/<n>", "providers", "providers/acme.json"],
  ]);
  const isOpen = (path: string) => modeOf(path) !== (statSync(path).isDirectory() ? "700" : "600");
  expect(["", ...tree(fresh)].filter((path) => isOpen(join(fresh, path)))).toEqual([]);
});

test("a home that is there keeps its mode and what else is in it; what is ours in it is closed", async () => {
  writeFileSync(join(home, "notes.txt"), "mine", { mode: 0o644 });
  mkdirSync(join(home, "connections"));
  for (const path of [home, join(home, "connections")]) chmodSync(path, 0o755);
  await storeAt(home).keep(record("acme"));
  expect([modeOf(home), modeOf(join(home, "notes.txt")), modeOf(join(home, "connections"))]).toEqual([
    "755",
    "644",
    "700",
  ]);
});

test("a record that others could read is closed with its next write", async () => {
  await storeAt(home).keep(record("acme"));
  chmodSync(fileOf("acme"), 0o644);
  await storeAt(home).keep(record("acme", { scope: "more" }));
  expect(modeOf(fileOf("acme"))).toBe("600");
});

test.runIf(process.platform === "linux")(
  "a home where nothing can be made is an error of the store, at once",
  async () => {
    const { result, code } = await login("acme", { env: { AUTHLINE_HOME: "/proc/nowhere/at/all" }, timeoutMs: 10_000 });
    expect([code, result.error?.code]).toEqual([74, "store"]);
  },
);

test("AUTHLINE_HOME moves everything: nothing is written anywhere else", async () => {
  const elsewhere = tempHome();
  const names = [
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
    "TMPDIR",
  ];
  const places = Object.fromEntries(names.map((name) => [name, join(elsewhere, name)]));
  for (const place of Object.values(places)) mkdirSync(place);
  const cwd = join(elsewhere, "cwd");
  mkdirSync(cwd);
  await login("acme", { env: places, cwd });
  for (const argv of [["token", "acme", "--refresh"], ["status"], ["logout", "acme"]]) {
    expect((await authline(argv, { home, env: places, cwd }).done).code).toBe(0);
  }
  expect(tree(elsewhere)).toEqual(["cwd", ...names].sort());
  expect(layout(home).filter((path) => !path.startsWith("locks/"))).toEqual([
    ...["audit.ndjson", "connections", "keys", "keys.json", "keys/<id>", "locks", "providers", "providers/acme.json"],
  ]);
});

test.each<[string, Record<string, string | undefined>, string]>([
  ["AUTHLINE_HOME is not set", {}, ".config/authline"],
  ["AUTHLINE_HOME is empty", { AUTHLINE_HOME: "" }, ".config/authline"],
  ["XDG_CONFIG_HOME is set", { XDG_CONFIG_HOME: "HOME/xdg" }, "xdg/authline"],
  ["XDG_CONFIG_HOME is empty", { XDG_CONFIG_HOME: "" }, ".config/authline"],
])("where it is when %s", async (_when, env, expected) => {
  const place = join(home, expected);
  await storeAt(place).keep(record("acme"));
  const absolute = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, value?.replace("HOME", home)]));
  const { result } = await run(["token", "acme"], { env: { AUTHLINE_HOME: undefined, ...absolute } });
  expect(result.data?.access_token).toBe(TOKEN);
});

test("a home behind a symbolic link works, and stays a link", async () => {
  const real = tempHome();
  const link = join(home, "link");
  symlinkSync(real, link);
  expect((await login("acme", { env: { AUTHLINE_HOME: link } })).result.error).toBeUndefined();
  expect((await run(["status", "acme"], { env: { AUTHLINE_HOME: link } })).result.data.connections).toMatchObject([
    { record_status: "connected" },
  ]);
  expect(lstatSync(link).isSymbolicLink()).toBe(true);
  expect(tree(real)).toContain("connections/default@acme.json");
});

test.each(["con", "aux", "nul", "prn", "com1", "a.b", "a..b", "v1.json", "a.", "x-_.9", "0", "a".repeat(64)])(
  "any name that is allowed can be kept, listed and forgotten: %s",
  async (name) => {
    const store = storeAt(home);
    const kept = record(name, { connection: name });
    await store.keep(kept);
    await store.learn({ v: 1, provider: name, definition: {}, secrets: {} });
    await store.keep(record("neighbour"));
    expect(await store.connection(name, name)).toEqual(kept);
    expect(await store.connections(name)).toEqual([seen(kept)]);
    expect((await store.learned(name))?.provider).toBe(name);
    expect(await store.remove(name, name)).toBe(true);
    expect(await store.remove(name, name)).toBe(false);
    expect(await store.connection(name, name)).toBeUndefined();
    expect(await store.connections()).toEqual([seen(record("neighbour"))]);
  },
);

test("records are listed by provider, then by connection, and nothing but records", async () => {
  const store = storeAt(home);
  for (const [provider, connection] of [
    ["b", "z"],
    ["b", "a"],
    ["a", "m"],
  ] as const) {
    await store.keep(record(provider, { connection }));
  }
  for (const name of [".DS_Store", ".probe-1", "default@b.json.tmp-1234567890abcdef", "notes.txt", "@b.json"]) {
    writeFileSync(join(home, "connections", name), "{");
  }
  const names = (await store.connections()).map(({ provider, connection }) => `${connection}@${provider}`);
  expect(names).toEqual(["m@a", "a@b", "z@b"]);
});

// --- what cannot be read ---------------------------------------------------------------------------------------------

const whole = JSON.stringify(record("acme"));

/** Each makes something of `path` that is not a record for acme. */
const damages: [string, (path: string) => void][] = [
  ["truncated", (path) => writeFileSync(path, whole.slice(0, whole.indexOf(TOKEN) + TOKEN.length))],
  ["empty", (path) => writeFileSync(path, "")],
  ["not JSON", (path) => writeFileSync(path, `${TOKEN}\n`)],
  ["null", (path) => writeFileSync(path, "null")],
  ["a list", (path) => writeFileSync(path, `[${whole}]`)],
  ["somebody else's JSON", (path) => writeFileSync(path, JSON.stringify({ access_token: TOKEN, scopes: ["repo"] }))],
  ["of a newer version", (path) => writeFileSync(path, JSON.stringify({ ...record("acme"), v: 2 }))],
  ["the record of another connection", (path) => writeFileSync(path, JSON.stringify(record("other")))],
  ["random bytes", (path) => writeFileSync(path, Buffer.from([0xff, 0xfe, 0x00, 0x80]))],
  ["a directory", (path) => mkdirSync(path)],
  ["a link in a circle", (path) => symlinkSync(path, path)],
];
const fingerprint = (path: string) => {
  const { ino, mtimeMs, ctimeMs, size, mode } = lstatSync(path);
  return { ino, mtimeMs, ctimeMs, size, mode };
};

describe.each(damages)("a record that is %s", (_what, damage) => {
  beforeEach(() => {
    mkdirSync(join(home, "connections"), { mode: 0o700 });
    damage(fileOf("acme"));
  });

  test("is one `store` error for whoever needs it, names the file and quotes nothing", async () => {
    const { code, message } = await failureOf(storeAt(home).connection("acme", "default"));
    expect(code).toBe("store");
    expect(message).toContain(fileOf("acme"));
    expect(leaks(message, [TOKEN, TOKEN.slice(0, 8)])).toEqual([]); // parsers like to quote how it begins
  });

  test("is never overwritten", async () => {
    const before = fingerprint(fileOf("acme"));
    expect((await failureOf(storeAt(home).keep(record("acme")))).code).toBe("store");
    expect(fingerprint(fileOf("acme"))).toEqual(before);
  });

  test("is listed as a problem, and hides no other", async () => {
    const store = storeAt(home);
    await store.keep(record("neighbour"));
    expect(await store.connections()).toEqual([
      { provider: "acme", connection: "default", problem: expect.stringContaining(fileOf("acme")) },
      seen(record("neighbour")),
    ]);
  });
});

test("what a provider taught is treated alike", async () => {
  const file = join(home, "providers", "acme.json");
  mkdirSync(join(home, "providers"));
  writeFileSync(file, '{"v":1,"provider":"acme","secrets":{"client_secret":"hush');
  const store = storeAt(home);
  const lesson = { v: 1, provider: "acme", definition: {}, secrets: {} } as const;
  for (const call of [store.learned("acme"), store.learn(lesson)]) {
    const { code, message } = await failureOf(call);
    expect([code, leaks(message, ["hush"])]).toEqual(["store", []]);
  }
  expect(readFileSync(file, "utf8")).toContain("hush");
});

test("through the binary: exit 74, nothing asked, nothing changed, the rest still works", async () => {
  await storeAt(home).keep(record("fine"));
  writeFileSync(fileOf("broken"), whole.slice(0, -20));
  const before = fingerprint(fileOf("broken"));
  const asked = server.requests.length;
  for (const attempt of [login("broken"), run(["token", "broken"])]) {
    const { result, code } = await attempt;
    expect([code, result.error?.code]).toEqual([74, "store"]);
    expect(result.message).toContain(fileOf("broken"));
  }
  expect(server.requests.length).toBe(asked); // nobody is asked to sign in to what cannot be kept
  expect(fingerprint(fileOf("broken"))).toEqual(before);

  const { result, code } = await run(["status"]);
  expect(code).toBe(0);
  expect(result.data.connections).toMatchObject([
    { provider: "broken", problem: expect.stringContaining(fileOf("broken")) },
    { provider: "fine", record_status: "connected" },
  ]);
  expect(result.warnings).toMatchObject([{ code: "unreadable" }]);
  expect((await run(["token", "fine"])).result.data.access_token).toBe(TOKEN);

  const gone = await run(["logout", "broken"]); // to delete it needs no reading
  expect([gone.code, gone.result.warnings]).toMatchObject([0, [{ code: "unreadable" }]]);
  expect(existsSync(fileOf("broken"))).toBe(false);
});

describe("a home that cannot be one", () => {
  const file = (path: string) => writeFileSync(path, "mine");
  const circle = (path: string) => symlinkSync(path, path);

  test.each([
    ["is a file", file, ""],
    ["lies below a file", file, "below"],
    ["is a link in a circle", circle, ""],
  ])("because it %s is a `store` error for every command", async (_why, make, below) => {
    make(join(home, "not-a-home"));
    const env = { AUTHLINE_HOME: join(home, "not-a-home", below) };
    for (const argv of [
      ["token", "github"],
      ["status"],
      ["logout", "github"],
      ["login", "github", "--client-id", "x"],
    ]) {
      const { result, code } = await run(argv, { env });
      expect([argv[0], code, result.error?.code]).toEqual([argv[0], 74, "store"]);
    }
  });
});

// --- while it is written ---------------------------------------------------------------------------------------------

let writer: string;
beforeAll(async () => {
  const directory = join(import.meta.dirname, "..", "node_modules", ".store-test");
  writer = join(directory, "writer.mjs");
  await build({
    input: { store: join(import.meta.dirname, "support", "sealed.ts") },
    platform: "node",
    output: { dir: directory, entryFileNames: "[name].mjs", chunkFileNames: "[name]-[hash].mjs", format: "esm" },
    logLevel: "silent",
  });
  writeFileSync(
    writer,
    `import { storeAt } from "./store.mjs";
const [home, ...records] = process.argv.slice(2);
const store = storeAt(home);
for (let round = 0; round < Number(process.env.ROUNDS); round++) {
  const record = JSON.parse(records[round % records.length]);
  const { access_token } = record.secrets;
  await store.keep({ ...record, secrets: { ...record.secrets, access_token: access_token.padEnd(Number(process.env.SIZE), "x") } });
  process.send(round);
}
process.disconnect();
`,
  );
});

afterAll(() => rmSync(join(writer, ".."), { recursive: true }));

const SIZE = 64 * 1024;
const MARKS = ["first", "second", "third"];
/** The records that a writer writes in turn, as they can be read back. */
const turns = (provider: string) => MARKS.map((mark) => large(provider, mark, SIZE));

const writers = new Set<ChildProcess>();
afterEach(() => {
  for (const child of writers) child.kill("SIGKILL"); // those of a test that failed before their end
  writers.clear();
});

/** Another process that keeps these records in turn; it sends a message after each. */
function startWriter(provider: string, rounds: number, env: Record<string, string> = {}): ChildProcess {
  const short = MARKS.map((mark) => JSON.stringify(large(provider, mark, 0)));
  const child = fork(writer, [home, ...short], {
    env: { ...process.env, ...env, ROUNDS: `${rounds}`, SIZE: `${SIZE}` },
  });
  writers.add(child);
  return child;
}

test.each<[string, Record<string, string>]>([
  ["a plain shell", {}],
  ["the shell of a snap package", { SNAP: "/snap/code/1" }],
])("a reader never sees a part of a record while 200 are written, in %s", async (_where, env) => {
  await storeAt(home).keep(turns("acme")[0] as Connection);
  const child = startWriter("acme", 200, env);
  const exited = once(child, "exit");
  let running = true;
  void exited.then(() => {
    running = false;
  });
  const looks = new Map<string, number>();
  while (running) {
    const { scope = "", secrets } = opened(home, "connection", "default@acme") as unknown as Connection;
    expect(secrets.access_token?.length).toBe(SIZE);
    expect(secrets.access_token?.startsWith(`${scope}x`)).toBe(true);
    expect(secrets.refresh_token).toBe(scope);
    looks.set(scope, (looks.get(scope) ?? 0) + 1);
    await setImmediate();
  }
  expect(await exited).toEqual([0, null]);
  expect([...looks.keys()].sort()).toEqual(MARKS); // it did look while they changed
  expect(tree(join(home, "connections"))).toEqual(["default@acme.json"]);
});

test("a writer that is killed leaves a whole record, which can be written again", async () => {
  for (const round of [1, 2, 3, 4, 5, 6]) {
    const child = startWriter("acme", 100_000);
    const exited = once(child, "exit");
    for (let written = 0; written < round; written++) await once(child, "message");
    child.kill("SIGKILL");
    expect(await exited).toEqual([null, "SIGKILL"]);
    const store = storeAt(home);
    expect(turns("acme")).toContainEqual(await store.connection("acme", "default"));
    expect(await store.connections()).toHaveLength(1); // what it was writing is not taken for a record
    await store.keep(record("acme"));
    expect(await store.connection("acme", "default")).toEqual(record("acme"));
  }
});

test("two processes that write different connections at once do not meet", async () => {
  const children = ["acme", "other"].map((provider) => startWriter(provider, 60));
  const exits = await Promise.all(children.map((child) => once(child, "exit")));
  expect(exits).toEqual([
    [0, null],
    [0, null],
  ]);
  const last = MARKS.at(59 % MARKS.length);
  expect((await storeAt(home).connections()).map((one) => ("scope" in one ? one.scope : one))).toEqual([last, last]);
});

test("logins of several connections at once are all kept", async () => {
  const names = ["a", "b", "c", "d"];
  const results = await Promise.all(names.map((name) => login("acme", {}, "--connection", name)));
  expect(results.map(({ result }) => result.error)).toEqual(names.map(() => undefined));
  const { result } = await run(["status"]);
  expect(result.data.connections.map((one: Event) => [one.connection, one["record_status"]])).toEqual(
    names.map((name) => [name, "connected"]),
  );
});

// --- behind a process that has stopped -------------------------------------------------------------------------------

/** The clock of a process that has waited for long. */
function impatient(root: string): Context {
  let clock = 0;
  const sleep = async () => {
    clock += 30;
  };
  return { ...contextAt(root), sleep, uptime: () => clock };
}

test("a sign-in is stored though another process keeps the lock, and a refresh of the old one gives way to it", async () => {
  const ctx = impatient(home);
  const old = record("acme", { refreshable: true, secrets: { access_token: "old", refresh_token: "old" } });
  await ctx.store.keep(old);
  const lock = ctx.store.lock("acme", "default");
  const definition = { name: "acme", display_name: "Acme", issuer: old.server?.issuer };
  const request = { ...old, definition, extras: {}, as: old.server, scope: "openid" } as unknown as GrantRequest;
  const tokens = { access_token: "new", refresh_token: "new", token_type: "bearer" } as Tokens;
  const grant = { attended: true };
  const caught = { request, flow: "device_code", grant, tokens, plan: { taught: {} }, continuity: undefined } as const;
  const { warnings } = await lastOf(keep(caught, ctx));
  expect(warnings?.map(({ code }) => code)).toEqual(["lock_ignored"]);
  const stored = await ctx.store.connection("acme", "default");
  expect(stored?.secrets.refresh_token).toBe("new");
  expect(stored?.created_at).not.toBe(old.created_at); // a credential of its own
  lock?.release();

  // As one that had read the old record and sent its token when it was stopped.
  let isFirst = true;
  const connection: Store["connection"] = async (...names) => {
    if (!isFirst) return ctx.store.connection(...names);
    isFirst = false;
    return old;
  };
  const answer = { access_token: "late", refresh_token: "late", token_type: "Bearer" };
  const waking = {
    ...contextAt(home),
    store: { ...ctx.store, connection },
    fetch: async () => Response.json(answer),
  };
  const server = { ...old.server, token_endpoint: `${old.server?.issuer}/token` };
  Object.assign(old, { server });
  expect(await lastOf(refresh(old, { turn: 1, server: 1 }, waking))).toMatchObject({
    secrets: { access_token: "new" },
  });
  expect((await ctx.store.connection("acme", "default"))?.secrets.refresh_token).toBe("new");
});

test("the default is looked up and changed in one go", async () => {
  const { store, surroundings } = contextAt(home);
  const lock = locksAt(home, surroundings.self).take("acme.default");
  const setting = store.setStandard("acme", "work", "default");
  await setImmediate();
  expect(await store.standard("acme")).toBe("default"); // it waits
  mkdirSync(join(home, "defaults"));
  const chosen = { v: 1, provider: "acme", connection: "chosen" };
  writeFileSync(join(home, "defaults", "acme.json"), JSON.stringify(chosen));
  lock?.release();
  await setting;
  expect(await store.standard("acme")).toBe("chosen");
});

async function lastOf<T>(flow: Flow<T>): Promise<T> {
  for (;;) {
    const { done, value } = await flow.next();
    if (done) return value;
  }
}

// --- on a disk that is full ------------------------------------------------------------------------------------------

/** Why there is no small disk to fill here; undefined where there is one. */
const noSmallDisk = (() => {
  if (process.platform !== "linux") return "a tmpfs needs Linux";
  if (process.getuid?.() !== 0) return "mounting needs root";
  const probe = tempHome();
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", probe], { stdio: "ignore" });
    execFileSync("umount", [probe]);
    return undefined;
  } catch {
    return "mounting is not allowed";
  }
})();

describe.skipIf(noSmallDisk)(`on a full disk${noSmallDisk ? ` (skipped: ${noSmallDisk})` : ""}`, () => {
  const PAGE = 4096;
  let disk: string;
  beforeEach(() => {
    disk = join(home, "disk");
    mkdirSync(disk);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", disk]);
  });
  afterEach(() => {
    execFileSync("umount", [disk]);
  });

  /** Leaves room for so many bytes, a multiple of a page. */
  function fill(room: number): void {
    const filler = join(disk, "filler");
    let size = 0;
    try {
      for (; ; size += PAGE) writeFileSync(filler, Buffer.alloc(PAGE), { flag: "a" });
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe("ENOSPC");
    }
    truncateSync(filler, size - room);
  }

  test.each([
    ["no room at all", 0],
    ["room for a part of the new record", 2 * PAGE],
  ])("with %s the old record stays, and the error says why", async (_room, room) => {
    const store = storeAt(disk);
    const old = large("acme", "old", 5 * PAGE);
    await store.keep(old);
    fill(room);
    const { code, message, details } = await failureOf(store.keep(large("acme", "new", 5 * PAGE)));
    expect([code, message]).toEqual(["store", expect.stringContaining("ENOSPC")]);
    expect(details.hint).toContain("disk is full");
    expect(await store.connection("acme", "default")).toEqual(old);
    expect(tree(join(disk, "connections"))).toEqual(["default@acme.json"]);

    rmSync(join(disk, "filler"));
    await store.keep(large("acme", "new", 5 * PAGE));
    expect((await store.connection("acme", "default"))?.secrets.refresh_token).toBe("new");
  });

  test("nobody is asked to sign in to what there is no room for", async () => {
    const store = storeAt(disk);
    await store.keep(record("acme"));
    fill(3 * PAGE);
    const { code, message } = await failureOf(store.prepare({ provider: "acme", connection: "default" }));
    expect([code, message]).toEqual(["store", expect.stringContaining("ENOSPC")]);
    expect(tree(join(disk, "connections"))).toEqual(["default@acme.json"]); // nor does the attempt take room
    fill(8 * PAGE);
    await store.prepare({ provider: "acme", connection: "default" });
    expect(tree(join(disk, "locks"))).toEqual(expect.arrayContaining(["@acme", "default@acme"]));
  });

  test("through the binary: a refresh and a login end with exit 74 and cost nothing that was kept", async () => {
    const env = { AUTHLINE_HOME: disk };
    await login("acme", { env });
    fill(0);
    const before = readFileSync(fileOf("acme", "default", disk), "utf8");
    for (const attempt of [
      run(["token", "acme", "--refresh"], { env }),
      login("acme", { env }),
      login("new", { env }),
    ]) {
      const { result, code } = await attempt;
      expect([code, result.error?.code]).toEqual([74, "store"]);
      expect(result.message).toContain("ENOSPC");
    }
    expect(readFileSync(fileOf("acme", "default", disk), "utf8")).toBe(before);
    expect(existsSync(fileOf("new", "default", disk))).toBe(false);
  });
});
