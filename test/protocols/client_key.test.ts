/**
 * A client that proves itself by a key (private_key_jwt: RFC 7523 §2.2, OIDC Core §9), against a real oidc-provider.
 *
 * What is protected: wherever a client has to prove itself it does so by its key, with an assertion that is used once; the key
 * is kept sealed, and no word of it gets out.
 */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Configuration, JWK } from "oidc-provider";
import { afterAll, describe, expect, test } from "vitest";
import { program } from "../support/inside.ts";
import { remember } from "../support/issued.ts";
import { visit } from "../support/person.ts";
import { opened } from "../support/sealed.ts";
import { inWorld, type World } from "../support/sessions.ts";
import { sweep, tempHome } from "../support/spawn.ts";
import { leaks } from "../support/stream.ts";

/** Where somebody keeps a key, which is not authline's home. */
const vault = mkdtempSync(join(tmpdir(), "authline-vault-"));
afterAll(async () => {
  rmSync(vault, { recursive: true });
  expect(await sweep()).toEqual([]);
});

const pairs = {
  ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  RS256: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  EdDSA: generateKeyPairSync("ed25519"),
};
type Pair = keyof typeof pairs;
for (const { privateKey } of Object.values(pairs)) remember(privateKey.export({ format: "jwk" }).d);

const pem = (key: KeyObject, type: "pkcs8" | "sec1" | "pkcs1" = "pkcs8") => String(key.export({ type, format: "pem" }));
const jwk = (key: KeyObject, more: object) => JSON.stringify({ ...key.export({ format: "jwk" }), ...more });
function file(name: string, text: string): string {
  writeFileSync(join(vault, name), text);
  return `file:${join(vault, name)}`;
}

const REDIRECTS = ["http://127.0.0.1/callback"];
const GRANTS = [
  "authorization_code",
  "refresh_token",
  "client_credentials",
  "urn:ietf:params:oauth:grant-type:device_code",
];

/** A server that knows the client by this key, which it calls `its-key`, and takes signatures by these algorithms. */
const withKey = (pair: Pair = "ES256", algorithms = ["RS256", "PS256", "ES256", "EdDSA"]) => ({
  configure: ({ features, clients = [], ...rest }: Configuration): Configuration => ({
    ...rest,
    enabledJWA: { clientAuthSigningAlgValues: algorithms as never },
    features: { ...features, pushedAuthorizationRequests: { enabled: true } },
    clients: [
      ...clients,
      {
        client_id: "the-one-with-a-key",
        application_type: "native",
        token_endpoint_auth_method: "private_key_jwt",
        jwks: { keys: [{ ...(pairs[pair].publicKey.export({ format: "jwk" }) as JWK), kid: "its-key", use: "sig" }] },
        grant_types: GRANTS,
        redirect_uris: REDIRECTS,
      },
    ],
  }),
});

const login = (w: World, ...more: string[]) => [
  ...["login", "acme", "--issuer", w.server.issuer, "--client-id", "the-one-with-a-key", "--browser", "never", ...more],
];
const itself = (w: World, ...more: string[]) => login(w, "--flow", "client_credentials", ...more);
const kept = (w: World, kind: "connection" | "provider", name: string) => opened(w.home, kind, name).secrets;

/** By path: how the client has proved itself there, and what came of it. */
const proved = (w: World, path: string) => w.requestsTo(path).map(({ auth, status }) => `${auth} ${status}`);

const { privateKey: ec } = pairs.ES256;
const { privateKey: rsa } = pairs.RS256;
const { privateKey: ed } = pairs.EdDSA;

describe.concurrent("a key", () => {
  const forms: [what: string, pair: Pair, text: string, algorithms?: string[]][] = [
    ["in PEM, PKCS #8", "ES256", pem(ec)],
    ["in PEM, SEC 1", "ES256", pem(ec, "sec1")],
    ["in PEM, PKCS #1", "RS256", pem(rsa, "pkcs1")],
    ["for RSA, where the server takes PSS only", "RS256", pem(rsa), ["PS256"]],
    ["that says its algorithm", "RS256", jwk(rsa, { alg: "PS256", kid: "its-key", use: "sig" })],
    ["on the curve Ed25519", "EdDSA", pem(ed)],
    ["on that curve, where the server calls it Ed25519", "EdDSA", jwk(ed, { kid: "its-key" }), ["Ed25519"]],
  ];
  test.each(forms)("%s is one that a client can prove itself by", async (what, pair, text, algorithms) =>
    inWorld(
      async (w) => {
        const source = file(what.replace(/\W/g, "-"), text);
        const { result } = await w.run(itself(w, "--client-key-from", source, "--client-key-id", "its-key"));
        expect(result.error).toBeUndefined();
        expect(proved(w, "/token")).toEqual(["jwt 200"]);
        expect(w.server.records().accessTokens).toMatchObject([{ clientId: "the-one-with-a-key" }]);
      },
      withKey(pair, algorithms),
    )(),
  );

  test(
    "is kept, sealed, and used wherever the client proves itself: pushed requests, tokens, refresh, revocation",
    inWorld(async (w) => {
      const source = file("all.pem", pem(ec));
      const running = w.start(
        login(w, "--flow", "authorization_code", "--scope", "openid", "--client-key-from", source),
      );
      await visit(await w.callback((await running.challenge()).auth_url));
      expect((await running.ended()).result.error).toBeUndefined();
      const { client_key } = kept(w, "connection", "default@acme");
      expect(JSON.parse(client_key)).toEqual(ec.export({ format: "jwk" }));
      expect(kept(w, "provider", "acme")).toEqual({ client_key });
      await w.run(["token", "acme", "--refresh"]);
      expect((await w.run(["logout", "acme"])).result.warnings).toEqual([]);
      expect(proved(w, "/request")).toEqual(["jwt 201"]);
      expect(proved(w, "/token")).toEqual(["jwt 200", "jwt 200"]);
      expect(proved(w, "/token/revocation")).toEqual(["jwt 200", "jwt 200"]);
      const names = w.server.records().accessTokens.map(({ clientId }) => clientId);
      expect(new Set(names)).toEqual(new Set(["the-one-with-a-key"]));
    }, withKey()),
  );

  test(
    "is taken up from the session by whoever goes on, and by the next login from what was learned",
    inWorld(async (w) => {
      const { result } = await w.run(
        login(
          w,
          "--flow",
          "device_code",
          "--scope",
          "openid",
          "--client-key-from",
          file("d.pem", pem(ec)),
          "--no-wait",
        ),
      );
      const waiting = w.start(["session", "wait", String(result.session_id)]);
      await waiting.next(({ step }) => step === "await_user");
      await w.server.approveDevice(result.data.user_code);
      expect((await waiting.ended()).result.status).toBe("success");
      expect(proved(w, "/device/auth")).toEqual(["jwt 200"]);
      rmSync(join(vault, "d.pem"));
      const again = w.start(["login", "acme", "--flow", "device_code"]);
      await w.approve(await again.challenge());
      expect((await again.ended()).result.error).toBeUndefined();
      expect(new Set(w.requestsTo("/token").map(({ auth }) => auth))).toEqual(new Set(["jwt"]));
    }, withKey()),
  );
});

describe.concurrent("what cannot be", () => {
  test(
    "a key that is not the client's is refused, with a hint and without the key",
    inWorld(async (w) => {
      const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const { d = "" } = privateKey.export({ format: "jwk" });
      const run = await w.run(itself(w, "--client-key-from", file("wrong.pem", pem(privateKey))));
      expect([run.code, run.result.error?.oauth_error]).toEqual([76, "invalid_client"]);
      expect(leaks(`${run.stdout}${run.stderr}`, [d])).toEqual([]);
    }, withKey()),
  );

  const bad: [what: string, text: string, says: string][] = [
    ["no key", "a-password-that-is-nobody's-business", "no private key"],
    ["half a key", pem(ec).slice(0, 120), "no private key"],
    ["a public key", jwk(pairs.ES256.publicKey, {}), "no private key"],
    ["a key that is locked", pemLocked(), "no private key"],
    ["a curve that is not used", pem(generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey), "not supported"],
    ["an algorithm that it is not for", jwk(ec, { alg: "RS256" }), "not supported"],
  ];
  test.each(bad)("%s is a config error that quotes nothing, and nothing is asked", async (what, text, says) =>
    inWorld(async (w) => {
      const run = await w.run(itself(w, "--client-key-from", file(what.replace(/\W/g, "_"), text)));
      expect([run.code, run.result.message]).toEqual([78, expect.stringContaining(says)]);
      expect(leaks(`${run.stdout}${run.stderr}`, [text.slice(-60).trim()])).toEqual([]);
      expect(w.server.requests).toEqual([]);
    }, withKey())(),
  );

  test(
    "a server that takes no such signature is not asked for tokens",
    inWorld(
      async (w) => {
        const { code, result } = await w.run(itself(w, "--client-key-from", file("no.pem", pem(ec))));
        expect([code, result.error?.hint]).toEqual([78, "The key makes ES256; the server takes RS256."]);
        expect(w.requestsTo("/token")).toEqual([]);
      },
      withKey("ES256", ["RS256"]),
    ),
  );

  test.each([
    ["a key that nobody's client has", ["--client-key-from", "env:A"]],
    ["a secret that nobody's client has", ["--client-secret-from", "env:A"]],
    ["the name of a key that is not given", ["--client-id", "cli", "--client-key-id", "2026"]],
  ])("%s is not left out in silence", async (_what, argv) => {
    const { code, events } = await program(["login", "acme", "--issuer", "https://acme.example", ...argv], {
      home: tempHome(),
      env: { A: "s" },
    }).done;
    expect([code, events.map(({ phase }) => phase)]).toEqual([64, ["result"]]);
  });

  test(
    "a secret and a key at once are one too many",
    inWorld(async (w) => {
      const both = ["--client-key-from", "env:A", "--client-secret-from", "env:B"];
      expect((await w.run(itself(w, ...both))).code).toBe(64);
    }),
  );
});

function pemLocked(): string {
  return String(ec.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "open" }));
}
