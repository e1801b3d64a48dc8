/**
 * Several accounts at one provider: one of them is meant where none is named.
 *
 * What is protected: what was asked of one connection never happens to another; who changes the default changes what every
 * command means and what every next step says; a name can be changed without losing the credential, whoever is killed.
 */
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { records as recordsCheck } from "../src/doctor/records.ts";
import type { Outcome } from "../src/flow.ts";
import type { Plan } from "../src/flows/plan.ts";
import { Failure } from "../src/protocol/failure.ts";
import { sessionOf } from "../src/sessions/session.ts";
import type { Connection } from "../src/store/record.ts";
import { type AuthorizationServer, startAuthorizationServer } from "./support/authorization-server.ts";
import { contextOf, dieAtEveryStep, end, success } from "./support/dying.ts";
import { authline, sweep, tempHome } from "./support/spawn.ts";
import { checkStream } from "./support/stream.ts";

const record = (provider: string, connection: string, over: Partial<Connection> = {}): Connection => ({
  v: 1,
  provider,
  connection,
  flow: "device_code",
  server: { issuer: `https://login.${provider}.example` },
  client: { client_id: "cli", token_endpoint_auth_method: "none" },
  token_type: "bearer",
  created_at: "2026-01-02T03:04:05.678Z",
  updated_at: "2026-01-02T03:04:05.678Z",
  refreshable: false,
  secrets: { access_token: `token-of-${connection}@${provider}` },
  ...over,
});

let home: string;
beforeEach(() => {
  home = tempHome();
});
afterEach(async () => {
  expect(await sweep()).toEqual([]);
});

const run = (...argv: string[]) => success(argv, contextOf(home));
const fails = async (...argv: string[]) => {
  const failure = await end(argv, contextOf(home));
  expect(failure).toBeInstanceOf(Failure);
  return failure as Failure;
};
const keep = async (...records: Connection[]) => {
  for (const each of records) await contextOf(home).store.keep(each);
};
const fileOf = (name: string) => join(home, "connections", `${name}.json`);
const listed = async (...argv: string[]) =>
  ((await run("connection", "list", ...argv)).data as { connections: object[] }).connections;

// --- list ------------------------------------------------------------------------------------------------------------

describe("connection list", () => {
  test("sorts by provider and name, marks what is meant where none is named, and needs no key", async () => {
    const soon = new Date(Date.now() + 60_000).toISOString();
    await keep(
      record("globex", "default"),
      record("acme", "work", { account: "ada@acme.example", expires_at: soon }),
      record("acme", "home", { revoked: true, secrets: {} }),
      record("acme", "default", { expires_at: "2026-01-01T00:00:00.000Z", refreshable: true }),
    );
    await run("connection", "default", "acme", "work");
    rmSync(join(home, "keys"), { recursive: true });
    const whose = (provider: string, connection: string, isDefault: boolean) => ({
      provider,
      connection,
      default: isDefault,
    });
    expect(await listed()).toEqual([
      { ...whose("acme", "default", false), record_status: "expired", expires_at: "2026-01-01T00:00:00.000Z" },
      { ...whose("acme", "home", false), record_status: "revoked" },
      { ...whose("acme", "work", true), record_status: "connected", account: "ada@acme.example", expires_at: soon },
      { ...whose("globex", "default", true), record_status: "connected" },
    ]);
    expect(await listed("globex")).toHaveLength(1);
  });

  test("shows what cannot be read, and does not fail of it", async () => {
    await keep(record("acme", "default"), record("globex", "default"));
    writeFileSync(fileOf("default@acme"), "{");
    await run("connection", "default", "globex", "default");
    writeFileSync(join(home, "defaults", "globex.json"), "{");
    const { data, warnings } = await run("connection", "list");
    expect(data).toMatchObject({
      connections: [
        { provider: "acme", default: true, record_status: "unreadable" },
        { provider: "globex", default: false, record_status: "connected" },
      ],
    });
    expect(warnings?.map(({ code, message }) => [code, /(\w+@?\w+)\.json/.exec(message)?.[1]])).toEqual([
      ["unreadable", "default@acme"],
      ["unreadable", "globex"],
    ]);
  });

  test("knows the providers that nobody is signed in to, and no others", async () => {
    expect(await run("connection", "list", "github")).toMatchObject({
      data: { connections: [] },
      next_actions: [{ argv: ["authline", "login", "github"] }],
    });
    expect(await fails("connection", "list", "nowhere")).toMatchObject({ code: "not_found" });
    expect((await run("connection", "list")).data).toEqual({ connections: [] });
  });

  test("more of them than a line has room for are a longer line", async () => {
    const names = Array.from({ length: 40 }, (_, index) => `account-${index}`);
    await keep(...names.map((name) => record("acme", name)));
    const { stdout, code } = await authline(["connection", "list", "acme"], { home }).done;
    expect(checkStream(stdout, { command: "connection list", exitCode: code })).toEqual([]);
    expect(code).toBe(0);
  });
});

// --- default ---------------------------------------------------------------------------------------------------------

describe("connection default", () => {
  test.each([
    ["wrok", "Did you mean work?"],
    ["elsewhere", "There are default, work."],
  ])("has to be there: %s", async (name, hint) => {
    await keep(record("acme", "default"), record("acme", "work"));
    expect(await fails("connection", "default", "acme", name)).toMatchObject({
      code: "not_found",
      details: { hint, next_actions: [{ argv: ["authline", "connection", "list", "acme"] }] },
    });
    expect(await contextOf(home).store.standard("acme")).toBe("default");
  });

  test("is not overwritten by a rename that has looked it up before", async () => {
    await keep(record("acme", "a"), record("acme", "c"));
    await run("connection", "default", "acme", "a");
    const ctx = contextOf(home);
    const renaming: typeof ctx = {
      ...ctx,
      store: {
        ...ctx.store,
        async standard(provider) {
          const standard = await ctx.store.standard(provider);
          if (standard === "a") await run("connection", "default", "acme", "c");
          return standard;
        },
      },
    };
    await success(["connection", "rename", "acme", "a", "b"], renaming);
    expect(await ctx.store.standard("acme")).toBe("c");
  });

  test("may be `default` again, which is what it is called where nobody has chosen", async () => {
    await keep(record("acme", "work"));
    await run("connection", "default", "acme", "work");
    expect(await run("connection", "default", "acme", "default")).toMatchObject({
      data: { connection: "default", default: true, record_status: "absent" },
      next_actions: [{ argv: ["authline", "login", "acme"] }],
    });
  });

  test.each(["UPPER", "../up", "a@b", ""])("refuses what is no name: %j", async (name) => {
    expect(await fails("connection", "default", "acme", name)).toMatchObject({ code: "usage" });
  });
});

describe("where the default is another one than `default`", () => {
  let server: AuthorizationServer;
  beforeAll(async () => {
    server = await startAuthorizationServer();
  });
  afterAll(() => server.close());
  const SECRET = () => ({ SECRET: server.clients.confidential.secret });

  const loginArgv = (...more: string[]) => [
    ...["login", "acme", "--issuer", server.issuer, "--client-id", server.clients.confidential.id],
    ...["--flow", "client_credentials", "--client-secret-from", "env:SECRET", ...more],
  ];

  type Ending = Outcome | Failure;
  const actionsOf = (ending: Ending) => (ending instanceof Failure ? ending.details : ending).next_actions ?? [];
  /** Whom a command was about. */
  function whomOf(ending: Ending): unknown {
    if (ending instanceof Failure) return `${ending.code}: ${ending.message}`;
    const { connection, connections } = ending.data as { connection?: string; connections?: { connection: string }[] };
    return connection ?? connections?.map(({ connection }) => connection);
  }

  test("every command means that one, and every next step, run as it stands, comes upon the right one", async () => {
    for (const name of ["default", "work"]) await success(loginArgv("--connection", name), contextOf(home, SECRET()));
    await run("connection", "default", "acme", "work");
    const steps: [argv: string[], whom: string, code?: string][] = [
      [["token", "acme"], "work"],
      [["token", "acme", "--refresh"], "work"],
      [["token", "acme", "--connection", "default"], "default"],
      [loginArgv(), "work"],
      [loginArgv("--connection", "default"), "default"],
      [["connection", "default", "acme", "work"], "work"],
      [["connection", "rename", "acme", "default", "home"], "home"],
      [["connection", "rename", "acme", "home", "default"], "default"],
      [["logout", "acme"], "work"],
      [["token", "acme"], "work", "auth_required"],
      [["logout", "acme"], "work"], // the step after the last one has signed in again
      [["status", "acme"], "work"],
      [["connection", "remove", "acme", "default"], "default"],
      [["connection", "remove", "acme", "default"], "default"],
      [["logout", "acme", "--connection", "default"], "default"],
      [["token", "acme", "--connection", "default"], "default", "auth_required"],
      [["logout", "acme", "--connection", "default"], "default"],
      [["logout", "acme", "--connection", "default"], "default", "not_found"],
    ];
    let followed = 0;
    for (const [argv, whom, code] of steps) {
      const ending = await end(argv, contextOf(home, SECRET()));
      const context = argv.join(" ");
      if (code) expect(ending, context).toMatchObject({ code });
      else if (argv[0] !== "status") expect([whomOf(ending)].flat(), context).toEqual([whom]);
      for (const { argv: next } of actionsOf(ending)) {
        followed++;
        expect(whomOf(await end(next.slice(1), contextOf(home, SECRET()))), `${context}, then ${next.join(" ")}`).toBe(
          whom,
        );
      }
      const hint = ending instanceof Failure ? (/authline (login .*)$/.exec(ending.details.hint ?? "")?.[1] ?? "") : "";
      if (hint) expect(whomOf(await end(hint.split(" "), contextOf(home, SECRET()))), hint).toBe(whom);
    }
    expect(followed).toBeGreaterThan(8);
  });

  test("nobody signed in anywhere: the step that is shown signs in to that one", async () => {
    await success(loginArgv("--connection", "work"), contextOf(home, SECRET()));
    await run("connection", "default", "acme", "work");
    await run("logout", "acme");
    const { data, next_actions = [] } = await run("status", "acme");
    expect(data).toMatchObject({ connections: [{ connection: "work", record_status: "absent" }] });
    expect(next_actions).toHaveLength(1);
    for (const { argv } of next_actions) expect(whomOf(await end(argv.slice(1), contextOf(home)))).toBe("work");
  });

  test("the same through the binary", async () => {
    await keep(record("acme", "default"), record("acme", "work"));
    await authline(["connection", "default", "acme", "work"], { home }).done;
    const runs = await Promise.all(
      [
        ["token", "acme"],
        ["token", "acme", "--connection", "default"],
      ].map((argv) => authline(argv, { home }).done),
    );
    expect(runs.map(({ events }) => events.at(-1)?.data.access_token)).toEqual([
      "token-of-work@acme",
      "token-of-default@acme",
    ]);
  });
});

// --- rename ----------------------------------------------------------------------------------------------------------

describe("connection rename", () => {
  const begun = { v: 1, provider: "acme", begun_at: "2026-01-02T03:04:06.000Z" } as const;

  test("moves the credential, what is known of it, and the default", async () => {
    const before = record("acme", "default", { session_id: "sess_9fJ2kQ7mX0aB4cD8eF1gHi" });
    await keep(before, record("globex", "default"));
    const { store } = contextOf(home);
    await store.begin({ ...begun, connection: "default", updated_at: before.updated_at });
    expect(await run("connection", "rename", "acme", "default", "work")).toMatchObject({
      data: {
        provider: "acme",
        connection: "work",
        default: true,
        record_status: "connected",
        renamed_from: "default",
      },
      next_actions: [{ argv: ["authline", "token", "acme"] }],
    });
    const after = await store.connection("acme", "work");
    expect(after).toEqual({ ...before, connection: "work", renamed_from: "default" });
    expect(await store.interrupted(after as Connection)).toMatchObject({ connection: "work" }); // it may still be lost
    expect(await store.connection("acme", "default")).toBeUndefined();
    expect(readdirSync(join(home, "refreshes"))).toEqual(["work@acme.json"]);
    expect(await store.standard("acme")).toBe("work");
    expect(await store.standard("globex")).toBe("default");
  });

  test("leaves the default where it is when it is another one", async () => {
    await keep(record("acme", "default"), record("acme", "work"));
    await run("connection", "rename", "acme", "work", "job");
    expect(await contextOf(home).store.standard("acme")).toBe("default");
  });

  test.each([
    ["another one has the name", "default", "work", "usage"],
    ["it is called so", "default", "default", "usage"],
    ["there is none", "nobody", "new", "not_found"],
  ])("refused: %s", async (_, from, to, code) => {
    await keep(record("acme", "default"), record("acme", "work"));
    const before = ["default@acme", "work@acme"].map((name) => readFileSync(fileOf(name), "utf8"));
    expect(await fails("connection", "rename", "acme", from, to)).toMatchObject({ code });
    expect(["default@acme", "work@acme"].map((name) => readFileSync(fileOf(name), "utf8"))).toEqual(before);
    expect(await listed()).toHaveLength(2);
  });

  test("never over a file that cannot be read", async () => {
    await keep(record("acme", "default"), record("acme", "work"));
    writeFileSync(fileOf("work@acme"), "{");
    expect(await fails("connection", "rename", "acme", "default", "work")).toMatchObject({ code: "store" });
    expect(readFileSync(fileOf("work@acme"), "utf8")).toBe("{");
    expect(await contextOf(home).store.connection("acme", "default")).toBeDefined();
  });

  test("a login under the old name begins another one, which the old rename does not swallow", async () => {
    await keep(record("acme", "default"));
    await run("connection", "rename", "acme", "default", "work");
    await keep(record("acme", "default", { created_at: "2026-02-02T00:00:00.000Z" }));
    expect(await fails("connection", "rename", "acme", "default", "work")).toMatchObject({ code: "usage" });
    expect(await listed()).toHaveLength(2);
  });

  test("killed at any step: one of the two is there, and a second run finishes", async () => {
    let both = 0;
    const lost = new Set<number>();
    const original = record("acme", "default", { refreshable: true });
    const steps = await dieAtEveryStep({
      argv: ["connection", "rename", "acme", "default", "work"],
      async prepare(where) {
        const { store } = contextOf(where);
        await store.keep(original);
        await store.begin({ ...begun, connection: "default", updated_at: original.updated_at });
      },
      async judge(where, step) {
        const ctx = contextOf(where);
        const found = await Promise.all(["default", "work"].map((name) => ctx.store.connection("acme", name)));
        const there = found.filter((each) => each !== undefined);
        if (there.length === 0) lost.add(step);
        if (there.length === 2) both++;
        for (const each of there) {
          expect(each.secrets).toEqual(original.secrets);
          const isNew = each.connection === "work" || there.length === 1;
          if (isNew) expect(await ctx.store.interrupted(each), `step ${step}`).toBeDefined();
        }
        await success(["connection", "rename", "acme", "default", "work"], contextOf(where));
        const [gone, moved] = await Promise.all(["default", "work"].map((name) => ctx.store.connection("acme", name)));
        expect(gone).toBeUndefined();
        expect(moved?.secrets).toEqual(original.secrets);
        expect(await ctx.store.interrupted(moved as Connection)).toBeDefined();
        expect(await ctx.store.standard("acme")).toBe("work");
      },
    });
    expect([...lost]).toEqual([]);
    expect(steps).toBeGreaterThan(30);
    expect(both).toBeGreaterThan(5);
  });

  test("refreshed between a killed run and the next: the newer one is kept", async () => {
    const old = record("acme", "default");
    await keep(old, { ...old, connection: "work", renamed_from: "default" });
    const newer = { updated_at: "2026-01-02T04:00:00.000Z", secrets: { access_token: "newer" } };
    await keep({ ...old, ...newer });
    await run("connection", "rename", "acme", "default", "work");
    expect((await contextOf(home).store.connection("acme", "work"))?.secrets).toEqual({ access_token: "newer" });

    await keep({ ...old, connection: "home" }, { ...old, connection: "job", renamed_from: "home", ...newer });
    await run("connection", "rename", "acme", "home", "job");
    expect((await contextOf(home).store.connection("acme", "job"))?.secrets).toEqual({ access_token: "newer" });
    expect(await listed()).toHaveLength(2);
  });

  test("cut off half-way, only one of the two is refreshed, and doctor says so", async () => {
    const old = record("acme", "home", { refreshable: true, secrets: { access_token: "a", refresh_token: "r" } });
    const copy = { ...old, connection: "work", renamed_from: "home" };
    await keep(old, copy);
    const finish = ["authline", "connection", "rename", "acme", "home", "work"];
    const refreshing = ["token", "acme", "--connection", "work", "--refresh"];
    expect(await fails(...refreshing)).toMatchObject({ code: "store", details: { next_actions: [{ argv: finish }] } });
    const twins = (await recordsCheck(contextOf(home), { skews: [] })).filter(({ state }) => state === "warning");
    expect(twins).toMatchObject([{ subject: "work@acme", fix: finish }]);
    expect((await run("token", "acme", "--connection", "work")).data).toMatchObject({ access_token: "a" });

    await run(...finish.slice(1));
    const ctx = { ...contextOf(home), fetch: async () => Response.json({ error: "invalid_request" }, { status: 400 }) };
    expect(await end(refreshing, ctx)).not.toMatchObject({ code: "store" }); // it gets as far as the server
    expect((await recordsCheck(contextOf(home), { skews: [] })).filter(({ state }) => state === "warning")).toEqual([]);
  });

  test("a login under the old name since then is no twin of the copy", async () => {
    const login = { created_at: "2026-02-02T00:00:00.000Z" };
    await keep(record("acme", "home", login), record("acme", "work", { renamed_from: "home" }));
    expect((await recordsCheck(contextOf(home), { skews: [] })).map(({ state }) => state)).toEqual(["ok"]);
  });

  test("with a default that cannot be read nothing is copied", async () => {
    await keep(record("acme", "home"));
    damageDefault();
    expect(await fails("connection", "rename", "acme", "home", "work")).toMatchObject({ code: "store" });
    expect(readdirSync(join(home, "connections"))).toEqual(["home@acme.json"]);
  });

  test("two that want each other's names at once: neither waits for ever, and nothing is lost", async () => {
    await keep(record("acme", "a"), record("acme", "b"));
    const swap = (from: string, to: string) => end(["connection", "rename", "acme", from, to], contextOf(home));
    const endings = await Promise.all([swap("a", "b"), swap("b", "a"), swap("a", "c"), swap("c", "a")]);
    expect(endings.filter((each) => each instanceof Failure && each.code === "locked")).toEqual([]);
    const { store } = contextOf(home);
    const all = await store.connections("acme");
    const tokens = await Promise.all(
      all.map(async ({ connection }) => (await store.connection("acme", connection))?.secrets.access_token),
    );
    expect(tokens.sort()).toEqual(["token-of-a@acme", "token-of-b@acme"]);
  });

  test("a sign-in that was killed after it had stored its credential finds it under its new name", async () => {
    const ctx = contextOf(home);
    const id = ctx.sessions.newId();
    const definition = { name: "acme", display_name: "acme", issuer: "https://login.acme.example" };
    const plan: Plan = {
      provider: "acme",
      connection: "default",
      flow: "device_code",
      definition,
      client: { client_id: "cli" },
      scope: undefined,
      redirectUri: "http://127.0.0.1/callback",
      extras: {},
      clientMetadataUrl: undefined,
      registration: {},
      inputs: { said: {}, secret: {} },
      browser: "never",
      taught: {},
      begun: new Date(),
      deadline: new Date(Date.now() + 600_000),
    };
    await ctx.sessions.put(sessionOf(plan, id, ctx.now()));
    ctx.sessions.writer(id, ctx.now).append({ phase: "progress", message: "Stored.", step: "store", state: "done" });
    await ctx.store.keep(record("acme", "default", { session_id: id }));
    await run("connection", "rename", "acme", "default", "work");
    expect(await run("session", "wait", id)).toMatchObject({
      data: { connection: "work", record_status: "connected", session_id: id },
    });
  });
});

// --- remove ----------------------------------------------------------------------------------------------------------

describe("connection remove", () => {
  test("forgets it here, asks nobody for anything, and says what that means", async () => {
    await keep(record("acme", "default"), record("acme", "work"));
    chmodSync(join(home, "keys"), 0o700);
    rmSync(join(home, "keys"), { recursive: true }); // no key is needed
    expect(await run("connection", "remove", "acme", "work")).toMatchObject({
      data: { provider: "acme", connection: "work", default: false, record_status: "absent" },
      warnings: [{ code: "not_revoked", message: expect.stringContaining("authline logout") }],
      next_actions: [{ argv: ["authline", "login", "acme", "--connection", "work"] }],
    });
    expect(readdirSync(join(home, "connections"))).toEqual(["default@acme.json"]);
  });

  test.each([
    ["torn", "{"],
    ["foreign", '{"hello":"world"}'],
  ])("works for one that cannot be read: %s", async (_, content) => {
    await keep(record("acme", "work"));
    writeFileSync(fileOf("work@acme"), content);
    await run("connection", "remove", "acme", "work");
    expect(readdirSync(join(home, "connections"))).toEqual([]);
  });

  test("with a default that cannot be read: done, and told as done", async () => {
    await keep(record("acme", "work"));
    damageDefault();
    expect(await run("connection", "remove", "acme", "work")).toMatchObject({
      next_actions: [{ argv: ["authline", "login", "acme", "--connection", "work"] }],
    });
    expect(readdirSync(join(home, "connections"))).toEqual([]);
  });

  test("a directory in its place is not ours, and stays", async () => {
    await keep(record("acme", "default"));
    mkdirSync(fileOf("work@acme"));
    for (const argv of [
      ["connection", "remove", "acme", "work"],
      ["logout", "acme", "--connection", "work"],
    ]) {
      const { code, message, details } = await fails(...argv);
      expect([code, message, details.hint]).toEqual(["store", expect.stringContaining("directory"), "Move it away."]);
    }
    expect(readdirSync(fileOf("work@acme"))).toEqual([]);
  });

  test("of a dead one no token is left", async () => {
    await keep(record("acme", "work", { revoked: true, secrets: {} }));
    expect((await run("connection", "remove", "acme", "work")).warnings).toEqual([]);
  });

  test("there is none", async () => {
    await keep(record("acme", "work"));
    expect(await fails("connection", "remove", "acme", "worl")).toMatchObject({
      code: "not_found",
      details: { hint: "Did you mean work?" },
    });
    expect(await fails("connection", "remove", "nowhere", "work")).toMatchObject({ code: "not_found" });
  });
});

// --- a default that cannot be read ------------------------------------------------------------------------------------

function damageDefault(): void {
  mkdirSync(join(home, "defaults"), { recursive: true });
  writeFileSync(join(home, "defaults", "acme.json"), "{");
}

describe("a default that cannot be read", () => {
  const named = ["acme", "--connection", "default"];

  test("keeps nobody from what names its connection, and every next step names it then", async () => {
    await keep(record("acme", "default"), record("acme", "work", { revoked: true, secrets: {} }));
    damageDefault();
    expect((await run("token", ...named)).data).toMatchObject({ access_token: "token-of-default@acme" });
    expect(await fails("token", "acme", "--connection", "work")).toMatchObject({
      details: { next_actions: [{ argv: ["authline", "login", "acme", "--connection", "work"] }] },
    });
    await run("logout", ...named);
    expect(await fails("token", ...named)).toMatchObject({
      code: "not_found", // of a provider that nobody has taught
    });
    expect(await fails("login", ...named, "--issuer", "http://127.0.0.1:65534")).toMatchObject({
      code: "network", // it gets as far as the server
      details: { next_actions: [{ argv: expect.arrayContaining(["--connection", "default"]) }] },
    });
    expect((await run("logout", "acme", "--all")).data).toMatchObject({ connections: [{ connection: "work" }] });
  });

  test("keeps nobody from the token that the environment has for the provider", async () => {
    damageDefault();
    const { data } = await success(["token", "acme"], contextOf(home, { AUTHLINE_TOKEN_ACME: "token-of-a-pipeline" }));
    expect(data).toMatchObject({ access_token: "token-of-a-pipeline", connection: "default", source: "env" });
  });

  test("is a `store` error for what names none, and a warning of `status`", async () => {
    await keep(record("acme", "default"), record("globex", "default"));
    damageDefault();
    for (const command of ["token", "logout", "login"]) {
      expect(await fails(command, "acme")).toMatchObject({ code: "store" });
    }
    const { data, warnings } = await run("status");
    expect(data).toMatchObject({ connections: [{ provider: "acme" }, { provider: "globex" }] });
    expect(warnings).toEqual([{ code: "unreadable", message: expect.stringContaining("acme.json") }]);
  });
});

// --- no cross-talk ---------------------------------------------------------------------------------------------------

describe("no cross-talk", () => {
  const PROVIDERS = ["acme", "acme.work", "work"]; // names that a careless file name would mix up
  const NAMES = ["default", "work", "acme"];
  const provider = fc.constantFrom(...PROVIDERS);
  const name = fc.constantFrom(...NAMES);
  const operation = fc.oneof(
    fc.record({ does: fc.constant("login" as const), provider, name }),
    fc.record({ does: fc.constant("login" as const), provider, name }),
    fc.record({ does: fc.constant("default" as const), provider, name }),
    fc.record({ does: fc.constant("rename" as const), provider, name, to: name }),
    fc.record({ does: fc.constant("remove" as const), provider, name }),
    fc.record({ does: fc.constant("logout" as const), provider, name }),
  );
  type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

  class Model {
    tokens = new Map<string, string>();
    standards = new Map<string, string>();
    standard = (of: string) => this.standards.get(of) ?? "default";

    /** Whether it may be done; then it is. */
    do(operation: Operation, token: string): boolean {
      const { provider, name } = operation;
      const key = `${provider} ${name}`;
      const has = this.tokens.has(key);
      if (operation.does === "login") return Boolean(this.tokens.set(key, token));
      if (operation.does === "default")
        return (has || name === "default") && Boolean(this.standards.set(provider, name));
      if (!has) return false;
      if (operation.does === "rename") {
        const to = `${provider} ${operation.to}`;
        if (this.tokens.has(to)) return false;
        this.tokens.set(to, this.tokens.get(key) as string);
        if (this.standard(provider) === name) this.standards.set(provider, operation.to);
      }
      return this.tokens.delete(key);
    }
  }

  const argvOf = (operation: Operation): string[] => {
    const { does, provider, name } = operation;
    if (does === "logout") return ["logout", provider, "--connection", name];
    return ["connection", does, provider, name, ...(does === "rename" ? [operation.to] : [])];
  };

  /** Everything that can be known of it is as the model has it. */
  async function expectSame(where: string, model: Model): Promise<void> {
    const ctx = contextOf(where);
    const { connections } = (await success(["connection", "list"], ctx)).data as {
      connections: { provider: string; connection: string; default: boolean }[];
    };
    const wanted = [...model.tokens.keys()].map((key) => key.split(" ")).sort();
    expect(connections.map(({ provider, connection }) => [provider, connection]).sort()).toEqual(wanted);
    for (const { provider, connection, default: isDefault } of connections) {
      expect(isDefault).toBe(model.standard(provider) === connection);
      const { data } = await success(["token", provider, "--connection", connection], ctx);
      expect(data).toMatchObject({ provider, connection, access_token: model.tokens.get(`${provider} ${connection}`) });
    }
    for (const provider of PROVIDERS) {
      const meant = model.tokens.get(`${provider} ${model.standard(provider)}`);
      const ending = await end(["token", provider], ctx);
      if (meant === undefined) expect(ending).toBeInstanceOf(Failure);
      else
        expect((ending as Outcome).data).toMatchObject({ access_token: meant, connection: model.standard(provider) });
    }
  }

  test("whatever is done, in whatever order, happens to the one that it is done to", async () => {
    let time = Date.parse("2026-01-01T00:00:00.000Z");
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 4, maxLength: 14 }), async (operations) => {
        const where = tempHome();
        const model = new Model();
        for (const [index, operation] of operations.entries()) {
          const { does, provider, name } = operation;
          const token = `token-${index}-${name}@${provider}`;
          const isDone = model.do(operation, token);
          if (does === "login") {
            const at = new Date(time++).toISOString();
            const { store } = contextOf(where);
            await store.keep(
              record(provider, name, { created_at: at, updated_at: at, secrets: { access_token: token } }),
            );
          } else {
            const ending = await end(argvOf(operation), contextOf(where));
            expect(ending instanceof Failure, `${argvOf(operation).join(" ")}: ${(ending as Failure).message}`).toBe(
              !isDone,
            );
          }
        }
        await expectSame(where, model);
        rmSync(where, { recursive: true });
      }),
      { numRuns: 25 },
    );
  });

  test("the same, each by a process of its own", async () => {
    const model = new Model();
    for (const provider of PROVIDERS) {
      for (const name of NAMES.slice(0, 2)) {
        const token = `token-${name}@${provider}`;
        model.do({ does: "login", provider, name }, token);
        await keep(record(provider, name, { secrets: { access_token: token } }));
      }
    }
    const operations: Operation[] = [
      { does: "default", provider: "acme", name: "work" },
      { does: "rename", provider: "acme.work", name: "default", to: "acme" },
      { does: "remove", provider: "work", name: "work" },
      { does: "logout", provider: "work", name: "default" },
    ];
    for (const each of operations) expect(model.do(each, "")).toBe(true);
    const runs = await Promise.all(operations.map((each) => authline(argvOf(each), { home }).done));
    expect(runs.map(({ code }) => code)).toEqual(operations.map(() => 0));
    await expectSame(home, model);
  });
});
