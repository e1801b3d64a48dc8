/**
 * Pushed authorization requests (RFC 9126), against a real oidc-provider and, for what that cannot be made to show, a script.
 *
 * What is protected: where a server takes them, what is asked for stands in no address; an address that runs out is said to
 * and replaced; a server that fails there costs the sign-in nothing, unless it insists.
 */
import type { Configuration } from "oidc-provider";
import { afterAll, describe, expect, test } from "vitest";
import { type HostileServer, metadata, type Reply, startHostileServer } from "../support/hostile-server.ts";
import { program } from "../support/inside.ts";
import { approveRedirect, visit } from "../support/person.ts";
import { inWorld, type World } from "../support/sessions.ts";
import { sweep, tempHome } from "../support/spawn.ts";
import { checkStream, type Event } from "../support/stream.ts";

afterAll(async () => {
  expect(await sweep()).toEqual([]);
});

const withPar = ({ requestUriTtl, required = false }: { requestUriTtl?: number; required?: boolean } = {}) => ({
  ...(requestUriTtl !== undefined && { requestUriTtl }),
  configure: ({ features, ...rest }: Configuration): Configuration => ({
    ...rest,
    features: {
      ...features,
      pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: required },
    },
  }),
});

const redirect = (...more: string[]) => ["--flow", "authorization_code", "--scope", "openid api:read", ...more];
const parametersOf = ({ auth_url = "" }: Event) => Object.fromEntries(new URL(auth_url).searchParams);
const secondsOf = ({ time, expires_at }: Event) => (Date.parse(String(expires_at)) - Date.parse(time)) / 1000;

/** The request that was pushed is the one that was approved: its scope, for its account. */
async function expectGranted(w: World) {
  await w.expectSignedIn();
  expect(w.server.records().accessTokens).toMatchObject([{ accountId: "alice", scope: "openid api:read" }]);
}

describe.concurrent("where the server offers it", () => {
  test(
    "the address has a reference and nothing else, and the sign-in goes on as ever",
    inWorld(
      async (w) => {
        const login = w.start(w.login(...redirect("--login-hint", "alice")));
        const challenge = await login.challenge();
        const { client_id, request_uri, ...rest } = parametersOf(challenge);
        expect([client_id, rest]).toEqual(["authline-demo", {}]);
        expect(request_uri).toMatch(/^urn:ietf:params:oauth:request_uri:/);
        expect(w.requestsTo("/request")).toMatchObject([{ status: 201, auth: "none" }]);
        expect(secondsOf(challenge)).toBeLessThanOrEqual(60); // the reference's, not the ten minutes of the sign-in
        expect(challenge.expires_in).toBeLessThanOrEqual(60);
        await visit(await w.callback(challenge.auth_url));
        expect((await login.ended()).result.error).toBeUndefined();
        await expectGranted(w);
      },
      withPar({ required: true }),
    ),
  );

  test(
    "started says until when its address can be used; whoever waits goes on",
    inWorld(async (w) => {
      const { result } = await w.run([...w.login(...redirect()), "--no-wait"]);
      expect(result.status).toBe("started");
      expect(secondsOf({ ...result, expires_at: result.data.expires_at })).toBeLessThanOrEqual(60);
      const waiting = w.start(["session", "wait", String(result.session_id)]);
      await visit(await w.callback(result.data.auth_url));
      expect((await waiting.ended()).result.status).toBe("success");
      await expectGranted(w);
    }, withPar()),
  );

  test(
    "the client proves itself there as at the token endpoint",
    inWorld(async (w) => {
      const { id, secret } = w.server.clients.confidential;
      const argv = ["login", "acme", "--issuer", w.server.issuer, "--client-id", id, "--browser", "never"];
      const login = w.start([...argv, ...redirect("--client-secret-from", "env:ITS")], { env: { ITS: secret } });
      await visit(await w.callback((await login.challenge()).auth_url));
      expect((await login.ended()).result.error).toBeUndefined();
      expect(w.requestsTo("/request")).toMatchObject([{ status: 201, auth: "basic" }]);
      await expectGranted(w);
    }, withPar()),
  );

  test(
    "what is too long for an address is not too long",
    inWorld(async (w) => {
      const hint = "é".repeat(300); // six letters each in an address
      const scope = `openid ${Array.from({ length: 60 }, (_, index) => `a-scope-that-nobody-knows-${index}`).join(" ")}`;
      const argv = ["--flow", "authorization_code", "--scope", scope, "--login-hint", hint];
      const login = w.start(w.login(...argv), { spawned: true });
      expect((await login.challenge()).auth_url?.length).toBeLessThan(300);
      await login.killed();
    }, withPar()),
  );
});

describe.concurrent("an address that runs out", () => {
  test(
    "is replaced, and the sign-in that it was for is the same one",
    inWorld(
      async (w) => {
        const login = w.start(w.login(...redirect()));
        const first = await login.challenge();
        const second = await login.next(({ phase, auth_url }) => phase === "auth_url" && auth_url !== first.auth_url);
        expect(second.message).toMatch(/^The last address has run out\. Open this address/);
        expect([second.redirect_uri, second.session_id]).toEqual([first.redirect_uri, first.session_id]);
        await expect(approveRedirect(first.auth_url ?? "")).rejects.toThrow(); // the server no longer knows it
        await visit(await w.callback(second.auth_url));
        expect((await login.ended()).result.error).toBeUndefined();
        await expectGranted(w);
      },
      withPar({ requestUriTtl: 6 }),
    ),
  );

  test(
    "while nobody was there is replaced by whoever takes over",
    inWorld(
      async (w) => {
        const login = w.start(w.login(...redirect()), { spawned: true });
        const first = await login.challenge();
        await login.next(({ step }) => step === "await_user");
        await login.killed();
        const until = Date.parse(String(first.expires_at)) - Date.now();
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, until))); // its own time is all there is to wait for
        const waiting = w.start(["session", "wait", String(first.session_id)]);
        const second = await waiting.next(({ phase, auth_url }) => phase === "auth_url" && auth_url !== first.auth_url);
        await visit(await w.callback(second.auth_url));
        expect((await waiting.ended()).result.status).toBe("success");
        await expectGranted(w);
      },
      withPar({ requestUriTtl: 3 }),
    ),
  );

  test(
    "and was opened in time brings the sign-in to its end, however late",
    inWorld(
      async (w) => {
        const login = w.start(w.login(...redirect()));
        const first = await login.challenge();
        const address = await w.callback(first.auth_url); // at the server all is said and done
        await login.next(({ phase, auth_url }) => phase === "auth_url" && auth_url !== first.auth_url);
        await visit(address);
        expect((await login.ended()).result.error).toBeUndefined();
        await expectGranted(w);
      },
      withPar({ requestUriTtl: 6 }),
    ),
  );
});

/** A script's server, whose endpoint for it answers like this. */
async function scripted(reply: Reply | undefined, more: object, body: (server: HostileServer) => Promise<unknown>) {
  const endpoint = (url: string) => (reply ? { pushed_authorization_request_endpoint: `${url}/par` } : {});
  const server = await startHostileServer((url) => ({
    "GET /.well-known/openid-configuration": { json: metadata(url, { ...endpoint(url), ...more }) },
    "POST /par": reply ?? { status: 404 },
  }));
  try {
    await body(server);
  } finally {
    await server.close();
  }
}

const start = (server: HostileServer) =>
  program(
    [
      "login",
      "acme",
      "--issuer",
      server.url,
      "--client-id",
      "cli",
      "--flow",
      "authorization_code",
      "--browser",
      "never",
    ],
    { home: tempHome() },
  );

const FAULTS: [string, Reply, string][] = [
  ["in trouble", { status: 503 }, "is in trouble"],
  ["refuses", { status: 400, json: { error: "invalid_request" } }, 'answered "invalid_request"'],
  ["answers with a page", { status: 201, text: "<html>" }, "answer is not JSON"],
  ["gives no reference", { status: 201, json: { expires_in: 60 } }, "broke the protocol"],
];

describe.concurrent("an endpoint that fails", () => {
  test.each(FAULTS)("%s: the plain request is made, and that is said", async (_what, reply, said) => {
    await scripted(reply, {}, async (server) => {
      const running = start(server);
      const failed = await running.next(({ step, state }) => step === "authorize" && state === "failed");
      expect(failed).toMatchObject({ reason: "not_pushed", message: expect.stringContaining(said) });
      const challenge = await running.next("auth_url");
      expect(parametersOf(challenge)).toMatchObject({ response_type: "code", code_challenge_method: "S256" });
      running.kill("SIGTERM");
      const { stdout, code } = await running.done;
      expect(checkStream(stdout, { command: "login", exitCode: code })).toEqual([]);
    });
  });

  test.each(FAULTS)(
    "%s, of a server that insists: an error, and nobody is sent anywhere",
    async (_what, reply, said) => {
      await scripted(reply, { require_pushed_authorization_requests: true }, async (server) => {
        const { code, events } = await start(server).done;
        expect([code, events.at(-1)?.error?.code]).toEqual([76, "provider"]);
        expect(events.at(-1)?.message).toContain(said);
        expect(events.filter(({ phase }) => phase === "auth_url")).toEqual([]);
      });
    },
  );

  test("that says its reference lasts for ever is taken at the sign-in's own time", async () => {
    const reply = { status: 201, json: { request_uri: "urn:the-reference", expires_in: 1e300 } };
    await scripted(reply, {}, async (server) => {
      const running = start(server);
      const challenge = await running.next("auth_url");
      expect(parametersOf(challenge)).toEqual({ client_id: "cli", request_uri: "urn:the-reference" });
      expect(secondsOf(challenge)).toBeLessThanOrEqual(600);
      running.kill("SIGTERM");
      await running.done;
    });
  });

  test("that is required and not named is the server's fault, and said", async () => {
    await scripted(undefined, { require_pushed_authorization_requests: true }, async (server) => {
      const { code, events } = await start(server).done;
      expect([code, events.at(-1)?.error?.hint]).toEqual([
        76,
        "Its metadata lacks pushed_authorization_request_endpoint.",
      ]);
    });
  });

  test("at http elsewhere is not asked", async () => {
    await scripted(undefined, { pushed_authorization_request_endpoint: "http://acme.example/par" }, async (server) => {
      const { code, events } = await start(server).done;
      expect(code).toBe(76);
      expect(events.at(-1)?.message).toContain("pushed_authorization_request_endpoint is not an https address");
    });
  });
});
