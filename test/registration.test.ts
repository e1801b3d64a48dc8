/**
 * Signing in as a client that nobody was given: registered by authline, or described by a document.
 * Source: RFC 7591, RFC 7592, draft-ietf-oauth-client-id-metadata-document.
 *
 * What is protected: one client an issuer, whoever asks and however many at once; what is begun as one client ends as that
 * one, also in another process; a client that the server has forgotten costs a new registration and nothing else; what a
 * registration is made with goes to the registration endpoint alone, and nowhere else.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type AuthorizationServer,
  type AuthorizationServerOptions,
  startAuthorizationServer,
} from "./support/authorization-server.ts";
import { type HostileServer, metadata, type Route, startHostileServer } from "./support/hostile-server.ts";
import { program } from "./support/inside.ts";
import { remember } from "./support/issued.ts";
import { approveRedirect, visit } from "./support/person.ts";
import { opened } from "./support/sealed.ts";
import { authline, type Options, sweep, tempHome } from "./support/spawn.ts";
import { checkStream, type Event } from "./support/stream.ts";

let home: string;
let close: () => Promise<void>;

beforeEach(() => {
  home = tempHome();
  close = async () => {};
});
afterEach(async () => {
  await close();
  expect(await sweep()).toEqual([]);
});

async function run(argv: string[], options: Options = {}): Promise<Event & { events: Event[] }> {
  const { stdout, code, events } = await program(argv, { home, ...options }).done;
  const command = argv[0] === "store" ? argv.slice(0, 2).join(" ") : (argv[0] ?? "");
  expect(checkStream(stdout, { command, exitCode: code })).toEqual([]);
  return { ...(events.at(-1) as Event), events };
}

/** What is kept of the clients that were registered. */
const kept = () =>
  readdirSync(join(home, "clients")).map((file) => JSON.parse(readFileSync(join(home, "clients", file), "utf8")));

const reasons = (events: Event[], step: string) =>
  events.flatMap((event) => (event.step === step ? [`${event.state}${event.reason ? ` ${event.reason}` : ""}`] : []));

describe("a real server", () => {
  let server: AuthorizationServer;

  async function start(options: AuthorizationServerOptions = {}): Promise<void> {
    server = await startAuthorizationServer({ interval: 1, registrationManagement: true, ...options });
    close = () => server.close();
  }

  const to = () => ["--issuer", server.issuer, "--browser", "never", "--scope", "openid offline_access"];

  async function signIn(provider = "acme", ...more: string[]): Promise<Event & { events: Event[] }> {
    const login = program(["login", provider, ...to(), "--flow", "authorization_code", ...more], { home });
    const { auth_url = "" } = await login.next("auth_url");
    await visit(await approveRedirect(auth_url));
    const { code, events, stdout } = await login.done;
    expect(checkStream(stdout, { command: "login", exitCode: code })).toEqual([]);
    expect(code).toBe(0);
    return { ...(events.at(-1) as Event), events };
  }

  const registered = () => server.records().clients;
  const asked = (method: string, path: RegExp) =>
    server.requests.filter((request) => request.method === method && path.test(request.path));

  test("is registered with once: every provider name and every later login of the issuer comes as the same client", async () => {
    await start();
    expect(reasons((await signIn()).events, "register")).toEqual(["started", "done"]);
    expect(reasons((await signIn("other", "--connection", "work")).events, "register")).toEqual([]);
    await signIn();
    expect(registered()).toHaveLength(1);
    expect(asked("POST", /^\/reg$/)).toHaveLength(1);
    expect(asked("GET", /^\/reg\//).map(({ status, auth }) => [status, auth])).toEqual([
      [200, "bearer"],
      [200, "bearer"],
    ]);
    const [client] = kept();
    expect(client).toMatchObject({ issuer: server.issuer, token_endpoint_auth_method: "none" });
    expect(client.redirect_uri).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/callback$/);
    expect(JSON.stringify(client)).not.toContain("registration_access_token");
    const { events } = await run(["status"]);
    expect(events.at(-1)?.data.connections.map((each: { client_id: string }) => each.client_id)).toEqual([
      client.client_id,
      client.client_id,
    ]);
  });

  test("takes the registered client with a device code, too", async () => {
    await start();
    const login = program(["login", "acme", ...to(), "--flow", "device_code"], { home });
    const { user_code = "" } = await login.next("device_code");
    await server.approveDevice(user_code);
    expect((await login.done).code).toBe(0);
    expect((await run(["token", "acme", "--refresh"])).data).toMatchObject({ refreshed: true });
  });

  test("registers once where five sign in at the same time", async () => {
    await start();
    const logins = ["a", "b", "c", "d", "e"].map((name) =>
      authline(["login", "acme", ...to(), "--flow", "authorization_code", "--connection", name], { home }),
    );
    await Promise.all(
      logins.map(async (login) => {
        const { auth_url = "" } = await login.next("auth_url");
        await visit(await approveRedirect(auth_url));
        expect((await login.done).code).toBe(0);
      }),
    );
    expect(asked("POST", /^\/reg$/)).toHaveLength(1);
  });

  test("goes on as the same client in another process, when the first one was killed", async () => {
    await start();
    const login = authline(["login", "acme", ...to(), "--flow", "authorization_code"], { home });
    const { auth_url = "", session_id = "" } = await login.next("auth_url");
    login.kill("SIGKILL");
    await login.done;
    const waiting = program(["session", "wait", session_id], { home });
    const address = await approveRedirect(auth_url);
    const knock = (): Promise<unknown> => visit(address).catch(() => sleep(50).then(knock)); // until the other process listens
    await knock();
    expect((await waiting.done).code).toBe(0);
    expect(registered()).toHaveLength(1);
  });

  test("has forgotten the client: another one is registered, and the old one is used for nothing", async () => {
    await start();
    await signIn();
    const [before] = kept();
    const { registration_access_token } = opened(home, "connection", "default@acme").secrets;
    const { status } = await fetch(before.registration_client_uri, {
      method: "DELETE",
      headers: { authorization: `Bearer ${registration_access_token}` },
    });
    expect(status).toBe(204);
    expect(reasons((await signIn()).events, "register")).toEqual(["started client_gone", "started", "done"]);
    const [after] = kept();
    expect(after.client_id).not.toBe(before.client_id);
  });

  test("has forgotten the client at a refresh: somebody has to sign in again, as a new one", async () => {
    await start();
    await signIn();
    const [{ registration_client_uri, client_id }] = kept();
    const { registration_access_token } = opened(home, "connection", "default@acme").secrets;
    await fetch(registration_client_uri, {
      method: "DELETE",
      headers: { authorization: `Bearer ${registration_access_token}` },
    });
    expect(await run(["token", "acme", "--refresh"])).toMatchObject({ error: { code: "auth_expired" }, exit_code: 4 });
    expect(kept()).toEqual([]);
    await signIn();
    expect(kept()[0].client_id).not.toBe(client_id);
    expect((await run(["token", "acme", "--refresh"])).data).toMatchObject({ refreshed: true });
  });

  test("deletes the client with the last connection that comes as it, and not before", async () => {
    await start();
    await signIn();
    await signIn("acme", "--connection", "work");
    const steps = async (name: string) => {
      const { data } = await run(["logout", "acme", "--connection", name]);
      return data.connections[0].steps.find(({ step }: { step: string }) => step === "registered_client");
    };
    expect(await steps("work")).toMatchObject({ state: "skipped", reason: "in_use" });
    expect(registered().map(({ destroyed }) => destroyed)).toEqual([false]);
    expect(await steps("default")).toMatchObject({ state: "done" });
    expect(registered().map(({ destroyed }) => destroyed)).toEqual([true]);
    expect(kept()).toEqual([]);
  });

  test("keeps the client that somebody signs in with while another signs out", async () => {
    await start();
    await signIn();
    const login = program(["login", "acme", ...to(), "--flow", "device_code", "--connection", "work"], { home });
    const { user_code = "" } = await login.next("device_code");
    const { data } = await run(["logout", "acme", "--connection", "default"]);
    const step = { step: "registered_client", state: "skipped", reason: "in_use" };
    expect(data.connections[0].steps).toContainEqual(step);
    await server.approveDevice(user_code);
    expect((await login.done).code).toBe(0);
    const last = await run(["logout", "acme", "--connection", "work"]);
    expect(last.data.connections[0].steps).toContainEqual({ step: "registered_client", state: "done" });
    expect(registered().map(({ destroyed }) => destroyed)).toEqual([true]);
  });

  test("is not registered with where a client was given", async () => {
    await start();
    await signIn("acme", "--client-id", server.clients.native);
    expect(asked("POST", /^\/reg$/)).toEqual([]);
  });

  test("the key can be changed: what is kept of a registration goes along", async () => {
    await start();
    await signIn();
    const before = kept()[0].sealed;
    expect(await run(["store", "rekey"], {})).toMatchObject({ status: "success" });
    expect(kept()[0].sealed).not.toBe(before);
    expect(reasons((await signIn()).events, "register")).toEqual([]);
  });

  test("takes the address of a document for a client ID, where it says so; nothing is registered", async () => {
    const url = "https://client.example/authline.json";
    const document = {
      client_id: url,
      client_name: "A client of somebody's own",
      application_type: "native",
      redirect_uris: ["http://127.0.0.1/callback"],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      token_endpoint_auth_method: "none",
    };
    await start({
      configure: (configuration) => ({
        ...configuration,
        fetch: async () => Response.json(document),
        features: { ...configuration.features, clientIdMetadataDocument: { enabled: true, ack: "draft-02" } },
      }),
    });
    await signIn("acme", "--client-metadata-url", url);
    expect(asked("POST", /^\/reg$/)).toEqual([]);
    expect(opened(home, "connection", "default@acme")["client"]).toMatchObject({ client_id: url });
    expect((await run(["token", "acme", "--refresh"])).data).toMatchObject({ refreshed: true });
  });

  test("takes no such address: authline is registered instead, and says so", async () => {
    await start();
    const { events } = await signIn("acme", "--client-metadata-url", "https://client.example/authline.json");
    expect(reasons(events, "register")).toEqual(["skipped", "started", "done"]);
  });
});

describe("a server that", () => {
  let server: HostileServer;

  async function start(register: Route | Route[], more: object = {}): Promise<void> {
    server = await startHostileServer((url) => ({
      "GET /.well-known/openid-configuration": {
        json: {
          ...metadata(url),
          registration_endpoint: `${url}/register`,
          device_authorization_endpoint: `${url}/device`,
          ...more,
        },
      },
      "POST /register": register,
      "POST /device": { status: 400, json: { error: "access_denied" } },
    }));
    close = () => server.close();
  }

  const login = (...more: string[]) =>
    run(["login", "acme", "--issuer", server.url, "--flow", "device_code", "--scope", "read", ...more]);
  const sent = (path: string) => server.requests.filter((request) => request.path === path);
  const good = { client_id: "fresh", token_endpoint_auth_method: "none" };
  const echo: Route = (_, __, body) => ({
    status: 201,
    json: { ...good, redirect_uris: JSON.parse(body).redirect_uris },
  });

  test("is told who we are: a native client, for this machine's loopback", async () => {
    await start(echo);
    expect((await login()).error?.code).toBe("denied");
    expect(JSON.parse(sent("/register")[0]?.body ?? "")).toEqual({
      client_name: "authline",
      application_type: "native",
      software_id: "authline",
      redirect_uris: [expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/callback$/)],
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
      response_types: ["code"],
    });
    expect(sent("/device")[0]?.form.get("client_id")).toBe("fresh");
  });

  test("hands out a secret: it is used in the way that the server has chosen, and stands nowhere in the clear", async () => {
    const secret = "registered-secret-5d1c77";
    remember(secret);
    await start(
      {
        status: 201,
        json: { client_id: "fresh", client_secret: secret, token_endpoint_auth_method: "client_secret_post" },
      },
      { token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post"] },
    );
    expect((await login()).error?.code).toBe("denied");
    expect(sent("/device")[0]?.form.get("client_secret")).toBe(secret);
  });

  test("wants less: what it refuses for a word too many is asked for once more, without", async () => {
    await start([{ status: 400, json: { error: "invalid_client_metadata" } }, echo]);
    const { events } = await login();
    expect(reasons(events, "register")).toEqual(["started", "retrying invalid_client_metadata", "done"]);
    expect(Object.keys(JSON.parse(sent("/register")[1]?.body ?? ""))).not.toContain("software_id");
  });

  test("wants a statement and a token: they go there and nowhere else", async () => {
    const [statement, token] = ["statement-77ab01", "initial-token-1f9e02"];
    remember(statement, token);
    await start(echo);
    const env = { STATEMENT: statement, REGISTRATION: token };
    const { events } = await run(
      ["login", "acme", "--issuer", server.url, "--flow", "device_code", "--scope", "read"].concat(
        ["--software-statement-from", "env:STATEMENT"],
        ["--registration-token-from", "env:REGISTRATION"],
      ),
      { env },
    );
    expect(events.at(-1)?.error?.code).toBe("denied");
    const [request] = sent("/register");
    expect(request?.headers.authorization).toBe(`Bearer ${token}`);
    expect(JSON.parse(request?.body ?? "").software_statement).toBe(statement);
    const others = server.requests.filter((each) => each !== request);
    expect(JSON.stringify(others.map(({ headers, body }) => [headers, body]))).not.toMatch(/77ab01|1f9e02/);
  });

  test("gave a secret that has ended: another client is registered", async () => {
    await start([
      { status: 201, json: { client_id: "old", client_secret: "s-one", client_secret_expires_at: 1_600_000_000 } },
      { status: 201, json: { client_id: "new", client_secret: "s-two", client_secret_expires_at: 0 } },
    ]);
    await login();
    await login();
    await login();
    expect(sent("/device").map(({ headers }) => String(headers.authorization).slice(6))).toEqual(
      ["old:s-one", "new:s-two", "new:s-two"].map((pair) => Buffer.from(pair).toString("base64")),
    );
  });

  test("does not know the client any more, and has no way to ask: another one is registered at once", async () => {
    await start([
      { status: 201, json: { client_id: "old" } },
      { status: 201, json: { client_id: "new" } },
    ]);
    await login();
    server.routes["POST /device"] = [
      { status: 401, json: { error: "invalid_client" } },
      { status: 400, json: { error: "access_denied" } },
    ];
    const { events, error } = await login();
    expect(reasons(events, "register")).toEqual(["retrying client_gone", "started", "done"]);
    expect(error?.code).toBe("denied");
    expect(sent("/device").map(({ form }) => form.get("client_id"))).toEqual(["old", "old", "new"]);
  });

  test("refuses again and again is asked twice, and not in circles", async () => {
    await start({ status: 201, json: { client_id: "new" } });
    server.routes["POST /device"] = { status: 401, json: { error: "invalid_client" } };
    expect((await login()).error).toMatchObject({ code: "provider", oauth_error: "invalid_client" });
    expect(sent("/register")).toHaveLength(2);
  });

  test.each<[string, Route, string]>([
    ["answers without an ID", { status: 201, json: {} }, "provider"],
    [
      "answers with a secret method and no secret",
      { status: 201, json: { ...good, token_endpoint_auth_method: "client_secret_basic" } },
      "provider",
    ],
    [
      "wants a method that nobody knows",
      { status: 201, json: { ...good, token_endpoint_auth_method: "tls_client_auth" } },
      "provider",
    ],
    ["puts signs into the ID that none may have", { status: 201, json: { client_id: "a\u001b[31m" } }, "provider"],
    [
      "manages clients over plain http",
      { status: 201, json: { ...good, registration_client_uri: "http://login.example/c" } },
      "provider",
    ],
    [
      "sends people to another address",
      { status: 201, json: { ...good, redirect_uris: ["https://evil.example/"] } },
      "provider",
    ],
    [
      "names a time that there is not",
      { status: 201, json: { ...good, client_secret: "s", client_secret_expires_at: 1e20 } },
      "provider",
    ],
    ["refuses", { status: 403, json: { error: "access_denied" } }, "denied"],
    ["answers with HTML", { status: 200, text: "<html>" }, "provider"],
    ["is down", { status: 503 }, "provider"],
  ])("%s: one clear error, and nothing is kept", async (_, route, code) => {
    await start(route);
    const { error, exit_code } = await login();
    expect(error?.code).toBe(code);
    expect(exit_code).toBeGreaterThan(0);
    expect(error?.message).not.toContain("\u001b");
    expect(sent("/device")).toEqual([]);
  });

  const management = (uri: (url: string) => string): Route => {
    let count = 0;
    return (_, __, body) => ({
      status: 201,
      json: {
        ...good,
        client_id: `client-${++count}`,
        redirect_uris: JSON.parse(body).redirect_uris,
        registration_client_uri: uri(server.url),
        registration_access_token: "manage-it-with-this",
      },
    });
  };
  const approved = {
    "POST /device": {
      json: { device_code: "d", user_code: "U", verification_uri: "https://a.example", interval: 1, expires_in: 60 },
    },
    "POST /token": { json: { access_token: "at-1", token_type: "Bearer", expires_in: 3600 } },
  };

  test("says that a client is managed at another place: nothing is read or deleted there", async () => {
    const victim = await startHostileServer({ "*": { status: 204 } });
    try {
      await start(management(() => `${victim.url}/index`));
      Object.assign(server.routes, approved);
      expect((await login()).exit_code).toBe(0);
      expect((await login()).exit_code).toBe(0);
      expect((await run(["logout", "acme"])).exit_code).toBe(0);
      expect(victim.requests).toEqual([]);
      expect(sent("/register")).toHaveLength(1);
    } finally {
      await victim.close();
    }
  });

  test("lets no client read what is known of it has not forgotten it: nothing is registered again", async () => {
    await start(management((url) => `${url}/register/it`));
    Object.assign(server.routes, approved, { "GET /register/it": { status: 403 } });
    for (const _ of [1, 2, 3]) expect((await login()).exit_code).toBe(0);
    expect(sent("/register")).toHaveLength(1);
  });

  test.each(["--registration-token-from", "--software-statement-from"])(
    "wants a %s that no header could carry is not asked",
    async (flag) => {
      await start(echo);
      const argv = ["login", "acme", "--issuer", server.url, flag, "env:WORD"];
      const { error } = await run(argv, { env: { WORD: "two\nlines-of-secret" } });
      expect(error).toMatchObject({ code: "config", message: expect.stringContaining(flag) });
      expect(server.requests).toEqual([]);
    },
  );

  test.each([
    ["--client-secret-from", "--client-id"],
    ["--client-key-from", "--client-id"],
    ["--client-key-id", "--client-key-from"],
  ])("is not registered with where %s is given without %s, whose client was meant", async (flag, other) => {
    await start(echo);
    const { error } = await run(["login", "acme", "--issuer", server.url, flag, "env:HOME"]);
    expect(error).toMatchObject({ code: "usage", message: `${flag} says nothing without ${other}.` });
    expect(server.requests).toEqual([]);
  });

  test("does not register anybody: the way to a client is said", async () => {
    await start(echo, { registration_endpoint: undefined });
    const { error, next_actions } = await login();
    expect(error).toMatchObject({ code: "config", hint: expect.stringContaining("--client-id") });
    // With all that was asked: the name alone is not known yet, and another flow would be another sign-in.
    const asked = ["--flow", "device_code", "--scope", "read", "--issuer", server.url];
    expect(next_actions?.[0]?.argv).toEqual(["authline", "login", "acme", ...asked, "--client-id", "{client_id}"]);
  });

  test("registers nobody for a way in that asks nobody", async () => {
    await start(echo, { grant_types_supported: ["client_credentials"] });
    const { error } = await run(["login", "acme", "--issuer", server.url, "--flow", "client_credentials"]);
    expect(error?.code).toBe("config");
    expect(sent("/register")).toEqual([]);
  });

  test.each<[string, (url: string) => object | undefined, RegExp]>([
    ["is another's", () => ({ client_id: "https://other.example/" }), /its client_id is not its own address/],
    ["has a secret", (url) => ({ client_id: url, client_secret: "x" }), /it has a client_secret/],
    [
      "leads elsewhere",
      (url) => ({ client_id: url, redirect_uris: ["https://a.example/"] }),
      /no redirect URI on this/,
    ],
    ...[
      "http://0.0.0.0:8400@127.0.0.1/cb",
      "http://u@127.0.0.1/",
      "http://127.0.0.1/#x",
      "http://127.0.0.1/\u001b[31m",
    ].map((uri): [string, (url: string) => object, RegExp] => [
      `wants to be listened for at ${JSON.stringify(uri)}`,
      (url) => ({ client_id: url, redirect_uris: [uri] }),
      /no redirect URI on this/,
    ]),
    ["is not there", () => undefined, /answers HTTP 404/],
  ])("reads documents, and this one %s", async (_, document, message) => {
    await start(echo, { client_id_metadata_document_supported: true });
    const url = `${server.url}/client.json`;
    const json = document(url);
    if (json) server.routes["GET /client.json"] = { json };
    expect((await login("--client-metadata-url", url)).error).toMatchObject({ code: "config", message });
  });
});

test("a --redirect-uri that the document does not have is not passed over", async () => {
  const server = await startHostileServer((url) => ({
    "GET /.well-known/openid-configuration": {
      json: { ...metadata(url), client_id_metadata_document_supported: true },
    },
    "GET /c.json": { json: { client_id: `${url}/c.json`, redirect_uris: ["http://127.0.0.1/other"] } },
  }));
  close = () => server.close();
  const argv = [
    "login",
    "acme",
    "--issuer",
    server.url,
    "--client-metadata-url",
    `${server.url}/c.json`,
    "--browser",
    "never",
  ];
  const { error } = await run([...argv, "--redirect-uri", "http://127.0.0.1/mine"]);
  expect(error).toMatchObject({ code: "config", message: expect.stringContaining("http://127.0.0.1/mine") });
});

test.each(["http://client.example/a.json", "https://client.example", "https://a@client.example/x", "client.json"])(
  "--client-metadata-url %j is a usage error",
  async (url) => {
    const { error } = await run(["login", "acme", "--issuer", "https://a.example", "--client-metadata-url", url]);
    expect(error).toMatchObject({ code: "usage", hint: expect.any(String) });
  },
);
