/**
 * A hundred processes ask for an expired token at once, and some of them are killed.
 *
 * What is protected: the server is asked once and everybody gets what it gave; a kill costs nobody the credential, except
 * where it fell between the server's answer and our write, and then the next process says exactly that.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { startAuthorizationServer } from "./support/authorization-server.ts";
import { binary, sweep, tempHome } from "./support/spawn.ts";
import {
  aThird,
  call,
  type Round,
  randomFrom,
  round,
  type Storm,
  signIn,
  storedRefreshToken,
} from "./support/storm.ts";

const COUNT = 100;
/** What is killed has to be looked after as well. */
const COUNT_KILLED = 60;

let storm: Storm;
beforeAll(async () => {
  storm = { binary, home: tempHome(), server: await startAuthorizationServer({ interval: 1 }) };
  await signIn(storm);
});
afterAll(async () => {
  await storm.server.close();
  expect(await sweep()).toEqual([]);
});

const tokensOf = ({ told }: Round) =>
  told.map(({ result }) => result?.data?.access_token ?? result?.error ?? "nothing");

const lives = async () => storm.server.isRefreshTokenActive(storedRefreshToken(storm));

test(`${COUNT} at once: one request, one token for all, and the family lives`, { timeout: 120_000 }, async () => {
  let last: unknown;
  for (const _ of [1, 2]) {
    const all = await round(storm, COUNT);
    const [token, ...others] = [...new Set(tokensOf(all))];
    expect([token, others]).toEqual([expect.any(String), []]);
    expect(token).not.toBe(last);
    expect(await storm.server.isActive(String(token))).toBe(true);
    expect(all).toMatchObject({ requests: 1, refreshes: 1 });
    expect(await lives()).toBe(true);
    last = token;
  }
});

test(`${COUNT_KILLED} at once, a third of them killed: it works on, or it is said why not`, {
  timeout: 120_000,
}, async () => {
  const seed = Number(process.env["STORM_SEED"] ?? Date.now() % 1e9);
  const random = randomFrom(seed);
  for (const number of [1, 2]) {
    const where = `round ${number} with STORM_SEED=${seed}`;
    const all = await round(storm, COUNT_KILLED, aThird(random, 3000));
    expect(all.told.filter(({ killed }) => killed).length, where).toBeGreaterThan(0);
    const { result: next } = await call(storm, ["token", "acme"]);
    const isLost = next?.error !== undefined;
    if (isLost) expect(next?.error, where).toMatchObject({ code: "auth_expired", reason: "answer_lost" });
    else expect([await storm.server.isActive(next?.data.access_token), await lives()], where).toEqual([true, true]);
    // Whoever was not killed was told the same.
    for (const { result, killed } of all.told) {
      if (killed && result === undefined) continue;
      const { code, reason } = (result?.error ?? {}) as { code?: string; reason?: string };
      expect([code, reason, result?.data?.access_token], where).toEqual(
        isLost ? ["auth_expired", "answer_lost", undefined] : [undefined, undefined, next?.data.access_token],
      );
    }
    if (isLost) await signIn(storm);
    expect(all.refreshes, where).toBe(1);
  }
});

test("the server does what makes all that necessary: a token that comes twice ends its family", async () => {
  const old = storedRefreshToken(storm);
  await round(storm, 1);
  expect(await lives()).toBe(true);
  const form = { grant_type: "refresh_token", refresh_token: old, client_id: storm.server.clients.native };
  const { status } = await fetch(`${storm.server.issuer}/token`, { method: "POST", body: new URLSearchParams(form) });
  expect([status, await lives()]).toEqual([400, false]);
  const { result } = await call(storm, ["token", "acme", "--refresh"]);
  expect(result?.error).toMatchObject({ code: "auth_expired", reason: "refused" });
});
