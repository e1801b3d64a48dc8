/**
 * A new key for everything that is sealed.
 *
 * What is protected: whatever is written meanwhile, and whoever is killed at whatever line, no record is ever sealed with a
 * key that nobody has any more; the old key is gone in the end, and not before nothing needs it; a key that somebody has to
 * keep is never changed for one that they do not know of.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Context } from "../src/context.ts";
import type { Notice } from "../src/protocol/event.ts";
import { Failure } from "../src/protocol/failure.ts";
import type { Session } from "../src/sessions/session.ts";
import type { KeySource } from "../src/store/key_places.ts";
import { type KeyList, keysAt } from "../src/store/keys.ts";
import type { Connection } from "../src/store/record.ts";
import { keyIdIn } from "../src/store/seal.ts";
import { type AuthorizationServer, startAuthorizationServer } from "./support/authorization-server.ts";
import { contextOf, dieAtEveryStep, end, success } from "./support/dying.ts";
import { authline, sweep, tempHome } from "./support/spawn.ts";

const SESSION = "sess_9fJ2kQ7mX0aB4cD8eF1gHi";
const REKEY = ["store", "rekey"];

const record = (provider: string, connection: string, over: Partial<Connection> = {}): Connection => ({
  v: 1,
  provider,
  connection,
  flow: "device_code",
  server: { issuer: "https://login.example.com" },
  client: { client_id: "cli", token_endpoint_auth_method: "none" },
  token_type: "bearer",
  created_at: "2026-01-02T03:04:05.678Z",
  updated_at: "2026-01-02T03:04:05.678Z",
  refreshable: false,
  secrets: { access_token: `token of ${connection}@${provider}` },
  ...over,
});

const session = (): Session => ({
  v: 1,
  session_id: SESSION,
  provider: "acme",
  connection: "default",
  state: "pending",
  asked: {
    flow: "device_code",
    definition: { name: "acme", display_name: "acme", issuer: "https://login.example.com" },
    client_id: "cli",
    redirect_uri: "http://127.0.0.1/callback",
    browser: "never",
    taught: {},
  },
  created_at: new Date().toISOString(),
  expires_at: new Date(Date.now() + 600_000).toISOString(),
  doors: ["device_code"],
  secrets: { client_secret: "of the session", doors: { device_code: { device_code: "of the device" } } },
});

const CONNECTIONS = [
  ["acme", "default"],
  ["acme", "work"],
  ["globex", "default"],
] as const;

/** One of each thing that has something sealed in it. */
async function fill(ctx: Context): Promise<void> {
  await ctx.store.prepare();
  for (const [provider, connection] of CONNECTIONS) await ctx.store.keep(record(provider, connection));
  await ctx.store.learn({ v: 1, provider: "acme", definition: {}, secrets: { client_secret: "of the provider" } });
  await ctx.sessions.put(session());
  await ctx.sessions.send(SESSION, { callback: "https://login.example.com/?code=of-the-mail" });
}
/** How many records that is. */
const ALL = CONNECTIONS.length + 2;

/** All of it can be opened. */
async function expectWhole(ctx: Context): Promise<void> {
  for (const [provider, connection] of CONNECTIONS) {
    expect((await ctx.store.connection(provider, connection))?.secrets).toEqual(record(provider, connection).secrets);
  }
  expect(await ctx.store.clientSecret("acme")).toBe("of the provider");
  expect((await ctx.sessions.whole(SESSION))?.secrets).toEqual(session().secrets);
}

const keysIn = (home: string): KeyList => JSON.parse(readFileSync(join(home, "keys.json"), "utf8"));
const newKey = () => randomBytes(32).toString("base64");
const keyFiles = (home: string) => (existsSync(join(home, "keys")) ? readdirSync(join(home, "keys")) : []);

/** With which keys the things below `home` are sealed. */
function sealedWith(home: string): Set<string | undefined> {
  const ids = new Set<string | undefined>();
  for (const path of readdirSync(home, { recursive: true }).map(String)) {
    if (path.startsWith("locks") || path.startsWith("keys") || path.includes(".lock")) continue;
    if (path.endsWith(".json")) {
      const { sealed } = JSON.parse(readFileSync(join(home, path), "utf8"));
      if (sealed) ids.add(keyIdIn(sealed));
    } else if (/\.mail\/[^.]/.test(path)) {
      ids.add(keyIdIn(readFileSync(join(home, path), "utf8")));
    }
  }
  return ids;
}

/** Everything below `home` but locks and logs, as it is. */
const snapshot = (home: string) =>
  readdirSync(home, { recursive: true })
    .map(String)
    .filter((path) => /\.json$|^keys\/|\.mail\//.test(path))
    .sort()
    .map((path) => [path, readFileSync(join(home, path), "utf8")]);

let home: string;
beforeEach(() => {
  home = tempHome();
});
afterEach(async () => {
  expect(await sweep()).toEqual([]);
});

// --- from where to where ---------------------------------------------------------------------------------------------

describe("from one place to another", () => {
  const [OLD, NEW] = [newKey(), newKey()];
  interface Move {
    from: KeySource;
    argv: string[];
    /** Besides what the old key needs. */
    env?: Record<string, string>;
    to: KeySource;
    warnings?: string[];
    /** What whoever comes after it has to have. */
    after?: Record<string, string>;
  }
  const moves: Move[] = [
    { from: "file", argv: [], to: "file" },
    { from: "file", argv: ["--to", "file"], to: "file" },
    { from: "file", argv: ["--to", "env"], env: { AUTHLINE_KEY: NEW }, to: "env", after: { AUTHLINE_KEY: NEW } },
    {
      from: "file",
      argv: ["--to", "env", "--key-from", "env:NEXT"],
      env: { NEXT: NEW },
      to: "env",
      warnings: ["key_not_set"],
      after: { AUTHLINE_KEY: NEW },
    },
    {
      from: "env",
      argv: ["--key-from", "env:NEXT"],
      env: { NEXT: NEW },
      to: "env",
      warnings: ["key_not_set"],
      after: { AUTHLINE_KEY: NEW },
    },
    { from: "env", argv: ["--to", "file"], to: "file", warnings: ["key_still_set"] },
  ];

  test.each(moves)("$from $argv", async ({ from, argv, env = {}, to, warnings = [], after = {} }) => {
    const before = from === "env" ? { AUTHLINE_KEY: OLD } : {};
    await fill(contextOf(home, before));
    const [old] = keysIn(home).keys;

    const said: Notice[] = [];
    const outcome = await success([...REKEY, ...argv], contextOf(home, { ...before, ...env }), said);
    expect(outcome.warnings?.map(({ code }) => code)).toEqual(warnings);
    const { keys, current } = keysIn(home);
    expect(keys).toEqual([{ id: current, source: to, created_at: expect.any(String) }]);
    expect(outcome.data).toEqual({ key: keys[0], resealed: ALL, left: 0 });
    expect(current).not.toBe(old?.id);
    expect(keyFiles(home)).toEqual(to === "file" ? [current] : []);
    expect([...sealedWith(home)]).toEqual([current]);
    expect(said.length).toBeLessThan(6); // not a line a record

    await expectWhole(contextOf(home, after));
    const address = { callback: "https://login.example.com/?code=of-the-mail" };
    expect(await contextOf(home, after).sessions.receive(SESSION)).toEqual([address]);
  });

  const refused: [why: string, from: KeySource, argv: string[], env: Record<string, string>, code: string][] = [
    ["not a key", "file", ["--to", "env", "--key-from", "env:NEXT"], { NEXT: "too-short" }, "config"],
    ["nothing there", "file", ["--to", "env", "--key-from", "env:NEXT"], {}, "config"],
    ["no file", "file", ["--to", "env", "--key-from", "file:/nowhere/key"], {}, "config"],
    ["the key itself", "file", ["--to", "env", "--key-from", NEW], {}, "usage"],
    ["no key for env", "file", ["--to", "env"], {}, "config"],
    ["a key for a file", "file", ["--to", "file", "--key-from", "env:NEXT"], { NEXT: NEW }, "usage"],
    ["a key, and it stays in a file", "file", ["--key-from", "env:NEXT"], { NEXT: NEW }, "usage"],
    ["a key that is not meant", "file", ["--to", "file"], { AUTHLINE_KEY: NEW }, "store"],
    ["two new keys", "file", ["--to", "env", "--key-from", "env:NEXT"], { AUTHLINE_KEY: NEW, NEXT: newKey() }, "store"],
    ["the same key again", "env", ["--to", "env"], { AUTHLINE_KEY: OLD }, "config"],
    ["the same key, given", "env", ["--key-from", "env:NEXT"], { AUTHLINE_KEY: OLD, NEXT: OLD }, "config"],
    ["the old one is not there", "env", ["--to", "file"], {}, "store"],
    ["another old one", "env", ["--to", "file"], { AUTHLINE_KEY: NEW }, "store"],
    ["no keyring", "file", ["--to", "keyring"], {}, "store"],
    ["no such place", "file", ["--to", "cloud"], {}, "usage"],
  ];

  test.each(refused)("refused, and nothing is changed: %s", async (_, from, argv, env, code) => {
    await fill(contextOf(home, from === "env" ? { AUTHLINE_KEY: OLD } : {}));
    const before = snapshot(home);
    const failure = await end([...REKEY, ...argv], contextOf(home, env));
    expect(failure).toBeInstanceOf(Failure);
    expect((failure as Failure).code, (failure as Failure).message).toBe(code);
    expect(snapshot(home)).toEqual(before);
    for (const secret of [OLD, NEW, "too-short"]) expect(JSON.stringify(failure)).not.toContain(secret);
  });

  test("the same key out of the file is no new one", async () => {
    await fill(contextOf(home));
    const AUTHLINE_KEY = readFileSync(join(home, "keys", keysIn(home).current), "utf8");
    expect(await end([...REKEY, "--to", "env"], contextOf(home, { AUTHLINE_KEY }))).toMatchObject({ code: "config" });
    await expectWhole(contextOf(home));
  });

  test("where nothing is sealed there is nothing to change", async () => {
    expect(await end(REKEY, contextOf(home))).toMatchObject({ code: "not_found" });
    expect(existsSync(join(home, "keys.json"))).toBe(false);
  });
});

describe("the OS keyring", () => {
  test("as the new place, and as the old one: the key is in one place at a time", async () => {
    await fill(contextOf(home));
    const room = join(home, "ring");
    mkdirSync(room);
    const env = { DBUS_SESSION_BUS_ADDRESS: "unix:path=/nowhere", FAKE_KEYRING_ROOM: room };
    for (const to of ["keyring", "file"]) {
      const { events, stderr } = await authline([...REKEY, "--to", to], { home, env, faults: "keyring" }).done;
      expect(events.at(-1), stderr).toMatchObject({ status: "success", data: { key: { source: to }, resealed: ALL } });
      const { current } = keysIn(home);
      expect(readdirSync(room)).toEqual(to === "keyring" ? [expect.stringContaining(current)] : []);
      expect(keyFiles(home)).toEqual(to === "file" ? [current] : []);
    }
    await expectWhole(contextOf(home));
  });

  test("does not let go of the old key: that is told, and hinders nobody", async () => {
    const ring = new Map<string, string>();
    const keyring = {
      get: async (id: string) => ring.get(id),
      set: async (id: string, value: string) => void ring.set(id, value),
      remove: () => Promise.reject(new Error("it is locked")),
    };
    const now = () => new Date();
    const lock = async () => ({ release() {} });
    const keys = keysAt(home, { env: () => undefined, keyring, lock, isInUse: () => false, now });
    await keys.prepare();
    await keys.add("file");
    keys.retire();
    expect(await keys.dropOld()).toEqual([{ code: "old_key_left", message: expect.stringContaining("it is locked") }]);
    expect(keysIn(home).keys).toMatchObject([{ source: "file" }]);
  });
});

// --- cut off ---------------------------------------------------------------------------------------------------------

describe("a run that was killed", () => {
  /** A rekey that has come to where it seals the records. */
  async function begun(to: KeySource, env: Record<string, string> = {}) {
    await fill(contextOf(home));
    await contextOf(home, env).keys.add(to, env["AUTHLINE_KEY"]);
    return keysIn(home).current;
  }

  test("is finished by the next, with its key: there is no third", async () => {
    const key = await begun("file");
    expect((await success(REKEY, contextOf(home))).data).toMatchObject({ key: { id: key }, resealed: ALL });
    expect(keysIn(home).keys).toHaveLength(1);
    await expectWhole(contextOf(home));
  });

  test("is finished before another one is begun for another place", async () => {
    const key = await begun("file");
    const AUTHLINE_KEY = newKey();
    const outcome = await success([...REKEY, "--to", "env"], contextOf(home, { AUTHLINE_KEY }));
    expect(outcome.data).toMatchObject({ key: { source: "env" }, left: 0 });
    expect(keysIn(home).keys.map(({ id }) => id)).not.toContain(key);
    expect(keyFiles(home)).toEqual([]);
    await expectWhole(contextOf(home, { AUTHLINE_KEY }));
  });

  test("is finished with the key that it was given, wherever that is now", async () => {
    const [AUTHLINE_KEY, NEXT] = [newKey(), newKey()];
    await fill(contextOf(home, { AUTHLINE_KEY }));
    await contextOf(home, { AUTHLINE_KEY }).keys.add("env", NEXT);
    const argv = [...REKEY, "--key-from", "env:OTHER"];
    await success(argv, contextOf(home, { AUTHLINE_KEY: NEXT, OTHER: AUTHLINE_KEY }));
    expect(keysIn(home).keys).toHaveLength(1);
    await expectWhole(contextOf(home, { AUTHLINE_KEY: NEXT }));
  });

  /** From a key in the environment to one in a file. */
  async function begunFromEnv(AUTHLINE_KEY: string) {
    await fill(contextOf(home, { AUTHLINE_KEY }));
    const mine = keysIn(home).current;
    await contextOf(home, { AUTHLINE_KEY }).keys.add("file");
    return { mine, foreign: keysIn(home).current };
  }

  test.each(["before", "after"])(
    "and whose new key anybody may have written there is taken back by who gives a key: %s the old one is out of use",
    async (when) => {
      const AUTHLINE_KEY = newKey();
      const { mine, foreign } = await begunFromEnv(AUTHLINE_KEY);
      if (when === "after") contextOf(home, { AUTHLINE_KEY }).keys.retire();
      const outcome = await success(REKEY, contextOf(home, { AUTHLINE_KEY }));
      expect(outcome.data).toMatchObject({ key: { id: mine, source: "env" }, left: 0 });
      expect([keysIn(home).keys.map(({ id }) => id), [...sealedWith(home)]]).toEqual([[mine], [mine]]);
      expect(keyFiles(home)).not.toContain(foreign);
      await expectWhole(contextOf(home, { AUTHLINE_KEY }));
    },
  );

  test("and that was to a file gets there, with another key", async () => {
    const AUTHLINE_KEY = newKey();
    const { foreign } = await begunFromEnv(AUTHLINE_KEY);
    await success([...REKEY, "--to", "file"], contextOf(home, { AUTHLINE_KEY }));
    const { current, keys } = keysIn(home);
    expect(keys).toMatchObject([{ source: "file" }]);
    expect(current).not.toBe(foreign);
    expect(keyFiles(home)).toEqual([current]);
    await expectWhole(contextOf(home));
  });

  test("from one key in the environment to another, needs both, and says how", async () => {
    const [OLD, NEXT] = [newKey(), newKey()];
    await fill(contextOf(home, { AUTHLINE_KEY: OLD }));
    const changer = contextOf(home, { AUTHLINE_KEY: OLD });
    await changer.keys.add("env", NEXT);
    await changer.store.keep(record("acme", "work")); // one has the new key by now
    for (const AUTHLINE_KEY of [OLD, NEXT]) {
      const failure = await end(REKEY, contextOf(home, { AUTHLINE_KEY }));
      expect(failure).toMatchObject({
        code: "store",
        details: { hint: expect.stringContaining("authline store rekey --to env --key-from") },
      });
    }
    await success([...REKEY, "--to", "env", "--key-from", "env:NEXT"], contextOf(home, { AUTHLINE_KEY: OLD, NEXT }));
    expect(keysIn(home).keys).toHaveLength(1);
    await expectWhole(contextOf(home, { AUTHLINE_KEY: NEXT }));
  });

  test.each([
    ["file", "file"],
    ["file", "env"],
  ] as const)(
    "at any step, from %s to %s, leaves nothing that no key opens, and is finished",
    async (_, to) => {
      const env: Record<string, string> = to === "env" ? { AUTHLINE_KEY: newKey() } : {};
      let unfinished = 0;
      let old = "";
      const steps = await dieAtEveryStep({
        argv: [...REKEY, "--to", to],
        env,
        async prepare(where) {
          await fill(contextOf(where));
          old = keysIn(where).current;
        },
        async judge(where) {
          const { current, keys } = keysIn(where);
          const has = () => contextOf(where, keysIn(where).keys.some(({ source }) => source === "env") ? env : {});
          await expectWhole(has());
          for (const id of sealedWith(where)) expect(keys.map((key) => key.id)).toContain(id);

          const isBegun = keys.length > 1;
          if (isBegun) unfinished++;
          const { data } = await success(isBegun ? [...REKEY, "--to", to] : [...REKEY, "--to", "file"], has());
          if (isBegun) expect(data).toMatchObject({ key: { id: current } });
          expect([...sealedWith(where)]).toEqual([keysIn(where).current]);
          expect(keysIn(where).keys).toHaveLength(1);
          expect(keyFiles(where)).not.toContain(old);
          await expectWhole(has());
        },
      });
      expect(steps).toBeGreaterThan(60);
      expect(unfinished).toBeGreaterThan(40);
    },
    120_000,
  );
});

// --- what cannot be opened -------------------------------------------------------------------------------------------

describe("a record that cannot be opened", () => {
  const fileOf = (name: string) => join(home, "connections", `${name}.json`);
  const damages: [what: string, damage: (text: string) => string][] = [
    ["torn", (text) => text.slice(0, 100)],
    ["changed", (text) => text.replace("https://login.example.com", "https://login.example.org")],
    ["sealed with a key that is gone", (text) => text.replace(/1\.[0-9a-f]{16}\./, "1.0123456789abcdef.")],
    ["a newer authline's", (text) => text.replace(/"1\.([0-9a-f]{16})/, '"2.$1')],
  ];

  test.each(damages)("%s: is left as it is, told, and its key kept until it is gone", async (_, damage) => {
    await fill(contextOf(home));
    const old = keysIn(home).current;
    const damaged = damage(readFileSync(fileOf("work@acme"), "utf8"));
    writeFileSync(fileOf("work@acme"), damaged, { mode: 0o600 });

    for (const resealed of [ALL - 1, 0]) {
      const outcome = await success(REKEY, contextOf(home));
      expect(outcome.data).toMatchObject({ resealed, left: 1 });
      expect(outcome.warnings?.map(({ code }) => code)).toEqual(["unreadable", "old_key_kept"]);
      expect(outcome.warnings?.[0]?.message).toContain("work@acme.json");
      expect(readFileSync(fileOf("work@acme"), "utf8")).toBe(damaged);
      expect(keysIn(home).keys.map(({ id }) => id)).toEqual([old, keysIn(home).current]);
      expect(keyFiles(home)).toContain(old);
    }
    await success(["connection", "remove", "acme", "work"], contextOf(home));
    expect((await success(REKEY, contextOf(home))).data).toMatchObject({ resealed: 0, left: 0 });
    expect(keyFiles(home)).toEqual([keysIn(home).current]);
  });

  test("a record that cannot be written is none of them: the run fails, and the next one finishes", async () => {
    await fill(contextOf(home));
    const ctx = contextOf(home);
    const full = () => Promise.reject(new Failure("store", "Cannot write it (ENOSPC)."));
    const [first, ...others] = ctx.store.sealed();
    const store = {
      ...ctx.store,
      sealed: () => [{ ...(first as NonNullable<typeof first>), reseal: full }, ...others],
    };
    expect(await end(REKEY, { ...ctx, store })).toMatchObject({ code: "store", message: "Cannot write it (ENOSPC)." });
    expect(keysIn(home).keys).toHaveLength(2);
    await expectWhole(contextOf(home));
    await success(REKEY, contextOf(home));
    await expectWhole(contextOf(home));
  });
});

// --- others who write meanwhile --------------------------------------------------------------------------------------

describe("somebody who writes meanwhile", () => {
  /** A context in which whoever waits is heard of, and where time runs as fast as it is told to. */
  function watched(ctx: Context, waits: () => unknown): Context {
    let ahead = 0;
    return {
      ...ctx,
      uptime: () => ctx.uptime() + ahead,
      async sleep(seconds, signal) {
        ahead += seconds;
        if (seconds > 0) await waits();
        return ctx.sleep(0, signal);
      },
    };
  }

  test("with the key of a moment ago, something that nobody can see yet: is waited for", async () => {
    await fill(contextOf(home));
    const slow = contextOf(home);
    const lock = slow.store.lock("acme", "new");
    const { v, secrets, ...rest } = record("acme", "new");
    const about = { v, ...rest };
    const sealed = await slow.keys.seal(JSON.stringify(secrets), JSON.stringify(["connection", "new@acme", about]));
    let waited = 0;
    const ctx = watched(contextOf(home), () => {
      if (++waited < 3) return;
      writeFileSync(join(home, "connections", "new@acme.json"), JSON.stringify({ ...about, sealed }), { mode: 0o600 });
      lock?.release(); // or killed: its lock is nobody's then
    });
    expect((await success(REKEY, ctx)).data).toMatchObject({ resealed: ALL + 1 });
    expect(waited).toBe(3);
    expect((await contextOf(home).store.connection("acme", "new"))?.secrets).toEqual(secrets);
  });

  test("for too long: said after every 15 seconds, then both keys stay in use, and the next run goes on", async () => {
    await fill(contextOf(home));
    const lock = contextOf(home).store.lock("acme", "work");
    const said: Notice[] = [];
    const failure = await end(
      [...REKEY, "--to", "file"],
      watched(contextOf(home), () => {}),
      said,
    );
    expect(failure).toMatchObject({ code: "locked", retryable: true });
    expect((failure as Failure).details.next_actions?.[0]?.argv).toEqual(["authline", ...REKEY, "--to", "file"]);
    const waiting = said.flatMap((notice) => ("step" in notice && notice.step === "lock" ? [notice.remaining] : []));
    expect(waiting.length).toBeGreaterThanOrEqual(4);
    expect(keysIn(home).keys).toHaveLength(2);
    await expectWhole(contextOf(home));
    lock?.release();
    expect((await success(REKEY, contextOf(home))).data).toMatchObject({ resealed: 1, left: 0 });
    await expectWhole(contextOf(home));
  });

  test("who has only the old key goes on with it until that is out of use, and overwrites nothing after", async () => {
    const [OLD, NEW] = [newKey(), newKey()];
    const old = contextOf(home, { AUTHLINE_KEY: OLD });
    await fill(old);
    const changer = contextOf(home, { AUTHLINE_KEY: OLD });
    changer.keys.bring(NEW);
    await changer.keys.add("env", NEW);
    const late = contextOf(home, { AUTHLINE_KEY: OLD }); // knows no key but the one that it was started with
    const renewed = record("acme", "work", { secrets: { access_token: "renewed just now" } });
    await late.store.keep(renewed);
    expect((await changer.store.connection("acme", "work"))?.secrets).toEqual(renewed.secrets);

    changer.keys.retire();
    const file = join(home, "connections", "work@acme.json");
    const before = readFileSync(file, "utf8");
    await expect(contextOf(home, { AUTHLINE_KEY: OLD }).store.keep(record("acme", "work"))).rejects.toThrow(
      "AUTHLINE_KEY",
    );
    expect(readFileSync(file, "utf8")).toBe(before);
    await success([...REKEY, "--key-from", "env:NEXT"], contextOf(home, { AUTHLINE_KEY: OLD, NEXT: NEW }));
    expect((await contextOf(home, { AUTHLINE_KEY: NEW }).store.connection("acme", "work"))?.secrets).toEqual(
      renewed.secrets,
    );
  });

  test("another rekey: one after the other, and one key in the end", async () => {
    await fill(contextOf(home));
    const outcomes = await Promise.all([1, 2, 3].map(() => success(REKEY, contextOf(home))));
    expect(new Set(outcomes.map(({ data }) => (data as { key: { id: string } }).key.id)).size).toBe(3);
    expect(keysIn(home).keys).toHaveLength(1);
    expect(keyFiles(home)).toEqual([keysIn(home).current]);
    await expectWhole(contextOf(home));
  });
});

// --- real processes --------------------------------------------------------------------------------------------------

describe("processes that write at once", () => {
  let server: AuthorizationServer;
  beforeAll(async () => {
    server = await startAuthorizationServer({ interval: 1 });
  });
  afterAll(() => server.close());

  const ended = async (argv: string[], env: Record<string, string> = {}) => {
    const { events, stderr } = await authline(argv, { home, env }).done;
    const result = events.at(-1);
    expect(result?.error, `${argv.join(" ")}: ${stderr}`).toBeUndefined();
    return result;
  };

  test("logins, refreshes and a sign-in that waits lose nothing to two rekeys", async () => {
    const { native, confidential } = server.clients;
    const robot = ["--issuer", server.issuer, "--client-id", confidential.id, "--flow", "client_credentials"];
    const env = { SECRET: confidential.secret };
    const login = (name: string) =>
      ended(["login", "robots", "--connection", name, ...robot, "--client-secret-from", "env:SECRET"], env);
    await Promise.all([login("one"), login("two")]);
    const person = ["--issuer", server.issuer, "--client-id", native, "--flow", "device_code", "--browser", "never"];
    const waiting = authline(["login", "people", ...person, "--scope", "openid offline_access"], { home });
    const { user_code } = await waiting.next("device_code");

    const round = async () => {
      await Promise.all([
        ended(REKEY),
        ended(["token", "robots", "--connection", "one", "--refresh"]),
        login("three"),
        ended(["token", "robots", "--connection", "two", "--refresh"]),
        ended(REKEY),
        login("four"),
      ]);
    };
    await round();
    await server.approveDevice(user_code as string);
    expect((await waiting.done).events.at(-1)).toMatchObject({ status: "success" });
    // A person's token, which is renewed while its key is changed.
    await Promise.all([ended(REKEY), ended(["token", "people", "--refresh"]), ended(["token", "people", "--refresh"])]);

    const { keys, current } = keysIn(home);
    expect(keys).toHaveLength(1);
    expect([...sealedWith(home)]).toEqual([current]);
    const { store } = contextOf(home);
    const all = await store.connections();
    expect(all.map(({ provider, connection }) => `${connection}@${provider}`)).toEqual([
      "default@people",
      "four@robots",
      "one@robots",
      "three@robots",
      "two@robots",
    ]);
    for (const { provider, connection } of all) {
      const { access_token = "" } = (await store.connection(provider, connection))?.secrets ?? {};
      expect(await server.isActive(access_token)).toBe(true);
    }
    const { refresh_token = "" } = (await store.connection("people", "default"))?.secrets ?? {};
    expect(await server.isRefreshTokenActive(refresh_token)).toBe(true);
    rmSync(join(home, "locks"), { recursive: true });
  });
});
