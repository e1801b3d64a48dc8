/** The server that other tests lean on, proved with raw oauth4webapi calls: nothing of authline takes part. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import * as oauth from "oauth4webapi";
import { afterEach, expect, test, vi } from "vitest";
import {
  type AuthorizationServer,
  type AuthorizationServerOptions,
  startAuthorizationServer,
} from "./support/authorization-server.ts";
import { approveDeviceWithBrowser, signInWithBrowser, withBrowser } from "./support/browser.ts";
import { approveRedirect, type Person, visit } from "./support/person.ts";

const http = { [oauth.allowInsecureRequests]: true };
const native: oauth.Client = { client_id: "authline-demo" };
const REDIRECT_URI = "http://127.0.0.1:54321/callback";

const running: AuthorizationServer[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close()));
});

/** A server and what its discovery document says. */
async function start(options?: AuthorizationServerOptions) {
  const server = await startAuthorizationServer(options);
  running.push(server);
  const issuer = new URL(server.issuer);
  const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, http));
  return { server, as };
}

async function authorizationUrl(as: oauth.AuthorizationServer, scope: string, redirect_uri = REDIRECT_URI) {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const url = new URL(as.authorization_endpoint ?? "");
  url.search = new URLSearchParams({
    client_id: native.client_id,
    response_type: "code",
    redirect_uri,
    scope,
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  }).toString();
  return { url, verifier, state, redirect_uri };
}

type Attempt = Awaited<ReturnType<typeof authorizationUrl>>;

async function exchange(as: oauth.AuthorizationServer, { verifier, state, redirect_uri }: Attempt, callback: URL) {
  const parameters = oauth.validateAuthResponse(as, native, callback, state);
  const none = oauth.None();
  return oauth.processAuthorizationCodeResponse(
    as,
    native,
    await oauth.authorizationCodeGrantRequest(as, native, none, parameters, redirect_uri, verifier, http),
  );
}

async function signIn(as: oauth.AuthorizationServer, scope: string, person?: Person) {
  const attempt = await authorizationUrl(as, scope);
  return exchange(as, attempt, await approveRedirect(attempt.url, person));
}

async function refresh(as: oauth.AuthorizationServer, token: string | undefined) {
  const response = await oauth.refreshTokenGrantRequest(as, native, oauth.None(), token ?? "", http);
  return oauth.processRefreshTokenResponse(as, native, response);
}

async function startDevice(as: oauth.AuthorizationServer, scope = "openid") {
  const response = await oauth.deviceAuthorizationRequest(as, native, oauth.None(), { scope }, http);
  return oauth.processDeviceAuthorizationResponse(as, native, response);
}

async function poll(as: oauth.AuthorizationServer, device_code: string) {
  const response = await oauth.deviceCodeGrantRequest(as, native, oauth.None(), device_code, http);
  return oauth.processDeviceCodeResponse(as, native, response);
}

test("discovery names every endpoint and RFC 9207", async () => {
  const { server, as } = await start();
  expect(as).toMatchObject({
    issuer: server.issuer,
    token_endpoint: `${server.issuer}/token`,
    device_authorization_endpoint: `${server.issuer}/device/auth`,
    revocation_endpoint: `${server.issuer}/token/revocation`,
    introspection_endpoint: `${server.issuer}/token/introspection`,
    registration_endpoint: `${server.issuer}/reg`,
    userinfo_endpoint: `${server.issuer}/me`,
    end_session_endpoint: `${server.issuer}/session/end`,
    authorization_response_iss_parameter_supported: true,
    code_challenge_methods_supported: ["S256"],
    scopes_supported: expect.arrayContaining(["openid", "offline_access", "profile", "email", "api:read", "api:write"]),
  });
});

test("a person signs in: code, PKCE, ID token with claims, userinfo", async () => {
  const { server, as } = await start();
  const attempt = await authorizationUrl(as, "openid offline_access email profile api:read");
  const callback = await approveRedirect(attempt.url);
  expect(callback.origin + callback.pathname).toBe(REDIRECT_URI);
  expect(callback.searchParams.get("iss")).toBe(server.issuer);

  const tokens = await exchange(as, attempt, callback);
  expect(tokens).toMatchObject({ token_type: "bearer", expires_in: 3600 });
  expect(tokens.scope?.split(" ")).toContain("api:read");
  expect(tokens.refresh_token).toBeTypeOf("string");
  const alice = { sub: "alice", preferred_username: "alice", name: "Alice Example", email: "alice@example.com" };
  expect(oauth.getValidatedIdTokenClaims(tokens)).toMatchObject({ ...alice, email_verified: true });
  const userinfo = await oauth.userInfoRequest(as, native, tokens.access_token, http);
  expect(await oauth.processUserInfoResponse(as, native, "alice", userinfo)).toMatchObject(alice);

  expect(await server.isActive(tokens.access_token)).toBe(true);
  expect(server.requests.filter(({ path }) => path === "/token")).toMatchObject([
    { method: "POST", status: 200, grant_type: "authorization_code", auth: "none" },
  ]);
});

test("openid alone brings a refresh token, and another login is another account", async () => {
  const { server, as } = await start();
  const tokens = await signIn(as, "openid", { login: "bob" });
  expect(await server.isRefreshTokenActive(tokens.refresh_token ?? "")).toBe(true);
  expect(oauth.getValidatedIdTokenClaims(tokens)?.sub).toBe("bob");
});

test("a person says no", async () => {
  const { as } = await start();
  const { url, state } = await authorizationUrl(as, "openid");
  const callback = await approveRedirect(url, { decision: "deny" });
  expect(() => oauth.validateAuthResponse(as, native, callback, state)).toThrow(
    expect.objectContaining({ error: "access_denied" }),
  );
});

test("no PKCE, no code", async () => {
  const { as } = await start();
  const { url } = await authorizationUrl(as, "openid");
  url.searchParams.delete("code_challenge");
  url.searchParams.delete("code_challenge_method");
  expect((await approveRedirect(url)).searchParams.get("error")).toBe("invalid_request");
});

test("a device is connected, and a device is refused", async () => {
  const { server, as } = await start({ interval: 1, deviceCodeTtl: 60 });
  const wanted = await startDevice(as, "openid offline_access");
  expect(wanted).toMatchObject({ interval: 1, expires_in: 60 });
  await expect(poll(as, wanted.device_code)).rejects.toMatchObject({ error: "authorization_pending" });
  await server.approveDevice(wanted.user_code, { login: "carol" });
  const tokens = await poll(as, wanted.device_code);
  expect(oauth.getValidatedIdTokenClaims(tokens)?.sub).toBe("carol");
  expect(tokens.scope).toBe("openid offline_access");
  expect(await server.isRefreshTokenActive(tokens.refresh_token ?? "")).toBe(true);

  const unwanted = await startDevice(as);
  await server.denyDevice(unwanted.user_code);
  await expect(poll(as, unwanted.device_code)).rejects.toMatchObject({ error: "access_denied" });

  expect(server.records().deviceCodes).toMatchObject([
    { id: wanted.device_code, accountId: "carol", consumed: true },
    { id: unwanted.device_code, error: "access_denied" },
  ]);
  expect(server.requests.filter(({ path }) => path === "/token").map(({ error }) => error)).toEqual([
    "authorization_pending",
    undefined,
    "access_denied",
  ]);
  await expect(server.approveDevice("ZZZZ-ZZZZ")).rejects.toThrow("the code was not found");
});

test("no interval is sent unless asked for, and a device code runs out", async () => {
  const { as } = await start({ deviceCodeTtl: 1 });
  const device = await startDevice(as);
  expect(device.interval).toBeUndefined();
  await vi.waitFor(() => expect(poll(as, device.device_code)).rejects.toMatchObject({ error: "expired_token" }), {
    timeout: 4000,
    interval: 200,
  });
});

test("a refresh token works once; using it again kills the whole family", async () => {
  const { server, as } = await start();
  const first = await signIn(as, "openid");
  const second = await refresh(as, first.refresh_token);
  expect(second.refresh_token).not.toBe(first.refresh_token);
  expect(await server.isRefreshTokenActive(first.refresh_token ?? "")).toBe(false);
  expect(await server.isActive(second.access_token)).toBe(true);

  await expect(refresh(as, first.refresh_token)).rejects.toMatchObject({ error: "invalid_grant" });
  expect(await server.isActive(second.access_token)).toBe(false);
  expect(await server.isRefreshTokenActive(second.refresh_token ?? "")).toBe(false);
  await expect(refresh(as, second.refresh_token)).rejects.toMatchObject({ error: "invalid_grant" });
  const { accessTokens, refreshTokens, grants } = server.records();
  expect(refreshTokens).toMatchObject([
    { id: first.refresh_token, consumed: true, destroyed: true },
    { id: second.refresh_token, consumed: false, destroyed: true },
  ]);
  expect([...accessTokens, ...grants].map(({ active }) => active)).toEqual([false, false, false]);
});

test("many refreshes at the same moment: one wins, then the family is dead", async () => {
  const { server, as } = await start();
  const { refresh_token } = await signIn(as, "openid");
  const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => refresh(as, refresh_token)));
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  expect(server.records().refreshTokens.filter(({ active }) => active)).toEqual([]);
});

test("without rotation the refresh token stays", async () => {
  const { as } = await start({ rotation: false });
  const { refresh_token } = await signIn(as, "openid");
  expect((await refresh(as, refresh_token)).refresh_token).toBe(refresh_token);
  expect((await refresh(as, refresh_token)).refresh_token).toBe(refresh_token);
});

test("expired access tokens are refused, and the refresh token gets a new one", async () => {
  const { server, as } = await start({ accessTokenTtl: 120 });
  const old = await signIn(as, "openid");
  expect(old.expires_in).toBe(120);
  server.expireAccessTokens();
  expect(await server.isActive(old.access_token)).toBe(false);
  expect((await oauth.userInfoRequest(as, native, old.access_token, http)).status).toBe(401);
  expect(await server.isActive((await refresh(as, old.refresh_token)).access_token)).toBe(true);
});

test("revocation of a refresh token takes its access token along", async () => {
  const { server, as } = await start();
  const tokens = await signIn(as, "openid");
  const response = await oauth.revocationRequest(as, native, oauth.None(), tokens.refresh_token ?? "", http);
  await oauth.processRevocationResponse(response);
  expect(await server.isRefreshTokenActive(tokens.refresh_token ?? "")).toBe(false);
  expect(await server.isActive(tokens.access_token)).toBe(false);
  expect(server.records().grants).toMatchObject([{ accountId: "alice", scope: "openid", destroyed: true }]);
});

test("client credentials: a secret that needs form-encoding, and one that is posted", async () => {
  const { server, as } = await start();
  const { confidential, post } = server.clients;
  const scope = new URLSearchParams({ scope: "api:read" });
  for (const [{ id, secret }, how] of [
    [confidential, oauth.ClientSecretBasic],
    [post, oauth.ClientSecretPost],
  ] as const) {
    const client = { client_id: id };
    const response = await oauth.clientCredentialsGrantRequest(as, client, how(secret), scope, http);
    const tokens = await oauth.processClientCredentialsResponse(as, client, response);
    expect(tokens.scope).toBe("api:read");
    expect(await server.isActive(tokens.access_token)).toBe(true);
    const introspected = await oauth.introspectionRequest(as, client, how(secret), tokens.access_token, http);
    expect(await oauth.processIntrospectionResponse(as, client, introspected)).toMatchObject({ active: true });
  }
  expect(server.requests.filter(({ path }) => path === "/token").map(({ auth }) => auth)).toEqual(["basic", "post"]);

  // The mistake that the secret is there for: curl -u and many clients send it as it is.
  const raw = Buffer.from(`${confidential.id}:${confidential.secret}`).toString("base64");
  const response = await fetch(as.token_endpoint ?? "", {
    method: "POST",
    headers: { authorization: `Basic ${raw}` },
    body: new URLSearchParams({ grant_type: "client_credentials" }),
  });
  expect(response.ok).toBe(false);
});

test("anybody may register a client", async () => {
  const { as } = await start();
  const response = await oauth.dynamicClientRegistrationRequest(
    as,
    { application_type: "native", redirect_uris: ["http://127.0.0.1/callback"], token_endpoint_auth_method: "none" },
    http,
  );
  expect((await oauth.processDynamicClientRegistrationResponse(response)).client_id).toBeTypeOf("string");
});

test("an issuer with a path: both well-known places, sign-in and device", async () => {
  const { server, as } = await start({ issuerPath: "/tenant" });
  const issuer = new URL(server.issuer);
  expect(issuer.pathname).toBe("/tenant");
  const rfc8414 = await oauth.discoveryRequest(issuer, { ...http, algorithm: "oauth2" });
  expect(await oauth.processDiscoveryResponse(issuer, rfc8414)).toEqual(as);
  const tokens = await signIn(as, "openid");
  expect(await server.isActive(tokens.access_token)).toBe(true);
  const device = await startDevice(as);
  expect(device.verification_uri).toBe(`${server.issuer}/device`);
  await server.approveDevice(device.user_code);
  expect((await fetch(new URL("/token", server.issuer), { method: "POST" })).status).toBe(404);
});

test("it prints nothing", async () => {
  const spies = [vi.spyOn(process.stdout, "write"), vi.spyOn(console, "info"), vi.spyOn(console, "warn")];
  const { server, as } = await start();
  const { url } = await authorizationUrl(as, "openid");
  await approveRedirect(url);
  const end = await visit(`${server.issuer}/session/end`);
  const lost = await visit(`${server.issuer}/interaction/nowhere`);
  const calls = spies.map((spy) => spy.mock.calls.length);
  for (const spy of spies) spy.mockRestore();
  expect([end.status, lost.status]).toEqual([200, 400]);
  expect(calls).toEqual([0, 0, 0]);
});

test("Chromium signs in, is refused, and connects a device", async () => {
  const { as } = await start();
  const callbacks: string[] = [];
  const listener = createServer((request, response) => {
    callbacks.push(request.url ?? "");
    response.setHeader("content-type", "text/html").end("<title>Done</title><p>You are signed in.</p>");
  });
  await once(listener.listen(0, "127.0.0.1"), "listening");
  const redirectUri = `http://127.0.0.1:${(listener.address() as AddressInfo).port}/callback`;
  try {
    await withBrowser(async (browser) => {
      const yes = await authorizationUrl(as, "openid", redirectUri);
      const landing = await signInWithBrowser(yes.url, { browser, login: "dave" });
      expect(landing).toMatchObject({ title: "Done", text: "You are signed in." });
      const tokens = await exchange(as, yes, new URL(landing.url));
      expect(oauth.getValidatedIdTokenClaims(tokens)?.sub).toBe("dave");

      const no = await authorizationUrl(as, "openid", redirectUri);
      const refused = await signInWithBrowser(no.url, { browser, decision: "deny" });
      expect(new URL(refused.url).searchParams.get("error")).toBe("access_denied");

      const device = await startDevice(as);
      const uri = device.verification_uri_complete ?? "";
      expect((await approveDeviceWithBrowser(uri, { browser })).title).toBe("Device connected");
      expect(await poll(as, device.device_code)).toMatchObject({ token_type: "bearer" });
    });
    expect(callbacks.filter((url) => url.startsWith("/callback?"))).toHaveLength(2);
  } finally {
    listener.close();
    listener.closeAllConnections();
  }
}, 15_000);
