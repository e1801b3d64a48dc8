/**
 * The main job, from end to end: the built binary signs in to a real oidc-provider, and the server's own records agree.
 *
 * What is protected: whoever signs in gets exactly what the server issued, and keeps it. A refresh never loses a token, a
 * logout leaves nothing behind on either side, a server's bad moment costs nothing that is still good, and no secret
 * shows up on a stream that was not asked for it. Every run in this file goes through `run`, which judges its streams.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type AuthorizationServer,
  type AuthorizationServerOptions,
  startAuthorizationServer,
} from "./support/authorization-server.ts";
import { signInWithBrowser, startBrowser } from "./support/browser.ts";
import { metadata, startHostileServer } from "./support/hostile-server.ts";
import { program } from "./support/inside.ts";
import { approveRedirect, visit } from "./support/person.ts";
import { connectionSecrets } from "./support/sealed.ts";
import { leftovers, type Options, type Run, sweep, tempHome } from "./support/spawn.ts";
import { checkStream, type Event, leaks } from "./support/stream.ts";

let home: string;
let server: AuthorizationServer;

beforeEach(() => {
  home = tempHome();
});
afterEach(async () => {
  await server?.close();
  expect(await sweep()).toEqual([]);
});

/** With an interval of a second: the five of RFC 8628 would be waited for. */
async function start(options: AuthorizationServerOptions = {}): Promise<void> {
  server = await startAuthorizationServer({ interval: 1, ...options });
}

interface Ended extends Run {
  result: Event;
}

/** Runs a command to its end, lets a person answer its challenge, and judges everything that came out of it. */
async function run(argv: string[], { person, ...options }: Options & { person?: PersonAtWork } = {}): Promise<Ended> {
  const before = storedSecrets();
  const running = program(argv, { home, ...options });
  let challenge: Event | undefined;
  if (person) {
    challenge = await running.next(({ phase }) => phase === "auth_url" || phase === "device_code");
    try {
      await person(challenge);
    } catch (error) {
      running.kill("SIGTERM");
      throw error;
    }
  }
  const ended = await running.done;
  const result = ended.events.at(-1);
  if (!result) throw new Error(`${argv.join(" ")} said nothing on stdout; on stderr: ${ended.stderr}`);

  const { state, nonce, ...rest } = Object.fromEntries(new URL(challenge?.auth_url ?? "none:").searchParams);
  const inUrl = [state, nonce].filter((value) => value !== undefined);
  expect(Object.keys(rest)).not.toContain("code_verifier");
  const secrets = [...new Set([...inUrl, ...issued(), ...before, ...storedSecrets()])];
  const { access_token } = result.data ?? {};
  const allow = { auth_url: inUrl, ...(access_token && { "data.access_token": [access_token] }) };
  expect(checkStream(ended.stdout, { command: argv[0] ?? "", exitCode: ended.code, secrets, allow })).toEqual([]);
  const said = ended.stderr.replaceAll(challenge?.auth_url ?? "\0", ""); // a person has to be told the whole address
  expect(leaks(said, secrets)).toEqual([]);
  expect(await leftovers(ended)).toEqual([]);
  return { ...ended, result };
}

type PersonAtWork = (challenge: Event) => Promise<unknown>;

/** What the server knows to be secret: whatever it issued, dead or alive, and its clients' passwords. */
function issued(): string[] {
  if (!server) return [];
  const { accessTokens, refreshTokens, deviceCodes } = server.records();
  const { confidential, post } = server.clients;
  return [...[...accessTokens, ...refreshTokens, ...deviceCodes].map(({ id }) => id), confidential.secret, post.secret];
}

/** What authline keeps as secret, the ID tokens among it, which the server does not remember. */
function storedSecrets(): string[] {
  return connectionSecrets(home);
}

function connectionFiles(): string[] {
  const directory = join(home, "connections");
  return existsSync(directory) ? readdirSync(directory).map((file) => join(directory, file)) : [];
}

/** The options that a first login needs; what is given comes on top. */
const acme = (...more: string[]) => ["acme", "--issuer", server.issuer, "--client-id", server.clients.native, ...more];

const ALL_SCOPES = "openid email offline_access api:read";
const approve: PersonAtWork = ({ user_code = "" }) => server.approveDevice(user_code);
/** A person without a browser, who is sent back to the listener. */
const redirect: PersonAtWork = async ({ auth_url = "" }) => visit(await approveRedirect(auth_url));

const signInByDevice = (...more: string[]) =>
  run(["login", ...acme("--flow", "device_code", "--scope", ALL_SCOPES, ...more)], { person: approve });
const signInByRedirect = (...more: string[]) =>
  run(["login", ...acme("--flow", "authorization_code", "--scope", ALL_SCOPES, ...more)], { person: redirect });
const confidential = (...more: string[]) => [
  "robot",
  ...["--issuer", server.issuer, "--client-id", server.clients.confidential.id, ...more],
];
const fromEnv = () => ({ env: { ROBOT_SECRET: server.clients.confidential.secret } });

async function token(...more: string[]): Promise<Event["data"]> {
  const { result } = await run(["token", "acme", ...more]);
  expect(result.error).toBeUndefined();
  return result.data;
}

async function statusOf(name: string, connection = "default"): Promise<Event["data"]> {
  const { result } = await run(["status", name]);
  return result.data.connections.find((one: { connection: string }) => one.connection === connection);
}

const active = (records: readonly { active: boolean; id: string }[]) =>
  records.filter((one) => one.active).map(({ id }) => id);
const requestsTo = (path: string) => server.requests.filter((request) => request.path === path);
/** The time that the server set is all there is to wait for. */
const ended = async (expires_at: string) => sleep(Math.max(0, Date.parse(expires_at) - Date.now()) + 1);

/** Whoever signed in, from here on it goes the same way: `token`, a forced refresh, `logout`, and nothing is left. */
async function restOfTheStory(scope: string): Promise<void> {
  const [first, ...others] = active(server.records().accessTokens);
  const [oldRefresh, ...otherRefreshes] = active(server.records().refreshTokens);
  expect([others, otherRefreshes]).toEqual([[], []]);
  expect(server.records().accessTokens[0]).toMatchObject({ accountId: "alice", clientId: "authline-demo", scope });

  const asked = server.requests.length;
  const stored = await token();
  expect(stored).toMatchObject({ access_token: first, token_type: "bearer", scope, refreshed: false });
  expect(stored.expires_in).toBeGreaterThan(3500);
  expect(server.requests.slice(asked)).toEqual([]); // a good token costs no request

  const renewed = await token("--refresh");
  expect(renewed).toMatchObject({ refreshed: true, scope });
  expect(renewed.access_token).not.toBe(first);
  expect(await server.isActive(renewed.access_token)).toBe(true);
  expect(requestsTo("/token").at(-1)).toMatchObject({ grant_type: "refresh_token", status: 200 });
  const [newRefresh, ...more] = active(server.records().refreshTokens);
  expect(more).toEqual([]);
  expect(newRefresh).not.toBe(oldRefresh); // rotated
  expect(await server.isRefreshTokenActive(oldRefresh ?? "")).toBe(false);
  expect(await token()).toMatchObject({ access_token: renewed.access_token, refreshed: false }); // and it was kept
  expect(storedSecrets()).toContain(newRefresh);
  expect(storedSecrets()).not.toContain(oldRefresh);

  expect(await statusOf("acme")).toMatchObject({
    record_status: "connected",
    account: "alice@example.com",
    scope,
    refreshable: true,
    issuer: server.issuer,
    client_id: "authline-demo",
  });

  const { result, events } = await run(["logout", "acme"]);
  expect(result).toMatchObject({ status: "success", warnings: [] });
  expect(result.data.connections).toEqual([
    {
      provider: "acme",
      connection: "default",
      record_status: "absent",
      steps: [
        { step: "refresh_token", state: "done" },
        { step: "access_token", state: "done" },
        { step: "local_record", state: "done" },
      ],
      sign_out_url: `${server.issuer}/session/end?client_id=authline-demo`,
    },
  ]);
  expect(events.map(({ step, state }) => `${step} ${state}`).slice(0, -1)).toEqual([
    "revoke done",
    "revoke done",
    "store done",
  ]);
  expect(await server.isActive(renewed.access_token)).toBe(false);
  expect(await server.isRefreshTokenActive(newRefresh ?? "")).toBe(false);
  expect(active(server.records().refreshTokens)).toEqual([]);
  expect(connectionFiles()).toEqual([]);
  expect((await run(["token", "acme"])).result.error?.code).toBe("auth_required");
}

describe("a device login", () => {
  test("then token, a forced refresh, logout; the server's records agree", async () => {
    await start();
    const { result, events, code } = await signInByDevice();
    expect(code).toBe(0);
    const challenge = events.find(({ phase }) => phase === "device_code");
    expect(challenge).toMatchObject({ interval: 1, verification_uri: `${server.issuer}/device` });
    expect(challenge?.verification_uri_complete).toContain(challenge?.user_code);
    expect(result.data).toMatchObject({
      provider: "acme",
      connection: "default",
      record_status: "connected",
      scope: ALL_SCOPES,
      account: "alice@example.com",
    });
    expect(server.records().deviceCodes).toMatchObject([{ consumed: true, accountId: "alice" }]);
    await restOfTheStory(ALL_SCOPES);
  });

  test("denied by the person: exit 77, nothing stored, nothing issued", async () => {
    await start();
    const { result, code } = await run(["login", ...acme("--flow", "device_code", "--scope", "openid")], {
      person: ({ user_code = "" }) => server.denyDevice(user_code),
    });
    expect([code, result.error?.code, result.error?.oauth_error]).toEqual([77, "denied", "access_denied"]);
    expect(server.records().accessTokens).toEqual([]);
    expect(connectionFiles()).toEqual([]);
  });
});

describe("a browser login, in a real headless Chromium", () => {
  let browser: Browser | undefined;
  afterAll(async () => browser?.close());

  /** Through the login page and the consent page; checks what the person is left with. */
  const browse = async (
    url: string | undefined,
    redirect_uri: string | undefined,
    decision: "allow" | "deny" = "allow",
  ) => {
    browser ??= await startBrowser();
    const requested: string[] = [];
    const landing = await signInWithBrowser(url ?? "", {
      browser,
      decision,
      inspect: async (page) => {
        requested.push(
          ...((await page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")) as string[]),
        );
      },
    });
    expect(landing.url).toBe(redirect_uri); // no code, no state, nothing in the address bar
    expect(requested.filter((one) => !one.startsWith("data:"))).toEqual([]);
    return landing;
  };
  const GRANTED = "openid email api:read"; // the server drops offline_access unless the request says prompt=consent

  test("then token, a forced refresh, logout; the server's records agree", async () => {
    await start();
    const { result, code } = await run(["login", ...acme("--flow", "authorization_code", "--scope", ALL_SCOPES)], {
      async person({ auth_url, redirect_uri, browser_opened }) {
        expect(browser_opened).toBe(false);
        expect(redirect_uri).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/callback$/);
        const { title, text } = await browse(auth_url, redirect_uri);
        expect(title).toBe("You’re signed in to acme");
        expect(text).toContain("You’re signed in to acme");
      },
    });
    expect(code).toBe(0);
    expect(result.data).toMatchObject({ record_status: "connected", scope: GRANTED, account: "alice@example.com" });
    expect(result.warnings).toMatchObject([{ code: "key_in_file" }]); // the first login here, and nothing else to say
    await restOfTheStory(GRANTED);
  });

  test("declined on the consent page: the page says so, exit 77, nothing stored", async () => {
    await start();
    const { result, code } = await run(["login", ...acme("--flow", "authorization_code", "--scope", "openid")], {
      async person({ auth_url, redirect_uri }) {
        const { title, text } = await browse(auth_url, redirect_uri, "deny");
        expect(title).toBe("Sign-in to acme was declined");
        expect(text).not.toContain("the person said no"); // the server's words stay out of the page
      },
    });
    expect([code, result.error?.code, result.error?.oauth_error]).toEqual([77, "denied", "access_denied"]);
    expect(result.error?.oauth_error_description).toBe("the person said no");
    expect(server.records().accessTokens).toEqual([]);
    expect(connectionFiles()).toEqual([]);
  });

  test("--browser always hands the address to $BROWSER, whole and once", async () => {
    await start();
    const script = join(home, "open with spaces.sh");
    writeFileSync(script, `#!/bin/sh\nprintf '%s\\n' "$#" "$@" >> "${home}/opened"\n`, { mode: 0o755 });
    const { result } = await run(
      ["login", ...acme("--flow", "authorization_code", "--scope", "openid", "--browser", "always")],
      {
        env: { BROWSER: script },
        async person({ auth_url, redirect_uri, browser_opened, message }) {
          expect(browser_opened).toBe(true);
          expect(message).toContain("Your browser was opened");
          const opened = readFileSync(join(home, "opened"), "utf8").split("\n");
          expect(opened).toEqual(["1", auth_url, ""]);
          await browse(opened[1], redirect_uri);
        },
      },
    );
    expect(result.error).toBeUndefined();
  });

  test.each([
    ["is missing", "/nowhere/at/all"],
    ["fails", "/bin/false"],
  ])("a $BROWSER that %s costs nothing: the address is there", async (_how, BROWSER) => {
    await start();
    const { result } = await run(
      ["login", ...acme("--flow", "authorization_code", "--scope", "openid", "--browser", "always")],
      {
        env: { BROWSER },
        async person(challenge) {
          expect(challenge.browser_opened).toBe(false);
          await redirect(challenge);
        },
      },
    );
    expect(result.error).toBeUndefined();
  });

  const hasIPv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === "::1"));

  test.for([
    ["localhost", "http://localhost/callback", /^http:\/\/localhost:\d+\/callback$/],
    ["[::1]", "http://[::1]/callback", /^http:\/\/\[::1\]:\d+\/callback$/],
  ] as const)("comes back to %s", async ([host, uri, expected], { skip }) => {
    skip(host === "[::1]" && !hasIPv6, "this machine has no IPv6");
    await start({
      configure: ({ clients = [], ...rest }) => ({
        ...rest,
        clients: clients.map((one) => ({
          ...one,
          redirect_uris: [...(one.redirect_uris ?? []), "http://[::1]/callback"],
        })),
      }),
    });
    const { result } = await run(
      ["login", ...acme("--flow", "authorization_code", "--scope", "openid", "--redirect-uri", uri)],
      {
        async person({ auth_url, redirect_uri }) {
          expect(redirect_uri).toMatch(expected);
          await browse(auth_url, redirect_uri);
        },
      },
    );
    expect(result.error).toBeUndefined();
  });
});

test("a fixed port is the one that is used, and is learned", async () => {
  await start();
  const port = await freePort();
  const uri = `http://127.0.0.1:${port}/callback`;
  const first = await signInByRedirect("--redirect-uri", uri);
  expect(first.events.find(({ phase }) => phase === "auth_url")?.redirect_uri).toBe(uri);
  const again = await run(["login", "acme", "--flow", "authorization_code"], { person: redirect });
  expect(again.events.find(({ phase }) => phase === "auth_url")?.redirect_uri).toBe(uri);
});

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

describe("a client signs in as itself", () => {
  const login = (source: string, options: Options = {}) =>
    run(["login", ...confidential("--flow", "client_credentials", "--client-secret-from", source)], options);

  /** Where somebody keeps a secret, which is not authline's home. */
  const vault = mkdtempSync(join(tmpdir(), "authline-vault-"));
  afterAll(() => rmSync(vault, { recursive: true }));

  test.each<[string, (secret: string) => Promise<Ended>]>([
    ["env:", (ROBOT_SECRET) => login("env:ROBOT_SECRET", { env: { ROBOT_SECRET } })],
    ["stdin", (secret) => login("stdin", { stdin: secret })],
    ["stdin, with a line end", (secret) => login("stdin", { stdin: `${secret}\n` })],
    [
      "file:",
      (secret) => {
        writeFileSync(join(vault, "secret of mine"), `${secret}\n`);
        return login(`file:${join(vault, "secret of mine")}`);
      },
    ],
    [
      "cmd:",
      (secret) => {
        writeFileSync(join(vault, "vault"), secret);
        return login(`cmd:cat "${join(vault, "vault")}" | cat`);
      },
    ],
  ])("client_secret_basic, the secret from %s", async (_source, signIn) => {
    await start();
    const { result } = await signIn(server.clients.confidential.secret);
    expect(result.error).toBeUndefined();
    expect(server.requests.at(-1)).toMatchObject({ grant_type: "client_credentials", auth: "basic", status: 200 });
    const [record] = server.records().accessTokens;
    expect(record).toMatchObject({ kind: "ClientCredentials", clientId: "authline-confidential", active: true });
    const { data } = (await run(["token", "robot"])).result;
    expect(data).toMatchObject({ access_token: record?.id, refreshed: false });
  });

  test("a wrong secret is refused, with a hint and without the secret", async () => {
    await start();
    const wrong = "not the secret at all";
    const { result, code, stdout, stderr } = await login("env:WRONG", { env: { WRONG: wrong } });
    expect([code, result.error?.code]).toEqual([76, "provider"]);
    expect(result.error?.hint).toContain("--client-secret-from");
    expect(leaks(`${stdout}${stderr}`, [wrong])).toEqual([]);
    expect(connectionFiles()).toEqual([]);
  });

  test.each([
    ["env:NOT_SET", "NOT_SET"],
    ["file:/nowhere/at/all", "/nowhere/at/all"],
    ["cmd:echo hush-hush; exit 3", "exit code 3"],
    ["stdin", "standard input"],
  ])("a source that holds nothing is config (%s)", async (source, named) => {
    await start();
    const { result, code, stdout, stderr } = await login(source);
    expect([code, result.error?.code]).toEqual([78, "config"]);
    expect(result.message).toContain(named);
    expect(leaks(`${stdout}${stderr}`, ["hush-hush"])).toEqual([]);
    expect(requestsTo("/token")).toEqual([]);
  });

  test("client_secret_post, where the server takes nothing else", async () => {
    await start({
      configure: (config) => ({
        ...config,
        clientAuthMethods: ["client_secret_post", "none"],
        clients:
          config.clients?.filter(
            ({ token_endpoint_auth_method }) => token_endpoint_auth_method !== "client_secret_basic",
          ) ?? [],
      }),
    });
    const { id, secret } = server.clients.post;
    const login = ["login", "robot", "--issuer", server.issuer, "--client-id", id, "--flow", "client_credentials"];
    const { result } = await run([...login, "--client-secret-from", "env:POSTED"], { env: { POSTED: secret } });
    expect(result.error).toBeUndefined();
    expect(server.requests.at(-1)).toMatchObject({ grant_type: "client_credentials", auth: "post", status: 200 });
  });

  test("is renewed by asking again: with --refresh, and when the token ends", async () => {
    await start({ accessTokenTtl: 1 });
    await login("env:ROBOT_SECRET", fromEnv());
    const forced = (await run(["token", "robot", "--refresh"])).result.data;
    expect(forced.refreshed).toBe(true);
    await ended(forced.expires_at);
    expect((await statusOf("robot")).record_status).toBe("expired");
    const renewed = (await run(["token", "robot", "--min-ttl", "0s"])).result.data;
    expect(renewed.refreshed).toBe(true);
    expect(new Set([...server.records().accessTokens.map(({ id }) => id)]).size).toBe(3);
    expect(requestsTo("/token").map(({ grant_type, auth }) => `${grant_type} ${auth}`)).toEqual(
      Array(3).fill("client_credentials basic"),
    );
  });

  test("is signed out like anybody", async () => {
    await start();
    await login("env:ROBOT_SECRET", fromEnv());
    const { result } = await run(["logout", "robot"]);
    expect(result.data.connections[0].steps).toEqual([
      { step: "access_token", state: "done" },
      { step: "local_record", state: "done" },
    ]);
    expect(active(server.records().accessTokens)).toEqual([]);
  });
});

describe("the second login", () => {
  test("needs only the name: issuer, client and secret were learned", async () => {
    await start();
    const scope = "openid api:read";
    const first = confidential("--flow", "device_code", "--scope", scope, "--client-secret-from", "env:ROBOT_SECRET");
    await run(["login", ...first], { ...fromEnv(), person: approve });
    const { result } = await run(["login", "robot"], { person: approve });
    expect(result.data).toMatchObject({ record_status: "connected", scope });
    const { accessTokens } = server.records();
    expect(accessTokens.map(({ clientId, scope }) => `${clientId} ${scope}`)).toEqual(
      Array(2).fill(`authline-confidential ${scope}`),
    );
    expect(new Set(requestsTo("/token").map(({ auth }) => auth))).toEqual(new Set(["basic"]));
  });

  test("by the name alone works after the logout too", async () => {
    await start();
    await signInByRedirect();
    await run(["logout", "acme"]);
    const { result } = await run(["login", "acme"], { person: approve });
    expect(result.error).toBeUndefined();
  });

  test("of a client that signed in as itself goes the same way again", async () => {
    await start();
    const first = confidential("--flow", "client_credentials", "--client-secret-from", "env:ROBOT_SECRET");
    await run(["login", ...first], fromEnv());
    const { result } = await run(["login", "robot", "--timeout", "2s"]);
    expect(result.error).toBeUndefined();
    expect(requestsTo("/token")).toHaveLength(2);
  });

  test("of another issuer under the same name takes nothing of the first one along", async () => {
    await start();
    await run(
      ["login", ...confidential("--flow", "client_credentials", "--client-secret-from", "env:ROBOT_SECRET")],
      fromEnv(),
    );
    const other = await startAuthorizationServer();
    try {
      const { result, code } = await run(["login", "robot", "--issuer", other.issuer]);
      expect([code, result.error?.code]).toEqual([78, "config"]); // the client ID belongs to the first issuer
      expect(other.requests.filter(({ path }) => path === "/token")).toEqual([]);
    } finally {
      await other.close();
    }
  });
});

test("connections stand side by side without crosstalk", async () => {
  await start();
  await signInByRedirect();
  await run(["login", "acme", "--connection", "work", "--flow", "device_code", "--scope", "openid email"], {
    person: ({ user_code = "" }) => server.approveDevice(user_code, { login: "bob" }),
  });
  const [mine, works] = server.records().accessTokens;
  expect([mine?.accountId, works?.accountId]).toEqual(["alice", "bob"]);
  expect((await token()).access_token).toBe(mine?.id);
  expect(await token("--connection", "work")).toMatchObject({ access_token: works?.id, scope: "openid email" });

  const renewed = await token("--connection", "work", "--refresh");
  expect((await token()).access_token).toBe(mine?.id);
  expect(await server.isActive(mine?.id ?? "")).toBe(true);

  const { result } = await run(["status"]);
  expect(result.data.connections.map((one: Event) => [one.connection, one["account"]])).toEqual([
    ["default", "alice@example.com"],
    ["work", "bob@example.com"],
  ]);

  await run(["logout", "acme"]);
  expect(await server.isActive(mine?.id ?? "")).toBe(false);
  expect((await token("--connection", "work")).access_token).toBe(renewed.access_token);
  expect(await server.isActive(renewed.access_token)).toBe(true);
  const gone = await run(["token", "acme"]);
  expect([gone.code, gone.result.error?.code]).toEqual([4, "auth_required"]);
});

test("what is stored is what was granted, not what was asked for", async () => {
  await start();
  const { result } = await signInByRedirect();
  const granted = server.records().accessTokens[0]?.scope;
  expect(granted).toBe("openid email api:read"); // without offline_access
  expect(result.data.scope).toBe(granted);
  expect((await token()).scope).toBe(granted);
  expect((await statusOf("acme")).scope).toBe(granted);
});

describe("a refresh", () => {
  test("without rotation keeps the refresh token that it has", async () => {
    await start({ rotation: false });
    await signInByRedirect();
    const [refreshToken] = active(server.records().refreshTokens);
    const first = await token("--refresh");
    const second = await token("--refresh");
    expect(first.access_token).not.toBe(second.access_token);
    expect(server.records().refreshTokens.map(({ id }) => id)).toEqual([refreshToken]);
    expect(storedSecrets()).toContain(refreshToken);
  });

  test("whose answer has neither a refresh token nor a scope keeps what there was (RFC 6749 §6)", async () => {
    const answer = (access_token: string) => ({ json: { access_token, token_type: "Bearer", expires_in: 3600 } });
    const device = {
      device_code: "d",
      user_code: "AB-CD",
      verification_uri: "https://x.example",
      expires_in: 60,
      interval: 1,
    };
    const tokens = [
      { json: { ...answer("the first token").json, refresh_token: "the only refresh token", scope: "a b" } },
      answer("the second token"),
      answer("the third token"),
    ];
    const sparse = await startHostileServer((url) => ({
      "GET /.well-known/openid-configuration": { json: metadata(url) },
      "POST /device": { json: device },
      "POST /token": tokens,
    }));
    try {
      const who = ["acme", "--issuer", sparse.url, "--client-id", "cli", "--scope", "a b c", "--flow", "device_code"];
      await run(["login", ...who]);
      expect(await token("--refresh")).toMatchObject({ access_token: "the second token", scope: "a b" });
      expect(await token("--refresh")).toMatchObject({ access_token: "the third token", scope: "a b" });
      const sent = sparse.requests.filter(({ path }) => path === "/token").map(({ form }) => form.get("refresh_token"));
      expect(sent).toEqual([null, "the only refresh token", "the only refresh token"]);
      expect(sparse.unused()).toEqual([]);
    } finally {
      await sparse.close();
    }
  });

  test("happens by itself when less than --min-ttl is left, and only then", async () => {
    await start({ accessTokenTtl: 120 });
    await signInByRedirect();
    expect((await token()).refreshed).toBe(false); // 60s is less than 120
    expect((await token("--min-ttl", "10m")).refreshed).toBe(true);
    expect((await token("--min-ttl", "0s")).refreshed).toBe(false);
    expect(requestsTo("/token").filter(({ grant_type }) => grant_type === "refresh_token")).toHaveLength(1);
  });

  test("of a token that the server no longer takes gives one that it takes", async () => {
    await start();
    await signInByRedirect();
    server.expireAccessTokens();
    expect(await server.isActive((await token()).access_token)).toBe(false); // nobody told us
    expect(await server.isActive((await token("--refresh")).access_token)).toBe(true);
  });

  test("that a dead server denies is a warning while the token lives", async () => {
    await start();
    await signInByRedirect();
    const [mine] = active(server.records().accessTokens);
    await server.close();
    const { result, code } = await run(["token", "acme", "--min-ttl", "2h"], { faults: "hurry" });
    expect([code, result.data.access_token, result.data.refreshed]).toEqual([0, mine, false]);
    expect(result.warnings).toMatchObject([{ code: "refresh_failed" }]);

    // Asked for by name: the old one will not do.
    const forced = await run(["token", "acme", "--refresh"], { faults: "hurry" });
    expect([forced.code, forced.result.error?.code]).toEqual([69, "network"]);
    expect((await token()).access_token).toBe(mine);
  });

  test("that a dead server denies is `network` once the token has ended, and costs no record", async () => {
    await start({ accessTokenTtl: 1 });
    const { result } = await signInByRedirect();
    const port = Number(new URL(server.issuer).port);
    const [refreshToken] = active(server.records().refreshTokens);
    await server.close();
    await ended(result.data.expires_at);
    const kept = connectionFiles().map((file) => readFileSync(file, "utf8"));
    const failed = await run(["token", "acme"], { faults: "hurry" });
    expect([failed.code, failed.result.error?.code, failed.result.error?.retryable]).toEqual([69, "network", true]);
    expect(failed.result.message).toContain(`127.0.0.1:${port}`);
    expect(connectionFiles().map((file) => readFileSync(file, "utf8"))).toEqual(kept);
    expect(storedSecrets()).toContain(refreshToken);
    expect((await statusOf("acme")).record_status).toBe("expired");
  });

  test("that the server refuses for good is `auth_expired`, and says what to do", async () => {
    await start();
    await signInByRedirect("--connection", "work");
    await revokeAtTheServer(active(server.records().refreshTokens)[0]);
    for (const attempt of ["the one that finds out", "the next one"]) {
      const asked = server.requests.length;
      const { result, code } = await run(["token", "acme", "--connection", "work", "--refresh"]);
      expect([attempt, code, result.error?.code]).toEqual([attempt, 4, "auth_expired"]);
      expect(result.next_actions).toMatchObject([
        { id: "login", argv: ["authline", "login", "acme", "--connection", "work"] },
      ]);
      expect(server.requests.slice(asked)).toHaveLength(attempt === "the next one" ? 0 : 1);
    }
    const { result } = await run(["status"]);
    expect(result.data.connections).toMatchObject([{ connection: "work", record_status: "revoked" }]);
    expect(result.next_actions).toMatchObject([{ argv: ["authline", "login", "acme", "--connection", "work"] }]);
    expect(storedSecrets()).toEqual([]); // dead tokens are not kept

    const argv = result.next_actions?.[0]?.argv.slice(1) ?? [];
    expect((await run(argv, { person: approve })).result.data.record_status).toBe("connected");
  });

  /** As somebody else would do it: an administrator, or the person in their account's settings. */
  async function revokeAtTheServer(refreshToken = ""): Promise<void> {
    const body = new URLSearchParams({ token: refreshToken, client_id: server.clients.native });
    const response = await fetch(`${server.issuer}/token/revocation`, { method: "POST", body });
    expect(response.status).toBe(200);
    expect(await server.isRefreshTokenActive(refreshToken)).toBe(false);
  }
});

describe("where nobody is signed in", () => {
  test("token says so at once, asks nobody and nothing, and names the way", async () => {
    await start();
    await signInByRedirect();
    const asked = server.requests.length;
    for (const [argv, way] of [
      [["github"], ["github"]],
      [
        ["acme", "--connection", "work"],
        ["acme", "--connection", "work"],
      ],
    ]) {
      const { result, code, events, durationMs } = await run(["token", ...(argv as string[])]);
      expect([code, result.error?.code, events.length]).toEqual([4, "auth_required", 1]);
      expect(result.next_actions).toMatchObject([{ id: "login", argv: ["authline", "login", ...(way as string[])] }]);
      expect(durationMs).toBeLessThan(3000);
    }
    expect(server.requests.length).toBe(asked);
  });

  test.each(["login", "token", "status", "logout"])(
    "%s of a provider that nobody knows is not_found",
    async (command) => {
      const { result, code } = await run([command, "nowhere"]);
      expect([code, result.error?.code]).toEqual([66, "not_found"]);
    },
  );

  test("logout has nothing to do and says so", async () => {
    const { result, code } = await run(["logout", "github"]);
    expect([code, result.error?.code]).toEqual([66, "not_found"]);
    expect(result.next_actions).toMatchObject([{ argv: ["authline", "login", "github"] }]);
  });
});

describe("logout", () => {
  test("deletes here even if the server is gone, and warns for each token", async () => {
    await start();
    await signInByRedirect();
    await server.close();
    const { result, code, events } = await run(["logout", "acme"]);
    expect([code, connectionFiles()]).toEqual([0, []]);
    expect(result.warnings).toMatchObject([{ code: "revocation_failed" }, { code: "revocation_failed" }]);
    expect(events.filter(({ step }) => step === "revoke")).toMatchObject([
      { state: "failed", reason: "network" },
      { state: "failed", reason: "network" },
    ]);
    expect(result.data.connections[0].steps.map(({ state }: Event) => state)).toEqual(["failed", "failed", "done"]);
  });

  test("warns where the server has no way to revoke", async () => {
    await start({
      configure: ({ features, ...rest }) => ({ ...rest, features: { ...features, revocation: { enabled: false } } }),
    });
    await signInByRedirect();
    const { result, code } = await run(["logout", "acme"]);
    expect([code, connectionFiles()]).toEqual([0, []]);
    expect(result.warnings).toMatchObject([{ code: "revocation_skipped" }, { code: "revocation_skipped" }]);
  });

  test("--all signs out of every connection of the provider and of no other", async () => {
    await start();
    await signInByRedirect();
    await run(["login", "acme", "--connection", "work", "--flow", "authorization_code", "--scope", "openid"], {
      person: redirect,
    });
    await run(
      ["login", ...confidential("--flow", "client_credentials", "--client-secret-from", "env:ROBOT_SECRET")],
      fromEnv(),
    );
    const { result } = await run(["logout", "acme", "--all"]);
    expect(result.data.connections.map(({ connection }: Event) => connection)).toEqual(["default", "work"]);
    expect(active(server.records().refreshTokens)).toEqual([]);
    const left = active(server.records().accessTokens);
    expect((await run(["token", "robot"])).result.data.access_token).toBe(left[0]);
    expect(left).toHaveLength(1);
  });
});

test("status shows who, what and until when, and no secret in any disguise", async () => {
  await start();
  await signInByRedirect();
  await run(
    ["login", ...confidential("--flow", "client_credentials", "--client-secret-from", "env:ROBOT_SECRET")],
    fromEnv(),
  );
  const secrets = [...issued(), ...storedSecrets()];
  expect(secrets.length).toBeGreaterThan(6);
  const { stdout, stderr, result } = await run(["status"]);
  expect(leaks(`${stdout}\n${stderr}`, secrets)).toEqual([]);
  expect(result.data.connections).toMatchObject([
    { provider: "acme", flow: "authorization_code", record_status: "connected", account: "alice@example.com" },
    { provider: "robot", flow: "client_credentials", record_status: "connected", refreshable: true },
  ]);
  expect(Date.parse(result.data.connections[0].expires_at)).toBeGreaterThan(Date.now());
  for (const file of connectionFiles()) expect(statSync(file).mode & 0o777).toBe(0o600);
});
