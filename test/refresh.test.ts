/**
 * A refresh under everything that can happen to it: answers that are lost, servers in trouble, processes that are stopped,
 * killed and cancelled, disks that take nothing, and everybody at once.
 *
 * What is protected: one refresh token is sent by one process at a time and to one server; what the server gave is stored
 * before anybody gets it; what may be lost is known to be; nothing is cleared but by the server's own refusal.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, test } from "vitest";
import { type HostileServer, metadata, type Reply, startHostileServer } from "./support/hostile-server.ts";
import { program } from "./support/inside.ts";
import {
  accessToken,
  CLIENT,
  type Disturbance,
  type RotatingServer,
  refreshToken,
  startRotatingServer,
} from "./support/rotating-server.ts";
import { opened, storeAt } from "./support/sealed.ts";
import { until } from "./support/sessions.ts";
import { authline, type Options, type Running, sweep, tempHome } from "./support/spawn.ts";
import { checkStream, type Event } from "./support/stream.ts";

afterAll(async () => {
  expect(await sweep()).toEqual([]);
});

interface Ended {
  code: number | null;
  result: Event;
  events: Event[];
}

interface World {
  server: RotatingServer;
  home: string;
  /** `hurry`: time passes twenty times as fast for it. */
  start(argv: string[], options?: Options): Running & { ended(): Promise<Ended> };
  run(argv: string[], options?: Options): Promise<Ended>;
  record(connection?: string): ReturnType<typeof opened>;
  /** A refresh was begun and may have been lost. */
  isMarked(): boolean;
  text(): string;
}

const inWorld = (body: (w: World) => Promise<unknown>) => async () => {
  const server = await startRotatingServer();
  const home = tempHome();
  const start = (argv: string[], options: Options = {}, begin = authline) => {
    const running = begin(argv, { home, ...options, env: { SECRET: CLIENT.client_secret, ...options.env } });
    const ended = async () => {
      const { stdout, stderr, code, events } = await running.done;
      expect(checkStream(stdout, { command: argv[0] ?? "", exitCode: code })).toEqual([]);
      expect(`${stdout}${stderr}`).not.toMatch(/refresh-token-of|the-secret-of/);
      const result = events.at(-1);
      if (!result) throw new Error(`${argv.join(" ")} said nothing on stdout; on stderr: ${stderr}`);
      return { code, result, events };
    };
    return { ...running, ended };
  };
  try {
    await body({
      server,
      home,
      start,
      run: (argv, options) => start(argv, options, program).ended(),
      record: (connection = "default") => opened(home, "connection", `${connection}@acme`),
      isMarked: () => existsSync(join(home, "refreshes", "default@acme.json")),
      text: () => readFileSync(join(home, "connections", "default@acme.json"), "utf8"),
    });
  } finally {
    await server.close();
  }
};

const TOKEN = ["token", "acme"];
const HURRY: Options = { faults: "hurry" };

/** The next request to the token endpoint waits for its answer. */
function hold(server: RotatingServer, disturb: Disturbance = (redeem) => redeem(), rotates: "early" | "late" = "late") {
  let arrive = () => {};
  let answer = () => {};
  const arrived = new Promise<void>((resolve) => {
    arrive = resolve;
  });
  const released = new Promise<void>((resolve) => {
    answer = resolve;
  });
  server.disturbances.push(async (redeem, req, res) => {
    const reply = rotates === "early" ? redeem() : undefined;
    arrive();
    await released;
    return disturb(() => reply ?? redeem(), req, res);
  });
  return { arrived, answer: () => answer() };
}

const isWaiting = ({ step, state }: Event) => step === "lock" && state === "waiting";

function expectRenewed({ code, result }: Ended, token: string) {
  expect([result.error, code]).toEqual([undefined, 0]);
  expect(result.data).toMatchObject({ access_token: token, refreshed: true });
}

function expectLost({ code, result }: Ended) {
  expect([code, result.error?.code, result.error?.["reason" as never]]).toEqual([4, "auth_expired", "answer_lost"]);
  expect(result.message).toContain("cut off before its answer was stored");
  expect(result.next_actions).toMatchObject([{ id: "login" }]);
}

async function expectLoginWorks(w: World) {
  expect((await w.run(w.server.login())).code).toBe(0);
  expect((await w.run(TOKEN)).result.data.access_token).toMatch(/^access-token-of-robot-/);
}

// --- answers that may be lost -----------------------------------------------------------------------------------------

const cut: Disturbance = (_, req) => void req.socket.destroy();
const cutInside: Disturbance = (redeem, _, res) => {
  const body = JSON.stringify(redeem().json);
  res.writeHead(200, { "content-type": "application/json", "content-length": body.length });
  res.write(body.slice(0, 30), () => res.destroy());
};
const rotating =
  (then: Disturbance): Disturbance =>
  (redeem, req, res) => {
    const reply = redeem();
    return then(() => reply, req, res);
  };

describe.concurrent("an answer that is cut off", () => {
  test(
    "before the server has done anything costs nothing: the old token is tried again",
    inWorld(async ({ server, home, run, isMarked }) => {
      await server.signIn(home, "f");
      server.disturbances.push(cut);
      const ended = await run(TOKEN, HURRY);
      expectRenewed(ended, accessToken("f", 1));
      expect(ended.events).toContainEqual(expect.objectContaining({ step: "refresh", state: "retrying", attempt: 1 }));
      expect(server.sent()).toEqual([refreshToken("f", 0), refreshToken("f", 0)]);
      expect(isMarked()).toBe(false);
    }),
  );

  test.each([
    ["before it begins", rotating(cut)],
    ["in the middle", cutInside],
  ])("%s is lost, and said to be so; a login helps", async (_when, disturbance) =>
    inWorld(async (w) => {
      await w.server.signIn(w.home, "f");
      w.server.disturbances.push(disturbance);
      expectLost(await w.run(TOKEN, HURRY));
      expectLost(await w.run(TOKEN)); // and not only to the first who asks
      expect(w.server.sent()).toHaveLength(2);
      expect(w.record()).toMatchObject({ revoked: true, end: "answer_lost" });
      expect(w.record().secrets).toEqual({ client_secret: CLIENT.client_secret });
      expect(w.isMarked()).toBe(false);
      await expectLoginWorks(w);
    })(),
  );

  test(
    "again and again leaves a mark, by which the next process knows",
    inWorld(async ({ server, home, run, isMarked, text }) => {
      await server.signIn(home, "f");
      const before = text();
      server.disturbances.push(...Array(9).fill(cut));
      const { code, result } = await run(TOKEN, HURRY);
      expect([code, result.error?.code]).toEqual([69, "network"]);
      expect([isMarked(), text()]).toEqual([true, before]);
      server.disturbances.length = 0;
      const next = await run(TOKEN);
      expectRenewed(next, accessToken("f", 1));
      expect(next.events[0]).toMatchObject({ step: "refresh", state: "retrying", reason: "answer_lost" });
      expect(isMarked()).toBe(false);
    }),
  );

  test.each([
    ["had done nothing: the next process has the token", "late"],
    ["had rotated: the next process says that it is lost", "early"],
  ] as const)("by SIGKILL, when the server %s", async (_what, rotates) =>
    inWorld(async (w) => {
      await w.server.signIn(w.home, "f");
      const before = w.text();
      const { arrived, answer } = hold(w.server, cut, rotates);
      const killed = w.start(TOKEN);
      await arrived;
      killed.kill("SIGKILL");
      expect((await killed.done).signal).toBe("SIGKILL");
      answer();
      expect([w.isMarked(), w.text()]).toEqual([true, before]);
      const next = await w.run(TOKEN);
      if (rotates === "late") return expectRenewed(next, accessToken("f", 1));
      expectLost(next);
      await expectLoginWorks(w);
    })(),
  );

  const broken: [string, (reply: Reply) => Reply][] = [
    [
      "half of it",
      ({ json }) => ({ text: JSON.stringify(json).slice(0, 40), headers: { "content-type": "application/json" } }),
    ],
    ["nothing", () => ({ status: 200 })],
    ["a page of a proxy", () => ({ status: 502, text: "<html>" })],
  ];
  test.each(broken)("or replaced after the rotation, by %s, is lost as well", async (_what, spoil) =>
    inWorld(async ({ server, home, run, isMarked, text }) => {
      await server.signIn(home, "f", { ttl: 30 });
      const before = text();
      server.disturbances.push((redeem) => spoil(redeem()), ...Array(5).fill(() => ({ status: 503 })));
      const { code, result } = await run(TOKEN, HURRY);
      if (code === 0) expect(result.data.access_token).toBe(accessToken("f", 0));
      else expect([code, result.error?.code]).toEqual([76, "provider"]);
      expect([isMarked(), text()]).toEqual([true, before]);
      server.disturbances.length = 0;
      expectLost(await run(TOKEN));
    })(),
  );

  const expired = ["{}", JSON.stringify({ iss: "x", sub: "x", aud: "x", exp: 1, iat: 1 }), "x"];
  const id_token = expired.map((part) => Buffer.from(part).toString("base64url")).join(".");
  test.each([
    ["a token of another type", { token_type: "mac" }],
    ["a lifetime below zero", { expires_in: -5 }],
    ["an ID token that cannot be", { id_token }],
  ])("with %s is refused, but the refresh token in it is kept", async (_what, odd) =>
    inWorld(async ({ server, home, run, isMarked, record }) => {
      await server.signIn(home, "f");
      server.disturbances.push((redeem) => ({ json: { ...(redeem().json as object), ...odd } }));
      const { code, result } = await run(TOKEN);
      expect([code, result.error?.code, isMarked()]).toEqual([76, "provider", false]);
      expect(record().secrets["refresh_token"]).toBe(refreshToken("f", 1));
      expect((await run(TOKEN)).result.data.access_token).toBe(accessToken("f", 2)); // the family lives
    })(),
  );
});

// --- servers in trouble -----------------------------------------------------------------------------------------------

interface Trouble {
  reply: Reply;
  code: number;
  error: string;
  /** Whether a proxy may have said so in the place of a server that has rotated. */
  marks: boolean;
}

const troubles: [string, Trouble][] = [
  ["500", { reply: { status: 500 }, code: 76, error: "provider", marks: true }],
  ["502", { reply: { status: 502, text: "<html>" }, code: 76, error: "provider", marks: true }],
  [
    "503 and a wish",
    { reply: { status: 503, headers: { "retry-after": "6" } }, code: 76, error: "provider", marks: true },
  ],
  [
    "503 and no patience at all",
    { reply: { status: 503, headers: { "retry-after": "0" } }, code: 76, error: "provider", marks: true },
  ],
  [
    "503 and a long wish",
    { reply: { status: 503, headers: { "retry-after": "600" } }, code: 76, error: "provider", marks: true },
  ],
  ["429", { reply: { status: 429 }, code: 75, error: "rate_limited", marks: false }],
];

describe.concurrent("a server that answers", () => {
  test.each(troubles)(
    "%s is asked again, never in haste, and costs nothing",
    async (name, { reply, code, error, marks }) =>
      inWorld(async ({ server, home, run, isMarked, text }) => {
        await server.signIn(home, "f");
        const before = text();
        server.disturbances.push(...Array(99).fill(() => reply));
        const dead = await run(TOKEN, HURRY);
        expect([dead.code, dead.result.error?.code, dead.result.error?.retryable]).toEqual([code, error, true]);
        const asked = server.sent().length;
        expect(asked).toBeLessThanOrEqual(5); // within 30 s, each pause twice as long as the one before
        expect(asked).toBeGreaterThanOrEqual(name.includes("long") ? 1 : 3);
        expect(dead.events.filter(({ state }) => state === "retrying")).toHaveLength(asked - 1);
        expect([isMarked(), text()]).toEqual([marks, before]);

        server.disturbances.length = 0;
        expectRenewed(await run(TOKEN), accessToken("f", 1));
      })(),
  );

  test.each(troubles)("%s costs no token that is still good", async (_name, { reply }) =>
    inWorld(async ({ server, home, run, text }) => {
      await server.signIn(home, "f", { ttl: 30 });
      const before = text();
      server.disturbances.push(...Array(99).fill(() => reply));
      const { code, result } = await run(TOKEN, HURRY);
      expect([code, result.data.access_token, result.data.refreshed]).toEqual([0, accessToken("f", 0), false]);
      expect(result.warnings).toMatchObject([{ code: "refresh_failed" }]);
      expect(server.sent().length).toBeLessThanOrEqual(3); // nobody waits long for what is not needed yet
      expect(text()).toBe(before);
    })(),
  );

  test(
    "and recovers is not given up",
    inWorld(async ({ server, home, run }) => {
      await server.signIn(home, "f");
      server.disturbances.push(
        () => ({ status: 503 }),
        () => ({ status: 429 }),
      );
      expectRenewed(await run(TOKEN, HURRY), accessToken("f", 1));
    }),
  );

  test(
    "nothing, because nobody is there, is `network`: nothing was sent, so nothing can be lost",
    inWorld(async ({ server, home, run, isMarked, text }) => {
      const http = createServer().listen(0, "127.0.0.1");
      await until(() => http.listening);
      const { port } = http.address() as AddressInfo;
      await new Promise((closed) => http.close(closed));
      const gone = { issuer: server.url, token_endpoint: `http://127.0.0.1:${port}/token` };
      await server.signIn(home, "f", { server: gone });
      const before = text();
      const { code, result } = await run(TOKEN, HURRY);
      expect([code, result.error?.code]).toEqual([69, "network"]);
      expect([isMarked(), text()]).toEqual([false, before]);

      await server.signIn(home, "f", { server: gone, ttl: 30 });
      const alive = await run(TOKEN, HURRY);
      expect([alive.code, alive.result.data?.access_token]).toEqual([0, accessToken("f", 0)]);
    }),
  );

  test(
    "that it knows the token no more is believed: `refused`",
    inWorld(async (w) => {
      await w.server.signIn(w.home, "f", { ttl: 30 });
      w.server.disturbances.push(() => ({ status: 400, json: { error: "invalid_grant" } }));
      for (const _ of ["who finds out", "the next one"]) {
        const { code, result } = await w.run(TOKEN);
        expect([code, result.error]).toMatchObject([4, { code: "auth_expired", reason: "refused" }]);
      }
      expect(w.server.sent()).toHaveLength(1);
      await expectLoginWorks(w);
    }),
  );

  test(
    "with keys for ID tokens that cannot be had costs no token",
    inWorld(async ({ server, home, run, record }) => {
      const { url } = server;
      const jwks_uri = `${url}/no-keys-here`;
      await server.signIn(home, "f", { server: { issuer: url, token_endpoint: `${url}/token`, jwks_uri } });
      const now = Math.floor(Date.now() / 1000);
      const claims = { iss: url, sub: "alice", aud: CLIENT.client_id, iat: now, exp: now + 300 };
      const parts = [{ alg: "RS256", kid: "1" }, claims].map((part) =>
        Buffer.from(JSON.stringify(part)).toString("base64url"),
      );
      const id_token = [...parts, "c2lnbmF0dXJl"].join(".");
      server.disturbances.push((redeem) => ({ json: { ...(redeem().json as object), id_token } }));
      expectRenewed(await run(TOKEN), accessToken("f", 1));
      expect(record().secrets["refresh_token"]).toBe(refreshToken("f", 1));
    }),
  );
});

// --- others at the same time ------------------------------------------------------------------------------------------

describe.concurrent("while a refresh is under way", () => {
  const replaced = (home: string, w: World) => {
    const now = new Date(Date.now() + 1000).toISOString();
    const { server, client } = w.record();
    const secrets = { access_token: "access-token-of-another", refresh_token: refreshToken("another", 0) };
    const whose = { v: 1, provider: "acme", connection: "default", flow: "authorization_code" } as const;
    return storeAt(home).keep({
      ...whose,
      server,
      client,
      token_type: "bearer",
      created_at: now,
      updated_at: now,
      expires_at: new Date(Date.now() + 3600_000).toISOString(),
      refreshable: true,
      secrets,
    });
  };

  test.each<[string, Disturbance]>([
    ["refused", () => ({ status: 400, json: { error: "invalid_grant" } })],
    ["answered", (redeem) => redeem()],
  ])("what something else has stored meanwhile stays, though the old one is %s", async (_how, disturb) =>
    inWorld(async (w) => {
      await w.server.signIn(w.home, "f");
      const { arrived, answer } = hold(w.server, disturb);
      const running = w.start(TOKEN);
      await arrived;
      await replaced(w.home, w);
      const now = w.text();
      answer();
      const { code, result } = await running.ended();
      expect([code, result.data?.access_token]).toEqual([0, "access-token-of-another"]);
      expect(w.text()).toBe(now);
      expect(w.server.requests.filter(({ path }) => path === "/revoke")).toEqual([]); // it might take the other along
    })(),
  );

  test(
    "a record that something else has taken away is not brought back, and what came is revoked",
    inWorld(async (w) => {
      await w.server.signIn(w.home, "f");
      const { arrived, answer } = hold(w.server);
      const running = w.start(TOKEN);
      await arrived;
      await storeAt(w.home).remove("acme", "default");
      answer();
      const { code, result } = await running.ended();
      expect([code, result.error?.code]).toEqual([4, "auth_required"]);
      expect(await storeAt(w.home).connections()).toEqual([]);
      const revoked = w.server.requests.filter(({ path }) => path === "/revoke").map(({ form }) => form.get("token"));
      expect(revoked).toEqual([refreshToken("f", 1), accessToken("f", 1)]);
    }),
  );

  test(
    "a logout waits, and revokes what came",
    inWorld(async (w) => {
      await w.server.signIn(w.home, "f");
      const { arrived, answer } = hold(w.server);
      const running = w.start(TOKEN);
      await arrived;
      const logout = w.start(["logout", "acme"], HURRY);
      await logout.next(isWaiting);
      expect(w.server.requests.filter(({ path }) => path === "/revoke")).toEqual([]);
      answer();
      expectRenewed(await running.ended(), accessToken("f", 1));
      expect((await logout.ended()).code).toBe(0);
      const revoked = w.server.requests.filter(({ path }) => path === "/revoke").map(({ form }) => form.get("token"));
      expect(revoked).toEqual([refreshToken("f", 1), accessToken("f", 1)]);
      expect(await storeAt(w.home).connections()).toEqual([]);
    }),
  );

  test(
    "a login waits with what it has got, and is what stays",
    inWorld(async (w) => {
      await w.server.signIn(w.home, "f");
      const { arrived, answer } = hold(w.server);
      const running = w.start(TOKEN);
      await arrived;
      const login = w.start(w.server.login(), HURRY);
      await login.next(isWaiting);
      answer();
      expectRenewed(await running.ended(), accessToken("f", 1));
      expect((await login.ended()).code).toBe(0);
      expect((await w.run(TOKEN)).result.data.access_token).toBe(accessToken("robot", 1));
      expect(w.isMarked()).toBe(false);
    }),
  );

  test(
    "one of another connection does not wait for it",
    inWorld(async ({ server, home, start, record }) => {
      await server.signIn(home, "home");
      await server.signIn(home, "work", { connection: "work" });
      const holds = [hold(server), hold(server)];
      const runs = [start(TOKEN), start([...TOKEN, "--connection", "work"])];
      await Promise.all(holds.map(({ arrived }) => arrived)); // both are at the server, and neither has its answer
      for (const { answer } of holds) answer();
      const [mine, works] = await Promise.all(runs.map((running) => running.ended()));
      expectRenewed(mine as Ended, accessToken("home", 1));
      expectRenewed(works as Ended, accessToken("work", 1));
      expect(record("work").secrets["refresh_token"]).toBe(refreshToken("work", 1));
      expect(record().secrets["refresh_token"]).toBe(refreshToken("home", 1));
    }),
  );

  test(
    "whoever asks for one by name takes part in it: ten ask, the server is asked once",
    inWorld(async ({ server, home, start }) => {
      await server.signIn(home, "f", { ttl: 3600 });
      const { arrived, answer } = hold(server);
      const first = start([...TOKEN, "--refresh"]);
      await arrived;
      const others = Array.from({ length: 9 }, () => start([...TOKEN, "--refresh"], HURRY));
      await Promise.all(others.map((other) => other.next(isWaiting)));
      answer();
      for (const running of [first, ...others]) expectRenewed(await running.ended(), accessToken("f", 1));
      expect(server.sent()).toEqual([refreshToken("f", 0)]);
    }),
  );

  test(
    "a holder that stands still is not robbed: who needs a token is told, who has one gets it",
    inWorld(async (w) => {
      await w.server.signIn(w.home, "f");
      const { arrived, answer } = hold(w.server);
      const holder = w.start(TOKEN);
      await arrived;
      holder.kill("SIGSTOP");
      const waiter = await w.run(TOKEN, HURRY);
      expect([waiter.code, waiter.result.error?.code, waiter.result.error?.retryable]).toEqual([75, "locked", true]);
      const told = waiter.events.filter(isWaiting);
      expect(told.length).toBeGreaterThan(3); // a sign of life every 15 s
      expect(told[0]?.remaining).toBeGreaterThan(60);
      expect(w.server.sent()).toHaveLength(1);
      answer();
      holder.kill("SIGCONT");
      expectRenewed(await holder.ended(), accessToken("f", 1));
    }),
  );

  test(
    "and it stands still, a token that is still good is not waited for long",
    inWorld(async (w) => {
      await w.server.signIn(w.home, "f", { ttl: 30 });
      const { arrived, answer } = hold(w.server);
      const holder = w.start(TOKEN);
      await arrived;
      holder.kill("SIGSTOP");
      const { code, result } = await w.run(TOKEN, HURRY);
      expect([code, result.data?.access_token, result.data?.refreshed]).toEqual([0, accessToken("f", 0), false]);
      expect(result.warnings).toMatchObject([{ code: "refresh_failed" }]);
      answer();
      holder.kill("SIGCONT");
      expectRenewed(await holder.ended(), accessToken("f", 1));
    }),
  );

  test(
    "a holder that is killed is noticed at once",
    inWorld(async (w) => {
      await w.server.signIn(w.home, "f");
      const { arrived } = hold(w.server, cut);
      const holder = w.start(TOKEN);
      await arrived;
      const waiter = w.start(TOKEN);
      await waiter.next(isWaiting);
      const killed = performance.now();
      holder.kill("SIGKILL");
      expectRenewed(await waiter.ended(), accessToken("f", 1));
      expect(performance.now() - killed).toBeLessThan(3000);
    }),
  );

  test(
    "SIGINT ends who waits for it, and changes nothing",
    inWorld(async (w) => {
      await w.server.signIn(w.home, "f");
      const { arrived, answer } = hold(w.server);
      const holder = w.start(TOKEN);
      await arrived;
      const waiter = w.start(TOKEN);
      await waiter.next(isWaiting);
      waiter.kill("SIGINT");
      const { code, result } = await waiter.ended();
      expect([code, result.status]).toEqual([2, "cancelled"]);
      expect(w.isMarked()).toBe(true); // the other one's
      answer();
      expectRenewed(await holder.ended(), accessToken("f", 1));
    }),
  );

  test(
    "SIGINT ends it, but what comes then is stored",
    inWorld(async (w) => {
      await w.server.signIn(w.home, "f");
      const { arrived, answer } = hold(w.server);
      const running = w.start(TOKEN);
      await arrived;
      running.kill("SIGINT");
      await sleep(150); // nothing tells that a signal has been heard, and an answer may be faster
      answer();
      const { code, result } = await running.ended();
      expect([code, result.status]).toEqual([2, "cancelled"]);
      expect(w.record().secrets["refresh_token"]).toBe(refreshToken("f", 1));
      expect(w.isMarked()).toBe(false);
      expect((await w.run(TOKEN)).result.data).toMatchObject({ access_token: accessToken("f", 1), refreshed: false });
    }),
  );

  test(
    "SIGINT ends it within some seconds, though nothing comes, and leaves the mark",
    inWorld(async (w) => {
      await w.server.signIn(w.home, "f");
      const { arrived, answer } = hold(w.server, cut, "early");
      const running = w.start(TOKEN);
      await arrived;
      const at = performance.now();
      running.kill("SIGINT");
      const { code } = await running.ended();
      expect([code, performance.now() - at < 9000, w.isMarked()]).toEqual([2, true, true]);
      answer();
      expectLost(await w.run(TOKEN));
    }),
  );

  test(
    "a second SIGINT leaves at once",
    inWorld(async (w) => {
      await w.server.signIn(w.home, "f");
      const { arrived, answer } = hold(w.server, cut, "early");
      const running = w.start(TOKEN);
      await arrived;
      running.kill("SIGINT");
      await running.next(({ step, state }) => step === "refresh" && state === "waiting");
      const at = performance.now();
      running.kill("SIGINT");
      const { code } = await running.ended();
      expect([code, performance.now() - at < 2500]).toEqual([2, true]);
      answer();
    }),
  );

  test(
    "SIGINT between two attempts ends it at once",
    inWorld(async (w) => {
      await w.server.signIn(w.home, "f");
      w.server.disturbances.push(...Array(9).fill(() => ({ status: 429, headers: { "retry-after": "20" } })));
      const running = w.start(TOKEN);
      await running.next(({ state }) => state === "retrying");
      running.kill("SIGINT");
      expect((await running.ended()).code).toBe(2);
      expect([w.server.sent().length, w.isMarked()]).toEqual([1, false]);
    }),
  );
});

test(
  "tokens that never live as long as they should are renewed once a call",
  inWorld(async ({ server, home, run }) => {
    await server.signIn(home, "f", { ttl: 3600 });
    for (const number of [1, 2]) {
      const ended = await run([...TOKEN, "--min-ttl", "48h"]);
      expectRenewed(ended, accessToken("f", number));
      expect(ended.result.data.expires_in).toBeGreaterThan(3500);
      expect(server.sent()).toHaveLength(number);
    }
  }),
);

// --- disks that take nothing ------------------------------------------------------------------------------------------

describe.concurrent("a disk", () => {
  const disk = (DISK_FAULT: string, DISK_FAULT_AT: string): Options => ({
    faults: "disk",
    env: { DISK_FAULT, DISK_FAULT_AT },
  });

  test(
    "that is full before: the server is not even asked",
    inWorld(async ({ server, home, run, text }) => {
      await server.signIn(home, "f");
      const before = text();
      const { code, result } = await run(TOKEN, disk("ENOSPC", "/refreshes/"));
      expect([code, result.error?.code, result.message]).toEqual([74, "store", expect.stringContaining("ENOSPC")]);
      expect(server.requests).toEqual([]);
      expect(text()).toBe(before);
      expectRenewed(await run(TOKEN), accessToken("f", 1));
    }),
  );

  test(
    "that is full after: it is said, the old record is whole, and the next process knows what it is worth",
    inWorld(async ({ server, home, run, isMarked, text }) => {
      await server.signIn(home, "f");
      const before = text();
      const { code, result } = await run(TOKEN, disk("ENOSPC", "/connections/"));
      expect([code, result.error?.code, result.message]).toEqual([74, "store", expect.stringContaining("ENOSPC")]);
      expect(server.sent()).toHaveLength(1);
      expect([isMarked(), text()]).toEqual([true, before]);
      expectLost(await run(TOKEN));
    }),
  );

  test(
    "that is read-only: what is good is handed out, what has ended is not sent anywhere",
    inWorld(async ({ server, home, run }) => {
      await server.signIn(home, "f", { ttl: 3600 });
      const readOnly = disk("EROFS", home);
      const good = await run(TOKEN, readOnly);
      expect([good.code, good.result.data?.access_token]).toEqual([0, accessToken("f", 0)]);
      await server.signIn(home, "f");
      const { code, result } = await run(TOKEN, readOnly);
      expect([code, result.error?.code, result.error?.hint]).toEqual([
        74,
        "store",
        expect.stringContaining("read-only"),
      ]);
      expect(server.requests).toEqual([]);
    }),
  );
});

// --- and to no other server -------------------------------------------------------------------------------------------

describe.concurrent("a refresh token is sent to its own server only", () => {
  /** Another server, which would take anything. */
  async function withStranger(use: (stranger: HostileServer) => Promise<void>) {
    const answer = { access_token: "access-token-of-the-stranger", token_type: "Bearer", expires_in: 60 };
    const stranger = await startHostileServer((url) => ({
      "GET /.well-known/openid-configuration": {
        json: metadata(url, { grant_types_supported: ["client_credentials", "refresh_token"] }),
      },
      "*": { json: answer },
    }));
    try {
      await use(stranger);
      for (const { path, query, headers, body } of stranger.requests) {
        expect([path, query.toString(), JSON.stringify(headers), body].join(" ")).not.toMatch(/-token-of-f/);
      }
    } finally {
      await stranger.close();
    }
  }

  test(
    "though another connection of the provider signs in elsewhere",
    inWorld(({ server, home, run }) =>
      withStranger(async (stranger) => {
        await server.signIn(home, "f");
        const argv = server.login("--connection", "other").map((word) => (word === server.url ? stranger.url : word));
        expect((await run(argv)).code).toBe(0);
        expectRenewed(await run(TOKEN), accessToken("f", 1));
        expect(server.sent()).toEqual([refreshToken("f", 0)]);
        const other = await run([...TOKEN, "--connection", "other", "--refresh"]);
        expect(other.result.data.access_token).toBe("access-token-of-the-stranger");
      }),
    ),
  );

  test.each([301, 302, 303, 307, 308])("though it answers with a redirect (%d)", async (status) =>
    inWorld(({ server, home, run, text, isMarked }) =>
      withStranger(async (stranger) => {
        await server.signIn(home, "f");
        const before = text();
        server.disturbances.push(() => ({ status, headers: { location: `${stranger.url}/token` } }));
        const { code, result } = await run(TOKEN);
        expect([code, result.error?.code]).toEqual([76, "provider"]);
        expect(stranger.requests).toEqual([]);
        expect([text(), isMarked()]).toEqual([before, false]);
      }),
    )(),
  );

  test.each(["token_endpoint", "issuer", "revocation_endpoint"])(
    "though somebody edits the record's %s",
    async (field) =>
      inWorld(({ server, home, run, text }) =>
        withStranger(async (stranger) => {
          await server.signIn(home, "f");
          const file = join(home, "connections", "default@acme.json");
          const record = JSON.parse(text());
          record.server[field] = `${stranger.url}/token`;
          writeFileSync(file, JSON.stringify(record));
          const { code, result } = await run(TOKEN);
          expect([code, result.error?.code]).toEqual([74, "store"]);
          await run(["logout", "acme"]);
          expect([...stranger.requests, ...server.requests]).toEqual([]);
        }),
      )(),
  );

  test(
    "and with the secret of its own client",
    inWorld(async ({ server, home, run }) => {
      await server.signIn(home, "f");
      const env = { AUTHLINE_CLIENT_ID_ACME: "another", AUTHLINE_CLIENT_SECRET_ACME: "the-other-one" };
      expectRenewed(await run(TOKEN, { env }), accessToken("f", 1));
      const basic = server.requests.map(({ headers }) => headers.authorization?.replace("Basic ", "") ?? "");
      expect(basic.map((each) => decodeURIComponent(String(Buffer.from(each, "base64"))))).toEqual([
        `${CLIENT.client_id}:${CLIENT.client_secret}`,
      ]);
    }),
  );
});
