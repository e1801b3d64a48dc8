/**
 * Signing out, step by step: what the server still knows of us, and what a person is told of it.
 *
 * What is protected: whatever a server does or fails to do, the record is gone from this machine, and every step that did
 * not work is said with what remains to be done. The server's own records agree.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Failure } from "../src/protocol/failure.ts";
import type { Connection } from "../src/store/record.ts";
import {
  type AuthorizationServer,
  type AuthorizationServerOptions,
  startAuthorizationServer,
} from "./support/authorization-server.ts";
import { contextOf, end, success } from "./support/dying.ts";
import { type HostileServer, hang, metadata, type Route, startHostileServer } from "./support/hostile-server.ts";
import { program } from "./support/inside.ts";
import { remember } from "./support/issued.ts";
import { approveRedirect, visit } from "./support/person.ts";
import { namesOf, opened, putSealed } from "./support/sealed.ts";
import { type Options, sweep, tempHome } from "./support/spawn.ts";
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
  expect(checkStream(stdout, { command: argv[0] ?? "", exitCode: code })).toEqual([]);
  return { ...(events.at(-1) as Event), events };
}

async function logout(options?: Options, ...more: string[]) {
  const result = await run(["logout", "acme", ...more], options);
  expect(result).toMatchObject({ status: "success", exit_code: 0 });
  const [connection] = result.data.connections;
  return { ...result, connection, codes: result.warnings?.map((warning) => (warning as { code: string }).code) };
}

const stepsOf = ({ steps }: { steps: { step: string; state: string }[] }) =>
  Object.fromEntries(steps.map(({ step, state }) => [step, state]));

describe("a real server", () => {
  let server: AuthorizationServer;

  async function start(options: AuthorizationServerOptions = {}): Promise<void> {
    server = await startAuthorizationServer({ interval: 1, ...options });
    close = () => server.close();
  }

  async function signIn(...more: string[]): Promise<void> {
    const to = ["--issuer", server.issuer, "--client-id", server.clients.native, "--browser", "never"];
    const how = ["--flow", "authorization_code", "--scope", "openid offline_access"];
    const login = program(["login", "acme", ...to, ...how, ...more], { home });
    const { auth_url = "" } = await login.next("auth_url");
    await visit(await approveRedirect(auth_url));
    expect((await login.done).code).toBe(0);
  }

  /** A client as authline would have registered it (RFC 7591), and its traces in the record. */
  async function register(...connections: string[]): Promise<string> {
    const response = await fetch(`${server.issuer}/reg`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        application_type: "native",
        token_endpoint_auth_method: "none",
        redirect_uris: ["http://127.0.0.1/callback"],
      }),
    });
    expect(response.status).toBe(201);
    const { client_id, registration_client_uri, registration_access_token } = (await response.json()) as Record<
      string,
      string
    >;
    for (const connection of connections) {
      const name = `${connection}@acme`;
      const { client, secrets, ...record } = opened(home, "connection", name);
      putSealed(home, "connection", name, {
        ...record,
        client: { ...client, client_id, registration_client_uri },
        secrets: { ...secrets, registration_access_token },
      });
    }
    const { client, ...learned } = opened(home, "provider", "acme");
    putSealed(home, "provider", "acme", { ...learned, client: { ...client, client_id } });
    return client_id ?? "";
  }

  const clientOf = (id: string) => server.records().clients.find((one) => one.id === id);

  test("offers the address where the browser ends its own session, and the server takes it", async () => {
    await start();
    await signIn();
    const { connection, message, warnings } = await logout();
    expect(warnings).toEqual([]);
    expect(stepsOf(connection)).toEqual({ refresh_token: "done", access_token: "done", local_record: "done" });
    expect(message).toContain(connection.sign_out_url);
    const strange = connection.sign_out_url.replace(server.clients.native, "nobody");
    const statuses = [connection.sign_out_url, strange].map(async (url) => (await visit(url)).status);
    expect(await Promise.all(statuses)).toEqual([200, 400]);
    expect(connection.sign_out_url).not.toContain("id_token_hint");
  });

  test("offers none where the server has none", async () => {
    await start({
      configure: ({ features, ...rest }) => ({
        ...rest,
        features: { ...features, rpInitiatedLogout: { enabled: false } },
      }),
    });
    await signIn();
    const { connection } = await logout();
    expect(connection.sign_out_url).toBeUndefined();
  });

  test("deletes the client that was registered for it", async () => {
    await start({ registrationManagement: true });
    await signIn();
    const id = await register("default");
    expect(clientOf(id)?.destroyed).toBe(false);
    const { connection, codes, events } = await logout();
    expect(clientOf(id)?.destroyed).toBe(true);
    expect(stepsOf(connection)).toMatchObject({ registered_client: "done", local_record: "done" });
    expect(codes).not.toContain("client_left");
    expect(events).toContainEqual(expect.objectContaining({ step: "register", state: "done" }));
    expect(namesOf(home, "connection")).toEqual([]);
    expect(opened(home, "provider", "acme")).not.toHaveProperty("client"); // the next login must not come as that one
  });

  test("leaves a client that another connection shares, and deletes it with the last one", async () => {
    await start({ registrationManagement: true });
    await signIn();
    await signIn("--connection", "work");
    const id = await register("default", "work");
    const first = await logout();
    expect(first.connection.steps).toContainEqual({ step: "registered_client", state: "skipped", reason: "in_use" });
    expect(clientOf(id)?.destroyed).toBe(false);
    expect(namesOf(home, "connection")).toEqual(["work@acme"]);
    const last = await logout({}, "--connection", "work");
    expect(stepsOf(last.connection)).toMatchObject({ registered_client: "done" });
    expect(clientOf(id)?.destroyed).toBe(true);
  });
});

describe("a server in trouble", () => {
  let server: HostileServer;
  const REGISTRATION = "registration-token-83c1f0";

  /** A connection with everything that a logout can undo. */
  async function start(trouble: Route | undefined): Promise<void> {
    const tokens = { access_token: "access-token-60d2b7", refresh_token: "refresh-token-19ae44" };
    remember(...Object.values(tokens), REGISTRATION);
    server = await startHostileServer((url) => ({
      "GET /.well-known/openid-configuration": {
        json: metadata(url, { grant_types_supported: ["client_credentials"] }),
      },
      "POST /token": { json: { ...tokens, token_type: "Bearer", expires_in: 3600 } },
      ...(trouble && { "POST /revoke": trouble, "DELETE /register/robot": trouble }),
    }));
    close = () => server.close();
    const login = ["login", "acme", "--issuer", server.url, "--client-id", "robot", "--flow", "client_credentials"];
    await run([...login, "--client-secret-from", "env:SECRET"], { env: { SECRET: "client-secret-7be3a9" } });
    const { client, secrets, ...record } = opened(home, "connection", "default@acme");
    putSealed(home, "connection", "default@acme", {
      ...record,
      client: { ...client, registration_client_uri: `${server.url}/register/robot` },
      secrets: { ...secrets, ...tokens, registration_access_token: REGISTRATION },
    });
  }

  const FAILED = { refresh_token: "failed", access_token: "failed", registered_client: "failed" };
  const WARNED = ["revocation_failed", "revocation_failed", "client_left"];

  test.each<[string, Route, string]>([
    ["500", { status: 500 }, "provider"],
    ["503 and a request to wait", { status: 503, headers: { "retry-after": "30" } }, "provider"],
    ["a redirect to somebody else", { status: 307, headers: { location: "http://127.0.0.1:9/" } }, "provider"],
    ["a refusal", { status: 403, json: { error: "access_denied" } }, "provider"],
  ])("%s: every step is told, and the record is gone", async (_, trouble, reason) => {
    await start(trouble);
    const { connection, codes, events } = await logout();
    expect(stepsOf(connection)).toEqual({ ...FAILED, local_record: "done" });
    expect(codes).toEqual(WARNED);
    expect(connection.steps).toContainEqual({ step: "registered_client", state: "failed", reason });
    expect(events.filter(({ state }) => state === "failed").map(({ step }) => step)).toEqual([
      "revoke",
      "revoke",
      "register",
    ]);
    expect(namesOf(home, "connection")).toEqual([]);
    expect(server.requests.filter(({ method }) => method === "DELETE")).toHaveLength(1); // nothing is tried twice
  });

  test("dead: every step is told, and the record is gone", async () => {
    await start(undefined);
    await server.close();
    close = async () => {};
    const { connection, codes } = await logout();
    expect(stepsOf(connection)).toEqual({ ...FAILED, local_record: "done" });
    expect(codes).toEqual(WARNED);
    expect(namesOf(home, "connection")).toEqual([]);
  });

  test("hanging: each step has a deadline, and the record is gone", async () => {
    await start(hang);
    const { connection, codes, events } = await logout({ faults: "hasty" });
    expect(stepsOf(connection)).toEqual({ ...FAILED, local_record: "done" });
    expect(codes).toEqual(WARNED);
    const failed = events.filter(({ state }) => state === "failed");
    expect(failed.map(({ reason }) => reason)).toEqual(["network", "network", "network"]);
    for (const { message } of failed) expect(message).toMatch(/no answer within \d+ s/);
    expect(namesOf(home, "connection")).toEqual([]);
  });
});

describe("a token in the environment", () => {
  const env = { AUTHLINE_TOKEN_ACME: "token-from-outside-5c2" };

  test("is still there after a logout, and that is said", async () => {
    const server = await startHostileServer((url) => ({
      "GET /.well-known/openid-configuration": {
        json: metadata(url, { grant_types_supported: ["client_credentials"], revocation_endpoint: undefined }),
      },
      "POST /token": { json: { access_token: "access-token-77f0e1", token_type: "Bearer" } },
    }));
    close = () => server.close();
    const login = ["login", "acme", "--issuer", server.url, "--client-id", "robot", "--flow", "client_credentials"];
    await run([...login, "--client-secret-from", "env:SECRET"], { env: { SECRET: "client-secret-7be3a9" } });
    const { warnings, codes } = await logout({ env });
    expect(codes).toContain("token_in_env");
    expect(JSON.stringify(warnings)).toContain("AUTHLINE_TOKEN_ACME");
    expect(JSON.stringify(warnings)).not.toContain(env.AUTHLINE_TOKEN_ACME);
    expect((await run(["token", "acme"], { env })).data).toMatchObject({ source: "env" });
  });
});

const at = "2026-01-02T03:04:05.678Z";
const record = (connection: string): Connection => ({
  v: 1,
  provider: "acme",
  connection,
  flow: "device_code",
  server: { issuer: "https://login.acme.example" },
  client: { client_id: "cli", token_endpoint_auth_method: "none" },
  token_type: "bearer",
  created_at: at,
  updated_at: at,
  refreshable: false,
  secrets: { access_token: `token-of-${connection}` },
});

describe("what is no token in the environment", () => {
  const env = { AUTHLINE_TOKEN_ACME: "a b" };
  const told = { code: "token_in_env", message: expect.stringContaining("AUTHLINE_TOKEN_ACME is not a token") };

  test("is a warning of `logout` and `status`, and the end of `token` alone", async () => {
    const ctx = contextOf(home, env);
    for (const name of ["default", "work"]) await ctx.store.keep(record(name));
    const { data, warnings } = await success(["status"], ctx);
    expect(data).toMatchObject({ connections: [{ connection: "default" }, { connection: "work" }] });
    expect(warnings).toEqual([told]);
    expect(await end(["token", "acme"], ctx)).toMatchObject({ code: "config" });
    const out = await success(["logout", "acme", "--all"], ctx);
    expect(out.data).toMatchObject({ connections: [{ connection: "default" }, { connection: "work" }] });
    expect(out.warnings).toContainEqual(told);
    expect(namesOf(home, "connection")).toEqual([]);
  });
});

describe("several at once", () => {
  /** A context in which something happens right before the lock of a connection is asked for. */
  function disturbed(disturbances: Record<string, () => unknown>) {
    const ctx = contextOf(home);
    const lock: typeof ctx.store.lock = (provider, name) => {
      disturbances[name]?.();
      return ctx.store.lock(provider, name);
    };
    return { ...ctx, store: { ...ctx.store, lock } };
  }
  const fail = (code: "locked" | "store") => () => {
    throw new Failure(code, `No: ${code}.`);
  };
  const keepAll = async () => {
    for (const name of ["a", "b", "c"]) await contextOf(home).store.keep(record(name));
  };

  test("one that is gone meanwhile is absent, one that fails is a warning, and the others go on", async () => {
    await keepAll();
    const gone = () => contextOf(home).store.remove("acme", "a");
    const out = await success(["logout", "acme", "--all"], disturbed({ a: gone, b: fail("locked") }));
    expect(out.data).toMatchObject({
      connections: [
        { connection: "a", record_status: "absent", steps: [{ step: "local_record", state: "skipped" }] },
        { connection: "c", record_status: "absent" },
      ],
    });
    expect(out.message).toContain("2 of 3");
    expect(out.warnings).toContainEqual({ code: "logout_failed", message: expect.stringContaining("b@acme") });
    expect(namesOf(home, "connection")).toEqual(["b@acme"]);
  });

  test("where nothing could be done it fails with the first, and tells the rest", async () => {
    await keepAll();
    const ctx = disturbed({ a: fail("store"), b: fail("locked"), c: fail("locked") });
    const failure = await end(["logout", "acme", "--all"], ctx);
    expect(failure).toMatchObject({ code: "store", message: "No: store." });
    expect((failure as Failure).details.warnings).toHaveLength(3);
    expect(namesOf(home, "connection")).toHaveLength(3);
  });

  test("a sign-in that has not waited for its turn is left, and that is said", async () => {
    const ctx = contextOf(home);
    await ctx.store.keep(record("a"));
    const newer = { ...record("a"), updated_at: "2026-01-02T04:00:00.000Z", secrets: { access_token: "newer" } };
    const connection: typeof ctx.store.connection = async (...names) => {
      const before = await ctx.store.connection(...names);
      await ctx.store.keep(newer);
      return before;
    };
    const slow = { ...ctx, store: { ...ctx.store, connection } };
    const out = await success(["logout", "acme", "--connection", "a"], slow);
    expect(out.data).toMatchObject({ connections: [{ record_status: "connected" }] });
    expect(out.warnings?.map(({ code }) => code)).toContain("signed_in_again");
    expect(await ctx.store.connection("acme", "a")).toMatchObject({ secrets: { access_token: "newer" } });
  });
});
