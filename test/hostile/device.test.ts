// Protected: the device grant. A code is shown only with a web address to type it in; polling keeps the server's pace,
// gets past its bad moments without an error, and stops for good when the answer is final.

import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, test, vi } from "vitest";
import { type Handler, type Reply, type Routes, reset } from "../support/hostile-server.ts";
import { sweep } from "../support/spawn.ts";
import { type Attack, device, type Ending, judge, login, POISON, server, stored, suffer, tokens } from "./attack.ts";

vi.setConfig({ maxConcurrency: 16 }); // most of it is waiting
afterAll(sweep);

const pending = { status: 400, json: { error: "authorization_pending" } };
const slowDown = { status: 400, json: { error: "slow_down" } };
const error = (name: string, status = 400) => ({ status, json: { error: name, error_description: POISON } });
const byDevice = (attack: Omit<Attack, "flow">) =>
  suffer({ flow: "device_code", options: { timeoutMs: 30_000 }, ...attack });
const polls = (answers: (Reply | Handler)[]): Routes => ({ "POST /token": answers });

describe.concurrent("a device authorization that is none is refused before anything is shown", () => {
  const rows: [what: string, answer: (url: string) => unknown, ends?: Ending][] = [
    ["verification_uri of javascript:", (url) => device(url, { verification_uri: "javascript:alert(1)" })],
    ["verification_uri of file:", (url) => device(url, { verification_uri: "file:///etc/passwd" })],
    ["verification_uri of data:", (url) => device(url, { verification_uri: "data:text/html,x" })],
    ["verification_uri that is relative", (url) => device(url, { verification_uri: "/activate" })],
    ["verification_uri in words", (url) => device(url, { verification_uri: "go to example.com" })],
    ["verification_uri of escapes", (url) => device(url, { verification_uri: POISON })],
    ["verification_uri of 1 kB", (url) => device(url, { verification_uri: `${url}/${"x".repeat(1000)}` })],
    ["verification_uri as a list", (url) => device(url, { verification_uri: [url] })],
    ["verification_uri missing", (url) => device(url, { verification_uri: undefined })],
    [
      "verification_uri with a user name",
      (url) => device(url, { verification_uri: "https://github.com@example.com/" }),
    ],
    [
      "verification_uri_complete of javascript:",
      (url) => device(url, { verification_uri_complete: "javascript:alert(1)" }),
    ],
    ["verification_uri_complete as a number", (url) => device(url, { verification_uri_complete: 5 })],
    ["user_code missing", (url) => device(url, { user_code: undefined })],
    ["user_code empty", (url) => device(url, { user_code: "" })],
    ["user_code as an object", (url) => device(url, { user_code: {} })],
    ["device_code missing", (url) => device(url, { device_code: undefined })],
    ["expires_in missing", (url) => device(url, { expires_in: undefined })],
    ["expires_in negative", (url) => device(url, { expires_in: -5 })],
    ["expires_in in words", (url) => device(url, { expires_in: "a while" })],
    ["interval negative", (url) => device(url, { interval: -5 })],
    ["interval in words", (url) => device(url, { interval: "now and then" })],
    ["interval as an object", (url) => device(url, { interval: {} })],
    ["an array", () => []],
    ["an error under 200", () => ({ error: "unauthorized_client", error_description: POISON })],
    ["a code of 2 MB", (url) => device(url, { user_code: "x".repeat(2 << 20) })],
  ];
  test.each(rows)("%s", async (does, answer, ends = "provider") => {
    await byDevice({
      does,
      ends,
      routes: (url) => ({ "POST /device": { json: answer(url) }, "POST /token": { json: tokens() } }),
      also({ events }, { requests }) {
        expect(events.filter(({ phase }) => phase === "device_code")).toEqual([]);
        expect(requests.filter(({ path }) => path === "/token")).toEqual([]);
      },
    });
  });
});

describe.concurrent("an unusual device authorization is shown safely", () => {
  const QUOTES = "\\".repeat(120);
  const rows: [what: string, fields: (url: string) => object, interval?: number][] = [
    ["user_code of escapes", () => ({ user_code: `AB${POISON}CD` })],
    ["user_code of bidi", () => ({ user_code: "\u202eABCD\u2066\u2069\u200f" })],
    ["user_code of a megabyte", () => ({ user_code: "é".repeat(500_000) })],
    ["user_code of quotes", () => ({ user_code: '"\\'.repeat(500) })],
    ["verification_uri of escapes", (url) => ({ verification_uri: `${url}/${POISON}` })],
    ["verification_uri of metacharacters", (url) => ({ verification_uri: `${url}/;touch owned;$(touch owned)` })],
    [
      "addresses that double in JSON",
      (url) => ({
        user_code: '"\\'.repeat(500),
        verification_uri: `${url}/?${QUOTES}`,
        verification_uri_complete: `${url}/?${QUOTES}`,
      }),
    ],
    ["expires_in as a string", () => ({ expires_in: "600" })],
    ["expires_in beyond all calendars", () => ({ expires_in: 1e300 })],
    ["interval as a string", () => ({ interval: "1" }), 1],
    ["interval missing", () => ({ interval: undefined }), 5],
    ["interval of null", () => ({ interval: null }), 5],
    ["interval of zero", () => ({ interval: 0 })],
  ];
  test.each(rows)("%s", async (does, fields, interval) => {
    await byDevice({
      does,
      ends: "success",
      routes: (url) => ({ "POST /device": { json: device(url, fields(url)) } }),
      also({ events }) {
        const shown = events.find(({ phase }) => phase === "device_code");
        if (interval !== undefined) expect(shown).toMatchObject({ interval });
        expect(shown?.interval).toBeGreaterThan(0);
        expect(shown?.message.length).toBeLessThan(2000);
      },
    });
  });

  test("with an interval of an hour, which nobody would wait for: Ctrl-C ends it at once", async () => {
    await byDevice({
      does: "dawdles",
      ends: "cancelled",
      routes: (url) => ({ "POST /device": { json: device(url, { interval: 1e300 }) } }),
      async meanwhile(running) {
        expect((await running.next("device_code")).interval).toBeLessThanOrEqual(60);
        running.kill("SIGINT");
      },
      also: ({ durationMs }) => expect(durationMs).toBeLessThan(5000),
    });
  });
});

describe.concurrent("polling", () => {
  /** Answers in order, and remembers when each was asked for. */
  function script(answers: (Reply | Handler)[]) {
    const times: number[] = [];
    const timed = answers.map(
      (answer): Handler =>
        (req, res, body) => {
          times.push(performance.now());
          return typeof answer === "function" ? answer(req, res, body) : answer;
        },
    );
    const gaps = () => times.slice(1).map((time, index) => (time - (times[index] ?? 0)) / 1000);
    return { times, gaps, timed };
  }

  const final: [name: string, ends: Ending, status?: number][] = [
    ["access_denied", "denied"],
    ["access_denied", "denied", 200],
    ["expired_token", "expired"],
    ["expired_token", "expired", 200],
    ["invalid_grant", "provider"],
    ["invalid_client", "provider", 401],
    ["an_error_of_its_own", "provider"],
  ];
  test.each(final)("ends with %s (%s), and nothing is asked afterwards", async (name, ends, status) => {
    let asked = 0;
    const hostile = await server({
      "POST /token": () => (++asked === 1 ? error(name, status) : { json: tokens() }),
    });
    try {
      const run = await login(hostile.url, ["--flow", "device_code"]).done;
      await judge(run, ends);
      await sleep(1500);
      expect(asked).toBe(1);
    } finally {
      await hostile.close();
    }
  });

  test("does not go on after SIGINT", async () => {
    const { times, timed } = script([pending, pending, pending, pending]);
    const hostile = await server(polls(timed));
    try {
      const running = login(hostile.url, ["--flow", "device_code"]);
      await running.next("device_code");
      await sleep(1300);
      running.kill("SIGINT");
      const run = await running.done;
      const asked = times.length;
      await judge(run, "cancelled");
      await sleep(1500);
      expect(asked).toBeGreaterThan(0);
      expect(times).toHaveLength(asked);
    } finally {
      await hostile.close();
    }
  });

  test("keeps the pace, and slows down by 5 s for good when told to", async () => {
    const { gaps, timed } = script([pending, slowDown, pending, { json: tokens() }]);
    await byDevice({
      does: "asks for time",
      ends: "success",
      routes: polls(timed),
      also({ events }) {
        const [first = 0, slow = 0, still = 0] = gaps();
        expect(first).toBeGreaterThan(0.95);
        expect(first).toBeLessThan(4);
        expect(slow).toBeGreaterThan(5.95);
        expect(still).toBeGreaterThan(5.95);
        expect(events).toContainEqual(expect.objectContaining({ phase: "progress", reason: "slow_down" }));
        expect(events.filter(({ phase }) => phase === "device_code")).toHaveLength(1);
      },
    });
  });

  const moments: [what: string, answers: (Reply | Handler)[], least: number][] = [
    ["a reset", [reset], 1],
    ["503 in HTML", [{ status: 503, text: "<html>down</html>" }], 1],
    ["500, then 502", [{ status: 500 }, { status: 502 }], 1],
    ["429 with Retry-After", [{ status: 429, headers: { "retry-after": "4" } }], 4],
  ];
  test.each(moments)("gets past %s without an error", async (_, answers, least) => {
    const { gaps, timed } = script([...answers, { json: tokens() }]);
    await byDevice({
      does: "stumbles",
      ends: "success",
      hidden: ["<html"],
      routes: polls(timed),
      also({ events }) {
        expect(gaps()[0]).toBeGreaterThan(least - 0.05);
        const retries = events.filter(({ state }) => state === "retrying");
        expect(retries.map(({ attempt }) => attempt)).toEqual(answers.map((_, index) => index + 1));
        for (const { retry_in } of retries) expect(retry_in).toBeGreaterThanOrEqual(least);
      },
    });
  });

  test("heeds the code's own end", async () => {
    await byDevice({
      does: "is short-lived",
      ends: "expired",
      routes: (url) => ({ "POST /device": { json: device(url, { expires_in: 2 }) }, "POST /token": pending }),
      also: ({ durationMs, home }) => {
        expect(durationMs).toBeLessThan(5000);
        expect(stored(home)).toEqual([]);
      },
    });
  });

  test("heeds a code that is over before it began", async () => {
    await byDevice({
      does: "is stillborn",
      ends: "expired",
      routes: (url) => ({ "POST /device": { json: device(url, { expires_in: 0 }) }, "POST /token": pending }),
    });
  });

  test("does not wait for a Retry-After beyond the code's end", async () => {
    await byDevice({
      does: "sends people away",
      ends: "timeout",
      argv: ["--timeout", "3s"],
      routes: { "POST /token": { status: 429, headers: { "retry-after": "999999999" } } },
    });
  });
});
