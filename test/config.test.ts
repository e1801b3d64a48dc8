/**
 * The settings: what stands for an option that is not given.
 *
 * What is protected: flag beats environment beats configuration beats default, for every option that has them; what an
 * option refuses is refused everywhere; a file that cannot be read is an error of whoever needs it, and is never overwritten.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Command, Options, Positional } from "../src/commands/command.ts";
import { commands } from "../src/commands/index.ts";
import { settings } from "../src/config.ts";
import { Failure } from "../src/protocol/failure.ts";
import { locksAt } from "../src/store/locks.ts";
import type { Connection } from "../src/store/record.ts";
import { contextOf, dieAtEveryStep, end, success } from "./support/dying.ts";
import { authline, sweep, tempHome } from "./support/spawn.ts";
import { checkStream } from "./support/stream.ts";

let home: string;
beforeEach(() => {
  home = tempHome();
});
afterEach(async () => {
  vi.restoreAllMocks();
  expect(await sweep()).toEqual([]);
});

type Env = Record<string, string>;
const run = (argv: string[], env: Env = {}) => success(argv, contextOf(home, env));
const fails = async (argv: string[], env: Env = {}) => {
  const failure = await end(argv, contextOf(home, env));
  expect(failure).toBeInstanceOf(Failure);
  return failure as Failure;
};
const file = () => join(home, "config.json");
const write = (content: unknown) =>
  writeFileSync(file(), typeof content === "string" ? content : JSON.stringify(content), { mode: 0o600 });
const kept = (at = home) => JSON.parse(readFileSync(join(at, "config.json"), "utf8"));
const entriesOf = async (argv: string[], env?: Env) =>
  ((await run(argv, env)).data as { entries: { key: string; value?: string; source: string }[] }).entries;

// --- the commands ----------------------------------------------------------------------------------------------------

describe("config", () => {
  test("set, get, list and unset", async () => {
    expect(await run(["config", "set", "login_timeout", "5m"])).toMatchObject({
      message: "login_timeout is 5m from now on.",
      data: { entries: [{ key: "login_timeout", value: "5m", source: "config", default: "10m" }] },
    });
    await run(["config", "set", "provider", "github"]);
    expect(kept()).toEqual({ login_timeout: "5m", provider: "github" });
    expect(statSync(file()).mode & 0o777).toBe(0o600);

    const env = { AUTHLINE_BROWSER: "never" };
    expect(await entriesOf(["config", "list"], env)).toEqual([
      { key: "provider", value: "github", source: "config" },
      { key: "connection", source: "default" },
      { key: "browser", value: "never", source: "env", default: "auto" },
      { key: "login_timeout", value: "5m", source: "config", default: "10m" },
      { key: "wait_timeout", value: "5m", source: "default", default: "5m" },
      { key: "min_ttl", value: "60s", source: "default", default: "60s" },
      { key: "client_metadata_url", source: "default" },
    ]);
    expect(await entriesOf(["config", "get", "browser"], env)).toMatchObject([{ value: "never", source: "env" }]);

    expect((await run(["config", "unset", "login_timeout"])).message).toBe("login_timeout is not set any more.");
    expect((await run(["config", "unset", "login_timeout"])).message).toBe("login_timeout was not set.");
    expect(kept()).toEqual({ provider: "github" });
    expect((await run(["config", "get", "connection"])).message).toBe("connection is not set.");
  });

  test("a home that is somebody's directory keeps its mode", async () => {
    chmodSync(home, 0o755);
    await run(["config", "set", "provider", "github"]);
    expect(statSync(home).mode & 0o777).toBe(0o755);
    rmSync(home, { recursive: true });
    await run(["config", "set", "provider", "github"]);
    expect(statSync(home).mode & 0o777).toBe(0o700);
  });

  test("one that is not set makes no file", async () => {
    await run(["config", "unset", "provider"]);
    await run(["config", "list"]);
    expect(existsSync(file())).toBe(false);
  });

  test("says when what is set does not count, and what is no setting", async () => {
    expect(await run(["config", "set", "provider", "acme"], { AUTHLINE_PROVIDER: "github" })).toMatchObject({
      data: { entries: [{ value: "github", source: "env" }] },
      warnings: [{ code: "overridden", message: "AUTHLINE_PROVIDER is set in the environment, and comes first." }],
    });
    write({ provider: "github", from_the_future: "1", min_ttl: "soon" });
    expect((await run(["config", "list"])).warnings?.map(({ code }) => code)).toEqual([
      "unfit_setting",
      "unknown_setting",
    ]);
    await run(["config", "set", "min_ttl", "5m"]);
    expect(kept()).toEqual({ provider: "github", from_the_future: "1", min_ttl: "5m" });
  });

  test.each<[argv: string[], message: string, hint: RegExp]>([
    [["get", "provder"], '<key> cannot be "provder".', /^Did you mean provider\?$/],
    [["set", "login-timeout", "5m"], '<key> cannot be "login-timeout".', /^Did you mean login_timeout\?$/],
    [["set", "constructor", "x"], '<key> cannot be "constructor".', /^It is one of provider, /],
    [["set", "__proto__", "x"], '<key> cannot be "__proto__".', /^It is one of provider, /],
    [["set", "token", "secret"], '<key> cannot be "token".', /^It is one of provider, /],
    [["set", "login_timeout", "soon"], 'login_timeout cannot be "soon".', /^Write a time such as/],
    [["set", "login_timeout", "0s"], 'login_timeout cannot be "0s".', /from 1s to 30d/],
    [["set", "browser", "firefox"], 'browser cannot be "firefox".', /^It is one of auto, always, never\.$/],
    [["set", "provider", "Git Hub"], 'provider cannot be "Git Hub".', /^Use lower-case letters/],
    [["set", "connection", ""], "connection is empty.", /./],
    [["set", "provider"], "<value> is missing.", /^For example: authline config set provider github$/],
  ])("config %j is a usage error", async (argv, message, hint) => {
    const { code, message: said, details } = await fails(["config", ...argv]);
    expect({ code, said }).toEqual({ code: "usage", said: message });
    if (said !== "connection is empty.") expect(details.hint).toMatch(hint);
    expect(existsSync(file())).toBe(false);
  });

  test("the built binary keeps to the stream", async () => {
    const { stdout, code } = await authline(["config", "set", "provider", "github"], { home }).done;
    expect(checkStream(stdout, { command: "config set", exitCode: code })).toEqual([]);
    expect(kept()).toEqual({ provider: "github" });
  });
});

// --- precedence ------------------------------------------------------------------------------------------------------

class Seen extends Error {
  readonly args: Record<string, unknown>;
  constructor(args: Record<string, unknown>) {
    super("seen");
    this.args = args;
  }
}

const loads = commands.map(({ load }) => load);

/** What the command would be given. */
async function argsOf(argv: string[], env: Env = {}): Promise<Record<string, unknown>> {
  for (const [index, entry] of commands.entries()) {
    vi.spyOn(entry, "load").mockImplementation(
      async () =>
        ({
          ...((await loads[index]?.()) as Command),
          async *flow(args: Record<string, unknown>) {
            throw new Seen(args);
          },
        }) as Command,
    );
  }
  const { details, message } = await fails(argv, env);
  vi.restoreAllMocks();
  if (!(details.cause instanceof Seen)) throw new Error(message);
  return details.cause.args;
}

/** Three values that fit, and how the parser hands on the first, the second, the third, and the default. */
const VALUES: Record<keyof typeof settings, [flag: string, env: string, config: string, read: unknown[]]> = {
  provider: ["one", "two", "three", ["one", "two", "three"]],
  connection: ["one", "two", "three", ["one", "two", undefined, undefined]], // the store has the rest: see below
  client_metadata_url: [
    "https://a.example/one",
    "https://a.example/two",
    "https://a.example/three",
    ["https://a.example/one", "https://a.example/two", "https://a.example/three", undefined],
  ],
  browser: ["always", "never", "always", ["always", "never", "always", "auto"]],
  login_timeout: ["1m", "2m", "3m", [60, 120, 180, 600]],
  wait_timeout: ["1m", "2m", "3m", [60, 120, 180, 300]],
  min_ttl: ["1m", "2m", "3m", [60, 120, 180, 60]],
};

const PLACES: [command: string, given: string[], name: string, key: keyof typeof settings][] = [
  ["login", [], "provider", "provider"],
  ["login", ["acme"], "connection", "connection"],
  ["login", ["acme"], "client-metadata-url", "client_metadata_url"],
  ["login", ["acme"], "browser", "browser"],
  ["login", ["acme"], "timeout", "login_timeout"],
  ["token", [], "provider", "provider"],
  ["token", ["acme"], "connection", "connection"],
  ["token", ["acme"], "min-ttl", "min_ttl"],
  ["proof", [], "provider", "provider"],
  ["proof", ["acme"], "connection", "connection"],
  ["whoami", [], "provider", "provider"],
  ["whoami", ["acme"], "connection", "connection"],
  ["logout", ["acme"], "connection", "connection"],
  ["session wait", ["sess_9fJ2kQ7mX0aB4cD8eF1gHi"], "timeout", "wait_timeout"],
];

describe("flag, environment, configuration, default", () => {
  test("the table has every option and argument that can be settled", async () => {
    const found = await Promise.all(
      commands.map(async ({ name, load }) => {
        const { options, positionals } = await load();
        const takers: [string, Options[string] | Positional][] = Object.entries({ ...positionals, ...options });
        return takers.filter(([, { env, config }]) => env ?? config).map(([taker]) => `${name} ${taker}`);
      }),
    );
    expect(PLACES.map(([command, , name]) => `${command} ${name}`).sort()).toEqual(found.flat().sort());
    for (const [key, { env, config }] of Object.entries(settings)) {
      expect({ env, config }).toEqual({ env: `AUTHLINE_${key.toUpperCase()}`, config: key });
    }
  });

  test.each(PLACES)("%s %j: %s", async (command, given, name, key) => {
    const [flag, env, config, [byFlag, byEnv, byConfig, byDefault]] = VALUES[key];
    const argv = [...command.split(" "), ...given];
    const flagged = name === "provider" ? [...argv, flag] : [...argv, `--${name}`, flag];
    const variable = { [settings[key].env]: env };
    if (name !== "provider") expect((await argsOf(argv))[name]).toBe(byDefault);
    write({ [key]: config });
    expect((await argsOf(argv))[name]).toBe(byConfig);
    expect((await argsOf(argv, { [settings[key].env]: "" }))[name]).toBe(byConfig);
    expect((await argsOf(argv, variable))[name]).toBe(byEnv);
    expect((await argsOf(flagged, variable))[name]).toBe(byFlag);
  });

  test("where no provider is named anywhere, it is a usage error that says how one is settled", async () => {
    expect(await fails(["token"])).toMatchObject({
      code: "usage",
      message: "<provider> is missing.",
      details: { hint: expect.stringContaining("authline config set provider") },
    });
  });

  test("what destroys is named: logout and the connection commands take no provider from elsewhere", async () => {
    write({ provider: "acme" });
    for (const argv of [["logout"], ["connection", "remove"], ["connection", "default"]]) {
      expect(await fails(argv, { AUTHLINE_PROVIDER: "acme" })).toMatchObject({ message: "<provider> is missing." });
    }
  });

  test("a connection from elsewhere does not contradict --all", async () => {
    expect(await argsOf(["logout", "acme", "--all"], { AUTHLINE_CONNECTION: "work" })).toEqual({
      provider: "acme",
      all: true,
    });
  });
});

const NAMES = ["default", "flag", "env", "chosen", "config"];
const record = (connection: string): Connection => ({
  v: 1,
  provider: "acme",
  connection,
  flow: "device_code",
  server: { issuer: "https://login.acme.example" },
  client: { client_id: "cli", token_endpoint_auth_method: "none" },
  token_type: "bearer",
  created_at: "2026-01-02T03:04:05.678Z",
  updated_at: "2026-01-02T03:04:05.678Z",
  refreshable: false,
  secrets: { access_token: `token-of-${connection}` },
});

describe("which connection is meant", () => {
  test.each<[flag: boolean, env: boolean, chosen: boolean, config: boolean, expected: string]>([
    [true, true, true, true, "flag"],
    [true, false, false, false, "flag"],
    [false, true, true, true, "env"],
    [false, true, false, false, "env"],
    [false, false, true, true, "chosen"],
    [false, false, true, false, "chosen"],
    [false, false, false, true, "config"],
    [false, false, false, false, "default"],
  ])(
    "flag %j, environment %j, the provider's default %j, configuration %j: %s",
    async (flag, env, chosen, config, expected) => {
      for (const name of NAMES) await contextOf(home).store.keep(record(name));
      if (chosen) await run(["connection", "default", "acme", "chosen"]);
      if (config) await run(["config", "set", "connection", "config"]);
      const argv = ["token", "acme", ...(flag ? ["--connection", "flag"] : [])];
      expect((await run(argv, env ? { AUTHLINE_CONNECTION: "env" } : {})).data).toMatchObject({ connection: expected });
    },
  );

  test("the same for the commands that show it", async () => {
    for (const name of NAMES) await contextOf(home).store.keep(record(name));
    await run(["config", "set", "connection", "config"]);
    const { connections } = (await run(["connection", "list", "acme"])).data as {
      connections: { connection: string; default: boolean }[];
    };
    expect(connections.filter((each) => each.default)).toMatchObject([{ connection: "config" }]);
  });
});

// --- what is wrong ---------------------------------------------------------------------------------------------------

describe("a bad setting", () => {
  test.each<[where: string, argv: string[], env: Env, content: object]>([
    ["AUTHLINE_MIN_TTL", ["token", "acme"], { AUTHLINE_MIN_TTL: "soon" }, {}],
    ["AUTHLINE_PROVIDER", ["token"], { AUTHLINE_PROVIDER: "A B" }, { provider: "acme" }],
    ["AUTHLINE_CONNECTION", ["token", "acme"], { AUTHLINE_CONNECTION: "../x" }, {}],
    ["min_ttl in", ["token", "acme"], {}, { min_ttl: "soon" }],
    ["browser in", ["login", "acme"], {}, { browser: "firefox" }],
    ["connection in", ["token", "acme"], {}, { connection: "../../etc" }],
    ["wait_timeout in", ["session", "wait", "sess_9fJ2kQ7mX0aB4cD8eF1gHi"], {}, { wait_timeout: "" }],
  ])("%s: %j is a config error that names it", async (where, argv, env, content) => {
    write(content);
    const { code, message, details } = await fails(argv, env);
    expect(code).toBe("config");
    expect(message).toContain(where);
    const isEnv = where.startsWith("AUTHLINE_");
    expect(details.hint).toContain(isEnv ? `Set ${where} right or unset it.` : "authline config set ");
    if (!isEnv) {
      const key = where.split(" ")[0];
      expect(message).toContain(file());
      expect(details.next_actions).toMatchObject([{ argv: ["authline", "config", "unset", key] }]);
    }
  });

  test("harms nobody who does not need it", async () => {
    await contextOf(home).store.keep(record("default"));
    write({ min_ttl: "soon", wait_timeout: "soon", browser: "firefox" });
    expect((await run(["token", "acme", "--min-ttl", "1s"])).data).toMatchObject({ access_token: "token-of-default" });
    expect((await run(["token", "acme"], { AUTHLINE_MIN_TTL: "1s" })).data).toMatchObject({ connection: "default" });
    await run(["status"]);
    await run(["config", "unset", "min_ttl"]);
    await run(["token", "acme"]);
  });
});

describe("what stands in config.json by hand", () => {
  const warned = async (argv: string[], env?: Env) =>
    ((await run(argv, env)).warnings ?? []).map(({ code, message }) => [code, message.split(" in ")[0]]);

  test.each([600, null, true, ["5m"], { of: "5m" }])("a setting that is %j and no text", async (value) => {
    await contextOf(home).store.keep(record("default"));
    const mended = async (...argv: string[]) => {
      write({ provider: "acme", min_ttl: value });
      const failure = await fails(["token"]);
      expect(failure).toMatchObject({ code: "config", message: `min_ttl in ${file()} is no text.` });
      expect(failure.details.next_actions).toMatchObject([{ argv: ["authline", "config", "unset", "min_ttl"] }]);
      expect((await run(["token", "--min-ttl", "1s"])).data).toMatchObject({ connection: "default" });
      expect((await run(["token"], { AUTHLINE_MIN_TTL: "1s" })).data).toMatchObject({ connection: "default" });
      await run(["session", "list"]);
      expect(await warned(["config", "list"])).toEqual([["unfit_setting", "min_ttl"]]);
      expect(await warned(["config", "get", "min_ttl"])).toEqual([["unfit_setting", "min_ttl"]]);
      expect(await warned(["config", "get", "provider"])).toEqual([]);
      expect(await entriesOf(["config", "get", "min_ttl"])).toMatchObject([{ value: JSON.stringify(value) }]);
      await run(argv);
      await run(["token"]);
      return kept();
    };
    expect(await mended("config", "unset", "min_ttl")).toEqual({ provider: "acme" });
    expect(await mended("config", "set", "min_ttl", "5m")).toEqual({ provider: "acme", min_ttl: "5m" });
  });

  test("a connection that is no text is a fault of who asks which one is meant", async () => {
    await contextOf(home).store.keep(record("work"));
    write({ connection: 5 });
    expect((await run(["token", "acme", "--connection", "work"])).data).toMatchObject({ connection: "work" });
    expect(await fails(["token", "acme"])).toMatchObject({ code: "config" });
    expect(await warned(["status"])).toEqual([["unfit_setting", "connection"]]);
    expect(await warned(["connection", "list"])).toEqual([["unfit_setting", "connection"]]);
    await run(["connection", "list", "github"]);
  });

  const OTHERS =
    '{"nested":{"a":["b"]},"__proto__":{"polluted":true},"constructor":"x","A b":1,"":null,"provider":"acme"}';

  test("what is no setting stays as it is, is warned of, and can be taken away", async () => {
    write(OTHERS);
    const names = ["nested", "__proto__", "constructor", "A b", ""];
    const said = (await run(["config", "list"])).warnings?.map(({ code, message }) => `${code} ${message}`);
    expect(said).toEqual(names.map((name) => expect.stringContaining(`unknown_setting ${file()} has "${name}"`)));
    expect(await fails(["token"])).toMatchObject({ code: "not_found" }); // acme was understood

    await run(["config", "set", "browser", "never"]);
    expect(JSON.stringify(kept())).toBe(OTHERS.replace(/}$/, ',"browser":"never"}'));
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    for (const name of names) {
      expect((await run(["config", "unset", "--", name])).message).toBe(`${name} is not set any more.`);
    }
    expect(JSON.stringify(kept())).toBe('{"provider":"acme","browser":"never"}');
    expect((await run(["config", "list"])).warnings).toEqual([]);
    for (const name of ["__proto__", "constructor", "nested"]) {
      expect(await fails(["config", "unset", name])).toMatchObject({ code: "usage" });
    }
  });

  test("what is misspelt there is found, and what is not there is no setting", async () => {
    write({ providr_name: "acme" });
    const hintOf = async (name: string) => (await fails(["config", "unset", name])).details.hint;
    expect(await hintOf("provider_name")).toBe("Did you mean providr_name?");
    expect(await hintOf("browsr")).toBe("Did you mean browser?");
    expect(await hintOf("moonlight")).toMatch(/^It is one of provider, /);
  });

  test("however much it is, it is listed", async () => {
    const many = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`key_${index}`, "x".repeat(1000)]));
    write({ ...many, browser: "x".repeat(5000), min_ttl: "\u001b".repeat(5000) });
    const { code, stdout, events } = await authline(["config", "list"], { home }).done;
    expect(checkStream(stdout, { command: "config list", exitCode: code })).toEqual([]);
    expect(events.at(-1)?.warnings).toHaveLength(202);
  });

  test("doctor tells of what does not fit", async () => {
    write({ browser: "firefox", min_ttl: 5, provider: "acme", connection: "work", more: 1 });
    const { checks } = (await run(["doctor"])).data as { checks: { subject?: string; fix?: string; state: string }[] };
    expect(checks.filter(({ subject, state }) => subject === file() && state !== "ok")).toMatchObject([
      { state: "warning", fix: "authline config unset browser" },
      { state: "warning", fix: "authline config unset min_ttl" },
    ]);
  });
});

describe("a config.json that cannot be used", () => {
  const NEEDY = [
    ["config", "list"],
    ["config", "get", "provider"],
    ["config", "set", "provider", "acme"],
    ["config", "unset", "provider"],
    ["token", "acme"],
    ["login", "acme"],
  ];
  test.each(["", "{", "[]", "[1]", "null", "1", "false", '"text"', "\u0000\u0001"])("%j", async (content) => {
    write(content);
    for (const argv of NEEDY) {
      const { code, message, details } = await fails(argv);
      expect({ argv, code }).toEqual({ argv, code: "store" });
      expect(message).toContain(file());
      expect(details.hint).toContain("Nothing was changed.");
    }
    expect(readFileSync(file(), "utf8")).toBe(content);
    for (const argv of [["session", "list"], ["schema"], ["audit"], ["token", "--help"]]) await run(argv);
    const { checks } = (await run(["doctor"])).data as {
      checks: { state: string; subject?: string }[];
    };
    expect(checks.filter(({ subject }) => subject === file())).toMatchObject([{ state: "failed" }]);
  });

  test("a directory", async () => {
    mkdirSync(file());
    for (const argv of NEEDY) expect(await fails(argv)).toMatchObject({ code: "store" });
  });
});

// --- several at once, and who is killed ------------------------------------------------------------------------------

test("two at once lose nothing: who changes it waits for the lock, and reads it again", async () => {
  const ctx = contextOf(home);
  const lock = locksAt(home, ctx.surroundings.self).take("config");
  expect(ctx.config.read().size).toBe(0);
  const slow = success(["config", "set", "provider", "github"], ctx);
  const first = await Promise.race([
    slow.then(() => "done"),
    new Promise((resolve) => setTimeout(resolve, 60, "waits")),
  ]);
  expect(first).toBe("waits");
  write({ browser: "never" });
  lock?.release();
  await slow;
  expect(kept()).toEqual({ browser: "never", provider: "github" });
});

test("killed at any step it leaves the old one or the new one, whole", async () => {
  const before = { browser: "never" };
  const after = { browser: "never", provider: "github" };
  const seen = new Set<string>();
  const steps = await dieAtEveryStep({
    argv: ["config", "set", "provider", "github"],
    async prepare(at) {
      await contextOf(at).config.set("browser", "never");
    },
    async judge(at) {
      const left = JSON.stringify(kept(at));
      expect([JSON.stringify(before), JSON.stringify(after)]).toContain(left);
      seen.add(left);
      await contextOf(at).config.set("provider", "gitlab");
      expect(kept(at)).toEqual({ browser: "never", provider: "gitlab" });
    },
  });
  expect(steps).toBeGreaterThan(3);
  expect(seen.size).toBe(2);
});
