/**
 * Tokens that are bound to a key (DPoP, RFC 9449), against a real oidc-provider that wants a nonce in every proof and, for
 * what that cannot be made to show, a script.
 *
 * What is protected: the key that the server has bound the tokens to is the one that is kept, from the first request to the
 * last refresh, through processes that are killed; what is not bound is not taken for it, nor the other way round.
 */
import { createHash, randomBytes } from "node:crypto";
import type { Configuration } from "oidc-provider";
import { afterAll, describe, expect, test } from "vitest";
import { newKey } from "../../src/flows/dpop.ts";
import { type HostileServer, metadata, type Reply, startHostileServer } from "../support/hostile-server.ts";
import { program } from "../support/inside.ts";
import { visit } from "../support/person.ts";
import { opened, putSealed } from "../support/sealed.ts";
import { comeBack, type Ended, inWorld, type World } from "../support/sessions.ts";
import { sweep, tempHome } from "../support/spawn.ts";
import { checkStream, type Event } from "../support/stream.ts";

afterAll(async () => {
  expect(await sweep()).toEqual([]);
});

const withProofs = (par = false) => ({
  configure: ({ features, ...rest }: Configuration): Configuration => ({
    ...rest,
    features: {
      ...features,
      pushedAuthorizationRequests: { enabled: par },
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    },
  }),
});

/** RFC 7638 §3. */
function thumbprint(key: string): string {
  const { crv, kty, x, y } = JSON.parse(key);
  return createHash("sha256").update(JSON.stringify({ crv, kty, x, y })).digest("base64url");
}

const keptKey = (w: World): string => opened(w.home, "connection", "default@acme").secrets["dpop_key"];
const REDIRECT = ["--flow", "authorization_code", "--scope", "openid email offline_access", "--dpop"];
const DEVICE = ["--flow", "device_code", "--scope", "openid email", "--dpop"];

async function signInByRedirect(w: World): Promise<Ended> {
  const login = w.start(w.login(...REDIRECT));
  await visit(await w.callback((await login.challenge()).auth_url));
  const ended = await login.ended();
  expect(ended.result.error).toBeUndefined();
  return ended;
}

/** Every token that the server has given is bound to the key that is kept. */
function expectBound(w: World) {
  const { accessTokens } = w.server.records();
  expect(accessTokens.length).toBeGreaterThan(0);
  expect(new Set(accessTokens.map(({ jkt }) => jkt))).toEqual(new Set([thumbprint(keptKey(w))]));
}

const tokenRequests = (w: World) => w.requestsTo("/token").map(({ status, error, proof }) => [status, error, proof]);
/** Refused for want of a nonce, and then not. */
const ASKED_TWICE = [
  [400, "use_dpop_nonce", true],
  [200, undefined, true],
];

async function dataOf(w: World, ...argv: string[]) {
  const { result } = await w.run(argv);
  expect(result.error).toBeUndefined();
  return result.data;
}

describe.concurrent("a sign-in", () => {
  test.each([
    ["", false],
    [", pushed", true],
  ])("by redirect%s: the server's tokens are bound to the key that is kept", async (_how, par) =>
    inWorld(async (w) => {
      const { result } = await signInByRedirect(w);
      expect(result.data).toMatchObject({ record_status: "connected", account: "alice@example.com" });
      expectBound(w);
      expect(tokenRequests(w).slice(par ? -1 : -2)).toEqual(par ? [ASKED_TWICE[1]] : ASKED_TWICE);
      expect(w.requestsTo("/request").map(({ status }) => status)).toEqual(par ? [400, 201] : []);
      expect(await dataOf(w, "token", "acme")).toMatchObject({ token_type: "DPoP", refreshed: false });
    }, withProofs(par))(),
  );

  test(
    "by device code, whose polls keep the nonce that they were given",
    inWorld(async (w) => {
      const login = w.start(w.login(...DEVICE));
      const challenge = await login.challenge();
      await login.next(({ step }) => step === "await_user");
      await w.approve(challenge);
      expect((await login.ended()).result.error).toBeUndefined();
      expectBound(w);
      expect(w.requestsTo("/token").filter(({ error }) => error === "use_dpop_nonce")).toHaveLength(1);
    }, withProofs()),
  );

  test(
    "of a client itself, which is renewed with the same key",
    inWorld(async (w) => {
      const { id, secret } = w.server.clients.confidential;
      const argv = ["login", "acme", "--issuer", w.server.issuer, "--client-id", id, "--flow", "client_credentials"];
      const { result } = await w.run([...argv, "--client-secret-from", "env:ITS", "--dpop"], { env: { ITS: secret } });
      expect(result.error).toBeUndefined();
      expect(await dataOf(w, "token", "acme", "--refresh")).toMatchObject({ token_type: "DPoP", refreshed: true });
      expect(w.server.records().accessTokens).toHaveLength(2);
      expectBound(w);
    }, withProofs()),
  );

  test(
    "by the name alone is bound again, to a new key",
    inWorld(async (w) => {
      await signInByRedirect(w);
      const first = keptKey(w);
      const login = w.start(["login", "acme", "--flow", "authorization_code", "--browser", "never"]);
      await visit(await w.callback((await login.challenge()).auth_url));
      expect((await login.ended()).result.error).toBeUndefined();
      expect(thumbprint(keptKey(w))).not.toBe(thumbprint(first));
      expect(w.server.records().accessTokens.map(({ jkt }) => jkt)).toEqual([first, keptKey(w)].map(thumbprint));
    }, withProofs()),
  );
});

describe.concurrent("a process that is killed while somebody signs in", () => {
  test.each([
    ["by redirect", REDIRECT],
    ["by device code", DEVICE],
  ])("%s: the key is in the session, and whoever takes over has it", async (_how, how) =>
    inWorld(async (w) => {
      const login = w.start(w.login(...how), { spawned: true });
      const challenge = await login.challenge();
      await login.next(({ step }) => step === "await_user");
      const id = String(challenge.session_id);
      const { dpop_key = "" } = w.record(id).secrets;
      await login.killed();
      const waiting = w.start(["session", "wait", id]);
      if (challenge.auth_url) await comeBack(await w.callback(challenge.auth_url));
      else await w.approve(challenge);
      expect((await waiting.ended()).result.status).toBe("success");
      expect(keptKey(w)).toBe(dpop_key);
      expectBound(w);
      expect(w.record(id).secrets).toEqual({}); // and it is in the session no more
    }, withProofs())(),
  );

  test(
    "after --no-wait: the process that was left behind has it too",
    inWorld(async (w) => {
      const { result } = await w.run([...w.login(...REDIRECT), "--no-wait"]);
      const id = String(result.session_id);
      const waiting = w.start(["session", "wait", id]);
      await visit(await w.callback(result.data.auth_url));
      expect((await waiting.ended()).result.status).toBe("success");
      expectBound(w);
    }, withProofs()),
  );
});

describe.concurrent("a refresh", () => {
  test(
    "has the same key, and the nonce that the server asks for",
    inWorld(async (w) => {
      await signInByRedirect(w);
      const key = keptKey(w);
      const asked = w.requestsTo("/token").length;
      const { access_token, token_type, refreshed } = await dataOf(w, "token", "acme", "--refresh");
      expect([token_type, refreshed]).toEqual(["DPoP", true]);
      expect(tokenRequests(w).slice(asked)).toEqual(ASKED_TWICE);
      expect(await w.server.isActive(access_token)).toBe(true);
      expect(keptKey(w)).toBe(key);
      expectBound(w);
    }, withProofs()),
  );

  test(
    "with another key is refused by the server for good, and that is said",
    inWorld(async (w) => {
      await signInByRedirect(w);
      const record = opened(w.home, "connection", "default@acme");
      const dpop_key = await newKey();
      putSealed(w.home, "connection", "default@acme", { ...record, secrets: { ...record.secrets, dpop_key } });
      const { code, result } = await w.run(["token", "acme", "--refresh"]);
      expect([code, result.error?.code]).toEqual([4, "auth_expired"]);
      expect(opened(w.home, "connection", "default@acme").secrets).toEqual({}); // the key has gone with what it was for
    }, withProofs()),
  );
});

describe.concurrent("authline proof", () => {
  test(
    "makes the request that the server takes, and takes from nobody without",
    inWorld(async (w) => {
      await signInByRedirect(w);
      const url = `${w.server.issuer}/me`;
      const { access_token } = await dataOf(w, "token", "acme");
      const ask = (dpop?: string, method = "GET") =>
        fetch(url, { method, headers: { authorization: `DPoP ${access_token}`, ...(dpop && { dpop }) } });
      expect((await ask()).status).toBe(400);
      expect((await fetch(url, { headers: { authorization: `Bearer ${access_token}` } })).status).toBe(401);

      const first = await dataOf(w, "proof", "acme", "--url", `${url}?and=more#here`);
      expect(first).toMatchObject({ provider: "acme", connection: "default", htm: "GET", htu: url });
      const refused = await ask(first.proof);
      expect([refused.status, refused.headers.get("www-authenticate")]).toEqual([
        401,
        expect.stringContaining("use_dpop_nonce"),
      ]);
      const nonce = refused.headers.get("dpop-nonce") ?? "";
      const { proof } = await dataOf(w, "proof", "acme", "--url", url, "--nonce", nonce);
      const taken = await ask(proof);
      expect([taken.status, await taken.json()]).toEqual([200, expect.objectContaining({ sub: "alice" })]);

      expect((await ask(proof)).status).toBe(401); // for one request only
      const other = await dataOf(w, "proof", "acme", "--url", `${w.server.issuer}/other`, "--nonce", nonce);
      expect((await ask(other.proof)).status).toBe(401); // for that address only
      const post = await dataOf(w, "proof", "acme", "--method", "POST", "--url", url, "--nonce", nonce);
      expect((await ask(post.proof, "GET")).status).toBe(401); // for that method only
      expect((await ask(post.proof, "POST")).status).toBe(200);
    }, withProofs()),
  );

  test(
    "takes the address from stdin too",
    inWorld(async (w) => {
      await signInByRedirect(w);
      const { result } = await w.run(["proof", "acme", "--method", "PUT"], { stdin: "https://api.acme.example/x?y\n" });
      expect(result.data).toMatchObject({ htm: "PUT", htu: "https://api.acme.example/x" });
      expect((await w.run(["proof", "acme"], { stdin: "-" })).code).toBe(64);
    }, withProofs()),
  );

  test(
    "of an access token that has ended says so",
    inWorld(async (w) => {
      await signInByRedirect(w);
      const record = opened(w.home, "connection", "default@acme");
      putSealed(w.home, "connection", "default@acme", { ...record, expires_at: "2020-01-01T00:00:00.000Z" });
      const { result } = await w.run(["proof", "acme", "--url", "https://api.acme.example/"]);
      expect([result.status, result.warnings]).toMatchObject(["success", [{ code: "token_expired" }]]);
    }, withProofs()),
  );

  test(
    "is not to be had for a token that is bound to nothing, and says how to get one that is",
    inWorld(async (w) => {
      const login = w.start(w.login("--flow", "device_code"));
      await w.approve(await login.challenge());
      await login.ended();
      for (const env of [{}, { AUTHLINE_TOKEN_ACME: "given-by-somebody" }]) {
        const { code, result } = await w.run(["proof", "acme", "--url", "https://api.acme.example/"], { env });
        expect([code, result.error?.code]).toEqual([4, "auth_required"]);
        const argv = ["authline", "login", "acme", "--dpop"];
        expect(result.next_actions).toMatchObject("AUTHLINE_TOKEN_ACME" in env ? [] : [{ argv }]);
      }
    }),
  );

  test(
    "that waits for an address says that it does",
    inWorld(async (w) => {
      await signInByRedirect(w);
      const waiting = program(["proof", "acme"], { home: w.home, stdin: "held-open", timeoutMs: 30_000 });
      expect(await waiting.next("progress")).toMatchObject({ message: expect.stringContaining("stdin") });
      waiting.kill("SIGINT");
      expect((await waiting.done).events.at(-1)).toMatchObject({ status: "cancelled" });
    }, withProofs()),
    40_000,
  );

  test.each([
    ["http to elsewhere", ["--url", "http://acme.example/"]],
    ["no address at all", ["--url", "acme"]],
    ["no method", ["--url", "https://acme.example/", "--method", "GET /"]],
    ["a method that would be sent in other letters", ["--url", "https://acme.example/", "--method", "patch"]],
    ["no nonce", ["--url", "https://acme.example/", "--nonce", "a b"]],
  ])("%s is a usage error", async (_what, argv) => {
    const { code, events } = await program(["proof", "acme", ...argv], { home: tempHome() }).done;
    expect([code, events.at(-1)?.error?.code]).toEqual([64, "usage"]);
  });
});

const DEVICE_ANSWER = {
  json: { device_code: "d", user_code: "AB-CD", verification_uri: "https://x.example", expires_in: 60, interval: 1 },
};

/** A script's server, whose metadata and token endpoint are like this, and how a login there ends. */
async function scripted(token: Reply | Reply[], more: Record<string, unknown>, argv: string[]) {
  const server: HostileServer = await startHostileServer((url) => ({
    "GET /.well-known/openid-configuration": { json: metadata(url, more) },
    "POST /device": DEVICE_ANSWER,
    "POST /token": token,
  }));
  try {
    const who = [
      "login",
      "acme",
      "--issuer",
      server.url,
      "--client-id",
      "cli",
      "--flow",
      "device_code",
      "--scope",
      "a",
    ];
    const { stdout, code, events } = await program([...who, ...argv], { home: tempHome() }).done;
    expect(checkStream(stdout, { command: "login", exitCode: code })).toEqual([]);
    return { code, result: events.at(-1) as Event, requests: server.requests.map(({ path }) => path) };
  } finally {
    await server.close();
  }
}

const TAKES_PROOFS = { dpop_signing_alg_values_supported: ["ES256"] };
const answer = (token_type: string) => ({ json: { access_token: "the-access-token", token_type, expires_in: 60 } });

describe.concurrent("a server", () => {
  test("that asks for one nonce after the other is asked twice, and no more", async () => {
    const refusal = (nonce: string) => ({
      status: 400,
      headers: { "dpop-nonce": nonce },
      json: { error: "use_dpop_nonce" },
    });
    const { code, result, requests } = await scripted([refusal("one"), refusal("two")], TAKES_PROOFS, ["--dpop"]);
    expect([code, result.error]).toMatchObject([76, { code: "provider", oauth_error: "use_dpop_nonce" }]);
    expect(requests.filter((path) => path === "/token")).toHaveLength(2);
  });

  test("that gives a token which is bound to nothing is not believed", async () => {
    const { code, result } = await scripted(answer("Bearer"), TAKES_PROOFS, ["--dpop"]);
    expect([code, result.message]).toEqual([76, expect.stringContaining("token_type is not DPoP")]);
    expect(result.error?.hint).toContain("--dpop");
  });

  test("that gives a bound one to somebody who has no key is not believed either", async () => {
    const { code, result } = await scripted(answer("DPoP"), TAKES_PROOFS, []);
    expect([code, result.message]).toEqual([76, expect.stringContaining("token_type is not Bearer")]);
  });

  test.each([
    ["says nothing of proofs", {}, "Sign in without --dpop."],
    ["takes none that we make", { dpop_signing_alg_values_supported: ["PS256"] }, "by PS256"],
  ])("that %s: nobody is asked to sign in", async (_what, more, hint) => {
    const { code, result, requests } = await scripted([], more, ["--dpop"]);
    expect([code, result.error?.code, result.error?.hint]).toEqual([78, "config", expect.stringContaining(hint)]);
    expect(requests).toEqual(["/.well-known/openid-configuration"]);
  });

  test("that offers it is not taken up on it unasked: what `token` gives out must work as ever", async () => {
    const { result } = await scripted(answer("Bearer"), TAKES_PROOFS, []);
    expect(result.error).toBeUndefined();
  });
});
