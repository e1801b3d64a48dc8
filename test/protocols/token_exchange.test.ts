/**
 * RFC 8693: one token for another, against a real oidc-provider that looks the subject's token up in its own records.
 *
 * What is protected: the server gets the token that was meant, alive, and issues one for the same person; what was got for a
 * token that authline keeps is renewed with that, and ends with it, and whoever has to sign in is told where; refresh tokens
 * stay at home; a server that issues something else stores nothing.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { asConfidential, type Grants, inWorldOfGrants, secretOf, TOKEN_EXCHANGE } from "../support/grants.ts";
import { metadata, signIdToken, signingKey, startHostileServer } from "../support/hostile-server.ts";
import { program } from "../support/inside.ts";
import { remember } from "../support/issued.ts";
import { connectionSecrets, namesOf, opened, putSealed } from "../support/sealed.ts";
import type { World } from "../support/sessions.ts";
import { sweep } from "../support/spawn.ts";

afterAll(async () => {
  expect(await sweep()).toEqual([]);
});

const TYPE = "urn:ietf:params:oauth:token-type:";
const ACCESS_TOKEN = `${TYPE}access_token`;

/** Somebody signs in, under the default name. */
async function signIn(w: World, ...more: string[]): Promise<void> {
  const login = w.start(w.login("--flow", "device_code", ...more));
  await w.approve(await login.challenge());
  expect((await login.ended()).result.error).toBeUndefined();
}

const exchange = (w: World, ...more: string[]) =>
  w.run(asConfidential(w, "token_exchange", "--connection", "billing", ...more), { env: secretOf(w) });
const billing = (w: World, ...more: string[]) => w.run(["token", "acme", "--connection", "billing", ...more]);
const stored = (w: World, name = "billing") => opened(w.home, "connection", `${name}@acme`);

describe.concurrent("the token of a connection", () => {
  test(
    "is exchanged for one of the same person, with all that was asked, and kept under a name of its own",
    inWorldOfGrants(async (w, s) => {
      await signIn(w);
      const more = ["--audience", "billing", "--resource", "https://api.acme.example/v1", "--scope", "api:read"];
      const { result } = await exchange(w, "--subject", "acme", ...more);
      expect(result).toMatchObject({ status: "success", data: { connection: "billing", scope: "api:read" } });
      expect(s.exchanges).toEqual([
        expect.objectContaining({
          subject_token: stored(w, "default").secrets["access_token"],
          subject_token_type: ACCESS_TOKEN,
          audience: "billing",
          resource: "https://api.acme.example/v1",
          scope: "api:read",
          sub: "alice",
        }),
      ]);
      const { result: token } = await billing(w);
      expect(await w.server.isActive(token.data.access_token)).toBe(true);
      expect(w.server.records().accessTokens.find(({ id }) => id === token.data.access_token)).toMatchObject({
        accountId: "alice",
        clientId: w.server.clients.confidential.id,
      });
      expect(stored(w)).toMatchObject({
        flow: "token_exchange",
        issued_token_type: ACCESS_TOKEN,
        inputs: { subject: "acme/default" },
        refreshable: true,
      });
      await w.expectSignedIn(); // the other one is as it was
    }),
  );

  test(
    "leaves how people sign in there as it was",
    inWorldOfGrants(async (w) => {
      await signIn(w);
      await exchange(w, "--subject", "acme");
      const { definition, client } = opened(w.home, "provider", "acme");
      expect([definition.grants, client]).toEqual([undefined, { client_id: w.server.clients.native }]);
      const again = await w.run(["login", "acme", "--connection", "billing"]);
      expect([again.result.status, w.requestsTo("/token").at(-1)?.grant_type]).toEqual(["success", TOKEN_EXCHANGE]);
    }),
  );

  test(
    "is renewed first, and exchanged again whenever a new one is wanted",
    inWorldOfGrants(async (w, s) => {
      await signIn(w);
      await exchange(w, "--subject", "acme/default");
      const before = stored(w, "default").secrets;
      await w.run(["token", "acme", "--refresh"]);
      const { result } = await billing(w, "--refresh");
      expect(result.data.refreshed).toBe(true);
      expect(s.exchanges.map(({ subject_token }) => subject_token)).toEqual([
        before["access_token"],
        stored(w, "default").secrets["access_token"],
      ]);
      expect(await w.server.isActive(result.data.access_token)).toBe(true);
    }),
  );

  test(
    "goes on under the name that it is given, and what is missing is named as it is called",
    inWorldOfGrants(async (w, s) => {
      await signIn(w);
      await exchange(w, "--subject", "acme");
      const renamed = await w.run(["connection", "rename", "acme", "default", "me"]);
      expect(renamed.result.error).toBeUndefined();
      expect(stored(w)["inputs"]).toEqual({ subject: "acme/me" });
      const { result } = await billing(w, "--refresh");
      expect(result.data.refreshed).toBe(true);
      expect(s.exchanges).toHaveLength(2);
      await w.run(["connection", "default", "acme", "billing"]);
      await w.run(["connection", "remove", "acme", "me"]);
      const gone = await billing(w, "--refresh");
      expect(gone.result.error).toMatchObject({ code: "auth_required" });
      expect(gone.result.message).toContain('Nobody is signed in to acme under the name "me"');
    }),
  );

  test(
    "goes on though it was got while the other was renamed",
    inWorldOfGrants(async (w, s) => {
      await signIn(w);
      await exchange(w, "--subject", "acme");
      const late = stored(w);
      await w.run(["connection", "rename", "acme", "default", "me"]);
      putSealed(w.home, "connection", "billing@acme", late); // as a login leaves it that knew the old name
      expect((await billing(w, "--refresh")).result.data.refreshed).toBe(true);
      expect(s.exchanges).toHaveLength(2);
      const again = await w.run(["connection", "rename", "acme", "default", "me"]);
      expect([again.result.error, stored(w)["inputs"]]).toEqual([undefined, { subject: "acme/me" }]);
    }),
  );

  test(
    "that cannot be opened keeps no other from being renamed: it is named",
    inWorldOfGrants(async (w) => {
      await signIn(w);
      await exchange(w, "--subject", "acme");
      const path = join(w.home, "connections", "billing@acme.json");
      const whole = readFileSync(path, "utf8");
      const { sealed } = JSON.parse(whole);
      writeFileSync(path, whole.replace(sealed, `${sealed.slice(0, -4)}AAAA`));
      const { events } = await program(["connection", "rename", "acme", "default", "me"], { home: w.home }).done;
      writeFileSync(path, whole);
      expect(events.at(-1)).toMatchObject({
        ...{ status: "success", data: { connection: "me" } },
        warnings: [{ code: "unreadable", message: expect.stringContaining("billing@acme") }],
      });
      expect((await w.run(["token", "acme", "--refresh"])).result.data.refreshed).toBe(true);
    }),
  );

  test(
    "that has run out is refreshed by the exchange itself",
    inWorldOfGrants(
      async (w) => {
        await signIn(w);
        const { result } = await exchange(w, "--subject", "acme");
        expect(result.status).toBe("success");
        const grants = w.requestsTo("/token").map(({ grant_type }) => grant_type);
        expect(grants.slice(-2)).toEqual(["refresh_token", TOKEN_EXCHANGE]);
      },
      { accessTokenTtl: 30 },
    ),
  );

  const gone: [what: string, go: (w: World) => Promise<unknown>, code: string][] = [
    ["was signed out of", (w) => w.run(["logout", "acme"]), "auth_required"],
    [
      "was revoked by the server",
      async (w) => {
        for (const { id } of w.server.records().refreshTokens) await revoke(w, id);
        await w.run(["token", "acme", "--refresh"]);
      },
      "auth_expired",
    ],
  ];
  test.each(gone)("that %s takes with it what was got for it, and who has to sign in where is told", (_, go, code) =>
    inWorldOfGrants(async (w) => {
      await signIn(w);
      await exchange(w, "--subject", "acme");
      await go(w);
      const { result, code: exit } = await billing(w, "--refresh");
      expect([exit, result.error?.code]).toEqual([4, code]);
      expect(result.error?.hint).toBe("Sign in there first: authline login acme");
      expect(result.next_actions).toMatchObject([{ id: "login", argv: ["authline", "login", "acme"] }]);
      expect(stored(w)).toMatchObject({ refreshable: true }); // for when somebody has
      const { result: anew } = await exchange(w, "--subject", "acme");
      expect(anew.error?.code).toBe(code);
    })(),
  );

  test(
    "cannot be its own subject, however far around",
    inWorldOfGrants(async (w) => {
      await signIn(w);
      await exchange(w, "--subject", "acme");
      for (const name of ["default", "billing"]) {
        const argv = asConfidential(w, "token_exchange", "--subject", "acme/billing", "--connection", name);
        const { result } = await w.run(argv, { env: secretOf(w) });
        expect(result.error).toMatchObject({ code: "config", message: expect.stringContaining("for itself") });
      }
    }),
  );

  test.each([
    ["id_token", "id_token"],
    ["refresh_token", "refresh_token"],
  ])("may be its %s, at its own server", (type, field) =>
    inWorldOfGrants(async (w, s) => {
      const login = w.start(asConfidential(w, "device_code", "--scope", "openid offline_access"), { env: secretOf(w) });
      await w.approve(await login.challenge());
      await login.ended();
      const { result } = await exchange(w, "--subject", "acme", "--subject-token-type", type);
      expect(result.error).toBeUndefined();
      expect(s.exchanges).toMatchObject([{ subject_token: stored(w, "default").secrets[field], sub: "alice" }]);
    })(),
  );

  test(
    "is never its refresh token at another server",
    inWorldOfGrants(async (w) => {
      await signIn(w);
      const stranger = await startHostileServer((url) => ({
        "GET /.well-known/openid-configuration": { json: metadata(url, { grant_types_supported: [TOKEN_EXCHANGE] }) },
      }));
      try {
        const argv = ["login", "other", "--issuer", stranger.url, "--client-id", "cli", "--flow", "token_exchange"];
        const { result } = await w.run([...argv, "--subject", "acme", "--subject-token-type", "refresh_token"]);
        expect(result.error).toMatchObject({ code: "config", message: expect.stringContaining("its own") });
        expect(stranger.requests.filter(({ path }) => path === "/token")).toEqual([]);
      } finally {
        await stranger.close();
      }
    }),
  );
});

/** Somebody at the server takes it away. */
async function revoke({ server }: World, token: string): Promise<void> {
  const body = new URLSearchParams({ token, client_id: server.clients.native });
  expect((await fetch(`${server.issuer}/token/revocation`, { method: "POST", body })).status).toBe(200);
}

describe.concurrent("a token that is given", () => {
  const STS = "https://ci.acme.example";
  function job({ server }: World, { trusted }: Grants, sub: string): string {
    trusted.set(STS, signingKey().privateKey);
    const exp = Math.floor(Date.now() / 1000) + 60;
    const jwt = signIdToken({ iss: STS, sub, aud: server.issuer, exp });
    remember(jwt);
    return jwt;
  }

  test(
    "is exchanged, with that of whoever acts; neither is kept, and nothing is renewed with them",
    inWorldOfGrants(async (w, s) => {
      const env = { ...secretOf(w), SUBJECT: job(w, s, "alice"), ACTOR: job(w, s, "robot") };
      const argv = ["--subject-token-from", "env:SUBJECT", "--subject-token-type", "jwt"];
      const actor = ["--actor-token-from", "env:ACTOR", "--actor-token-type", "jwt"];
      const { result } = await w.run(asConfidential(w, "token_exchange", ...argv, ...actor), { env });
      expect(result.error).toBeUndefined();
      expect(s.exchanges).toMatchObject([
        { sub: "alice", actor: "robot", subject_token_type: `${TYPE}jwt`, actor_token_type: `${TYPE}jwt` },
      ]);
      expect(stored(w, "default")).toMatchObject({ refreshable: false });
      for (const jwt of [env.SUBJECT, env.ACTOR]) expect(connectionSecrets(w.home)).not.toContain(jwt);
    }),
  );

  test(
    "and is not valid, is refused, and nothing is stored",
    inWorldOfGrants(async (w) => {
      const { result, code } = await w.run(asConfidential(w, "token_exchange", "--subject-token-from", "env:SUBJECT"), {
        env: { ...secretOf(w), SUBJECT: "a-token-that-nobody-issued" },
      });
      expect([code, result.error]).toMatchObject([76, { code: "provider", oauth_error: "invalid_request" }]);
      expect(connectionSecrets(w.home)).toEqual([]);
    }),
  );
});

describe.concurrent("what is issued", () => {
  test(
    "may be something else than an access token, and is told to be",
    inWorldOfGrants(async (w) => {
      await signIn(w);
      await exchange(w, "--subject", "acme", "--requested-token-type", "jwt", "--audience", "billing");
      const { result } = await billing(w);
      expect(result.data).toMatchObject({ token_type: "N_A", issued_token_type: `${TYPE}jwt` });
      expect(result.data.access_token).toMatch(/^eyJ[\w-]+\.[\w-]+\.[\w-]+$/);
    }),
  );

  const wrong: [what: string, answer: object, message: RegExp][] = [
    ["nobody knows what it is", { issued_token_type: undefined }, /does not say what it issued/],
    ["another kind than was asked for", { issued_token_type: `${TYPE}saml2` }, /not what was asked for/],
    ["a refresh token", { issued_token_type: `${TYPE}refresh_token` }, /not what was asked for/],
    ["of a type that nobody can use", { token_type: "mac" }, /token_type is not Bearer/],
  ];
  test.each(wrong)("and is wrong is not stored: %s", (_, answer, message) =>
    inWorldOfGrants(async (w, s) => {
      await signIn(w);
      Object.assign(s.spoil, { answer });
      const { result, code } = await exchange(w, "--subject", "acme", "--requested-token-type", "access_token");
      expect([code, result.error?.code]).toEqual([76, "provider"]);
      expect(result.error?.message).toMatch(message);
      expect(namesOf(w.home, "connection")).toEqual(["default@acme"]);
    })(),
  );
});

test(
  "an API key is no token of anybody's: it goes to its own API, and to no server in exchange",
  inWorldOfGrants(async (w) => {
    const key = `sk-proj-${"k".repeat(40)}`;
    remember(key);
    await w.run(["login", "openai", "--key-from", "env:KEY", "--no-verify"], { env: { KEY: key } });
    const { result } = await exchange(w, "--subject", "openai");
    expect(result.error).toMatchObject({ code: "config", message: expect.stringContaining("cannot be exchanged") });
    expect(w.requestsTo("/token")).toEqual([]);
  }),
);

describe.concurrent("what is missing or wrong is told in one line", () => {
  const rows: [what: string, argv: string[], code: string, hint: string][] = [
    ["no subject", [], "config", "--subject or --subject-token-from"],
    ["two subjects", ["--subject", "acme", "--subject-token-from", "env:T"], "config", "one of"],
    ["a subject that is no name", ["--subject", "a/b/c"], "usage", "PROVIDER/CONNECTION"],
    ["a subject that nobody signed in to", ["--subject", "other"], "auth_required", "authline login other"],
    ["a kind that there is not", ["--subject", "acme", "--subject-token-type", "jam"], "usage", "access_token"],
    ["a refresh token", ["--subject", "acme", "--requested-token-type", "refresh_token"], "usage", "access token"],
    ["a resource that is none", ["--subject", "acme", "--resource", "api"], "usage", "https://"],
    ["a flag of another flow", ["--key-id", "one"], "usage", "--flow jwt_bearer"],
  ];
  test.each(rows)("%s", (_, more, code, hint) =>
    inWorldOfGrants(async (w) => {
      const argv = asConfidential(w, "token_exchange", "--connection", "billing", ...more);
      const { result } = await w.run(argv, { env: { ...secretOf(w), T: "t" } });
      expect(result.error).toMatchObject({ code, hint: expect.stringContaining(hint) });
      expect(w.requestsTo("/token")).toEqual([]);
    })(),
  );
});
