/**
 * RFC 7523 §2.1: an assertion for a token, given or signed here, against a real oidc-provider that verifies it.
 *
 * What is protected: the server gets an assertion that it believes, and of the right person; a key is kept sealed and signs
 * anew; an assertion that was given is not kept; what cannot work is told before anything is sent; no key and no assertion is
 * ever shown.
 */
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { afterAll, describe, expect, test } from "vitest";
import { asConfidential, type Grants, inWorldOfGrants, JWT_BEARER, secretOf } from "../support/grants.ts";
import { metadata, signIdToken, signingKey, startHostileServer } from "../support/hostile-server.ts";
import { program } from "../support/inside.ts";
import { remember } from "../support/issued.ts";
import { connectionSecrets, opened } from "../support/sealed.ts";
import type { World } from "../support/sessions.ts";
import { sweep, tempHome } from "../support/spawn.ts";

afterAll(async () => {
  expect(await sweep()).toEqual([]);
});

const TRUSTED = "https://sts.acme.example";
const publicKeyOf = (privateKey: KeyObject) => createPublicKey(privateKey);

/** An assertion of somebody that the server trusts. */
function assertion({ server }: World, claims: object = {}): string {
  const now = Math.floor(Date.now() / 1000);
  const jwt = signIdToken({ iss: TRUSTED, sub: "alice", aud: server.issuer, iat: now, exp: now + 60, ...claims });
  remember(jwt);
  return jwt;
}

const pemOf = (key: KeyObject) => String(key.export({ type: "pkcs8", format: "pem" }));
const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;

const trustSts = ({ trusted }: Grants) => trusted.set(TRUSTED, publicKeyOf(signingKey().privateKey));

const given = (w: World, jwt: string, ...more: string[]) =>
  w.run(asConfidential(w, "jwt_bearer", "--assertion-from", "env:ASSERTION", ...more), {
    env: { ...secretOf(w), ASSERTION: jwt },
  });

describe.concurrent("an assertion that is given", () => {
  test(
    "brings a token of whoever it speaks of",
    inWorldOfGrants(async (w, s) => {
      trustSts(s);
      const { result } = await given(w, assertion(w), "--scope", "api:read");
      expect(result).toMatchObject({ status: "success", data: { record_status: "connected", scope: "api:read" } });
      expect(w.server.records().accessTokens).toMatchObject([{ accountId: "alice", scope: "api:read" }]);
      expect(w.requestsTo("/token")).toMatchObject([{ grant_type: JWT_BEARER, auth: "basic", status: 200 }]);
      await w.expectSignedIn();
    }),
  );

  test(
    "is not kept, nor where it came from, and nothing is renewed with it",
    inWorldOfGrants(async (w, s) => {
      trustSts(s);
      const jwt = assertion(w);
      await given(w, jwt);
      expect(connectionSecrets(w.home)).not.toContain(jwt);
      expect(opened(w.home, "connection", "default@acme")).toMatchObject({ refreshable: false });
      expect(opened(w.home, "connection", "default@acme")["inputs"]).toBeUndefined();
      const { result } = await w.run(["token", "acme", "--refresh"]);
      expect(result.warnings).toMatchObject([{ code: "not_refreshable" }]);
      const again = await w.run(["login", "acme"], { env: secretOf(w) });
      expect(again.result.error).toMatchObject({ code: "config", message: "The assertion is missing." });
    }),
  );

  const refused: [what: string, claims: object][] = [
    ["is for another server", { aud: "https://login.other.example" }],
    ["comes from a stranger", { iss: "https://sts.stranger.example" }],
    ["is good for too long", { exp: Math.floor(Date.now() / 1000) + 90_000 }],
  ];
  test.each(refused)("that %s is refused by the server, and nothing is stored", (_, claims) =>
    inWorldOfGrants(async (w, s) => {
      trustSts(s);
      const { result, code } = await given(w, assertion(w, claims));
      expect([code, result.error]).toMatchObject([76, { code: "provider", oauth_error: "invalid_grant" }]);
      expect(connectionSecrets(w.home)).toEqual([]);
    })(),
  );

  test.each([
    ["has expired", (w: World) => assertion(w, { exp: 1 }), "The assertion has expired."],
    ["is none", () => "once upon a time", "--assertion-from holds no JWT."],
  ])("that %s is sent nowhere", (_, make, message) =>
    inWorldOfGrants(async (w, s) => {
      trustSts(s);
      const { result, code } = await given(w, make(w));
      expect([code, result.error]).toMatchObject([78, { code: "config", message }]);
      expect(w.requestsTo("/token")).toEqual([]);
    })(),
  );
});

describe.concurrent("an assertion that is signed here", () => {
  const pem = (key: KeyObject) => String(key.export({ type: "pkcs8", format: "pem" }));
  const jwk = (key: KeyObject, more: object) => JSON.stringify({ ...key.export({ format: "jwk" }), ...more });
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const ed = generateKeyPairSync("ed25519").privateKey;
  const keys: [kind: string, text: string, key: KeyObject][] = [
    ["an RSA key as PEM", pem(rsa), rsa],
    ["an EC key as PEM", pem(ec), ec],
    ["an EC key as SEC1 PEM", String(ec.export({ type: "sec1", format: "pem" })), ec],
    ["an Ed25519 key as PEM", pem(ed), ed],
    ["an RSA key as JWK", jwk(rsa, { kid: "one", alg: "RS256" }), rsa],
    ["an EC key as JWK", jwk(ec, { kid: "two" }), ec],
  ];
  /** Signs in with the key, whose owner the server knows. */
  async function signedIn(w: World, { trusted }: Grants, text: string, key: KeyObject, ...more: string[]) {
    remember(...(text.match(/[\w+/=-]{40,}/g) ?? []));
    trusted.set(w.server.clients.confidential.id, publicKeyOf(key)).set("robot", publicKeyOf(key));
    const argv = asConfidential(w, "jwt_bearer", "--signing-key-from", "stdin", ...more);
    return w.run(argv, { env: secretOf(w), stdin: text });
  }

  test.each(keys)("with %s", (_, text, key) =>
    inWorldOfGrants(async (w, s) => {
      const { result } = await signedIn(w, s, text, key, "--subject", "alice");
      expect(result.error).toBeUndefined();
      const { iss, sub, aud, exp = 0, iat, jti } = s.assertions[0] ?? {};
      expect({ iss, sub, aud }).toEqual({ iss: w.server.clients.confidential.id, sub: "alice", aud: w.server.issuer });
      expect(exp - Number(iat)).toBe(300);
      expect(jti).toMatch(/^[\w-]{43}$/);
      await w.expectSignedIn();
    })(),
  );

  test(
    "says what it is told to, and who else",
    inWorldOfGrants(async (w, s) => {
      const aud = `${w.server.issuer}/token`;
      await signedIn(w, s, pem(ec), ec, "--assertion-issuer", "robot", "--audience", aud, "--key-id", "2026-03");
      expect(s.assertions).toMatchObject([{ iss: "robot", sub: "robot", aud }]);
    }),
  );

  test(
    "is signed anew for every renewal, by a key that lies sealed",
    inWorldOfGrants(async (w, s) => {
      await signedIn(w, s, pem(ec), ec, "--subject", "alice", "--scope", "api:read");
      const { result } = await w.run(["token", "acme", "--refresh"], { env: {} });
      expect(result.data).toMatchObject({ refreshed: true, scope: "api:read" });
      expect(await w.server.isActive(result.data.access_token)).toBe(true);
      expect(s.assertions.map(({ sub }) => sub)).toEqual(["alice", "alice"]);
      expect(new Set(s.assertions.map(({ jti }) => jti)).size).toBe(2);
      const again = await w.run(["login", "acme"]); // what was said once need not be said again
      expect(again.result.status).toBe("success");
      expect(s.assertions.at(-1)).toMatchObject({ sub: "alice" });
    }),
  );

  test(
    "that the server believes no more ends nothing here: once it does again, so does the renewal",
    inWorldOfGrants(async (w, s) => {
      await signedIn(w, s, pem(ec), ec);
      const before = opened(w.home, "connection", "default@acme");
      const trusted = new Map(s.trusted);
      s.trusted.clear();
      const { result } = await w.run(["token", "acme", "--refresh"]);
      expect(result.error).toMatchObject({ code: "auth_expired", oauth_error: "invalid_grant" });
      expect(opened(w.home, "connection", "default@acme")).toEqual(before);
      for (const [iss, key] of trusted) s.trusted.set(iss, key);
      expect((await w.run(["token", "acme", "--refresh"])).result.data.refreshed).toBe(true);
    }),
  );

  test.each([
    ["is none", "-----BEGIN NONSENSE-----", "neither a PEM file"],
    [
      "has a passphrase",
      String(ec.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" })),
      "",
    ],
    ["signs no JWT", pem(generateKeyPairSync("x25519").privateKey), "it is a key of the type x25519"],
    ["is said to sign otherwise", jwk(ec, { alg: "RS256" }), "signs no JWT in that way"],
  ])("with a key that %s is refused, and the key not quoted", (_, text, why) =>
    inWorldOfGrants(async (w, s) => {
      const { result, code } = await signedIn(w, s, text, ec);
      expect([code, result.error?.code]).toEqual([78, "config"]);
      expect(result.error?.message).toContain(why);
      expect(w.requestsTo("/token")).toEqual([]);
    })(),
  );
});

describe.concurrent("a Google service account", () => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const account = (url: string, more: object = {}) => ({
    type: "service_account",
    client_email: "robot@project.iam.gserviceaccount.example",
    client_id: "1234567890",
    private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
    private_key_id: "the-key-of-march",
    token_uri: `${url}/token`,
    ...more,
  });
  const login = (url: string, file: object) => {
    const argv = ["login", "google", "--issuer", url, "--flow", "jwt_bearer", "--signing-key-from", "stdin"];
    const home = tempHome();
    const run = program([...argv, "--subject", "alice@acme.example", "--scope", "one two"], {
      home,
      stdin: JSON.stringify(file),
    });
    return run.done;
  };
  const google = () =>
    startHostileServer((url) => ({
      "GET /.well-known/openid-configuration": { json: metadata(url, { grant_types_supported: [JWT_BEARER] }) },
      "POST /token": { json: { access_token: "token-of-the-service-account", token_type: "Bearer", expires_in: 3599 } },
    }));

  test("says all in its assertion, as Google documents it, and needs no client", async () => {
    const server = await google();
    try {
      const { code, home } = await login(server.url, account(server.url));
      expect(code).toBe(0);
      const [request] = server.requests.filter(({ path }) => path === "/token");
      expect([...(request?.form.keys() ?? [])].sort()).toEqual(["assertion", "grant_type"]);
      expect(request?.headers.authorization).toBeUndefined();
      const [header, claims] = (request?.form.get("assertion") ?? "").split(".").map((part) => {
        return part && String(Buffer.from(part, "base64url"));
      });
      expect(JSON.parse(header ?? "")).toEqual({ alg: "RS256", typ: "JWT", kid: "the-key-of-march" });
      expect(JSON.parse(claims ?? "")).toMatchObject({
        iss: "robot@project.iam.gserviceaccount.example",
        sub: "alice@acme.example",
        aud: `${server.url}/token`,
        scope: "one two",
      });
      const learned = opened(home, "provider", "google");
      expect(learned["client"]).toEqual({}); // nobody else signs in as this robot
    } finally {
      await server.close();
    }
  });

  test("is shown to its own server only", async () => {
    const server = await google();
    try {
      const { code, events } = await login(server.url, account("https://oauth2.stranger.example"));
      expect([code, events.at(-1)?.error?.message]).toEqual([78, expect.stringContaining("belongs to another server")]);
      expect(server.requests.filter(({ path }) => path === "/token")).toEqual([]);
    } finally {
      await server.close();
    }
  });
});

test(
  "what is done again is done at the server that it was done at, and its secrets are shown to no other",
  inWorldOfGrants(async (w, s) => {
    const own = await startHostileServer((url) => ({
      "GET /.well-known/openid-configuration": { json: { ...metadata(url), grant_types_supported: [JWT_BEARER] } },
      "POST /token": { json: { access_token: "of-the-own-server", token_type: "Bearer", expires_in: 3600 } },
    }));
    try {
      const env = {
        ...secretOf(w),
        ROBOT: "secret-of-the-robot",
        KEY: pemOf(generateKeyPairSync("ed25519").privateKey),
      };
      remember(env.ROBOT, "of-the-own-server");
      await w.run(asConfidential(w, "client_credentials"), { env }); // by this server the name is known
      const there = ["--issuer", own.url, "--client-id", "robot", "--client-secret-from", "env:ROBOT"];
      const robot = ["login", "acme", "--connection", "robot"];
      await w.run([...robot, ...there, "--flow", "jwt_bearer", "--signing-key-from", "env:KEY"], { env });
      const before = w.server.requests.length;
      // What the environment says of the provider's client is said of the provider's own server.
      const again = { AUTHLINE_CLIENT_ID_ACME: "robot", AUTHLINE_CLIENT_SECRET_ACME: env.ACME_SECRET };
      const { result } = await w.run(robot, { env: again });
      expect(result).toMatchObject({ status: "success", data: { connection: "robot" } });
      expect(w.server.requests).toHaveLength(before);
      expect(s.assertions).toEqual([]);
      const asked = own.requests.filter(({ path }) => path === "/token").map(({ headers }) => headers.authorization);
      expect(asked).toEqual([asked[0], asked[0]]);
    } finally {
      await own.close();
    }
  }),
);

test("an --audience does not take a service account to another server than its own", async () => {
  const server = await startHostileServer((url) => ({
    "GET /.well-known/openid-configuration": { json: { ...metadata(url), grant_types_supported: [JWT_BEARER] } },
  }));
  try {
    const private_key = pemOf(generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey);
    const token_uri = "https://oauth2.stranger.example/token";
    const stdin = JSON.stringify({ type: "service_account", client_email: "a@b.example", private_key, token_uri });
    const argv = ["login", "acme", "--issuer", server.url, "--flow", "jwt_bearer", "--signing-key-from", "stdin"];
    const { events } = await program([...argv, "--audience", token_uri], { home: tempHome(), stdin }).done;
    expect(events.at(-1)?.error?.message).toContain("belongs to another server");
    expect(server.requests.filter(({ path }) => path === "/token")).toEqual([]);
  } finally {
    await server.close();
  }
});

describe.concurrent("what is missing or too much is told in one line", () => {
  const rows: [what: string, argv: string[], code: string, hint: string][] = [
    ["nothing is given", [], "config", "--assertion-from or --signing-key-from"],
    ["both are", ["--assertion-from", "env:A", "--signing-key-from", "env:A"], "config", "one of"],
    ["a flag of another flow", ["--actor-token-type", "jwt"], "usage", "It goes with --flow token_exchange."],
    ["a key that is too short", ["--signing-key-from", "env:WEAK"], "config", "2048 bits at least"],
    ["the assertion itself", ["--assertion-from", "eyJhbGciOi"], "usage", "env:NAME"],
  ];
  test.each(rows)("%s", (_, more, code, hint) =>
    inWorldOfGrants(async (w) => {
      const { result } = await w.run(asConfidential(w, "jwt_bearer", ...more), {
        env: { ...secretOf(w), A: "a.b.c", WEAK: pemOf(weak) },
      });
      expect(result.error).toMatchObject({ code, hint: expect.stringContaining(hint) });
      expect(w.requestsTo("/token")).toEqual([]);
    })(),
  );
});
