/**
 * The life of a sign-in that outlives its process, against a real oidc-provider.
 *
 * What is protected: a login may end as soon as it has said what a person has to do, and any later process takes it up;
 * all ways in are open at once, and the first that is used closes the others; nobody is asked for what could not be kept;
 * and a session that has ended leaves no secret, and after a day nothing at all. `inSpawnedWorld` judges every stream, log and
 * argument list. What a kill does is in sessions/killed.test.ts, what strangers do in sessions/knock.test.ts.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Failure } from "../src/protocol/failure.ts";
import { failed } from "../src/result.ts";
import { signInWithBrowser, startBrowser } from "./support/browser.ts";
import { contextOf, success } from "./support/dying.ts";
import { visit } from "./support/person.ts";
import { inSpawnedWorld, isListening, until, type World } from "./support/sessions.ts";
import { authline, sweep } from "./support/spawn.ts";
import type { Event } from "./support/stream.ts";

let browser: Browser;
beforeAll(async () => {
  browser = await startBrowser();
});
afterAll(async () => {
  await browser.close();
  expect(await sweep()).toEqual([]);
});

/** `login --no-wait`, and what it ended with. */
async function begin(w: World, ...more: string[]) {
  const { result, code, events } = await w.run(w.login("--no-wait", ...more));
  expect([code, result.status, result.data.record_status]).toEqual([0, "started", "pending"]);
  const id = String(result.session_id);
  expect(w.record(id).state).toBe("pending");
  return { id, result, data: result.data, events };
}

const argvs = ({ next_actions = [] }: Event) => next_actions.map(({ argv }) => argv.slice(1).join(" "));
const challenges = (events: Event[]) => events.filter(({ phase }) => phase === "auth_url" || phase === "device_code");

async function expectSuccess(w: World, id: string) {
  const { result, code } = await w.run(["session", "wait", id]);
  expect(result.error).toBeUndefined();
  expect([code, result.status, result.data]).toMatchObject([
    0,
    "success",
    { provider: "acme", connection: "default", record_status: "connected", session_id: id },
  ]);
  await w.expectSignedIn();
}

describe.concurrent("a device login that does not wait", () => {
  test(
    "says everything in its last line, leaves nothing running, and a later process ends it",
    inSpawnedWorld(async (w) => {
      const { id, result, data, events } = await begin(w, "--flow", "device_code");
      const answered = w.requestsTo("/device/auth")[0]?.time ?? 0;
      expect(Date.parse(result.time) - answered).toBeLessThan(2000);
      expect(await w.processes()).toEqual([]);

      const [challenge] = challenges(events);
      const { user_code, verification_uri, verification_uri_complete } = challenge as Event;
      expect(data).toEqual({
        ...{ provider: "acme", connection: "default", record_status: "pending", session_id: id },
        ...{ user_code, verification_uri, verification_uri_complete, expires_at: w.record(id).expires_at },
      });
      expect(argvs(result)).toEqual([`session wait ${id}`, `session cancel ${id}`]);
      expect(argvs(challenge as Event)).toEqual(argvs(result));
      expect(w.requestsTo("/token")).toEqual([]); // it did not even ask

      await w.approve(data);
      await expectSuccess(w, id);
      expect(w.record(id)).toMatchObject({ state: "completed", secrets: {} });
    }),
  );

  test(
    "says yes to whoever waits, and to whoever comes after",
    inSpawnedWorld(async (w) => {
      const { id, data } = await begin(w, "--flow", "device_code");
      const early = w.start(["session", "wait", id]);
      expect(await early.challenge()).toMatchObject({ user_code: data.user_code, command: "session wait" });
      await w.approve(data);
      const { events } = await early.ended();
      const late = await w.run(["session", "wait", id]);
      expect(late.events.map(timeless)).toEqual(events.map(timeless));
    }),
  );

  const timeless = ({ duration_ms: _, ...event }: Event) => event;
});

describe.concurrent("a redirect login that does not wait", () => {
  /** The process that was left behind. */
  async function holder(w: World): Promise<number> {
    const [pid, ...others] = await w.pids();
    expect(others).toEqual([]);
    return pid as number;
  }
  const signIn = async ({ auth_url }: Event["data"]) => {
    const landing = await signInWithBrowser(auth_url, { browser });
    expect(landing.text).toMatch(/signed in/i);
  };

  test(
    "leaves a process that holds the listener until the browser has come",
    inSpawnedWorld(async (w) => {
      const { id, result, data, events } = await begin(w, "--flow", "authorization_code");
      const [challenge] = challenges(events);
      expect(data.auth_url).toBe(challenge?.auth_url);
      expect(data).not.toHaveProperty("user_code");
      expect(argvs(result)).toEqual([`session wait ${id}`, `session callback ${id} --url -`, `session cancel ${id}`]);
      const pid = await holder(w);
      if (process.platform === "linux") {
        const group = readFileSync(`/proc/${pid}/stat`, "latin1")
          .replace(/^.*\) /s, "")
          .split(" ")[2];
        expect(Number(group)).toBe(pid); // what ends our group does not end it
      }
      expect(await isListening(challenge?.redirect_uri ?? "")).toBe(true);
      await signIn(data);
      await expectSuccess(w, id);
      await until(async () => (await w.pids()).length === 0);
      expect(await isListening(challenge?.redirect_uri ?? "")).toBe(false);
    }),
  );

  test(
    "whose holder was killed is held by whoever waits, at the same port",
    inSpawnedWorld(async (w) => {
      const { id, data, events } = await begin(w, "--flow", "authorization_code");
      const redirectUri = challenges(events)[0]?.redirect_uri ?? "";
      process.kill(await holder(w), "SIGKILL");
      await until(async () => !(await isListening(redirectUri)));
      const waiting = w.start(["session", "wait", id]);
      expect((await waiting.challenge()).auth_url).toBe(data.auth_url);
      await until(() => isListening(redirectUri));
      await signIn(data);
      expect((await waiting.ended()).result.status).toBe("success");
      expect(await isListening(redirectUri)).toBe(false);
      await w.expectSignedIn();
    }),
  );

  test.each(["on stdin", "as an argument"])(
    "ends with the address that a browser elsewhere ended at, given %s",
    async (given) =>
      inSpawnedWorld(async (w) => {
        const { id, data } = await begin(w, "--flow", "authorization_code");
        const address = await w.callback(data.auth_url);
        const { result, code } =
          given === "on stdin"
            ? await w.run(["session", "callback", id, "--url", "-"], { stdin: `${address}\n` })
            : // Whoever gives it as an argument shows the code in `ps`; we only must not show it again.
              await w.start(["session", "callback", id, "--url", address.href]).ended();
        expect([code, result.status, result.data?.session_id]).toEqual([0, "success", id]);
        await expectSuccess(w, id);
      })(),
  );

  test(
    "ends with that address even if nobody holds its listener",
    inSpawnedWorld(async (w) => {
      const { id, data } = await begin(w, "--flow", "authorization_code");
      process.kill(await holder(w), "SIGKILL");
      const address = await w.callback(data.auth_url);
      const { result } = await w.run(["session", "callback", id], { stdin: address.href });
      expect([result.error, result.status]).toEqual([undefined, "success"]);
      await expectSuccess(w, id);
    }),
  );

  test(
    "and waits for no address on stdin that comes too late",
    inSpawnedWorld(async (w) => {
      const { id } = await begin(w, "--flow", "authorization_code", "--timeout", "3s");
      const { events } = await authline(["session", "callback", id], { home: w.home, stdin: "held-open" }).done;
      expect(events.at(-1)).toMatchObject({ status: "error", error: { code: "timeout" } });
    }),
  );

  test(
    "and that nobody answers ends by itself when its time is up, holder and all",
    inSpawnedWorld(async (w) => {
      const { id, events } = await begin(w, "--flow", "authorization_code", "--timeout", "3s");
      await until(async () => (await w.pids()).length === 0);
      expect(await isListening(challenges(events)[0]?.redirect_uri ?? "")).toBe(false);
      expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(w.record(id).expires_at));
      expect(w.record(id)).toMatchObject({ state: "expired", secrets: {} });
      const { result, code } = await w.run(["session", "wait", id]);
      expect([code, result.error?.code]).toEqual([75, "timeout"]);
    }),
  );
});

describe.concurrent("a login with every way in", () => {
  /** An interval that nobody wants to wait for: whoever loses must be stopped and not just end. */
  const SLOW = { interval: 5 };

  test(
    "offers both, and a browser that comes back ends the polling",
    inSpawnedWorld(async (w) => {
      const login = w.start(w.login());
      const both = [await login.challenge(), await login.challenge()];
      expect(both.map(({ phase }) => phase).sort()).toEqual(["auth_url", "device_code"]);
      const { auth_url, redirect_uri = "" } = both.find(({ phase }) => phase === "auth_url") as Event;
      expect((await visit(await w.callback(auth_url))).status).toBe(200);
      const { result, code, lingeredMs } = await login.ended();
      expect([code, result.status]).toEqual([0, "success"]);
      expect(lingeredMs).toBeLessThan(5000);
      expect(await isListening(redirect_uri)).toBe(false);
      expect(w.server.records().deviceCodes.map(({ consumed }) => consumed)).toEqual([false]);
      await w.expectSignedIn();
    }, SLOW),
  );

  test(
    "offers both, and a code that is approved closes the listener",
    inSpawnedWorld(async (w) => {
      const { id, data } = await begin(w);
      const redirectUri = new URL(data.auth_url).searchParams.get("redirect_uri") ?? "";
      expect(data.user_code).toMatch(/\w/);
      expect(await isListening(redirectUri)).toBe(true);
      await w.approve(data);
      await expectSuccess(w, id);
      await until(async () => (await w.pids()).length === 0);
      expect(await isListening(redirectUri)).toBe(false);
      const [polled, ...more] = w.requestsTo("/token").filter(({ status }) => status === 200);
      expect([polled?.grant_type, more]).toEqual(["urn:ietf:params:oauth:grant-type:device_code", []]);
    }),
  );

  test(
    "offers the code where the redirect's port is taken",
    inSpawnedWorld(async (w) => {
      const stranger = createServer().listen(0, "127.0.0.1");
      await until(() => stranger.listening);
      const address = `http://127.0.0.1:${(stranger.address() as AddressInfo).port}/callback`;
      try {
        const login = w.start(w.login("--redirect-uri", address));
        const challenge = await login.challenge();
        expect(challenge.phase).toBe("device_code");
        await w.approve(challenge);
        const { events, result } = await login.ended();
        expect(result.status).toBe("success");
        expect(challenges(events)).toHaveLength(1);
        expect(events.filter(({ state }) => state === "failed")).toMatchObject([
          { step: "authorize", reason: "locked", message: expect.stringContaining("in use") },
        ]);
        await w.expectSignedIn();

        const alone = await w.run(w.login("--new", "--flow", "authorization_code", "--redirect-uri", address));
        expect([alone.code, alone.result.error?.code]).toEqual([75, "locked"]);
        expect(challenges(alone.events)).toEqual([]);
      } finally {
        stranger.close();
      }
    }),
  );

  test(
    "offers the redirect where the client may not use the device grant",
    inSpawnedWorld(
      async (w) => {
        const { id, data, events } = await begin(w);
        expect(events.filter(({ state }) => state === "failed")).toMatchObject([{ step: "authorize" }]);
        expect(Object.keys(data)).not.toContain("user_code");
        await visit(await w.callback(data.auth_url));
        await expectSuccess(w, id);
      },
      {
        configure: ({ clients = [], ...rest }) => ({
          ...rest,
          clients: clients.map((client) => ({
            ...client,
            grant_types: client.grant_types?.filter((grant) => !grant.endsWith("device_code")) ?? [],
          })),
        }),
      },
    ),
  );
});

describe.concurrent("a second login", () => {
  test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("joins what %s left open", async (signal) =>
    inSpawnedWorld(async (w) => {
      const first = w.start(w.login("--flow", "device_code"));
      const { user_code, session_id } = await first.challenge();
      first.kill(signal);
      const { code, result } = await first.ended();
      expect([code, result.status]).toEqual([2, "cancelled"]);
      expect(w.record(String(session_id)).state).toBe("pending");

      const second = w.start(w.login("--flow", "device_code"));
      const challenge = await second.challenge();
      expect(challenge).toMatchObject({ user_code, session_id });
      await w.approve(challenge);
      expect((await second.ended()).result.data).toMatchObject({ record_status: "connected", session_id });
      expect(w.requestsTo("/device/auth")).toHaveLength(1);
      await w.expectSignedIn();
    })(),
  );

  test(
    "and whoever waits for one, and is told to stop, leave it open, and say so",
    inSpawnedWorld(async (w) => {
      const { session_id } = (await begin(w, "--flow", "device_code")).result;
      const waiting = w.start(["session", "wait", String(session_id)]);
      await waiting.challenge();
      waiting.kill("SIGINT");
      const { code, result } = await waiting.ended();
      expect([code, result.message]).toEqual([2, "Cancelled by SIGINT; the sign-in itself stays open."]);
      expect(result).toMatchObject({ session_id, error: { hint: expect.stringContaining("session wait goes on") } });
      expect(w.record(String(session_id)).state).toBe("pending");
    }),
  );

  test(
    "asks anew for another scope, for another connection, and with --new",
    inSpawnedWorld(async (w) => {
      const first = await begin(w, "--flow", "device_code");
      const again = await begin(w, "--flow", "device_code");
      expect(again.data).toEqual(first.data);
      const others = [["--scope", "openid"], ["--connection", "work"], ["--new"]];
      const asked = [first.data];
      for (const more of others) asked.push((await begin(w, "--flow", "device_code", ...more)).data);
      expect(new Set(asked.map(({ session_id }) => session_id)).size).toBe(4);
      expect(new Set(asked.map(({ user_code }) => user_code)).size).toBe(4);
    }),
  );

  test(
    "does not join what has ended",
    inSpawnedWorld(async (w) => {
      const first = await begin(w, "--flow", "device_code");
      await w.run(["session", "cancel", first.id]);
      const second = await begin(w, "--flow", "device_code");
      expect(second.id).not.toBe(first.id);
      w.change(second.id, { expires_at: new Date(Date.now() - 1).toISOString() });
      expect((await begin(w, "--flow", "device_code")).id).not.toBe(second.id);
    }),
  );
});

describe.concurrent("the sessions that there are", () => {
  const listed = async (w: World) =>
    (await w.run(["session", "list"])).result.data.sessions.map((one: Event) => [one.session_id, one.state]);

  test(
    "are listed with the open ones first, and forgotten a day after their end",
    inSpawnedWorld(async (w) => {
      expect(await listed(w)).toEqual([]);
      const { id: open } = await begin(w, "--flow", "device_code");
      const { id: recent } = await begin(w, "--flow", "device_code", "--new");
      const { id: old } = await begin(w, "--flow", "device_code", "--new");
      for (const id of [recent, old]) await w.run(["session", "cancel", id]);
      expect((await listed(w))[0]).toEqual([open, "pending"]);

      const hoursAgo = (hours: number) => new Date(Date.now() - hours * 3600_000).toISOString();
      w.change(recent, { ended_at: hoursAgo(23.9) });
      w.change(old, { ended_at: hoursAgo(24.1) });
      expect(await listed(w)).toEqual([
        [open, "pending"],
        [recent, "cancelled"],
      ]);
      expect(readdirSync(w.sessions).filter((name) => name.startsWith(old))).toEqual([]);
      expect((await w.run(["session", "show", old])).code).toBe(66);
    }),
  );

  test(
    "are given up once the log says so, though the record does not yet",
    inSpawnedWorld(async (w) => {
      const { id } = await begin(w, "--flow", "device_code");
      const { sessions, now } = contextOf(w.home);
      const lock = sessions.drive(id); // whoever drives it writes the line first
      const cancelling = success(["session", "cancel", id], contextOf(w.home));
      await sessions.nextMail(id, new AbortController().signal);
      sessions.writer(id, now).append(failed(new Failure("cancelled", "Cancelled.", { session_id: id })));
      expect(await cancelling).toMatchObject({ message: "The sign-in is given up.", data: { state: "cancelled" } });
      lock?.release();
      await w.run(["session", "wait", id]);
      expect(w.record(id)).toMatchObject({ state: "cancelled", secrets: {} });
    }),
  );

  test.each(["list", "show", "wait", "cancel"])(
    "are marked as expired by `session %s`, secrets gone",
    async (command) =>
      inSpawnedWorld(async (w) => {
        const { id } = await begin(w, "--flow", "device_code");
        expect(w.record(id).secrets.doors).toBeDefined();
        w.change(id, { expires_at: new Date(Date.now() - 1).toISOString() });
        await w.run(["session", command, ...(command === "list" ? [] : [id])]);
        expect(w.record(id)).toMatchObject({ state: "expired", secrets: {}, ended_at: expect.any(String) });
        expect(w.log(id).at(-1)).toMatchObject({ phase: "result", error: { code: "timeout" } });
        expect(await listed(w)).toEqual([[id, "expired"]]);
        expect(w.requestsTo("/token")).toEqual([]);
      })(),
  );
});

/** Root may write anywhere: a file where a directory has to be stops everybody. */
describe.concurrent("with a store that cannot be written", () => {
  test.each(["sessions", "connections"])("--no-wait fails before it prompts anybody: %s", async (directory) =>
    inSpawnedWorld(async (w) => {
      const inTheWay = join(w.home, directory);
      writeFileSync(inTheWay, "not a directory");
      const { code, result, events } = await w.start(w.login("--no-wait", "--flow", "device_code")).ended();
      expect([code, result.error?.code]).toEqual([74, "store"]);
      expect(challenges(events)).toEqual([]);
      expect(w.requestsTo("/device/auth")).toEqual([]);
      expect(readFileSync(inTheWay, "utf8")).toBe("not a directory");
      rmSync(inTheWay);
    })(),
  );
});
