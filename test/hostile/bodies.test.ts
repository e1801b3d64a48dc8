// Protected: time and memory. A body without an end, a body of 100 MB, a server that never answers: none of them holds the
// command longer than its deadline, none is read to the end, and Ctrl-C is always heeded at once.

import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, test, vi } from "vitest";
import { endless, hang, huge, type Routes } from "../support/hostile-server.ts";
import { sweep } from "../support/spawn.ts";
import { type Attack, comesBack, suffer as meet } from "./attack.ts";

vi.setConfig({ maxConcurrency: 16 }); // most of it is waiting
afterAll(sweep);

const suffer = (attack: Attack) => meet({ ...attack, spawned: true });

const OIDC = "GET /.well-known/openid-configuration";
const MB = 1024 * 1024;

/** Every place where a server is asked, and what it takes to get there. */
const places: [route: string, flow: NonNullable<Attack["flow"]>][] = [
  [OIDC, "client_credentials"],
  ["POST /token", "client_credentials"],
  ["POST /token", "authorization_code"],
  ["POST /device", "device_code"],
];
const at = (flow: Attack["flow"]) => (flow === "authorization_code" ? { meanwhile: comesBack() } : {});

describe.concurrent("a body of 100 MB is refused and not read", () => {
  test.each(places)("at %s (%s)", async (route, flow) => {
    await suffer({
      does: "floods",
      flow,
      ends: "provider",
      says: /more than 1 MiB/,
      routes: { [route]: (_, res) => huge(res) },
      ...at(flow),
      // What it took before it hung up, and what lay in the buffers between.
      also: (_, { requests }) => expect(requests.at(-1)?.sent()).toBeLessThan(30 * MB),
    });
  });

  test.each(places)("at %s (%s), packed into 100 kB", async (route, flow) => {
    const bytes = gzipSync(Buffer.alloc(100 * MB, " "));
    await suffer({
      does: "packs a bomb",
      flow,
      ends: "provider",
      says: /more than 1 MiB/,
      routes: { [route]: { headers: { "content-type": "application/json", "content-encoding": "gzip" }, bytes } },
      ...at(flow),
    });
  });
});

describe.concurrent("a server that never answers", () => {
  const silences: [string, Routes[string]][] = [
    ["says nothing", hang],
    ["drips for ever", (_, res) => endless(res)],
  ];
  const rows = silences.flatMap(([does, route]) => places.map(([place, flow]) => [does, place, flow, route] as const));
  test.each(rows)("%s at %s (%s): Ctrl-C ends it at once", async (does, place, flow, route) => {
    let signalled = 0;
    await suffer({
      does,
      flow,
      ends: "cancelled",
      routes: { [place]: route },
      async meanwhile(running, { requests }) {
        // The callback is answered when the exchange is over: not awaited here.
        if (flow === "authorization_code") void comesBack()(running);
        const [, path] = place.split(" ");
        while (!requests.some((request) => request.path === path)) await new Promise(setImmediate);
        signalled = performance.now();
        running.kill("SIGINT");
        await running.done;
        signalled = performance.now() - signalled;
      },
      also: () => expect(signalled).toBeLessThan(5000),
    });
  });

  // The only test that waits for the deadline itself. It drips, because each byte would restart a timer for silence.
  test("drips for ever: that is said after 20 s, and the deadline of 30 s ends it", { timeout: 50_000 }, async () => {
    await suffer({
      does: "drips",
      ends: "network",
      says: /no answer within 30 s/,
      options: { timeoutMs: 45_000 },
      routes: { "POST /token": (_, res) => endless(res) },
      also({ durationMs, events }) {
        const [silence, ...more] = events.filter(({ state }) => state === "waiting");
        expect(silence?.message).toMatch(/^Nothing new for 20 seconds\. The last was: /);
        expect(more).toEqual([]);
        expect(durationMs).toBeGreaterThan(29_000);
        expect(durationMs).toBeLessThan(36_000);
      },
    });
  });
});
