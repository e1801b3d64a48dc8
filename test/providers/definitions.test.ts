/**
 * Definitions that users add.
 *
 * What is protected: what is written wrong is said by its path and not used; nothing that is there is lost or overwritten by
 * mistake; and what was given to one server never gets to another that stands in its place.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { builtIn, builtInNames } from "../../src/providers/lookup.ts";
import { type AuthorizationServer, startAuthorizationServer } from "../support/authorization-server.ts";
import { contextOf, dieAtEveryStep } from "../support/dying.ts";
import { program } from "../support/inside.ts";
import { type Options, sweep, tempHome } from "../support/spawn.ts";
import { checkStream } from "../support/stream.ts";

let server: AuthorizationServer;
let home: string;
beforeAll(async () => {
  server = await startAuthorizationServer({ issuerPath: "/acme" });
});
beforeEach(() => {
  home = tempHome();
});
afterEach(async () => {
  expect(await sweep()).toEqual([]);
});
afterAll(() => server.close());

const ACME = { name: "acme", display_name: "Acme", issuer: "https://login.acme.example" };

// biome-ignore lint/suspicious/noExplicitAny: whatever the result holds
type Ended = Awaited<ReturnType<typeof program>["done"]> & Record<string, any>;

async function run(argv: string[], options: Options = {}) {
  const { stdout, code, events, stderr } = await program(argv, { home, ...options }).done;
  if (options.sink === undefined) {
    const command = argv[0] === "provider" ? argv.slice(0, 2).join(" ") : (argv[0] as string);
    expect(checkStream(stdout, { command, exitCode: code })).toEqual([]);
  }
  return { code, stderr, stdout, ...events.at(-1) } as Ended;
}
const add = (definition: unknown, ...flags: string[]) =>
  run(["provider", "add", "-", ...flags], {
    stdin: typeof definition === "string" ? definition : JSON.stringify(definition),
  });
const file = (name = "acme") => join(home, "definitions", `${name}.json`);
const kept = (name?: string) => JSON.parse(readFileSync(file(name), "utf8"));

describe("provider add", () => {
  test("keeps a definition as it was written, for its owner alone", async () => {
    expect(await add(ACME)).toMatchObject({
      status: "success",
      data: { name: "acme", source: "user", path: file(), definition: ACME },
    });
    expect(kept()).toEqual(ACME);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect(statSync(join(home, "definitions")).mode & 0o777).toBe(0o700);
  });

  test("reads a file as it reads standard input", async () => {
    const path = join(home, "given.json");
    writeFileSync(path, JSON.stringify(ACME));
    expect(await run(["provider", "add", path])).toMatchObject({ status: "success" });
    expect(kept()).toEqual(ACME);
  });

  test("takes nobody's place unless it is told to", async () => {
    await add(ACME);
    const another = { ...ACME, display_name: "Another" };
    expect(await add(another)).toMatchObject({
      code: 64,
      error: { code: "usage", hint: expect.stringMatching(/--replace/) },
    });
    expect(kept()).toEqual(ACME);
    expect(await add(another, "--replace")).toMatchObject({ status: "success" });
    expect(kept()).toEqual(another);
  });

  test("says that it hides a built-in one", async () => {
    expect(await add({ ...ACME, name: "github" })).toMatchObject({
      data: { overrides: true },
      warnings: [{ code: "overrides_built_in" }],
    });
    const { data } = await run(["provider", "show", "github"]);
    expect(data).toMatchObject({ source: "user", overrides: true, definition: { issuer: ACME.issuer } });
  });

  test.each<[what: string, definition: unknown, message: RegExp, hint: RegExp]>([
    ["a field that is misspelt", { ...ACME, isuer: "x" }, /there is no field isuer\.$/, /^Did you mean issuer\?/],
    [
      "one deeper down",
      { ...ACME, api: { hosts: ["a.example"], heder: {} } },
      /no field api\.heder\./,
      /^Did you mean header\?/,
    ],
    [
      "one that nothing is near to",
      { ...ACME, endpoints: { zzzzzz: "x" } },
      /no field endpoints\.zzzzzz\./,
      /^There are authorization_endpoint,/,
    ],
    [
      "a host that is none",
      { ...ACME, api: { hosts: ["https://a.example/"] } },
      /api\.hosts\.0 does not look as it must\./,
      /./,
    ],
    [
      "an address in the clear",
      { ...ACME, issuer: "http://login.acme.example" },
      /issuer is not an https address\./,
      /./,
    ],
    ["a grant that there is not", { ...ACME, grants: ["implicit"] }, /grants\.0 is none of authorization_code, /, /./],
    ["a number for a text", { ...ACME, scope: 1 }, /scope is not a string\./, /./],
    ["a name that is missing", { display_name: "A", issuer: ACME.issuer }, /name is missing\./, /./],
    ["a name that no file can have", { ...ACME, name: "../acme" }, /name cannot be "\.\.\/acme"\./, /lower-case/],
    ["no way to a credential", { name: "acme", display_name: "Acme" }, /no way to a credential\./, /issuer/],
    [
      "a variable that nobody declares",
      { ...ACME, issuer: "https://{domain}" },
      /\{domain\} is not among its variables\./,
      /./,
    ],
    [
      "a pattern that is none",
      { ...ACME, issuer: "https://{a}", variables: { a: { summary: "a", example: "a", pattern: "^($" } } },
      /variables\.a\.pattern is not a regular expression\./,
      /./,
    ],
    [
      "characters that deceive",
      { ...ACME, display_name: "Ac\u202eme" },
      /display_name holds characters that cannot be shown\./,
      /./,
    ],
    [
      "a credential shown elsewhere",
      { ...ACME, api: { hosts: ["a.example"] }, account: { endpoint: "https://b.example/me" } },
      /account\.endpoint \(https:\/\/b\.example\/me\) is on none of api\.hosts\./,
      /./,
    ],
    ["a list", [ACME], /it is not an object\./, /./],
    ["what is no JSON", "{", /is not JSON/, /^/],
    ["nothing", "", /holds nothing/, /^/],
  ])("refuses %s, and writes nothing", async (_, definition, message, hint) => {
    const { code, error } = await add(definition);
    expect({ code, error: error.code }).toEqual({ code: 78, error: "config" });
    expect(error.message).toMatch(message);
    expect(error.hint ?? "").toMatch(hint);
    expect(existsSync(join(home, "definitions"))).toBe(false);
  });

  test("every built-in definition would be taken as it is shown", async () => {
    const { checkedDefinition } = await import("../../src/providers/check.ts");
    for (const name of builtInNames()) expect(() => checkedDefinition(builtIn(name), name)).not.toThrow();
    const { data } = await run(["provider", "show", "zendesk"]);
    expect(await add(data.definition)).toMatchObject({ status: "success" });
    expect(kept("zendesk")).toEqual(builtIn("zendesk"));
  });

  test("neither reads nor writes through a link", async () => {
    const elsewhere = join(home, "elsewhere.json");
    mkdirSync(join(home, "definitions"));
    writeFileSync(elsewhere, JSON.stringify(ACME));
    symlinkSync(elsewhere, file());
    expect(await add({ ...ACME, display_name: "New" }, "--replace")).toMatchObject({ error: { code: "store" } });
    expect(await run(["provider", "show", "acme"])).toMatchObject({ error: { code: "store" } });
    expect(JSON.parse(readFileSync(elsewhere, "utf8"))).toEqual(ACME);
  });

  test("with --issuer writes what the server publishes", async () => {
    const { data } = await run(["provider", "add", "acme", "--issuer", server.issuer]);
    expect(data.definition).toMatchObject({
      name: "acme",
      issuer: server.issuer,
      grants: ["authorization_code", "device_code", "client_credentials"],
      scopes: { openid: "sign in and learn who you are", offline_access: "stay signed in with a refresh token" },
    });
    expect(await run(["provider", "check", "acme"])).toMatchObject({ data: { sound: true } });
    const before = server.requests.length;
    expect(await run(["provider", "add", "acme", "--issuer", server.issuer])).toMatchObject({
      error: { code: "usage" },
    });
    expect(server.requests.length).toBe(before);
  });

  test("killed at any step it leaves the old one or the new one, whole", async () => {
    const given = join(home, "given.json");
    const after = { ...ACME, display_name: "After" };
    writeFileSync(given, JSON.stringify(after));
    const seen = new Set<string>();
    const steps = await dieAtEveryStep({
      argv: ["provider", "add", given, "--replace"],
      async prepare(at) {
        await contextOf(at).definitions.write(ACME, false);
      },
      async judge(at) {
        const left = await contextOf(at).definitions.read("acme");
        expect([ACME, after]).toContainEqual(left);
        seen.add(left?.display_name ?? "");
        expect(await contextOf(at).definitions.write(ACME, true)).toBe(true);
      },
    });
    expect(steps).toBeGreaterThan(3);
    expect([...seen].sort()).toEqual(["Acme", "After"]);
  });
});

describe("provider remove", () => {
  test("goes back to the built-in one, and says so", async () => {
    await add({ ...ACME, name: "gitlab" });
    expect(await run(["provider", "remove", "gitlab"])).toMatchObject({
      message: "Your definition of gitlab is removed. The built-in one is used again.",
      data: { name: "gitlab", source: "built_in" },
    });
    expect(existsSync(file("gitlab"))).toBe(false);
    expect(await run(["provider", "remove", "gitlab"])).toMatchObject({
      code: 66,
      error: { message: "gitlab is built in: there is no definition of yours to remove." },
    });
  });

  test("takes away one that cannot be read, and what is nowhere is not found", async () => {
    await add(ACME);
    writeFileSync(file(), "{");
    expect(await run(["provider", "remove", "acme"])).toMatchObject({ status: "success", data: { name: "acme" } });
    expect(await run(["provider", "remove", "acme"])).toMatchObject({ code: 66, error: { code: "not_found" } });
  });
});

describe("provider list", () => {
  test("has everybody, and says whose definition it is", async () => {
    await add(ACME);
    await add({ ...ACME, name: "github" });
    writeFileSync(file("broken"), "{", { mode: 0o600 });
    const { data, warnings } = await run(["provider", "list"]);
    const named = (name: string) => data.providers.find((each: { name: string }) => each.name === name);
    expect(data.providers).toHaveLength(builtInNames().length + 2);
    expect(named("acme")).toMatchObject({ source: "user", kinds: ["oauth"] });
    expect(named("github")).toMatchObject({ source: "user", overrides: true });
    expect(named("openai")).toMatchObject({ source: "built_in", kinds: ["api_key"] });
    expect(named("zendesk")).toMatchObject({ variables: ["subdomain"] });
    expect(named("broken")).toMatchObject({ problem: expect.stringMatching(/broken\.json is not JSON/) });
    expect(warnings).toMatchObject([{ code: "unreadable" }]);
  });

  test.each([
    ["GitHub", "github"],
    ["api.openai.com", "openai"],
    ["ANTHROPIC_API_KEY", "anthropic"],
    ["accounts.google.com", "google"],
  ])("--search %s finds %s", async (text, name) => {
    const { data } = await run(["provider", "list", "--search", text]);
    expect(data.providers.map((each: { name: string }) => each.name)).toContain(name);
    expect(data.providers.length).toBeLessThan(10);
  });
});

describe("provider edit", () => {
  /** An editor that does this to the text. */
  const editor = (script: string) => {
    const path = join(home, "editor.sh");
    writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return { env: { VISUAL: undefined, EDITOR: path }, sink: "pty" } as const;
  };
  const drafts = () => readdirSync(join(home, "definitions")).filter((name) => name.startsWith("."));

  test("changes a built-in one into one of your own", async () => {
    const { stdout, code } = await run(["provider", "edit", "github"], editor(`sed -i 's/"GitHub"/"Ours"/' "$1"`));
    expect(String(stdout ?? "")).not.toMatch(/error/);
    expect(code).toBe(0);
    expect(kept("github")).toEqual({ ...builtIn("github"), display_name: "Ours" });
    expect(drafts()).toEqual([]);
  });

  test("what was written badly is kept, and not used", async () => {
    await add(ACME);
    const { code } = await run(["provider", "edit", "acme"], editor(`sed -i 's/issuer/isuer/' "$1"`));
    expect(code).toBe(78);
    expect(kept()).toEqual(ACME);
    expect(drafts()).toHaveLength(1);
    expect(readFileSync(join(home, "definitions", drafts()[0] as string), "utf8")).toContain("isuer");
    expect(await run(["provider", "list", "--search", "acme"])).toMatchObject({
      data: { providers: [{ name: "acme" }] },
    });
  });

  test("what was not changed changes nothing, and an editor that fails neither", async () => {
    expect((await run(["provider", "edit", "github"], editor("true"))).code).toBe(0);
    expect((await run(["provider", "edit", "github"], editor("exit 3"))).code).toBe(1);
    expect(readdirSync(join(home, "definitions"))).toEqual([]);
  });

  test("without a terminal is a usage error that says how else", async () => {
    expect(await run(["provider", "edit", "github"])).toMatchObject({
      code: 64,
      error: { code: "usage", hint: expect.stringMatching(/provider show github .* provider add FILE --replace/) },
    });
  });
});

describe("who else knows of them", () => {
  test("the shell completes their names without opening one", async () => {
    mkdirSync(join(home, "definitions"), { mode: 0o700 });
    writeFileSync(file("zebra"), "no definition at all", { mode: 0o600 });
    const { stdout } = await program(["complete", "--", "provider", "show", "zeb"], { home }).done;
    expect(String(stdout)).toBe("zebra\n");
  });

  test("doctor finds one that cannot be used, and one that others can read", async () => {
    await add(ACME);
    await add({ ...ACME, name: "other" });
    writeFileSync(file("other"), "{", { mode: 0o644 });
    chmodSync(file("other"), 0o644);
    const { data } = await run(["doctor"]);
    const about = (check: string) =>
      data.checks.filter((each: { check: string; state: string }) => each.check === check && each.state !== "ok");
    expect(about("records")).toMatchObject([{ state: "failed", subject: file("other") }]);
    expect(about("modes")).toMatchObject([{ subject: file("other") }]);
    expect(about("leftovers")).toEqual([]);
  });

  test("the published schema says of each field what it is", async () => {
    const { data } = await run(["schema", "provider"]);
    const mute: string[] = [];
    const walk = (schema: { properties?: Record<string, object>; additionalProperties?: object }, path: string) => {
      for (const [name, each] of Object.entries(schema.properties ?? {})) {
        if (!("description" in each)) mute.push(`${path}${name}`);
        walk(each, `${path}${name}.`);
      }
      if (schema.additionalProperties) walk(schema.additionalProperties, `${path}*.`);
    };
    walk(data.schema, "");
    expect(mute).toEqual([]);
    expect(Object.keys(data.schema.properties).length).toBeGreaterThan(20);
  });
});

// --- another server --------------------------------------------------------------------------------------------------

const SECRET = "override-client-secret";
const login = (name: string, ...flags: string[]) =>
  run(["login", name, "--flow", "client_credentials", ...flags], { env: { SECRET } });

describe("what was given to one server", () => {
  test.each<[what: string, change: () => object]>([
    ["another issuer", () => ({ issuer: "http://127.0.0.1:9" })],
    [
      "another token endpoint",
      () => ({ issuer: server.issuer, discovery: false, endpoints: { token_endpoint: "http://127.0.0.1:9/token" } }),
    ],
  ])("is not given to %s that a new definition names", async (_, change) => {
    await add({ ...ACME, issuer: server.issuer });
    const { id, secret } = server.clients.confidential;
    const first = await run(
      ["login", "acme", "--flow", "client_credentials", "--client-id", id, "--client-secret-from", "env:SECRET"],
      { env: { SECRET: secret } },
    );
    expect(first).toMatchObject({ status: "success" });
    expect(await login("acme")).toMatchObject({ status: "success" }); // by name alone

    await add({ ...ACME, ...change() }, "--replace");
    expect(await login("acme")).toMatchObject({ error: { code: "config" } }); // no client is known there
    const token = await run(["token", "acme", "--refresh"]);
    expect(token).toMatchObject({ status: "success" }); // renewed where it came from
    expect(await server.isActive(token["data"].access_token)).toBe(true);

    await add({ ...ACME, issuer: server.issuer }, "--replace");
    expect(await login("acme")).toMatchObject({ status: "success" });
  });
});

describe("variables", () => {
  const template = () => ({
    ...ACME,
    issuer: server.issuer.replace("/acme", "/{tenant}"),
    variables: { tenant: { summary: "Your tenant", example: "acme", pattern: "^[a-z]+$" } },
  });
  const given = () => ["--client-id", server.clients.confidential.id, "--client-secret-from", "env:SECRET"];
  const signIn = (...flags: string[]) =>
    run(["login", "acme", "--flow", "client_credentials", ...flags], {
      env: { SECRET: server.clients.confidential.secret },
    });

  test("are given once, and remembered; another value is another server, which gets nothing", async () => {
    await add(template());
    expect(await signIn(...given())).toMatchObject({
      code: 78,
      error: {
        code: "config",
        message: "Acme needs to know tenant (Your tenant).",
        hint: "For example: --set tenant=acme",
      },
    });
    expect(await signIn(...given(), "--set", "tenant=acme")).toMatchObject({ status: "success" });
    expect(await signIn()).toMatchObject({ status: "success" });
    const before = server.requests.length;
    expect(await signIn("--set", "tenant=other")).toMatchObject({ error: { code: "config" } });
    expect(server.requests.slice(before).filter(({ auth }) => auth !== "none")).toEqual([]);
    expect(await run(["provider", "check", "acme"])).toMatchObject({ data: { sound: true } });
  });

  test.each([
    ["a value that its pattern does not take", ["tenant=Acme!"], "config"],
    ["one that leaves its place", ["tenant=../x"], "config"],
    ["a variable that there is not", ["domain=x"], "config"],
    ["one twice", ["tenant=a", "tenant=b"], "usage"],
    ["no value", ["tenant="], "usage"],
    ["no name", ["acme"], "usage"],
  ])("%s is refused before anybody is asked", async (_, settings, code) => {
    await add(template());
    const before = server.requests.length;
    expect(await signIn(...given(), ...settings.flatMap((each) => ["--set", each]))).toMatchObject({ error: { code } });
    expect(server.requests.length).toBe(before);
  });

  test.each([
    ["okta", "domain=evil.example/x", /cannot be/],
    ["okta", "domain=user@evil.example", /cannot be/],
    ["zendesk", "subdomain=evil.example:443", /cannot be/],
    ["shopify", "shop=evil.example#", /cannot be/],
  ])("%s does not let %s lead out of its address", async (name, setting, message) => {
    const { error } = await run(["login", name, "--client-id", "cli", "--set", setting]);
    expect(error).toMatchObject({ code: "config", message: expect.stringMatching(message) });
  });
});
