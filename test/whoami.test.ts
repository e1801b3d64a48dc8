/**
 * `authline whoami`: whose a credential is, and who says so.
 *
 * What is protected: each source says what the server knows; a source that speaks of somebody else is an error and never an
 * answer; the credential goes to the server that issued it, or to that server's account endpoint, and nowhere else; no token is
 * shown, and nothing of an answer but the few claims of the contract.
 */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Definition } from "../src/providers/definition.ts";
import type { Connection } from "../src/store/record.ts";
import { type AuthorizationServer, startAuthorizationServer } from "./support/authorization-server.ts";
import { type HostileServer, type Routes, signIdToken, startHostileServer } from "./support/hostile-server.ts";
import { program } from "./support/inside.ts";
import { remember } from "./support/issued.ts";
import { storeAt } from "./support/sealed.ts";
import { type Options, sweep, tempHome } from "./support/spawn.ts";
import { checkStream } from "./support/stream.ts";

vi.setConfig({ testTimeout: 60_000 });
afterAll(sweep);

const ACCESS = "access-token-of-the-whoami-tests";
const FRESH = "fresh-token-of-the-whoami-tests";
const REFRESH = "refresh-token-of-the-whoami-tests";
const CLIENT = "client-of-the-tests";
remember(ACCESS, FRESH, REFRESH);

async function whoami(home: string, argv: string[] = ["acme"], options: Options = {}) {
  const run = await program(["whoami", ...argv], { home, ...options }).done;
  expect(checkStream(run.stdout, { exitCode: run.code, secrets: [ACCESS, FRESH, REFRESH] })).toEqual([]);
  const result = run.events.at(-1);
  return { ...run, result, data: result?.data, error: result?.error };
}

describe("at a real server", () => {
  let server: AuthorizationServer;
  let home: string;
  beforeAll(async () => {
    server = await startAuthorizationServer({ interval: 1 });
    home = tempHome();
    const { id, secret } = server.clients.confidential;
    const login = async (connection: string, ...argv: string[]) => {
      const running = program(
        [
          ...["login", "acme", "--connection", connection, "--issuer", server.issuer, "--client-id", id],
          ...["--client-secret-from", "env:SECRET", ...argv],
        ],
        { home, env: { SECRET: secret }, timeoutMs: 40_000 },
      );
      if (argv.includes("device_code")) {
        const { user_code } = await running.next("device_code");
        await server.approveDevice(user_code as string, { login: "alice" });
      }
      expect((await running.done).code).toBe(0);
    };
    await login("default", "--flow", "device_code", "--scope", "openid email profile");
    await login("plain", "--flow", "device_code", "--scope", "api:read");
    await login("robot", "--flow", "client_credentials", "--scope", "api:read");
  }, 90_000);
  afterAll(() => server.close());

  const asked = () =>
    server.requests.map(({ path }) => path).filter((path) => /^\/(me|token\/introspection)$/.test(path));
  const ALICE = { account: "alice@example.com", subject: "alice", email: "alice@example.com", name: "Alice Example" };

  test("the ID token says it, and nobody is asked", async () => {
    const before = asked().length;
    const { data, result } = await whoami(home);
    expect(data).toEqual({
      ...{ provider: "acme", connection: "default", source: "id_token", issuer: server.issuer },
      ...ALICE,
      scope: "openid email profile",
      expires_at: expect.any(String),
    });
    expect(result?.message).toBe("Signed in to acme as alice@example.com, says its ID token.");
    expect(asked().length).toBe(before);
  });

  test("the userinfo endpoint says it", async () => {
    const { data } = await whoami(home, ["acme", "--from", "userinfo"]);
    expect(data).toMatchObject({ source: "userinfo", ...ALICE });
    expect(asked().at(-1)).toBe("/me");
  });

  test("the introspection endpoint says it, and whether the token is good", async () => {
    const { data } = await whoami(home, ["acme", "--from", "introspection"]);
    expect(data).toMatchObject({
      ...{ source: "introspection", active: true, subject: "alice", account: "alice" },
      scope: "openid email profile",
    });
    expect(asked().at(-1)).toBe("/token/introspection");
  });

  test("without an ID token whoever can is asked, one after the other", async () => {
    const { data, events } = await whoami(home, ["acme", "--connection", "plain"]);
    expect(data).toMatchObject({ source: "introspection", account: "alice", scope: "api:read" });
    expect(events.filter(({ step }) => step === "account").map(({ state }) => state)).toEqual([
      "started",
      "failed",
      "started",
    ]);
  });

  test("a client that signed in as itself is one, and no person is asked for", async () => {
    const { data, events } = await whoami(home, ["acme", "--connection", "robot"]);
    expect(data).toMatchObject({ source: "introspection", account: server.clients.confidential.id });
    expect(events.map(({ message }) => message).slice(0, -1)).toEqual(["Asking the introspection endpoint."]);
  });

  test("for people: the sentence, and a fact a line", async () => {
    const { stderr } = await whoami(home);
    expect(stderr).toContain("Signed in to acme as alice@example.com, says its ID token.\nsubject: alice\n");
    expect(stderr).toContain("name: Alice Example\n");
  });

  // The last one: it ends all tokens.
  test("a token that the server has ended is refreshed once, and asked with again", async () => {
    server.expireAccessTokens();
    const { data, events } = await whoami(home, ["acme", "--from", "userinfo"]);
    expect(data).toMatchObject({ source: "userinfo", subject: "alice" });
    expect(events.map(({ step, state }) => `${step} ${state}`)).toContain("refresh done");
  });
});

describe("at a server that lies or fails", () => {
  test("an ID token that is out still says who it was, and that it is out is said", async () => {
    await withCredential(
      {},
      async ({ home }) => {
        const { data, result } = await whoami(home);
        expect(data).toMatchObject({ source: "id_token", subject: "alice" });
        expect(result?.warnings).toMatchObject([{ code: "id_token_expired" }]);
      },
      { exp: -60 },
    );
  });

  test.each([
    ["of another server", { iss: "https://evil.example" }],
    ["for another client", { aud: "another" }],
    ["for others beside another client", { aud: ["one", "two"] }],
    ["of another subject", { sub: "mallory" }],
  ])("an ID token %s is refused", async (_, claims) => {
    await withCredential(
      {},
      async ({ home }) => {
        const { error } = await whoami(home, ["acme", "--from", "id_token"]);
        expect(error).toMatchObject({ code: "provider" });
      },
      claims,
    );
  });

  test("userinfo of another subject is an error, also where others could be asked (OIDC Core §5.3.2)", async () => {
    const json = { sub: "mallory", email: "mallory@example.com" };
    const body = async ({ home }: { home: string }) => {
      const { error, stdout } = await whoami(home);
      expect(error).toMatchObject({ code: "provider", reason: "subject_mismatch" });
      expect(String(stdout)).not.toContain("mallory");
    };
    await withCredential({ "GET /userinfo": { json } }, body, null);
  });

  const refusals: [string, string, Routes][] = [
    ["userinfo", "GET /userinfo", { "GET /userinfo": { status: 401, headers: { "www-authenticate": "Bearer" } } }],
    ["introspection", "POST /introspect", { "POST /introspect": { json: { active: false } } }],
    ["account", "GET /account", { "GET /account": { status: 401, json: { message: "Bad credentials" } } }],
  ];
  test.each(refusals)("a token that %s says is dead: somebody has to sign in", async (from, _, routes) => {
    await withCredential(routes, async ({ home }) => {
      const { error, code, result } = await whoami(home, ["acme", "--from", from]);
      expect({ code, error }).toMatchObject({ code: 4, error: { code: "auth_expired", reason: "token_refused" } });
      expect(result?.next_actions).toEqual([
        { id: "login", argv: ["authline", "login", "acme"], description: "Sign in to acme." },
      ]);
    });
  });

  test("a token that is refused is refreshed once, and no more", async () => {
    const routes = {
      "GET /userinfo": { status: 401 },
      "POST /token": [{ json: { access_token: FRESH, token_type: "Bearer", expires_in: 3600 } }],
    };
    await withCredential(
      routes,
      async ({ home, server }) => {
        const { error } = await whoami(home, ["acme", "--from", "userinfo"]);
        expect(error).toMatchObject({ code: "auth_expired", http_status: 401 });
        expect(server.requests.map(({ headers }) => headers.authorization ?? "")).toEqual([
          `Bearer ${ACCESS}`,
          "",
          `Bearer ${FRESH}`,
        ]);
      },
      {},
      { refresh_token: REFRESH },
    );
  });

  test.each([
    ["HTML", { text: "<html>", headers: { "content-type": "text/html" } }],
    ["no subject", { json: { email: "a@b.example" } }],
    ["503", { status: 503 }],
    ["403", { status: 403, json: { error: "insufficient_scope" } }],
  ])("userinfo that answers %s is passed over, and told", async (_, answer) => {
    const routes = { "GET /userinfo": answer, "POST /introspect": { json: { active: true, username: "alice" } } };
    await withCredential(
      routes,
      async ({ home }) => {
        const { data, events } = await whoami(home);
        expect(data).toMatchObject({ source: "introspection", account: "alice" });
        expect(events.map(({ state }) => state)).toEqual(["started", "failed", "started", undefined]);
        expect(events[1]).toMatchObject({ phase: "progress", step: "account" });
      },
      null,
    );
  });

  test.each([
    [1000, true],
    [1001, false],
  ])("a scope of %d characters is told: %s, and never a part of one", async (length, isTold) => {
    const scope = "s".repeat(length);
    await withCredential({ "POST /introspect": { json: { active: true, scope } } }, async ({ home }) => {
      const { data } = await whoami(home, ["acme", "--from", "introspection"]);
      expect(data.scope).toBe(isTold ? scope : undefined);
    });
  });

  test("what a server says is neutralised and cut, and nothing else of it goes on", async () => {
    const json = {
      sub: "alice",
      name: "\u001b[31mA\u202e",
      email: "x".repeat(5000),
      phone_number: "+1",
      secret: ACCESS,
    };
    await withCredential({ "GET /userinfo": { json } }, async ({ home }) => {
      const { data, stdout } = await whoami(home, ["acme", "--from", "userinfo"]);
      expect(data.name).toBe("\ufffd[31mA\ufffd");
      expect(data.email.length).toBeLessThan(300);
      expect(data).not.toHaveProperty("phone_number");
      expect(
        Math.max(
          ...String(stdout)
            .split("\n")
            .map((line) => Buffer.byteLength(line)),
        ),
      ).toBeLessThan(4096);
    });
  });
});

describe("the account endpoint", () => {
  test("names the account where the server is still the one of the definition", async () => {
    const account = { "GET /account": { json: { data: { login: "octocat" }, email: "no@body.example" } } };
    await withCredential(account, async ({ home, server }) => {
      const { data } = await whoami(home, ["acme", "--from", "account"]);
      expect(data).toMatchObject({ source: "account", account: "octocat" });
      expect(data).not.toHaveProperty("email");
      expect(server.requests.at(-1)?.headers.authorization).toBe(`Bearer ${ACCESS}`);
    });
  });

  test("is not shown a credential that another server has issued", async () => {
    await withCredential({}, async ({ home, server }) => {
      const another = `${server.url}/another`;
      await storeAt(home).learn({
        v: 1,
        provider: "acme",
        definition: { ...definitionAt(server), issuer: another },
        secrets: {},
      });
      const { error } = await whoami(home, ["acme", "--from", "account"]);
      expect(error).toMatchObject({ code: "config", message: expect.stringContaining("names no account endpoint") });
      expect(server.requests).toEqual([]);
    });
  });

  test("says whose a token of the environment is", async () => {
    await withCredential({ "GET /account": { json: { data: { login: "octocat" } } } }, async ({ home, server }) => {
      const { data } = await whoami(home, ["acme"], { env: { AUTHLINE_TOKEN_ACME: FRESH } });
      expect(data).toEqual({ provider: "acme", connection: "default", source: "account", account: "octocat" });
      expect(server.requests.at(-1)?.headers.authorization).toBe(`Bearer ${FRESH}`);
    });
  });

  test("of API keys is the one that a key is tried with, with the key's own header", async () => {
    await withCredential({ "GET /keys/me": { json: { owner: "ada" } } }, async ({ home, server }) => {
      const api_key = { header: { name: "X-Api-Key" }, verify: { endpoint: `${server.url}/keys/me`, field: "owner" } };
      await storeAt(home).learn({ v: 1, provider: "keys", definition: { issuer: server.url, api_key }, secrets: {} });
      const { data } = await whoami(home, ["keys"], { env: { AUTHLINE_TOKEN_KEYS: FRESH } });
      expect(data).toMatchObject({ source: "account", account: "ada" });
      expect(server.requests.at(-1)?.headers).toMatchObject({ "x-api-key": FRESH });
      expect(server.requests.at(-1)?.headers).not.toHaveProperty("authorization");
    });
  });
});

describe("nobody to ask", () => {
  test("is said, with what each one lacks", async () => {
    await withCredential(
      {},
      async ({ home }) => {
        const { error, code } = await whoami(home);
        expect(code).toBe(78);
        expect(error?.message).toMatch(/no ID token came with it, the server has no userinfo endpoint/);
      },
      null,
      { bare: true },
    );
  });

  test("who is not signed in is told how to", async () => {
    const { code, error, result } = await whoami(tempHome(), ["github"]);
    expect({ code, error }).toMatchObject({ code: 4, error: { code: "auth_required" } });
    expect(result?.next_actions).toMatchObject([{ argv: ["authline", "login", "github"] }]);
  });

  test("a provider that nobody knows is not found", async () => {
    expect((await whoami(tempHome(), ["nowhere"])).error).toMatchObject({ code: "not_found" });
  });

  test("a source that there is none of is misuse", async () => {
    expect((await whoami(tempHome(), ["github", "--from", "stars"])).error).toMatchObject({ code: "usage" });
  });
});

const definitionAt = ({ url }: HostileServer): Partial<Definition> => ({
  issuer: url,
  account: { endpoint: `${url}/account`, field: "data.login" },
});

/** A home that is signed in; `claims` are laid over those of a good ID token (null: there is none). */
async function withCredential(
  routes: Routes,
  body: (scene: { home: string; server: HostileServer }) => Promise<void>,
  claims: Record<string, unknown> | null = {},
  { refresh_token, bare }: { refresh_token?: string; bare?: true } = {},
): Promise<void> {
  const server = await startHostileServer(routes);
  const home = tempHome();
  try {
    const store = storeAt(home);
    await store.prepare();
    const then = new Date(Date.now() - 600_000).toISOString();
    const now = Math.floor(Date.now() / 1000);
    const { exp = 3600, ...over } = claims ?? {};
    const good = { iss: server.url, aud: CLIENT, sub: "alice", iat: now - 600, exp: now + Number(exp) };
    const endpoints = {
      userinfo_endpoint: `${server.url}/userinfo`,
      introspection_endpoint: `${server.url}/introspect`,
    };
    const record: Connection = {
      v: 1,
      provider: "acme",
      connection: "default",
      flow: "authorization_code",
      server: { issuer: server.url, token_endpoint: `${server.url}/token`, ...(!bare && endpoints) },
      client: { client_id: CLIENT, token_endpoint_auth_method: "none" },
      token_type: "bearer",
      subject: "alice",
      created_at: then,
      updated_at: then,
      expires_at: new Date(Date.now() + 3600_000).toISOString(),
      refreshable: refresh_token !== undefined,
      secrets: {
        access_token: ACCESS,
        ...(refresh_token && { refresh_token }),
        ...(claims && { id_token: signIdToken({ ...good, ...over }) }),
      },
    };
    await store.keep(record);
    const definition = bare ? { issuer: server.url } : definitionAt(server);
    await store.learn({ v: 1, provider: "acme", definition, secrets: {} });
    await body({ home, server });
  } finally {
    await server.close();
  }
}
