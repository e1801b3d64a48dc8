/**
 * What a sign-in asks for beyond the scope, against a real oidc-provider: authorization details (RFC 9396), and how somebody
 * has to sign in (OIDC Core §3.1.2.1).
 *
 * What is protected: it reaches the server, what the server made of it is checked, kept and shown; a session that another
 * process goes on with asks for the same, and one that asks for something else is another one.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Configuration } from "oidc-provider";
import { afterAll, describe, expect, test } from "vitest";
import type { AuthorizationServerOptions } from "../support/authorization-server.ts";
import { metadata, startHostileServer } from "../support/hostile-server.ts";
import { program } from "../support/inside.ts";
import { visit } from "../support/person.ts";
import { opened } from "../support/sealed.ts";
import { type Ended, inWorld, type World } from "../support/sessions.ts";
import { jwks, signed } from "../support/signing.ts";
import { sweep, tempHome } from "../support/spawn.ts";
import { checkStream, type Event } from "../support/stream.ts";

afterAll(async () => {
  expect(await sweep()).toEqual([]);
});

const REDIRECT = ["--flow", "authorization_code", "--scope", "openid"];
const parametersOf = ({ auth_url = "" }: Event) => Object.fromEntries(new URL(auth_url).searchParams);

async function signIn(w: World, ...more: string[]): Promise<Ended & { asked: Record<string, string> }> {
  const login = w.start(w.login(...REDIRECT, ...more));
  const challenge = await login.challenge();
  await visit(await w.callback(challenge.auth_url));
  return { ...(await login.ended()), asked: parametersOf(challenge) };
}

describe.concurrent("authorization details", () => {
  const PAYMENT = { type: "payment", actions: ["initiate"], amount: { currency: "EUR", value: "12.50" } };
  /** The server adds to each what it has found out, as RFC 9396 §7.1 lets it. */
  const granted = (text: unknown) =>
    JSON.parse(String(text)).map((detail: object) => ({ ...detail, account: "\u202eDE02…" }));
  const withDetails = {
    configure: ({ features, clients = [], ...rest }: Configuration): Configuration => ({
      ...rest,
      clients: clients.map((client) => ({ ...client, authorization_details_types: ["payment"] })),
      features: {
        ...features,
        resourceIndicators: {
          enabled: true,
          defaultResource: () => "https://api.acme.example",
          useGrantedResource: () => true,
          getResourceServerInfo: () => ({ scope: "api:read", accessTokenFormat: "opaque" }),
        },
        richAuthorizationRequests: {
          enabled: true,
          types: { payment: { validate: () => {} } },
          authorizationDetailsForGrantSource: (ctx: { oidc: { params: Record<string, unknown> } }) =>
            granted(ctx.oidc.params["authorization_details"]),
          authorizationDetailsForAccessToken: (_ctx: unknown, _token: unknown, source: { rar: object[] }) => source.rar,
          authorizationDetailsForIntrospection: (_ctx: unknown, token: { rar: object[] }) => token.rar,
        },
      } as Configuration["features"],
    }),
  } satisfies AuthorizationServerOptions;
  const EXPECTED = [{ ...PAYMENT, account: "\u202eDE02…" }];
  const SHOWN = [{ ...PAYMENT, account: "\ufffdDE02…" }]; // a text that turns a line around is not shown as it is

  test.each(["as they are", "in a file"])("%s are asked for; what is granted is kept and shown", async (how) =>
    inWorld(async (w) => {
      const text = JSON.stringify([PAYMENT]);
      const path = join(w.home, "payment.json");
      writeFileSync(path, `${text}\n`);
      const { result, asked } = await signIn(w, "--authorization-details", how === "in a file" ? `@${path}` : text);
      expect(result.error).toBeUndefined();
      expect(JSON.parse(asked["authorization_details"] ?? "")).toEqual([PAYMENT]);
      expect(w.server.records().accessTokens).toMatchObject([{ authorizationDetails: EXPECTED }]);
      expect(opened(w.home, "connection", "default@acme")["authorization_details"]).toEqual(EXPECTED);
      expect((await w.run(["status", "acme"])).result.data.connections[0].authorization_details).toEqual(SHOWN);
      const { authorization_details, refreshed } = (await w.run(["token", "acme", "--refresh"])).result.data;
      expect([authorization_details, refreshed]).toEqual([SHOWN, true]);
      const again = w.start(["login", "acme", "--flow", "authorization_code", "--browser", "never"], { spawned: true });
      expect(JSON.parse(parametersOf(await again.challenge())["authorization_details"] ?? "")).toEqual([PAYMENT]);
      await again.killed();
    }, withDetails)(),
  );

  test(
    "of a type that the server does not know are refused by it, with a hint",
    inWorld(async (w) => {
      const { code, result } = await signIn(w, "--authorization-details", '[{"type":"a-house"}]');
      expect([code, result.error?.oauth_error]).toEqual([76, "invalid_authorization_details"]);
      expect(result.error?.hint).toContain("--authorization-details");
    }, withDetails),
  );

  test.each([
    ["no JSON", "payment"],
    ["no list", '{"type":"payment"}'],
    ["a list of nothing", "[]"],
    ["one without a type", '[{"type":"a"},{"amount":1}]'],
    ["cut off", '[{"type":"a"'],
  ])("%s: a usage error, and nothing is asked", async (_what, text) => {
    const argv = ["login", "acme", "--issuer", "https://acme.example", "--client-id", "cli"];
    const { code, events } = await program([...argv, "--authorization-details", text], { home: tempHome() }).done;
    expect([code, events.at(-1)?.error?.code]).toEqual([64, "usage"]);
  });
});

describe.concurrent("how somebody has to sign in", () => {
  const acr = (value?: string) => ({
    ...(value !== undefined && { acr: value }),
    configure: (rest: Configuration): Configuration => ({ ...rest, acrValues: ["phr", "pwd"] }),
  });

  test(
    "is asked for, for this one time",
    inWorld(async (w) => {
      const how = ["--acr-values", "phr pwd", "--max-age", "5m", "--prompt", "login", "--login-hint", "alice"];
      const { result, asked } = await signIn(w, ...how);
      expect([result.error, JSON.stringify(result.warnings)]).toEqual([
        undefined,
        expect.not.stringContaining("acr_not_met"),
      ]);
      expect(asked).toMatchObject({ acr_values: "phr pwd", max_age: "300", prompt: "login", login_hint: "alice" });
      const again = w.start(["login", "acme", "--flow", "authorization_code", "--browser", "never"], { spawned: true });
      const next = parametersOf(await again.challenge());
      for (const name of ["acr_values", "max_age", "prompt", "login_hint"]) expect(next).not.toHaveProperty(name);
      await again.killed();
    }, acr("pwd")),
  );

  test.each([
    ["another way", "pwd"],
    ["nobody knows how", undefined],
  ])("and did in %s: a warning", async (_what, value) =>
    inWorld(async (w) => {
      const { result } = await signIn(w, "--acr-values", "phr");
      const warning = { code: "acr_not_met", message: expect.stringContaining(value ?? "does not say how") };
      expect([result.status, result.warnings]).toEqual(["success", expect.arrayContaining([warning])]);
    }, acr(value))(),
  );

  test(
    "is another sign-in than one that asks for less, and whoever goes on with it asks for the same",
    inWorld(async (w) => {
      const first = await w.run([...w.login(...REDIRECT), "--no-wait"]);
      const second = await w.run([...w.login(...REDIRECT, "--max-age", "0"), "--no-wait"]);
      const third = await w.run([...w.login(...REDIRECT, "--max-age", "0"), "--no-wait"]);
      expect(second.result.session_id).not.toBe(first.result.session_id);
      expect(third.result.session_id).toBe(second.result.session_id);
      const waiting = w.start(["session", "wait", String(second.result.session_id)]);
      await visit(await w.callback(second.result.data.auth_url));
      expect((await waiting.ended()).result.status).toBe("success");
      await w.run(["session", "cancel", String(first.result.session_id)]);
    }),
  );

  test.each(["acr-values", "max-age", "prompt", "login-hint"])(
    "--%s does not go with a client's own sign-in",
    async (name) => {
      const argv = ["login", "acme", "--issuer", "https://acme.example", "--client-id", "cli"];
      const own = [...argv, "--flow", "client_credentials", "--client-secret-from", "env:S"];
      const value = name === "max-age" ? "1m" : "login";
      const { code, events } = await program([...own, `--${name}`, value], { home: tempHome(), env: { S: "s" } }).done;
      expect([code, events.at(-1)?.message]).toEqual([64, `--${name} does not go with a sign-in that asks nobody.`]);
    },
  );

  test(
    "--max-age where no ID token is asked for is refused before anybody has to sign in",
    inWorld(async (w) => {
      const { code, events, result } = await w.run(w.login("--scope", "offline_access", "--max-age", "1m"));
      expect([code, result.error?.hint]).toEqual([78, expect.stringContaining("openid")]);
      expect(events.filter(({ phase }) => phase === "auth_url" || phase === "device_code")).toEqual([]);
    }),
  );

  /** A script's server, whose ID token says that somebody signed in so many seconds before now. */
  async function signedInAgo(seconds: number | undefined, maxAge: string) {
    const home = tempHome();
    const now = Math.floor(Date.now() / 1000);
    const server = await startHostileServer((url) => {
      const auth = seconds === undefined ? {} : { auth_time: now - seconds };
      const id_token = signed({ iss: url, aud: "cli", sub: "alice", iat: now, exp: now + 300, ...auth });
      return {
        "GET /.well-known/openid-configuration": { json: metadata(url) },
        "GET /jwks": { json: jwks() },
        "POST /device": {
          json: {
            device_code: "d",
            user_code: "A",
            verification_uri: "https://x.example",
            expires_in: 60,
            interval: 1,
          },
        },
        "POST /token": { json: { access_token: "the-token", token_type: "bearer", expires_in: 60, id_token } },
      };
    });
    try {
      const who = ["login", "acme", "--issuer", server.url, "--client-id", "cli", "--flow", "device_code"];
      const running = program([...who, "--scope", "openid", "--max-age", maxAge], { home });
      const { stdout, code, events } = await running.done;
      expect(checkStream(stdout, { command: "login", exitCode: code })).toEqual([]);
      const sent = server.requests.find(({ path }) => path === "/device")?.form.get("max_age");
      return { code, reason: (events.at(-1)?.error as { reason?: string } | undefined)?.reason, sent };
    } finally {
      await server.close();
    }
  }

  test.each([
    ["just now, as it must", 0, "0s", 0],
    ["within the time", 200, "5m", 0],
    ["too long ago", 400, "5m", 76],
    ["nobody knows when", undefined, "5m", 76],
  ])("%s: max_age is held against the ID token", async (_what, seconds, maxAge, expected) => {
    const { code, reason, sent } = await signedInAgo(seconds, maxAge);
    expect([code, reason]).toEqual([expected, expected === 0 ? undefined : "max_age_not_met"]);
    expect(sent).toBe(maxAge === "0s" ? "0" : "300");
  });
});
