// Protected: the loopback listener. Whatever does not carry this login's state is refused and waited past; whatever does
// decides the login, once; the page that a browser gets never shows a word of the request.

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, test } from "vitest";
import { sweep } from "../support/spawn.ts";
import type { Event } from "../support/stream.ts";
import { type Attack, comesBack, type Knock, knock, POISON, SECRET, stateOf, suffer } from "./attack.ts";

afterAll(sweep);

type Query = Record<string, string> | [string, string][];

const MARKUP = "<script>alert(1)</script>";
/** What a callback says when it wants to be shown. */
const SHOUT = { error: MARKUP, error_description: POISON, error_uri: "javascript:alert(1)" };
const good = (challenge: Event) => ({ code: SECRET.code, state: stateOf(challenge) });
const reasons = (events: Event[]) =>
  events.flatMap(({ step, reason }) => (step === "await_user" && reason ? [reason] : []));
const redirect = (attack: Omit<Attack, "flow">) => suffer({ flow: "authorization_code", ...attack });

describe.concurrent("a stray is refused, told once, and the login still succeeds", () => {
  type Row = [what: string, (challenge: Event) => [Query, Knock?], status: number, reason: string | undefined];
  const rows: Row[] = [
    ["no state", () => [{ code: "forged", ...SHOUT }], 400, "wrong_state"],
    ["another state", () => [{ code: "forged", state: "x".repeat(43) }], 400, "wrong_state"],
    ["an empty state", () => [{ code: "forged", state: "" }], 400, "wrong_state"],
    ["the state, longer", (c) => [{ code: "forged", state: `${stateOf(c)}x` }], 400, "wrong_state"],
    ["the state, shorter", (c) => [{ code: "forged", state: stateOf(c).slice(1) }], 400, "wrong_state"],
    ["the state in upper case", (c) => [{ code: "forged", state: stateOf(c).toUpperCase() }], 400, "wrong_state"],
    ["another state and a denial", () => [{ error: "access_denied", state: "wrong" }], 400, "wrong_state"],
    [
      "two states",
      (c) => [
        [
          ["code", "forged"],
          ["state", stateOf(c)],
          ["state", "y"],
        ],
      ],
      400,
      "wrong_state",
    ],
    [
      "the state twice",
      (c) => [
        [
          ["code", "forged"],
          ["state", stateOf(c)],
          ["state", stateOf(c)],
        ],
      ],
      400,
      "wrong_state",
    ],
    ["nothing", () => [{}], 400, "wrong_state"],
    ["another path", (c) => [good(c), { path: "/" }], 404, "wrong_path"],
    ["a longer path", (c) => [good(c), { path: "/callback/x" }], 404, "wrong_path"],
    ["a path with markup", () => [SHOUT, { path: `/${encodeURI(MARKUP)}` }], 404, "wrong_path"],
    ["two slashes", (c) => [good(c), { path: "//callback" }], 404, "wrong_path"],
    ["an absolute target", (c) => [good(c), { path: "http://example.com/callback" }], 404, "wrong_path"],
    ["the icon that browsers ask for", () => [{}, { path: "/favicon.ico" }], 404, undefined],
    ["POST", (c) => [good(c), { method: "POST" }], 405, "wrong_method"],
    ["HEAD", (c) => [good(c), { method: "HEAD" }], 405, "wrong_method"],
    ["another Host", (c) => [good(c), { headers: { host: "example.com" } }], 421, "wrong_host"],
    ["another port in Host", (c) => [good(c), { headers: { host: "127.0.0.1:1" } }], 421, "wrong_host"],
    [
      "localhost in Host",
      (c) => [good(c), { headers: { host: new URL(c.redirect_uri ?? "").host.replace("127.0.0.1", "localhost") } }],
      421,
      "wrong_host",
    ],
    ["90 kB", (c) => [{ ...good(c), padding: "x".repeat(90_000) }], 431, undefined],
  ];
  test.each(rows)("%s", (_, forge, status, reason) =>
    redirect({
      does: "knocks",
      ends: "success",
      hidden: [MARKUP],
      async meanwhile(running) {
        const challenge = await running.next("auth_url");
        const answer = await knock(challenge, ...forge(challenge));
        expect(answer).toMatchObject({ status, body: expect.not.stringMatching(/script|alert|owned|forged/) });
        await knock(challenge, good(challenge));
      },
      also({ events }, { requests }) {
        expect(reasons(events)).toEqual(reason === undefined ? [] : [reason]);
        expect(requests.filter(({ path }) => path === "/token").map(({ form }) => form.get("code"))).toEqual([
          SECRET.code,
        ]);
      },
    }),
  );

  test("a request without a Host is none", async () => {
    await redirect({
      does: "speaks an old language",
      ends: "success",
      async meanwhile(running) {
        const challenge = await running.next("auth_url");
        const target = `/callback?${new URLSearchParams(good(challenge))}`;
        for (const version of ["1.0", "1.1"]) {
          const socket = connect(Number(new URL(challenge.redirect_uri ?? "").port), "127.0.0.1");
          socket.end(`GET ${target} HTTP/${version}\r\n\r\n`);
          expect((await text(socket)).split("\r\n")[0]).toMatch(/ 4\d\d /);
        }
        await knock(challenge, good(challenge));
      },
    });
  });

  test.each([
    ["another path", { path: "/elsewhere" }],
    ["another state", {}],
  ])("fifty of them (%s) make no flood", (_, how) =>
    redirect({
      does: "knocks in a loop",
      ends: "success",
      async meanwhile(running) {
        const challenge = await running.next("auth_url");
        for (let round = 0; round < 5; round++) {
          await Promise.all(
            Array.from({ length: 10 }, () => knock(challenge, { code: "forged", state: "wrong" }, how)),
          );
        }
        await knock(challenge, good(challenge));
      },
      also({ events }) {
        expect(reasons(events).length).toBeGreaterThan(0);
        expect(reasons(events).length).toBeLessThanOrEqual(20);
      },
    }),
  );

  test("connections that say nothing, or only half of it, block nobody", () =>
    redirect({
      does: "is slow on purpose",
      ends: "success",
      async meanwhile(running) {
        const challenge = await running.next("auth_url");
        const port = Number(new URL(challenge.redirect_uri ?? "").port);
        const sockets: Socket[] = Array.from({ length: 30 }, () => connect(port, "127.0.0.1").on("error", () => {}));
        await Promise.all(sockets.map((socket) => once(socket, "connect")));
        for (const socket of sockets.slice(10)) socket.write("GET /callback?state=");
        await sleep(200);
        expect(await knock(challenge, good(challenge))).toMatchObject({ status: 200 });
        for (const socket of sockets) socket.destroy();
      },
      also: ({ durationMs }) => expect(durationMs).toBeLessThan(8000),
    }));
});

describe.concurrent("a callback with our state decides the login", () => {
  const rows: (Omit<Attack, "does" | "meanwhile"> & { query: Record<string, string> | ((url: string) => Query) })[] = [
    { query: { code: SECRET.code }, ends: "success" },
    { query: { code: "x".repeat(60_000) }, ends: "success" },
    { query: { error: "access_denied", error_description: `${MARKUP}\u001b[31m` }, ends: "denied" },
    { query: { error: "server_error", error_description: POISON }, ends: "provider", says: /server_error/ },
    { query: { error: MARKUP, error_uri: "javascript:alert(1)" }, ends: "provider" },
    { query: { error: "" }, ends: "provider" },
    { query: {}, ends: "provider" },
    { query: { code: "" }, ends: "provider" },
    { query: { code: SECRET.code, iss: "https://example.com" }, ends: "provider", says: /iss/ },
    { query: { error: "access_denied", iss: "https://example.com" }, ends: "provider", says: /iss/ },
    { query: (url) => ({ code: SECRET.code, iss: `${url}/` }), ends: "provider", says: /iss/ },
    { query: (url) => ({ code: SECRET.code, iss: url }), ends: "success" },
    {
      query: { code: SECRET.code },
      metadata: { authorization_response_iss_parameter_supported: true },
      ends: "provider",
      says: /iss/,
    },
    {
      query: { error: "access_denied" },
      metadata: { authorization_response_iss_parameter_supported: true },
      ends: "provider",
    },
    { query: { code: SECRET.code, response: "a.b.c" }, ends: "provider" },
    { query: { code: SECRET.code, id_token: "a.b.c" }, ends: "provider" },
    { query: { code: SECRET.code, token: "injected" }, ends: "provider" },
  ];
  test.each(rows.map((row) => [JSON.stringify(row.query)?.slice(0, 80) ?? `iss ${row.ends}`, row] as const))(
    "%s",
    (_, { query, ...row }) =>
      redirect({
        does: "answers",
        ...row,
        async meanwhile(running, { url }) {
          const challenge = await running.next("auth_url");
          const said = typeof query === "function" ? query(url) : query;
          const answer = await knock(challenge, { ...said, state: stateOf(challenge) } as Record<string, string>);
          expect(answer.status).toBe(200);
          expect(answer.body).toContain(
            { success: "You’re signed in", denied: "was declined" }[row.ends as string] ?? "did not finish",
          );
          expect(answer.body).not.toMatch(/alert|owned|javascript:|server_error|example\.com|access_denied/);
        },
        also(_, { requests }) {
          expect(requests.filter(({ path }) => path === "/token")).toHaveLength(row.ends === "success" ? 1 : 0);
        },
      }),
  );

  test.each(["code", "iss", "error"])("that has %s twice is a fault", (name) =>
    redirect({
      does: "repeats itself",
      ends: "provider",
      async meanwhile(running, { url }) {
        const challenge = await running.next("auth_url");
        const twice: [string, string][] = [
          [name, name === "iss" ? url : "one"],
          [name, name === "iss" ? url : "two"],
        ];
        await knock(challenge, [...twice, ["state", stateOf(challenge)]]);
      },
      also: (_, { requests }) => expect(requests.filter(({ path }) => path === "/token")).toEqual([]),
    }),
  );

  test("once: of two that race one code is exchanged", () =>
    redirect({
      does: "races",
      ends: "success",
      async meanwhile(running) {
        const challenge = await running.next("auth_url");
        const answers = await Promise.all([knock(challenge, good(challenge)), knock(challenge, good(challenge))]);
        expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
      },
      also: (_, { requests }) => expect(requests.filter(({ path }) => path === "/token")).toHaveLength(1),
    }));

  test("but not for long: when the exchange fails, the page says so and not what the server said", () =>
    redirect({
      does: "refuses the code",
      ends: "provider",
      routes: { "POST /token": { status: 400, json: { error: "invalid_grant", error_description: POISON + MARKUP } } },
      async meanwhile(running) {
        const challenge = await running.next("auth_url");
        const { body } = await knock(challenge, good(challenge));
        expect(body).toContain("did not finish");
        expect(body).not.toMatch(/alert|owned|invalid_grant/);
      },
    }));
});

test("nobody outside this machine can reach the listener", () =>
  redirect({
    does: "waits",
    ends: "success",
    async meanwhile(running) {
      const challenge = await running.next("auth_url");
      const { port } = new URL(challenge.redirect_uri ?? "");
      // Another loopback address stands for every other interface: a listener on all of them would answer here.
      const socket = connect(Number(port), "127.0.0.2");
      const [error] = await once(socket, "error");
      expect(error).toMatchObject({ code: "ECONNREFUSED" });
      await knock(challenge, good(challenge));
    },
  }));

test("the person who signs in comes back", () =>
  redirect({ does: "is honest", ends: "success", meanwhile: comesBack() }));
