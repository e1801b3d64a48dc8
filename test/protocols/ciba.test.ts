/**
 * CIBA Core, poll mode, against a real oidc-provider: somebody is asked on a device of their own, by the server's own means.
 *
 * What is protected: what has to be done is said where there is no challenge to show; the server's pace is kept and its last
 * word heeded; a killed process costs nobody the sign-in, and asks nobody twice; `auth_req_id` is a secret.
 */
import { afterAll, describe, expect, test } from "vitest";
import { asConfidential, CIBA, inWorldOfGrants, secretOf } from "../support/grants.ts";
import { metadata, type Reply, signIdToken, startHostileServer } from "../support/hostile-server.ts";
import { program } from "../support/inside.ts";
import { remember } from "../support/issued.ts";
import { namesOf, opened } from "../support/sealed.ts";
import { until, type World } from "../support/sessions.ts";
import { sweep } from "../support/spawn.ts";
import { checkStream, type Event } from "../support/stream.ts";

afterAll(async () => {
  expect(await sweep()).toEqual([]);
});

const HINT = ["--login-hint", "alice@acme.example"];
const argv = (w: World, ...more: string[]) =>
  asConfidential(w, "ciba", "--scope", "openid offline_access", ...(more.length > 0 ? more : HINT));
const start = (w: World, ...more: string[]) => w.start(argv(w, ...more), { env: secretOf(w) });
const startSpawned = (w: World) => w.start(argv(w), { env: secretOf(w), spawned: true });
const isTold = ({ step, state, message }: Event) =>
  step === "await_user" && state === "waiting" && message.startsWith("Approve");
const polls = (w: World) => w.requestsTo("/token").filter(({ grant_type }) => grant_type === CIBA);

describe.concurrent("somebody is asked on their own device", () => {
  test(
    "and what they approve is a sign-in like any other",
    inWorldOfGrants(async (w, s) => {
      const login = start(w, ...HINT, "--binding-message", "W4SCT");
      expect((await login.next(isTold)).message).toBe(
        'Approve the sign-in to acme on your own device, if it shows "W4SCT".',
      );
      await until(() => polls(w).length > 0);
      expect(s.waiting).toMatchObject([{ accountId: "alice", bindingMessage: "W4SCT" }]);
      await s.approve();
      const { result, events } = await login.ended();
      expect(result).toMatchObject({ status: "success", data: { record_status: "connected", account: "alice" } });
      expect(events.map(({ phase }) => phase)).not.toContain("device_code");
      expect(polls(w)[0]).toMatchObject({ error: "authorization_pending" });
      expect(w.requestsTo("/backchannel")).toMatchObject([{ auth: "basic", status: 200 }]);
      expect(opened(w.home, "connection", "default@acme")).toMatchObject({ flow: "ciba", subject: "alice" });
      await w.expectSignedIn();
      expect((await w.run(["token", "acme", "--refresh"])).result.data.refreshed).toBe(true);
    }),
  );

  test(
    "not faster than the server said",
    inWorldOfGrants(
      async (w, s) => {
        const login = start(w);
        await until(() => polls(w).length >= 2);
        await s.approve();
        await login.ended();
        const times = polls(w).map(({ time }) => time);
        for (const [index, time] of times.slice(1).entries()) {
          expect(time - (times[index] ?? 0)).toBeGreaterThan(1900);
        }
      },
      { interval: 2 },
    ),
  );

  test(
    "whose no is the end, and nothing is stored",
    inWorldOfGrants(async (w, s) => {
      const login = start(w);
      await login.next(isTold);
      await s.deny();
      const { result, code } = await login.ended();
      expect([code, result.error?.code]).toEqual([77, "denied"]);
      const asked = polls(w).length;
      expect(polls(w)).toHaveLength(asked);
      expect(namesOf(w.home, "connection")).toEqual([]);
    }),
  );

  test(
    "who does not answer in the server's time",
    inWorldOfGrants(
      async (w) => {
        const { result, code } = await start(w).ended();
        expect([code, result.error?.code]).toEqual([75, "expired"]);
        expect(result.error?.hint).toBe("Run the command again for a new one.");
      },
      {
        configure: (configuration) => ({
          ...configuration,
          ttl: { ...configuration.ttl, BackchannelAuthenticationRequest: 2 },
        }),
      },
    ),
  );

  test(
    "or in ours",
    inWorldOfGrants(async (w) => {
      const { result, code } = await start(w, ...HINT, "--timeout", "2s").ended();
      expect([code, result.error?.code]).toEqual([75, "timeout"]);
    }),
  );

  test(
    "whom the server does not know",
    inWorldOfGrants(async (w) => {
      const { result } = await start(w, "--login-hint", "nobody@acme.example").ended();
      expect(result.error).toMatchObject({ code: "provider", oauth_error: "unknown_user_id" });
      expect(result.error?.hint).toContain("--login-hint");
    }),
  );

  test(
    "with a message that the server will not show",
    inWorldOfGrants(async (w) => {
      const { result } = await start(w, ...HINT, "--binding-message", "now!").ended();
      expect(result.error).toMatchObject({ code: "provider", oauth_error: "invalid_binding_message" });
      expect(result.error?.hint).toContain("--binding-message");
    }),
  );

  test(
    "named by a token, or by an ID token of theirs, which are secrets",
    inWorldOfGrants(async (w, s) => {
      const first = start(w);
      await first.next(isTold);
      await s.approve();
      await first.ended();
      const { id_token } = opened(w.home, "connection", "default@acme").secrets;
      const again = w.start(argv(w, "--id-token-hint-from", "env:HINT", "--connection", "again"), {
        env: { ...secretOf(w), HINT: id_token },
      });
      await again.next(isTold);
      await s.approve(1);
      expect((await again.ended()).result.status).toBe("success");
      expect(s.waiting.map(({ accountId }) => accountId)).toEqual(["alice", "alice"]);
      expect(opened(w.home, "connection", "again@acme").secrets["inputs"]).toBeUndefined();
    }),
  );
});

describe.concurrent("it outlives its process", () => {
  test(
    "with --no-wait: what has to be done stands in the last line, and nobody stays behind",
    inWorldOfGrants(async (w, s) => {
      const { result } = await w.run([...argv(w, ...HINT, "--binding-message", "W4SCT"), "--no-wait"], {
        env: secretOf(w),
      });
      expect(result).toMatchObject({ status: "started", data: { record_status: "pending" } });
      expect(result.message).toContain('if it shows "W4SCT"');
      expect(await w.processes()).toEqual([]);
      await s.approve();
      const waited = await w.run(["session", "wait", result.data.session_id]);
      expect(waited.result.error).toBeUndefined();
      expect(s.waiting).toHaveLength(1); // nobody was asked twice
      await w.expectSignedIn();
    }),
  );

  const moments: [moment: string, at: (w: World, login: ReturnType<typeof start>) => Promise<unknown>][] = [
    ["before anything was said", (_, login) => login.next(isTold)],
    ["while it polls", (w) => until(() => polls(w).length > 0)],
  ];
  test.each(moments)("killed %s it is taken up", (_, at) =>
    inWorldOfGrants(async (w, s) => {
      const login = startSpawned(w);
      await at(w, login);
      await login.killed();
      const [id = ""] = w.ids();
      const { auth_req_id } = w.record(id).secrets.doors?.["ciba"] ?? {};
      expect(auth_req_id).toBe(s.waiting[0]?.id);
      await s.approve();
      const { result } = await w.start(["session", "wait", id]).ended();
      expect([result.error, result.status]).toEqual([undefined, "success"]);
      expect(s.waiting).toHaveLength(1);
      expect(w.record(id)).toMatchObject({ state: "completed", secrets: {} });
      await w.expectSignedIn();
    })(),
  );

  test(
    "a second login for the same person joins it, and one for another does not",
    inWorldOfGrants(async (w, s) => {
      const first = start(w);
      await first.next(isTold);
      const second = start(w);
      await second.next(isTold);
      const third = start(w, "--login-hint", "bob@acme.example", "--connection", "bob");
      await third.next(isTold);
      expect(s.waiting.map(({ accountId }) => accountId)).toEqual(["alice", "bob"]);
      for (const index of [0, 1]) await s.approve(index);
      for (const login of [first, second, third]) expect((await login.ended()).result.status).toBe("success");
      expect(w.ids()).toHaveLength(2);
    }),
  );
});

describe.concurrent("a server that is difficult", () => {
  const ID = "auth-req-id-of-the-hostile-server";
  remember(ID);
  /** Signs in to a server that answers polls like this. */
  async function meet(answers: Reply[], asked: object = {}, about: object = {}) {
    const server = await startHostileServer((url) => ({
      "GET /.well-known/openid-configuration": {
        json: metadata(url, {
          grant_types_supported: [CIBA],
          backchannel_authentication_endpoint: `${url}/ask`,
          ...about,
        }),
      },
      "GET /jwks": { status: 404 },
      "POST /ask": { json: { auth_req_id: ID, expires_in: 60, interval: 1, ...asked } },
      "POST /token": answers,
    }));
    try {
      const argv = ["login", "acme", "--issuer", server.url, "--client-id", "cli", "--flow", "ciba", ...HINT];
      const run = await program([...argv, "--timeout", "20s"], { timeoutMs: 30_000 }).done;
      expect(checkStream(run.stdout, { command: "login", exitCode: run.code, secrets: [ID] })).toEqual([]);
      return { ...run, result: run.events.at(-1), unused: server.unused(), requests: server.requests };
    } finally {
      await server.close();
    }
  }
  const error = (name: string, status = 400) => ({ status, json: { error: name } });
  const tokens = { json: { access_token: "access-token-of-ciba", token_type: "Bearer" } };

  test("asks for more time, and gets it for good", async () => {
    const { events, result, unused } = await meet([error("slow_down"), error("authorization_pending"), tokens]);
    expect([result?.status, unused]).toEqual(["success", []]);
    expect(events.find(({ reason }) => reason === "slow_down")?.message).toContain("every 6 s");
  });

  test("has a bad moment, which costs nothing", async () => {
    const { events, result } = await meet([{ status: 503 }, tokens]);
    expect(result?.status).toBe("success");
    expect(events.filter(({ state }) => state === "retrying")).toHaveLength(1);
  });

  const ends: [what: string, code: string, answers: Reply[], asked?: object, about?: object][] = [
    ["has let it expire", "expired", [error("expired_token")]],
    ["knows nothing of it any more", "provider", [error("invalid_grant")]],
    [
      "sends an ID token of somebody else's client",
      "provider",
      [{ json: { ...tokens.json, id_token: signIdToken({ sub: "alice" }, { alg: "none" }) } }],
    ],
    ["names no request", "provider", [], { auth_req_id: undefined }],
    ["names no end", "provider", [], { expires_in: undefined }],
    ["only pushes", "config", [], {}, { backchannel_token_delivery_modes_supported: ["push", "ping"] }],
    ["has no such endpoint", "config", [], {}, { backchannel_authentication_endpoint: undefined }],
    [
      "has it where anybody could listen",
      "provider",
      [],
      {},
      { backchannel_authentication_endpoint: "http://a.example/" },
    ],
  ];
  test.each(ends)("%s", async (_, code, answers, asked, about) => {
    const { result, unused } = await meet(answers, asked, about);
    expect([result?.error?.code, unused]).toEqual([code, []]);
  });
});

describe.concurrent("what is missing or too much is told in one line", () => {
  const rows: [what: string, more: string[], code: string, hint: string][] = [
    ["no hint", ["--binding-message", "x"], "config", "--login-hint"],
    ["two hints", [...HINT, "--login-hint-token-from", "env:T"], "config", "one of"],
    ["a message of two lines", [...HINT, "--binding-message", "a\nb"], "usage", "W4SCT"],
  ];
  test.each(rows)("%s", (_, more, code, hint) =>
    inWorldOfGrants(async (w) => {
      const { result } = await w.run(argv(w, ...more), { env: { ...secretOf(w), T: "a-token" } });
      expect(result.error).toMatchObject({ code, hint: expect.stringContaining(hint) });
      expect(w.requestsTo("/backchannel")).toEqual([]);
    })(),
  );
});
