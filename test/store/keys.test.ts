/**
 * What secrets are sealed with, through the binary and the real store.
 *
 * What is protected: a key that cannot be had is one clear error, changes nothing on disk and never makes another key; what
 * is sealed opens only where, as and beside what it was sealed; what is not secret needs no key; a keyring that is not
 * there, hangs, forgets or dies costs nobody a login.
 */
import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Failure } from "../../src/protocol/failure.ts";
import { keyIdIn, keyOf, newKey, seal, unseal } from "../../src/store/seal.ts";
import { type AuthorizationServer, startAuthorizationServer } from "../support/authorization-server.ts";
import { program } from "../support/inside.ts";
import { connectionSecrets, keyIn, namesOf, opened, storeAt } from "../support/sealed.ts";
import { authline, leftovers, type Options, sweep, tempHome } from "../support/spawn.ts";
import { checkStream, type Event, leaks } from "../support/stream.ts";

const anyKey = () => randomBytes(32).toString("base64");

type Env = NonNullable<Options["env"]>;

/** Of the stores that are sealed by AUTHLINE_KEY. */
const KEY = anyKey();

let server: AuthorizationServer;
/** What the tests begin with: each gets a copy. */
let originals: { room: string; file: string; env: string };
let session: string;
beforeAll(async () => {
  server = await startAuthorizationServer();
  const room = mkdtempSync(join(tmpdir(), "authline-keys-"));
  originals = { room, file: join(room, "file"), env: join(room, "env") };
  for (const [home, env] of [
    [originals.file, {}],
    [originals.env, { AUTHLINE_KEY: KEY }],
  ] as const) {
    for (const name of ["default", "work"]) expect((await login(home, env, "--connection", name)).code).toBe(0);
  }
  const { events } = await run(originals.file, [
    ...["login", "acme", "--connection", "open", "--no-wait", "--flow", "device_code"],
    ...["--issuer", server.issuer, "--client-id", server.clients.native],
  ]);
  session = events.at(-1)?.session_id ?? "";
});
afterAll(async () => {
  rmSync(originals.room, { recursive: true, force: true });
  await server.close();
});

let home: string;
beforeEach(() => {
  home = tempHome();
});
afterEach(async () => {
  expect(await sweep()).toEqual([]);
});

/** A copy of a store to damage. */
function take(which: "file" | "env"): void {
  cpSync(originals[which], home, { recursive: true });
}

/** For `Options`: a process of its own, where several at once or a read that blocks are the point. */
const SPAWNED = { sink: "pipe" } as const;

/** Runs a command to its end and judges its stream; no key and no secret is ever shown. */
async function run(at: string, argv: string[], env: Env = {}, options: Options = {}) {
  const ended = await program(argv, { ...options, home: at, env }).done;
  const { stdout, stderr, code, events } = ended;
  const keys = existsSync(join(at, "keys"))
    ? readdirSync(join(at, "keys"))
        .map((id) => readFileSync(join(at, "keys", id), "utf8").trim())
        .filter(Boolean)
    : [];
  const secrets = [server.clients.confidential.secret, ...keys, ...(env["AUTHLINE_KEY"] ? [env["AUTHLINE_KEY"]] : [])];
  const command = argv[0] === "session" ? `session ${argv[1]}` : (argv[0] ?? "");
  expect(checkStream(stdout, { command, exitCode: code, secrets })).toEqual([]);
  expect(leaks(stderr, secrets)).toEqual([]);
  const result = events.at(-1) as Event;
  return { ...ended, result };
}

/** A login that needs nobody, and is one of many. */
function login(at: string, env: Env = {}, ...more: string[]) {
  const { id, secret } = server.clients.confidential;
  const who = ["--issuer", server.issuer, "--client-id", id, "--client-secret-from", "env:SECRET"];
  return run(
    at,
    ["login", "acme", "--flow", "client_credentials", ...who, ...more],
    { ...env, SECRET: secret },
    SPAWNED,
  );
}

/** Every file but the locks and the audit log, which tell of what was tried. */
function contentOf(root: string): Record<string, string> {
  const paths = readdirSync(root, { recursive: true }).map(String).sort();
  const files = paths.filter((path) => !/^(locks|audit)\b|\.lock\b/.test(path) && statSync(join(root, path)).isFile());
  return Object.fromEntries(files.map((path) => [path, readFileSync(join(root, path), "latin1")]));
}

const keysJson = (at = home) => join(at, "keys.json");
const keyList = (at = home): { current: string; keys: { id: string; source: string }[] } =>
  JSON.parse(readFileSync(keysJson(at), "utf8"));
const keyFile = (at = home) => join(at, "keys", keyList(at).current);
const recordFile = (connection = "default", at = home) => join(at, "connections", `${connection}@acme.json`);
const readJson = (path: string) => JSON.parse(readFileSync(path, "utf8"));
const change = (path: string, changes: object) =>
  writeFileSync(path, JSON.stringify({ ...readJson(path), ...changes }));

const codesOf = ({ warnings }: Event): string[] => (warnings as { code: string }[]).map(({ code }) => code);

/** A file with a key in it, outside of the store. */
function keyFileWith(text: string, mode = 0o600): string {
  const path = join(tempHome(), "key");
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

/** What whoever can write to the directory can do: a key of his own seals what is written from now on. */
function list(source: "file", old: object = {}): string {
  const { id, bytes } = newKey();
  mkdirSync(join(home, "keys"), { recursive: true });
  writeFileSync(join(home, "keys", id), bytes.toString("base64url"), { mode: 0o600 });
  const { keys } = keyList();
  const entry = { id, source, created_at: new Date().toISOString() };
  change(keysJson(), { current: id, keys: [...keys.map((each) => ({ ...each, ...old })), entry] });
  return id;
}

// --- a key that cannot be had ----------------------------------------------------------------------------------------

interface Trouble {
  store: "file" | "env";
  /** What becomes of the store, and what is in the environment then. */
  make(): unknown;
  says: RegExp;
  code?: "config";
}

const troubles: Record<string, Trouble> = {
  "AUTHLINE_KEY is another key": {
    store: "env",
    make: () => ({ AUTHLINE_KEY: anyKey() }),
    says: /(^|opened\. )AUTHLINE_KEY is another key than the one that the store is sealed with\.$/,
  },
  "AUTHLINE_KEY is gone": {
    store: "env",
    make: () => ({}),
    says: /AUTHLINE_KEY is not set, and the store is sealed with it\.$/,
  },
  "AUTHLINE_KEY is too short": {
    store: "env",
    make: () => ({ AUTHLINE_KEY: anyKey().slice(4) }),
    says: /(^|opened\. )AUTHLINE_KEY is not a key\.$/,
    code: "config",
  },
  "AUTHLINE_KEY is a sentence": {
    store: "env",
    make: () => ({ AUTHLINE_KEY: "correct horse battery staple, and more" }),
    says: /(^|opened\. )AUTHLINE_KEY is not a key\.$/,
    code: "config",
  },
  "AUTHLINE_KEY_FILE is not there": {
    store: "env",
    make: () => ({ AUTHLINE_KEY_FILE: join(home, "no-key") }),
    says: /(^|opened\. )Cannot read .*no-key \(ENOENT\)\.$/,
  },
  "AUTHLINE_KEY_FILE can be read by others": {
    store: "env",
    make: () => ({ AUTHLINE_KEY_FILE: keyFileWith(KEY, 0o640) }),
    says: /holds a key and can be read by other users of this machine\.$/,
  },
  "AUTHLINE_KEY_FILE holds something else": {
    store: "env",
    make: () => ({ AUTHLINE_KEY_FILE: keyFileWith("-----BEGIN KEY-----") }),
    says: /(^|opened\. )AUTHLINE_KEY_FILE is not a key\.$/,
    code: "config",
  },
  "AUTHLINE_KEY is set, and the store is sealed by a key file": {
    store: "file",
    make: () => ({ AUTHLINE_KEY: KEY }),
    says: /(^|opened\. )AUTHLINE_KEY is another key than the one that the store is sealed with\.$/,
  },
  "AUTHLINE_KEY_FILE is a directory": {
    store: "env",
    make: () => ({ AUTHLINE_KEY_FILE: tempHome() }),
    says: /(^|opened\. ).* is neither a file nor a pipe\.$/,
  },
  "AUTHLINE_KEY_FILE is longer than any key": {
    store: "env",
    make: () => ({ AUTHLINE_KEY_FILE: keyFileWith(`${KEY}${" ".repeat(5000)}`) }),
    says: /(^|opened\. ).* is too long for a key\.$/,
  },
  "AUTHLINE_KEY is set, and out of use for a key in a file": {
    store: "env",
    make() {
      list("file", { retired: true });
      return { AUTHLINE_KEY: KEY };
    },
    says: /(^|opened\. )AUTHLINE_KEY is another key than the one that the store is sealed with\.$/,
  },
  "the key file is gone": {
    store: "file",
    make: () => void rmSync(keyFile()),
    says: /A file beside the store no longer holds the key that the store is sealed with \([0-9a-f]{16}\)\.$/,
  },
  "the key file is that of another store": {
    store: "file",
    make: () => void writeFileSync(keyFile(), anyKey()),
    says: /A file beside the store holds another key than the one that the store is sealed with/,
  },
  "the key file is empty": {
    store: "file",
    make: () => void writeFileSync(keyFile(), ""),
    says: /is not a key\.$/,
  },
  "the key file can be read by others": {
    store: "file",
    make: () => void chmodSync(keyFile(), 0o644),
    says: /holds a key and can be read by other users of this machine\.$/,
  },
  "keys.json is gone": {
    store: "file",
    make: () => void rmSync(keysJson()),
    says: /keys\.json is gone, and there are records that need it\.$|sealed with a key that is not known here/,
  },
  "keys.json is torn": {
    store: "file",
    make: () => void writeFileSync(keysJson(), readFileSync(keysJson(), "utf8").slice(0, 60)),
    says: /(^|opened\. )Cannot read .*keys\.json \(it is no JSON object\)\.$/,
  },
  "keys.json names a file as the key in use": {
    store: "file",
    make: () => change(keysJson(), { current: "../../precious" }),
    says: /keys\.json is not a record that authline wrote, .*\(current\)\.$/,
  },
  "keys.json lists a file as a key": {
    store: "file",
    make: () => change(keysJson(), { keys: [...keyList().keys, { ...keyList().keys[0], id: "../../precious" }] }),
    says: /keys\.json is not a record that authline wrote, .*\(keys\.1\.id\)\.$/,
  },
  "keys.json is of a newer version": {
    store: "file",
    make: () => change(keysJson(), { v: 2 }),
    says: /keys\.json is not a record that authline wrote, or a newer authline wrote it/,
  },
};

describe.each(Object.entries(troubles))("when %s", (_when, { store, make, says, code = "store" }) => {
  test("`token` and `login` say so, ask nobody, and change nothing", async () => {
    take(store);
    const env = (make() ?? {}) as Env;
    const before = contentOf(home);
    const asked = server.requests.length;
    for (const attempt of [() => run(home, ["token", "acme", "--refresh"], env), () => login(home, env)]) {
      const { result, code: exit, stderr } = await attempt();
      expect([exit, result.error?.code]).toEqual([code === "config" ? 78 : 74, code]);
      expect(result.message).toMatch(says);
      expect(result.error?.hint).toBeTruthy();
      expect(
        leaks(
          `${result.message}${stderr}`,
          Object.values(env)
            .flatMap((value) => value ?? [])
            .filter((value) => !existsSync(value) && !value.includes(home)),
        ),
      ).toEqual([]);
    }
    expect(contentOf(home)).toEqual(before);
    expect(server.requests.length).toBe(asked);
  });
});

test.each<[string, () => unknown]>([
  ["the key file is gone", () => rmSync(keyFile())],
  ["keys.json is gone", () => rmSync(keysJson())],
  ["keys.json is torn", () => writeFileSync(keysJson(), "{")],
  ["AUTHLINE_KEY is another one", () => ({ AUTHLINE_KEY: anyKey() })],
])("what is not secret needs no key: when %s", async (when, make) => {
  take("file");
  const { current } = keyList();
  const env = (make() ?? {}) as Env;
  const status = await run(home, ["status"], env);
  expect([status.code, status.result.data.connections]).toMatchObject([
    0,
    [
      { provider: "acme", connection: "default", record_status: "connected" },
      { provider: "acme", connection: "work", record_status: "connected" },
    ],
  ]);
  if (existsSync(keysJson()) && !when.includes("torn")) expect(status.result.data.key).toMatchObject({ id: current });
  else expect(status.result.data.key).toBeUndefined();
  expect(codesOf(status.result)).toEqual(when.includes("torn") ? ["unreadable"] : []);

  const list = await run(home, ["session", "list"], env);
  expect([list.code, list.result.data.sessions]).toMatchObject([0, [{ session_id: session, state: "pending" }]]);
  const show = await run(home, ["session", "show", session], env);
  expect([show.code, show.result.data]).toMatchObject([0, { session_id: session, connection: "open" }]);
});

test.each<[string, () => Env]>([
  ["AUTHLINE_KEY", () => ({ AUTHLINE_KEY: KEY })],
  ["AUTHLINE_KEY in hex", () => ({ AUTHLINE_KEY: Buffer.from(KEY, "base64").toString("hex").toUpperCase() })],
  [
    "AUTHLINE_KEY in base64url, with a line's end",
    () => ({ AUTHLINE_KEY: `${Buffer.from(KEY, "base64").toString("base64url")}\n` }),
  ],
  ["AUTHLINE_KEY_FILE", () => ({ AUTHLINE_KEY_FILE: keyFileWith(`${KEY}\n`) })],
])("the same key in another form is the same key: %s", async (_form, env) => {
  take("env");
  const { code, result } = await run(home, ["token", "acme"], env());
  expect([code, result.data?.source]).toEqual([0, "store"]);
});

test("a key that is given is used and not kept", async () => {
  const { result } = await login(home, { AUTHLINE_KEY: KEY });
  expect(codesOf(result)).toEqual([]);
  expect(keyList().keys).toMatchObject([{ source: "env" }]);
  expect(existsSync(join(home, "keys"))).toBe(false);
  const everything = Object.values(contentOf(home)).join("\n");
  const forms = (["base64", "base64url", "hex"] as const).map((form) => Buffer.from(KEY, "base64").toString(form));
  expect(forms.filter((form) => everything.includes(form.replace(/=+$/, "")))).toEqual([]);
});

test("a key that is given seals, whichever is the current one", async () => {
  take("env");
  const foreign = list("file");
  const { code } = await login(home, { AUTHLINE_KEY: KEY }, "--connection", "new");
  expect(code).toBe(0);
  expect(keyIdIn(readJson(recordFile("new")).sealed)).toBe(keyOf(Buffer.from(KEY, "base64")).id);
  expect(Object.values(contentOf(join(home, "connections"))).join("\n")).not.toContain(foreign);
});

describe.skipIf(process.platform === "win32")("a pipe as AUTHLINE_KEY_FILE", () => {
  let AUTHLINE_KEY_FILE: string;
  beforeEach(() => {
    take("env");
    AUTHLINE_KEY_FILE = join(home, "pipe");
    execFileSync("mkfifo", ["-m", "600", AUTHLINE_KEY_FILE]);
  });
  afterEach(() => rmSync(AUTHLINE_KEY_FILE));

  test("that a command writes to is waited for", async () => {
    const writer = spawn("sh", ["-c", 'exec 3<>"$PIPE"; sleep 1; echo "$KEY" >&3; sleep 1'], {
      env: { ...process.env, PIPE: AUTHLINE_KEY_FILE, KEY },
      stdio: "ignore",
    });
    const ended = once(writer, "exit");
    await new Promise((resolve) => setTimeout(resolve, 200));
    const { code, result } = await run(home, ["token", "acme"], { AUTHLINE_KEY_FILE }, SPAWNED);
    expect([code, result.data?.source]).toEqual([0, "store"]);
    await ended;
  });

  test("that nobody writes to is an error at once, and one that nothing comes out of soon", async () => {
    const env = { AUTHLINE_KEY_FILE };
    const alone = await run(home, ["token", "acme"], env, SPAWNED);
    expect([alone.code, alone.result.message]).toEqual([
      78,
      expect.stringMatching(/AUTHLINE_KEY_FILE is not a key\.$/),
    ]);

    const silent = openSync(AUTHLINE_KEY_FILE, "r+");
    const commands = [["token", "acme"], ["doctor"]];
    const [token, doctor] = await Promise.all(commands.map((argv) => run(home, argv, env, SPAWNED)));
    if (!token || !doctor) throw new Error("neither");
    closeSync(silent);
    expect([token.code, token.result.message]).toEqual([74, expect.stringMatching(/nothing came within 8 s\.$/)]);
    for (const { durationMs } of [token, doctor]) expect(durationMs).toBeLessThan(12_000); // it is waited for once
    expect(doctor.result.phase).toBe("result");
  });
});

test("twenty first logins at once make one key, and one of them says where it is", async () => {
  const names = Array.from({ length: 20 }, (_, number) => `c${number}`);
  const ended = await Promise.all(names.map((name) => login(home, {}, "--connection", name)));
  expect(ended.map(({ result }) => result.error)).toEqual(names.map(() => undefined));
  expect(ended.flatMap(({ result }) => codesOf(result))).toEqual(["key_in_file"]);
  expect(keyList().keys).toHaveLength(1);
  expect(readdirSync(join(home, "keys"))).toEqual([keyList().current]);
  expect(namesOf(home, "connection")).toEqual(names.map((name) => `${name}@acme`).sort());
  expect(connectionSecrets(home)).toHaveLength(2 * names.length); // each one's access token and client secret
  expect(codesOf((await login(home)).result)).toEqual([]); // it is told once
});

// --- what was sealed is what is opened -------------------------------------------------------------------------------

const swap = (one: string, other: string) => {
  renameSync(one, `${one}.aside`);
  renameSync(other, one);
  renameSync(`${one}.aside`, other);
};

/** Each makes something of the record of acme's default connection that authline did not write. */
const changes: Record<string, () => void> = {
  "another token endpoint": () => {
    const { server: known } = readJson(recordFile());
    change(recordFile(), { server: { ...known, token_endpoint: "https://thief.example/token" } });
  },
  "another issuer": () => {
    const { server: known } = readJson(recordFile());
    change(recordFile(), { server: { ...known, issuer: "https://thief.example" } });
  },
  "another scope": () => change(recordFile(), { scope: "everything" }),
  "a later end": () => change(recordFile(), { expires_at: "2999-01-01T00:00:00.000Z" }),
  "a field that no authline knows": () => change(recordFile(), { note: "hello" }),
  "the file of another connection": () => swap(recordFile(), recordFile("work")),
  "the file of another connection, under this one's name": () => {
    swap(recordFile(), recordFile("work"));
    change(recordFile(), { connection: "default" });
  },
  "the secrets of another connection": () => change(recordFile(), { sealed: readJson(recordFile("work")).sealed }),
  "the secrets of its provider": () => {
    change(recordFile(), { sealed: readJson(join(home, "providers", "acme.json")).sealed });
  },
  "no secrets": () => change(recordFile(), { sealed: undefined }),
  "secrets in the clear": () => change(recordFile(), { sealed: undefined, secrets: { access_token: "planted" } }),
  "secrets in the clear beside the sealed ones": () => change(recordFile(), { secrets: { access_token: "planted" } }),
  "secrets that are no text": () => change(recordFile(), { sealed: 1 }),
  "secrets that are cut short": () => change(recordFile(), { sealed: readJson(recordFile()).sealed.slice(0, 30) }),
  "secrets that a newer authline sealed": () => {
    change(recordFile(), { sealed: readJson(recordFile()).sealed.replace(/^1/, "2") });
  },
  "secrets of a key that is not known": () => {
    change(recordFile(), { sealed: readJson(recordFile()).sealed.replace(/^1\.[0-9a-f]+/, "1.0123456789abcdef") });
  },
};

test.each(Object.entries(changes))(
  "a record with %s is a `store` error, and nothing is sent anywhere",
  async (_what, make) => {
    take("file");
    make();
    const before = contentOf(home);
    const asked = server.requests.length;
    const { result, code } = await run(home, ["token", "acme", "--refresh"]);
    expect([code, result.error?.code]).toEqual([74, "store"]);
    expect(result.message).toContain(recordFile());
    expect(contentOf(home)).toEqual(before);
    expect(server.requests.length).toBe(asked);
  },
);

test("the secrets of a connection do not open as a session's", async () => {
  take("file");
  const path = join(home, "sessions", `${session}.json`);
  change(path, { sealed: readJson(recordFile()).sealed });
  const before = readFileSync(path, "utf8");
  const { result, code } = await run(home, ["session", "wait", session]);
  expect([code, result.error?.code]).toEqual([74, "store"]);
  expect(readFileSync(path, "utf8")).toBe(before);
});

test("every bit of what is sealed counts", () => {
  const key = newKey();
  const [text, about] = ["a secret of some length, and more of it", "what stands beside it"];
  const [version, id, body = ""] = seal(text, about, key).split(".");
  const bytes = Buffer.from(body, "base64url");
  const open = (changed: Buffer) => unseal(`${version}.${id}.${changed.toString("base64url")}`, about, key);
  expect(open(bytes)).toBe(text);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = Buffer.from(bytes);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(() => open(changed), `bit ${bit}`).toThrow();
  }
  for (let length = 0; length < bytes.length; length++) {
    expect(() => open(bytes.subarray(0, length)), `${length} bytes`).toThrow();
  }
  expect(() => unseal(`${version}.${id}.${body}`, `${about}.`, key)).toThrow();
  expect(() => unseal(`${version}.${id}.${body}`, about, newKey())).toThrow();
});

test("whatever bit of a record's file is changed, it is an error or nothing has changed", async () => {
  take("file");
  const original = readFileSync(recordFile());
  const record = opened(home, "connection", "default@acme");
  const store = storeAt(home);
  expect(await store.connection("acme", "default")).toEqual(record);
  let errors = 0;
  await fc.assert(
    fc.asyncProperty(fc.nat(original.length * 8 - 1), async (bit) => {
      const changed = Buffer.from(original);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      writeFileSync(recordFile(), changed);
      try {
        expect(await store.connection("acme", "default")).toEqual(record); // white space, say
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        expect(error.code).toBe("store");
        errors++;
      }
    }),
    { numRuns: 300 },
  );
  expect(errors).toBeGreaterThan(200);
});

test("the same secret is sealed anew each time, and can be read by nobody", async () => {
  take("file");
  const store = storeAt(home);
  const record = await store.connection("acme", "default");
  const sealed = new Set<string>();
  for (let round = 0; round < 5; round++) {
    if (record) await store.keep(record);
    sealed.add(readJson(recordFile()).sealed);
  }
  expect(sealed.size).toBe(5);
  const secrets = [...connectionSecrets(home), server.clients.confidential.secret];
  expect(secrets.length).toBeGreaterThan(4);
  expect(leaks(Object.values(contentOf(home)).join("\n"), secrets)).toEqual([]);
  expect(keyIn(home).id).toBe(keyList().current);
});

// --- the keyring -----------------------------------------------------------------------------------------------------

/** A machine with a session bus, and behind it a keyring that does this; `none`: a machine without one. */
const keyring = (how: string, room: string): Env => ({
  DBUS_SESSION_BUS_ADDRESS: how === "none" ? undefined : "unix:path=/nonexistent",
  FAKE_KEYRING: how,
  FAKE_KEYRING_ROOM: room,
  NODE_OPTIONS: `--import=${new URL("../support/faults/keyring.mjs", import.meta.url).href}`,
});

test.each<[string, string, RegExp]>([
  ["that is not there", "none", /The OS keyring cannot be used: there is none\./],
  ["without its library", "missing", /The OS keyring cannot be used: its library is not installed\./],
  ["that forgets", "forgets", /The OS keyring cannot be used: it does not keep what it is given\./],
  ["that dies", "dies", /The OS keyring cannot be used: it does not work here\./],
  ["that refuses", "refuses", /The OS keyring cannot be used: the collection is locked\./],
])("a keyring %s: the key goes into a file, and that is told once", async (_what, how, says) => {
  const env = keyring(how, tempHome());
  const { code, result } = await login(home, env);
  expect([code, codesOf(result)]).toEqual([0, ["key_in_file"]]);
  const [{ message }] = result["warnings"] as [{ message: string }];
  expect(message).toMatch(says);
  expect(message).toContain(keyFile());
  expect(keyList().keys).toMatchObject([{ source: "file" }]);
  expect([statSync(keyFile()).mode & 0o777, statSync(join(home, "keys")).mode & 0o777]).toEqual([0o600, 0o700]);
  const again = await run(home, ["token", "acme"], env);
  expect([again.code, codesOf(again.result)]).toEqual([0, []]);
});

describe("a keyring that works", () => {
  let room: string;
  beforeEach(async () => {
    room = tempHome();
    const { code, result } = await login(home, keyring("works", room));
    expect([code, codesOf(result)]).toEqual([0, []]);
  });

  test("holds the key, and nothing else does", async () => {
    const { current, keys } = keyList();
    expect(keys).toMatchObject([{ id: current, source: "keyring" }]);
    expect(readdirSync(room)).toEqual([`authline-${current}`]);
    const key = readFileSync(join(room, `authline-${current}`), "utf8");
    expect(Buffer.from(key, "base64url")).toHaveLength(32);
    expect(existsSync(join(home, "keys"))).toBe(false);
    expect(leaks(Object.values(contentOf(home)).join("\n"), [key])).toEqual([]);
    const { code, stdout, stderr } = await run(home, ["token", "acme"], keyring("works", room));
    expect([code, leaks(`${stdout}${stderr}`, [key])]).toEqual([0, []]);
    expect((await run(home, ["status"])).result.data.key).toMatchObject({ source: "keyring", id: current });
  });

  test.each<[string, (entry: string) => unknown, string, RegExp]>([
    [
      "loses the key",
      (entry) => rmSync(entry),
      "works",
      /The OS keyring no longer holds the key that the store is sealed with/,
    ],
    [
      "holds another key",
      (entry) => writeFileSync(entry, anyKey()),
      "works",
      /The OS keyring holds another key than the one that the store is sealed with/,
    ],
    ["is locked", () => {}, "refuses", /The OS keyring cannot be used: the collection is locked\./],
    ["has died", () => {}, "dies", /The OS keyring cannot be used: it does not work here\./],
    ["has gone with its session", () => {}, "none", /The OS keyring cannot be used: there is none\./],
  ])("and then %s: a `store` error, and no other key is made", async (_what, make, how, says) => {
    make(join(room, `authline-${keyList().current}`));
    const env = keyring(how, room);
    const before = [contentOf(home), contentOf(room)];
    const asked = server.requests.length;
    for (const attempt of [() => run(home, ["token", "acme"], env), () => login(home, env)]) {
      const { code, result } = await attempt();
      expect([code, result.error?.code]).toEqual([74, "store"]);
      expect(result.message).toMatch(says);
    }
    expect([contentOf(home), contentOf(room)]).toEqual(before);
    expect(server.requests.length).toBe(asked);
  });
});

test("a keyring that hangs holds nobody up for long, and nothing of it is left", async () => {
  const room = tempHome();
  const kept = tempHome();
  await login(kept, keyring("works", room));
  const orphaned = tempHome();
  await login(orphaned, keyring("works", room));

  const first = login(home, keyring("hangs", room));
  const later = run(kept, ["token", "acme"], keyring("hangs", room));
  // Whoever asks is killed: nobody is left to end the process that hangs.
  const killed = authline(["token", "acme"], { home: orphaned, env: keyring("stalls", room) });
  while ((await leftovers(killed, 0)).length < 2) await new Promise((resolve) => setTimeout(resolve, 50));
  killed.kill("SIGKILL");

  const signedIn = await first;
  expect([signedIn.code, codesOf(signedIn.result)]).toEqual([0, ["key_in_file"]]);
  expect(signedIn.result["warnings"]).toMatchObject([
    { message: expect.stringContaining("did not answer within 8 s") },
  ]);
  expect(signedIn.durationMs).toBeLessThan(10_000);
  expect(await leftovers(signedIn)).toEqual([]);

  const failed = await later;
  expect([failed.code, failed.result.error?.code, failed.result.error?.retryable]).toEqual([74, "store", true]);
  expect(failed.durationMs).toBeLessThan(10_000);
  expect(await leftovers(failed)).toEqual([]);

  expect((await killed.done).signal).toBe("SIGKILL");
  expect(await leftovers(killed, 12_000)).toEqual([]);
});
