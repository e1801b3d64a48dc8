/**
 * SIGKILL at every step of a login, a refresh and a logout at which something changes on disk, half-written files included.
 *
 * What is protected: every record reads, old or new, never neither; nothing stays locked; the same command works the next
 * time, or says truthfully that an answer is lost; what is left lying about holds no secret that can be read.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Failure } from "../../src/protocol/failure.ts";
import type { Connection } from "../../src/store/record.ts";
import { filesUnder, filesWith, inProcess, killAtEveryStep } from "../support/killpoints.ts";
import {
  accessToken,
  CLIENT,
  type RotatingServer,
  refreshToken,
  startRotatingServer,
} from "../support/rotating-server.ts";
import { contextAt } from "../support/sealed.ts";
import { sweep } from "../support/spawn.ts";

let server: RotatingServer;
beforeAll(async () => {
  server = await startRotatingServer();
});
afterAll(async () => {
  await server.close();
  expect(await sweep()).toEqual([]);
});

const SECRETS = /refresh-token-of|access-token-of|the-secret-of/;
const env = { SECRET: CLIENT.client_secret };

/** What holds whatever was killed, and at which step. */
async function stored(home: string): Promise<Connection | undefined> {
  expect(filesWith(home, SECRETS)).toEqual([]);
  const { store } = contextAt(home);
  for (const each of await store.connections()) expect(each).not.toHaveProperty("problem");
  return store.connection("acme", "default");
}

/** What was stored, or why it cannot be had. */
async function succeeds(argv: string[], home: string) {
  const end = await inProcess(argv, home, env);
  if (end instanceof Failure) throw end;
  return end;
}

/** The next one cleans up: nothing is left but records, and the locks that were given back. */
function expectTidy(home: string): void {
  const strays = filesUnder(home).filter((path) => /\.tmp-|\/\.probe-/.test(path));
  expect(strays.filter((path) => SECRETS.test(path))).toEqual([]);
  const locks = join(home, "locks");
  for (const name of readdirSync(locks)) {
    const claims = readdirSync(join(locks, name)).filter((each) => /^\d+$/.test(each));
    expect([name, claims.length]).toEqual([name, 1]);
  }
}

test("a first login", { timeout: 120_000 }, async () => {
  let kept = 0;
  const steps = await killAtEveryStep({
    argv: server.login(),
    env,
    prepare: async () => {},
    async judge(home) {
      const record = await stored(home);
      if (record) {
        kept += 1;
        expect(record.secrets.access_token).toMatch(/^access-token-of-robot-\d+$/);
        expect(record.secrets.client_secret).toBe(CLIENT.client_secret);
      }
      expect(await succeeds(server.login(), home)).toMatchObject({ data: { record_status: "connected" } });
      expect(await succeeds(["token", "acme"], home)).toMatchObject({ data: { refreshed: false } });
      expectTidy(home);
    },
  });
  expect(steps).toBeGreaterThan(20);
  expect(kept).toBeGreaterThan(0); // killed after it was kept, too
});

test("a login over one that is there", { timeout: 120_000 }, async () => {
  const seen = new Set<string>();
  await killAtEveryStep({
    argv: server.login(),
    env,
    prepare: (home, name) => server.signIn(home, name, { ttl: 3600 }),
    async judge(home, name) {
      const { access_token = "" } = (await stored(home))?.secrets ?? {};
      const isOld = access_token === accessToken(name, 0);
      if (!isOld) expect(access_token).toMatch(/^access-token-of-robot-\d+$/);
      seen.add(isOld ? "old" : "new");
      expect(await succeeds(server.login(), home)).toMatchObject({ data: { record_status: "connected" } });
      expectTidy(home);
    },
  });
  expect([...seen]).toEqual(["old", "new"]);
});

test("a refresh", { timeout: 120_000 }, async () => {
  const ends = new Map<string, number>();
  const count = (end: string) => ends.set(end, (ends.get(end) ?? 0) + 1);
  const steps = await killAtEveryStep({
    argv: ["token", "acme"],
    prepare: (home, name) => server.signIn(home, name),
    async judge(home, name) {
      const record = await stored(home);
      const number = [0, 1].find((each) => record?.secrets.refresh_token === refreshToken(name, each));
      expect(record?.secrets.access_token).toBe(accessToken(name, Number(number)));
      const sent = server.sent().filter((token) => token.startsWith(refreshToken(name, 0)));
      const next = await inProcess(["token", "acme"], home);
      if (next instanceof Failure) {
        // Only where the server had answered and the answer was not on disk yet.
        expect([next.code, next.details.reason, number, sent.length]).toEqual(["auth_expired", "answer_lost", 0, 1]);
        count("lost");
        expect(await succeeds(server.login(), home)).toMatchObject({ data: { record_status: "connected" } });
      } else {
        expect(next.data).toMatchObject({ access_token: accessToken(name, 1), refreshed: number === 0 });
        count(number === 0 ? "before it was sent" : "after it was kept");
      }
      expectTidy(home);
    },
  });
  expect([...ends.keys()].sort()).toEqual(["after it was kept", "before it was sent", "lost"]);
  // The window is the writing of one file: nothing else comes between the answer and the record that holds it.
  expect(ends.get("lost")).toBeLessThanOrEqual(7);
  expect(steps).toBeGreaterThan(15);
});

test("a logout", { timeout: 120_000 }, async () => {
  const seen = new Set<string>();
  await killAtEveryStep({
    argv: ["logout", "acme"],
    prepare: async (home, name) => {
      await server.signIn(home, name, { ttl: 3600 });
      // What a login has taught: else nobody would know the provider any more.
      await contextAt(home).store.learn({ v: 1, provider: "acme", definition: { issuer: server.url }, secrets: {} });
    },
    async judge(home, name) {
      const record = await stored(home);
      if (record) expect(record.secrets.refresh_token).toBe(refreshToken(name, 0));
      seen.add(record ? "there" : "gone");
      const next = await inProcess(["logout", "acme"], home);
      if (next instanceof Failure) expect([next.code, record]).toEqual(["not_found", undefined]);
      else expect(next.data).toMatchObject({ connections: [{ record_status: "absent" }] });
      expect(await stored(home)).toBeUndefined();
      expectTidy(home);
    },
  });
  expect([...seen]).toEqual(["there", "gone"]);
});
