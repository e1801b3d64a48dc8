// Protected: who signed in. An ID token counts only with a signature by the server's published key, for this client, from
// this issuer, for this request and in time; one that fails costs the whole login, access token included.

import { afterAll, describe, expect, test } from "vitest";
import { jwks, newSigningKey, type Routes, signIdToken, signingKey } from "../support/hostile-server.ts";
import { sweep } from "../support/spawn.ts";
import { type Attack, CLIENT, knock, POISON, record, SECRET, stateOf, suffer, tokens } from "./attack.ts";

afterAll(sweep);

type Signing = Parameters<typeof signIdToken>[1];
type Claims = Record<string, unknown>;

const now = () => Math.floor(Date.now() / 1000);
const foreign = newSigningKey("RS256", "test-RS256"); // the right name on the wrong key

interface Forgery {
  claims?: Claims;
  signing?: Signing;
  /** Instead of a signed token. */
  token?: unknown;
  keys?: Routes[string];
}

/** A redirect login that asks for openid and is answered with an ID token that is wrong in one way. */
async function answeredWith({ claims = {}, signing, token, keys }: Forgery, attack: Partial<Attack>) {
  let nonce = "";
  await suffer({
    does: "forges",
    ends: "provider",
    flow: "authorization_code",
    argv: ["--scope", "openid"],
    routes: (url) => ({
      ...(keys !== undefined && { "GET /jwks": keys }),
      "POST /token": () => {
        const honest = { iss: url, aud: CLIENT, sub: "alice", nonce, iat: now(), exp: now() + 300 };
        const id_token = token === undefined ? signIdToken({ ...honest, ...claims }, signing) : token;
        return { json: tokens({ id_token: id_token === null ? undefined : id_token }) };
      },
    }),
    async meanwhile(running) {
      const challenge = await running.next("auth_url");
      nonce = new URL(challenge.auth_url ?? "").searchParams.get("nonce") ?? "";
      expect(nonce.length).toBeGreaterThan(20);
      await knock(challenge, { code: SECRET.code, state: stateOf(challenge) });
    },
    ...attack,
  });
}

const HOSTILE_KEY = { kty: "RSA", kid: "test-RS256", alg: "RS256", use: "sig" };
const json = (value: unknown) => ({ json: value });

describe.concurrent("an ID token is refused", () => {
  const rows: [what: string, forgery: Forgery][] = [
    ["that is missing", { token: null }],
    ["that is no string", { token: { sub: "alice" } }],
    ["that is no JWT", { token: "not.a.jwt" }],
    ["that is no base64", { token: `${"\u001b"}.${"\u001b"}.x` }],
    ["that is empty", { token: "" }],
    ["with five parts", { token: "a.b.c.d.e" }],
    ["with a header that is no object", { token: `${Buffer.from("5").toString("base64url")}.e30.x` }],
    ["without a signature (none)", { signing: { alg: "none" } }],
    ["signed with the client's secret (HS256)", { signing: { alg: "HS256", key: SECRET.client } }],
    ["signed with the public key as a secret (HS256)", { signing: { alg: "HS256" } }],
    ["signed with another key of the same name", { signing: { key: foreign } }],
    ["signed with a key that is not published", { signing: { key: newSigningKey("RS256", "unpublished") } }],
    [
      "signed with an algorithm the server does not announce",
      { signing: { alg: "ES256" }, keys: json(jwks([signingKey("RS256")])) },
    ],
    ["for another client", { claims: { aud: "someone-else" } }],
    ["for several clients without saying which", { claims: { aud: [CLIENT, "someone-else"] } }],
    ["for several clients, another one authorized", { claims: { aud: [CLIENT, "someone-else"], azp: "someone-else" } }],
    ["for nobody", { claims: { aud: undefined } }],
    ["from another issuer", { claims: { iss: "https://accounts.google.com" } }],
    ["from no issuer", { claims: { iss: undefined } }],
    ["with another nonce", { claims: { nonce: "another-nonce" } }],
    ["with no nonce", { claims: { nonce: undefined } }],
    ["that has expired", { claims: { exp: now() - 3600 } }],
    ["that never expires", { claims: { exp: undefined } }],
    ["that expires in words", { claims: { exp: "tomorrow" } }],
    ["that is not valid yet", { claims: { nbf: now() + 3600 } }],
    ["without a time of issue", { claims: { iat: undefined } }],
    ["of nobody", { claims: { sub: undefined } }],
    ["of a number", { claims: { sub: 5 } }],
    ["when the keys are missing", { keys: { status: 404 } }],
    ["when the keys are a page", { keys: { text: "<html>" } }],
    ["when the keys are none", { keys: json({ keys: [] }) }],
    ["when the keys are no list", { keys: json({ keys: "test-RS256" }) }],
    ["when the keys are no objects", { keys: json({ keys: [null, 5, "x"] }) }],
    ["when a key is incomplete", { keys: json({ keys: [HOSTILE_KEY] }) }],
    ["when a key is nonsense", { keys: json({ keys: [{ ...HOSTILE_KEY, n: "!", e: "!" }] }) }],
    ["when a key is a secret", { keys: json({ keys: [{ ...HOSTILE_KEY, kty: "oct", k: "c2VjcmV0" }] }) }],
    ["when a key is two megabytes", { keys: json({ keys: [{ ...HOSTILE_KEY, n: "x".repeat(2 << 20), e: "AQAB" }] }) }],
  ];
  test.each(rows)("%s", async (_, forgery) => {
    await answeredWith(forgery, {});
  });

  test("when its algorithm is not one the server announces", async () => {
    await answeredWith(
      { signing: { alg: "ES256" } },
      { metadata: { id_token_signing_alg_values_supported: ["RS256"] } },
    );
  });

  test("when the server has no keys to check it by", async () => {
    await answeredWith({}, { metadata: { jwks_uri: undefined } });
  });

  test("though nobody asked for one", async () => {
    await suffer({
      does: "volunteers",
      ends: "provider",
      routes: { "POST /token": { json: tokens({ id_token: signIdToken({ sub: "alice" }, { alg: "none" }) }) } },
    });
  });
});

describe.concurrent("an ID token is accepted", () => {
  test.each([
    ["RS256", {}],
    ["ES256", { signing: { alg: "ES256" as const } }],
    ["for a list of one", { claims: { aud: [CLIENT] } }],
    ["for several clients, this one authorized", { claims: { aud: [CLIENT, "someone-else"], azp: CLIENT } }],
    ["of a clock that is a little ahead", { claims: { iat: now() + 5, nbf: now() + 5 } }],
  ])("%s", async (_, forgery: Forgery) => {
    await answeredWith(forgery, {
      ends: "success",
      also: ({ home }) => expect(record(home)).toMatchObject({ account: "alice" }),
    });
  });

  test("and its claims are shown without their escapes", async () => {
    await answeredWith(
      { claims: { email: `alice${POISON}` } },
      { ends: "success", also: ({ events }) => expect(events.at(-1)?.data.account).toMatch(/^alice/) },
    );
  });
});
