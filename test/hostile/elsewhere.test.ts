// Protected: credentials go to the server they belong to and to no other: not where it redirects to, not where its metadata
// points after the login, not where somebody edited the definition to.

import { afterAll, describe, expect, test } from "vitest";
import {
  type HostileServer,
  metadata,
  type Routes,
  signIdToken,
  startHostileServer,
} from "../support/hostile-server.ts";
import { program } from "../support/inside.ts";
import { type Run, sweep, tempHome } from "../support/spawn.ts";
import {
  type Attack,
  CLIENT,
  comesBack,
  type Ending,
  judge,
  login,
  POISON,
  plant,
  record,
  SECRET,
  server,
  suffer,
  tokens,
} from "./attack.ts";

afterAll(sweep);

const OIDC = "GET /.well-known/openid-configuration";

/** Another server, which would take anything; nobody may ask it. */
async function withStranger(use: (stranger: HostileServer) => Promise<void>, routes: Routes = {}) {
  const stranger = await startHostileServer((url) => ({
    [OIDC]: { json: metadata(url, { grant_types_supported: undefined }) },
    "*": { json: tokens() },
    ...routes,
  }));
  try {
    await use(stranger);
  } finally {
    await stranger.close();
  }
}

describe.concurrent("a redirect is not followed", () => {
  const places: [route: string, flow: NonNullable<Attack["flow"]>][] = [
    [OIDC, "client_credentials"],
    ["POST /token", "client_credentials"],
    ["POST /token", "authorization_code"],
    ["POST /token", "device_code"],
    ["POST /device", "device_code"],
  ];
  const rows = places.flatMap(([place, flow], index) =>
    // 307 and 308 would send the body, with code and secret, once more.
    (index === 1 ? [301, 302, 303, 307, 308] : [302, 307]).map((status) => [place, flow, status] as const),
  );
  test.each(rows)("%s (%s) with %d", (route, flow, status) =>
    withStranger(async (stranger) => {
      await suffer({
        does: "redirects",
        flow,
        ends: "provider",
        says: /redirect/,
        routes: { [route]: { status, headers: { location: `${stranger.url}/token` }, json: tokens() } },
        ...(flow === "authorization_code" && { meanwhile: comesBack() }),
      });
      expect(stranger.requests).toEqual([]);
    }),
  );

  test("for the keys of ID tokens", () =>
    withStranger(async (stranger) => {
      await suffer({
        does: "lends its keys",
        ends: "provider",
        routes: (url) => ({
          "GET /jwks": { status: 302, headers: { location: `${stranger.url}/jwks` } },
          "POST /token": { json: tokens({ id_token: idToken(url) }) },
        }),
      });
      expect(stranger.requests).toEqual([]);
    }));
});

const idToken = (iss: string, claims: object = {}) => {
  const now = Math.floor(Date.now() / 1000);
  return signIdToken({ iss, aud: CLIENT, sub: "alice", iat: now, exp: now + 300, ...claims });
};

/** Signed in, with a refresh token; the token endpoint is then scripted anew. */
async function signedIn(use: (home: string, hostile: HostileServer) => Promise<void>, first: object = {}) {
  const hostile = await server((url) => ({ "POST /token": { json: tokens({ id_token: idToken(url), ...first }) } }));
  const home = tempHome();
  try {
    const running = login(hostile.url, ["--flow", "authorization_code"], { home });
    await comesBack()(running);
    await judge(await running.done, "success");
    hostile.requests.length = 0;
    await use(home, hostile);
  } finally {
    await hostile.close();
  }
}

const refresh = (home: string): Promise<Run> => program(["token", "acme", "--refresh"], { home }).done;
const FRESH = "fresh-access-token";

describe.concurrent("a refresh token goes to the server that gave it", () => {
  const moves: [what: string, (home: string, hostile: HostileServer, stranger: HostileServer) => void][] = [
    [
      "the server's metadata move the endpoint",
      (_, hostile, stranger) => {
        hostile.routes[OIDC] = { json: metadata(hostile.url, { token_endpoint: `${stranger.url}/token` }) };
      },
    ],
    [
      "the definition names another issuer",
      (home, _, { url }) => {
        plant(home, "providers/acme.json", {
          v: 1,
          provider: "acme",
          definition: { issuer: url },
          client: {},
          secrets: {},
        });
      },
    ],
    [
      "the definition names another endpoint",
      (home, { url }, stranger) => {
        const endpoints = { token_endpoint: `${stranger.url}/token` };
        plant(home, "providers/acme.json", {
          v: 1,
          provider: "acme",
          definition: { issuer: url, discovery: false, endpoints },
          client: {},
          secrets: {},
        });
      },
    ],
  ];
  test.each(moves)("though %s", (_, move) =>
    signedIn((home, hostile) =>
      withStranger(async (stranger) => {
        move(home, hostile, stranger);
        hostile.routes["POST /token"] = { json: { access_token: FRESH, token_type: "bearer" } };
        const run = await refresh(home);
        expect(run.events.at(-1)).toMatchObject({ status: "success", data: { access_token: FRESH, refreshed: true } });
        expect(hostile.requests.map(({ form }) => form.get("refresh_token"))).toEqual([SECRET.refresh]);
        await program(["logout", "acme"], { home }).done;
        expect(hostile.requests.slice(1).map(({ path }) => path)).toEqual(["/revoke", "/revoke"]);
        expect(stranger.requests).toEqual([]);
      }),
    ),
  );

  test("and so does the client's secret: another issuer is not told it", () =>
    signedIn((home) =>
      withStranger(async (stranger) => {
        const running = program(
          ["login", "acme", "--issuer", stranger.url, "--flow", "client_credentials", "--client-id", CLIENT],
          { home, cwd: home },
        );
        await running.done;
        const sent = stranger.requests.map(({ headers, body }) => `${headers.authorization ?? ""} ${body}`).join("\n");
        expect(stranger.requests.length).toBeGreaterThan(0);
        expect(sent).not.toContain(SECRET.client);
        expect(sent).not.toMatch(/Basic/);
        expect(sent).not.toContain(SECRET.refresh);
      }),
    ));
});

describe.concurrent("a refresh that goes wrong leaves the record as it was", () => {
  const bearer = (more: object) => ({ json: { access_token: FRESH, token_type: "bearer", ...more } });
  const rows: [what: string, route: (url: string) => Routes[string], ends: Ending][] = [
    ["a line break in the token", () => bearer({ access_token: `${FRESH}\n` }), "provider"],
    ["an escape in the new refresh token", () => bearer({ refresh_token: "\u001b[31m" }), "provider"],
    ["a negative lifetime", () => bearer({ expires_in: -1 }), "provider"],
    ["an unsigned ID token", () => bearer({ id_token: signIdToken({ sub: "alice" }, { alg: "none" }) }), "provider"],
    ["an ID token of somebody else", (url) => bearer({ id_token: idToken(url, { sub: "mallory" }) }), "provider"],
    ["HTML", () => ({ status: 400, text: "<html>" }), "provider"],
    ["nothing", () => ({ status: 200 }), "provider"],
    ["invalid_client", () => ({ status: 401, json: { error: "invalid_client" } }), "provider"],
    ["a bad moment", () => ({ status: 503 }), "provider"],
    ["a crowd", () => ({ status: 429 }), "rate_limited"],
    ["a redirect", () => ({ status: 307, headers: { location: "http://127.0.0.1:1/" } }), "provider"],
    ["a refusal in the person's name", () => ({ status: 400, json: { error: "access_denied" } }), "denied"],
  ];
  test.each(rows)("%s", (_, route, ends) =>
    signedIn(async (home, hostile) => {
      const before = record(home);
      hostile.routes["POST /token"] = route(hostile.url);
      const run = await refresh(home);
      expect(run.events.at(-1)?.error?.code).toBe(ends);
      expect(String(run.stdout)).not.toMatch(/<html|\\u001b/);
      expect(record(home)).toEqual(before);
    }),
  );

  test("but invalid_grant ends it: no token is left to be used", () =>
    signedIn(async (home, hostile) => {
      hostile.routes["POST /token"] = { status: 400, json: { error: "invalid_grant", error_description: POISON } };
      const run = await refresh(home);
      await judge({ ...run, home: tempHome() }, "auth_expired");
      expect(record(home)).toMatchObject({
        revoked: true,
        secrets: expect.not.objectContaining({ access_token: expect.anything() }),
      });
    }));
});
