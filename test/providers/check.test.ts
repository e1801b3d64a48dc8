/**
 * `provider check` against a real server: each planted lie is found, one by one, and nothing in the true definition.
 *
 * What is protected: whoever writes a definition learns which field of it is not so; no credential is sent to find out.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Definition } from "../../src/providers/definition.ts";
import { type AuthorizationServer, startAuthorizationServer } from "../support/authorization-server.ts";
import { program } from "../support/inside.ts";
import { sweep, tempHome } from "../support/spawn.ts";
import { checkStream } from "../support/stream.ts";

let server: AuthorizationServer;
beforeAll(async () => {
  server = await startAuthorizationServer({
    configure: (configuration) => ({
      ...configuration,
      clientAuthMethods: ["none", "client_secret_basic"],
      clients: configuration.clients?.filter(
        ({ token_endpoint_auth_method: method }) => method !== "client_secret_post",
      ),
      features: {
        ...configuration.features,
        introspection: { enabled: false },
        pushedAuthorizationRequests: { enabled: false },
      },
    }),
  });
});
afterEach(async () => {
  expect(await sweep()).toEqual([]);
});
afterAll(() => server.close());

/** What is true of the server. */
const truth = (): Definition => ({
  name: "acme",
  display_name: "Acme",
  issuer: server.issuer,
  endpoints: {
    authorization_endpoint: `${server.issuer}/auth`,
    token_endpoint: `${server.issuer}/token`,
    device_authorization_endpoint: `${server.issuer}/device/auth`,
    revocation_endpoint: `${server.issuer}/token/revocation`,
    userinfo_endpoint: `${server.issuer}/me`,
    jwks_uri: `${server.issuer}/jwks`,
  },
  grants: ["authorization_code", "device_code", "client_credentials"],
  token_endpoint_auth_method: "client_secret_basic",
  scope: "openid offline_access",
  redirect_uri: "http://127.0.0.1/callback",
});

interface Check {
  check: string;
  state: string;
  message: string;
  subject?: string;
}

async function checked(definition: Definition, ...flags: string[]) {
  const home = tempHome();
  mkdirSync(join(home, "definitions"), { mode: 0o700 });
  writeFileSync(join(home, "definitions", "acme.json"), JSON.stringify(definition), { mode: 0o600 });
  const { stdout, code, events } = await program(["provider", "check", "acme", ...flags], { home }).done;
  expect(checkStream(stdout, { command: "provider check", exitCode: code })).toEqual([]);
  const result = events.at(-1);
  const checks: Check[] = result?.data?.checks ?? [];
  return {
    code,
    result,
    sound: result?.data?.sound,
    wrong: checks.filter(({ state }) => !["ok", "skipped"].includes(state)),
  };
}

test("nothing is wrong with the true definition, and nobody shows a credential to learn it", async () => {
  const before = server.requests.length;
  const { sound, wrong, code, result } = await checked(truth());
  expect(wrong).toEqual([]);
  expect({ sound, code }).toEqual({ sound: true, code: 0 });
  expect(result?.message).toBe("All that the definition of acme says is so.");
  const asked = server.requests.slice(before);
  expect(asked.length).toBeGreaterThan(5);
  expect(asked.filter(({ auth, grant_type }) => auth !== "none" || grant_type !== undefined)).toEqual([]);
  expect(server.records()).toMatchObject({});
});

test("a server that is not there says nothing of the definition, and to who is strict that it is not there", async () => {
  const gone = (text: string) => text.replace(/127\.0\.0\.1:\d+/g, "127.0.0.1:2"); // where nobody listens
  const nowhere: Definition = JSON.parse(gone(JSON.stringify({ ...truth(), grants: ["authorization_code", "ciba"] })));
  const { sound, wrong, result } = await checked(nowhere);
  expect(sound).toBe(false);
  expect(result?.message).toMatch(/^The server of .* does not answer: /);
  expect(wrong.map(({ check }) => check)).not.toContain("grants");
  const strict = await checked(nowhere, "--strict");
  expect([strict.code, strict.result?.error?.code]).toEqual([69, "network"]);
});

type Lie = [what: string, lie: (truth: Definition) => Definition, subject: string, state?: "warning"];
const endpoint = (name: string, path: string) => (truth: Definition) => ({
  ...truth,
  endpoints: { ...truth.endpoints, [name]: `${server.issuer}${path}` },
});

test.each<Lie>([
  ["an issuer that the server is not", (true_) => ({ ...true_, issuer: `${true_.issuer}/tenant` }), "issuer"],
  [
    "an issuer that the server answers for, and does not call itself",
    (true_) => ({ ...true_, issuer: true_.issuer?.replace("127.0.0.1", "localhost") }),
    "issuer",
  ],
  [
    "an authorization endpoint elsewhere",
    endpoint("authorization_endpoint", "/authorize"),
    "endpoints.authorization_endpoint",
  ],
  ["a token endpoint elsewhere", endpoint("token_endpoint", "/oauth/token"), "endpoints.token_endpoint"],
  ["a revocation endpoint elsewhere", endpoint("revocation_endpoint", "/revoke"), "endpoints.revocation_endpoint"],
  [
    "an introspection endpoint that is not there",
    endpoint("introspection_endpoint", "/token/introspection"),
    "endpoints.introspection_endpoint",
  ],
  [
    "an endpoint for pushed requests that is not there",
    endpoint("pushed_authorization_request_endpoint", "/request"),
    "endpoints.pushed_authorization_request_endpoint",
  ],
  ["keys where there are none", endpoint("jwks_uri", "/keys"), "endpoints.jwks_uri"],
  [
    "a client authentication that it does not take",
    (true_) => ({ ...true_, token_endpoint_auth_method: "client_secret_post" }),
    "token_endpoint_auth_method",
  ],
  ["a scope that it does not know", (true_) => ({ ...true_, scope: "openid everything" }), "scope", "warning"],
  [
    "a scope explained that it does not know",
    (true_) => ({ ...true_, scopes: { everything: "do it all" } }),
    "scopes",
    "warning",
  ],
  [
    "a redirect to another machine",
    (true_) => ({ ...true_, redirect_uri: "https://app.acme.example/callback" }),
    "redirect_uri",
  ],
  [
    "an account endpoint that nobody is at",
    (true_) => ({ ...true_, account: { endpoint: "http://127.0.0.1:9/user", field: "login" } }),
    "account.endpoint",
  ],
])("the lie is found: %s", async (_, lie, subject, state) => {
  const { sound, wrong, code } = await checked(lie(truth()));
  expect(wrong.map(({ subject }) => subject)).toContain(subject);
  const [found] = wrong.filter((each) => each.subject === subject);
  expect(found?.state).toBe(state ?? "failed");
  expect({ sound, code }).toEqual({ sound: state === "warning", code: 0 });
});

test("the lie is found: a grant that the server does not give", async () => {
  const poor = await startAuthorizationServer({
    configure: (configuration) => ({
      ...configuration,
      clients: [],
      features: { ...configuration.features, deviceFlow: { enabled: false }, clientCredentials: { enabled: false } },
    }),
  });
  const { endpoints: _, ...rest } = truth();
  const { wrong } = await checked({ ...rest, issuer: poor.issuer });
  expect(wrong).toMatchObject([
    {
      check: "grants",
      state: "failed",
      subject: "grants",
      message: "device_code is claimed, and the server has no device authorization endpoint.",
    },
    {
      check: "grants",
      state: "failed",
      subject: "grants",
      message: "client_credentials is claimed, and the server does not offer client credentials.",
    },
  ]);
  await poor.close();
});

test("with --strict a definition that is not so is an error, and one that is so is none", async () => {
  const lying = await checked({ ...truth(), redirect_uri: "https://app.acme.example/callback" }, "--strict");
  expect(lying.code).toBe(1);
  expect(lying.result?.error).toMatchObject({ code: "failed", reason: "unsound" });
  expect((await checked(truth(), "--strict")).code).toBe(0);
});

test("a server that nobody answers for is a finding, not an error of the command", async () => {
  const { wrong, code, sound } = await checked({ name: "acme", display_name: "Acme", issuer: "http://127.0.0.1:9" });
  expect({ code, sound }).toEqual({ code: 0, sound: false });
  expect(wrong).toMatchObject([{ check: "issuer", state: "failed" }]);
});
