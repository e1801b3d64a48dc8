/**
 * SIGKILL for whoever drives a session, at every line of a login, against a real oidc-provider.
 *
 * What is protected: a killed process costs nobody a sign-in that could still be had. A later `session wait` completes it,
 * or says truthfully that the tokens are lost; it asks nobody twice, leaves no port bound and no line half-written.
 * `inSpawnedWorld` judges every stream, log and argument list.
 */
import { appendFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { visit } from "../support/person.ts";
import { comeBack, inSpawnedWorld, isListening, type World } from "../support/sessions.ts";
import { sweep } from "../support/spawn.ts";
import type { Event } from "../support/stream.ts";

afterAll(async () => {
  expect(await sweep()).toEqual([]);
});

const labelOf = ({ phase, step, state }: Event) => (phase === "progress" ? `${step} ${state}` : phase);

/** From here on the server has given the tokens away, or may have. */
const TOO_LATE = ["exchange started", "exchange done", "store done"];

const DEVICE = ["discover started", "discover done", "authorize started", "device_code", "await_user started"];
const REDIRECT = ["discover started", "discover done", "auth_url", "await_user started"];
/** Without a screen the code comes first. */
const BOTH = [...DEVICE.slice(0, -1), "auth_url", "await_user started"];
const BY_CODE = ["exchange done", "store done"];
const BY_BROWSER = ["exchange started", "store done"];

type By = "code" | "browser";

const moments: [flow: string, by: By, moment: string][] = [
  ...[...DEVICE, ...BY_CODE].map((moment) => ["device_code", "code", moment] as [string, By, string]),
  ...[...REDIRECT, ...BY_BROWSER].map((moment) => ["authorization_code", "browser", moment] as [string, By, string]),
  ...BOTH.slice(2).map((moment, index) => ["auto", index % 2 ? "code" : "browser", moment] as [string, By, string]),
  ...BY_CODE.map((moment) => ["auto", "code", moment] as [string, By, string]),
  ...BY_BROWSER.map((moment) => ["auto", "browser", moment] as [string, By, string]),
];

const challengeOf = (by: By) => (by === "code" ? "device_code" : "auth_url");

/** A person answers; whether anybody is there to hear it is what is tested. */
async function answer(w: World, challenge: Event, by: By): Promise<void> {
  if (by === "code") return w.approve(challenge);
  const address = await w.callback(challenge.auth_url);
  await comeBack(address).catch(() => {}); // who is killed answers no browser
}

interface Killed {
  id: string;
  answered: boolean;
}

async function killAt(w: World, flow: string, by: By, moment: string): Promise<Killed> {
  const login = w.start(w.login("--flow", flow));
  const answered = TOO_LATE.includes(moment);
  let answering: Promise<void> | undefined;
  if (answered) {
    const challenge = await login.next(({ phase }) => phase === challengeOf(by));
    answering = answer(w, challenge, by);
  }
  await login.next((event) => labelOf(event) === moment);
  const { events } = await login.killed();
  await answering;
  const [id = "", ...others] = w.ids();
  expect(others).toEqual([]);
  expect(events.every(({ session_id }) => session_id === id)).toBe(true);
  return { id, answered };
}

/** Every listener that this session ever told of. */
const listeners = (w: World, id: string) => w.log(id).flatMap(({ redirect_uri }) => redirect_uri ?? []);

async function expectNoListener(w: World, id: string) {
  for (const redirectUri of listeners(w, id)) expect(await isListening(redirectUri)).toBe(false);
}

/** What a later process makes of it. */
async function waitFor(w: World, id: string, by: By, answered: boolean) {
  const waiting = w.start(["session", "wait", id]);
  if (!answered) await answer(w, await waiting.next(({ phase }) => phase === challengeOf(by)), by);
  const ended = await waiting.ended();
  await expectNoListener(w, id);
  expect(w.log(id).map(({ seq }) => seq)).toEqual(w.log(id).map((_, index) => index));
  expect(w.log(id).filter(({ phase }) => phase === challengeOf(by))).toHaveLength(1); // nobody was asked twice
  return ended;
}

async function expectSuccess(w: World, id: string, by: By, answered = false) {
  const { result } = await waitFor(w, id, by, answered);
  expect([result.error, result.status]).toEqual([undefined, "success"]);
  expect(w.record(id)).toMatchObject({ state: "completed", secrets: {} });
  await w.expectSignedIn();
}

/** The tokens were given away and have come to nobody: everybody is told so, and nothing is asked for twice. */
async function expectLost(w: World, id: string) {
  const { code, result } = await w.run(["session", "wait", id]);
  expect([code, result.error?.code, result.status]).toEqual([1, "failed", "error"]);
  expect(result.message).toContain("ended before they came");
  expect([4, 66]).toContain((await w.run(["token", "acme"])).code); // at most where it is, if the kill came late
  expect(w.requestsTo("/token").filter(({ status }) => status === 200)).toHaveLength(1);
  expect(w.record(id)).toMatchObject({ state: "failed", secrets: {} });
}

describe.concurrent("killed at", () => {
  test.each(moments)("%s by %s: %s", async (flow, by, moment) =>
    inSpawnedWorld(async (w) => {
      const { id, answered } = await killAt(w, flow, by, moment);
      await expectNoListener(w, id);
      if (!answered) return expectSuccess(w, id, by);

      const { result } = await waitFor(w, id, by, answered);
      if (result.status === "success") return w.expectSignedIn(); // the credential was kept before the end came
      return expectLost(w, id);
    })(),
  );
});

/** The log without this line and what follows; of this line as many bytes as were written. */
function unsay(w: World, id: string, moment: string, bytes: number) {
  const lines = readFileSync(w.logFile(id), "utf8").split("\n");
  const at = w.log(id).findIndex((event) => labelOf(event) === moment);
  expect(at).toBeGreaterThan(0);
  const whole = lines.slice(0, at).map((line) => `${line}\n`);
  writeFileSync(w.logFile(id), `${whole.join("")}${lines[at]?.slice(0, bytes)}`);
}

describe.concurrent("killed between what is done and what is said", () => {
  const unsaid: [flow: string, by: By, moment: string][] = [
    ["device_code", "code", "discover done"],
    ["device_code", "code", "device_code"],
    ["device_code", "code", "await_user started"],
    ["authorization_code", "browser", "auth_url"],
    ["authorization_code", "browser", "await_user started"],
    ["auto", "code", "device_code"],
    ["auto", "browser", "auth_url"],
  ];
  test.each(unsaid)("%s by %s: %s is said by the next one", async (flow, by, moment) =>
    inSpawnedWorld(async (w) => {
      const { id } = await killAt(w, flow, by, "await_user started");
      unsay(w, id, moment, 0);
      await expectSuccess(w, id, by);
    })(),
  );

  test(
    "a line that was half-written is cut off",
    inSpawnedWorld(async (w) => {
      const { id } = await killAt(w, "device_code", "code", "await_user started");
      unsay(w, id, "await_user started", 40);
      const { result } = await w.run(["session", "show", id]);
      expect([result.data.state, result.data.events]).toEqual(["pending", w.log(id).length]);
      await expectSuccess(w, id, "code");
      expect(w.log(id).at(-1)).toMatchObject({ phase: "result", status: "success" });
    }),
  );

  test(
    "a credential that is kept is a success, even if nobody could say so any more",
    inSpawnedWorld(async (w) => {
      const login = w.start(w.login("--flow", "device_code"));
      const challenge = await login.challenge();
      const { session_id: id = "" } = challenge;
      const before = w.record(id);
      await w.approve(challenge);
      expect((await login.ended()).result.status).toBe("success");
      const polled = w.requestsTo("/token").length;
      unsay(w, id, "store done", 0);
      w.change(id, { state: "pending", secrets: before.secrets });
      await expectSuccess(w, id, "code", true);
      expect(w.requestsTo("/token")).toHaveLength(polled);
    }),
  );

  // What a kill leaves behind that comes after the server has answered and before the credential is kept.
  const lost: [flow: string, by: By][] = [
    ["device_code", "code"],
    ["authorization_code", "browser"],
    ["auto", "code"],
    ["auto", "browser"],
  ];
  test.each(lost)("tokens that were given away and never came are lost, and that is said: %s by %s", async (flow, by) =>
    inSpawnedWorld(async (w) => {
      const login = w.start(w.login("--flow", flow));
      const challenge = await login.next(({ phase }) => phase === challengeOf(by));
      await login.next((event) => labelOf(event) === "await_user started");
      const id = String(challenge.session_id);
      const { doors = {} } = w.record(id).secrets;
      await answer(w, challenge, by);
      expect((await login.ended()).result.status).toBe("success");
      unsay(w, id, "store done", 0);
      if (by === "browser") Object.assign(doors["authorization_code"] ?? {}, { redeemed: true });
      w.change(id, { state: "pending", secrets: { doors } });
      for (const kept of ["connections", "providers"]) rmSync(join(w.home, kept), { recursive: true, force: true });
      await waitFor(w, id, by, true);
      await expectLost(w, id);
    })(),
  );

  test(
    "an end that was recorded and not said is said, and only once",
    inSpawnedWorld(async (w) => {
      const { id } = await killAt(w, "device_code", "code", "await_user started");
      await w.run(["session", "cancel", id]);
      unsay(w, id, "result", 0);
      for (const _ of ["the first to look", "the second"]) {
        expect((await w.run(["session", "wait", id])).code).toBe(2);
        expect(w.log(id).filter(({ phase }) => phase === "result")).toHaveLength(1);
      }
    }),
  );

  test(
    "an end that was said and not recorded is recorded by whoever looks",
    inSpawnedWorld(async (w) => {
      const { id } = await killAt(w, "device_code", "code", "await_user started");
      const pending = w.record(id);
      await w.run(["session", "cancel", id]);
      w.change(id, { state: "pending", secrets: pending.secrets });
      expect((await w.run(["session", "wait", id])).code).toBe(2);
      expect(w.record(id)).toMatchObject({ state: "cancelled", secrets: {} });
      expect(w.log(id).filter(({ phase }) => phase === "result")).toHaveLength(1);
    }),
  );
});

describe.concurrent("whoever takes over", () => {
  test(
    "offers every way in that the first one would have offered",
    inSpawnedWorld(async (w) => {
      const { id } = await killAt(w, "auto", "code", "await_user started");
      const { device_code } = w.record(id).secrets.doors ?? {};
      unsay(w, id, "auth_url", 0);
      w.change(id, { secrets: { doors: { device_code: device_code ?? {} } } });
      const waiting = w.start(["session", "wait", id]);
      await waiting.next("device_code");
      const { auth_url } = await waiting.next("auth_url");
      await visit(await w.callback(auth_url));
      expect((await waiting.ended()).result.status).toBe("success");
    }),
  );

  test(
    "cannot have the port while a stranger has it, and the sign-in waits",
    inSpawnedWorld(async (w) => {
      const { id } = await killAt(w, "authorization_code", "browser", "await_user started");
      const port = Number(new URL(listeners(w, id)[0] ?? "").port);
      const stranger = createServer().listen(port, "127.0.0.1");
      try {
        const { code } = await w.run(["session", "wait", id, "--timeout", "1s"]);
        expect([8, 75]).toContain(code);
        expect(w.record(id).state).toBe("pending");
      } finally {
        stranger.close();
      }
      await expectSuccess(w, id, "browser");
    }),
  );

  test(
    "and cannot reach the server does not end what is open",
    inSpawnedWorld(async (w) => {
      const { id } = await killAt(w, "device_code", "code", "await_user started");
      await w.server.close();
      const { code } = await w.run(["session", "wait", id, "--timeout", "2s"]);
      expect([8, 69]).toContain(code);
      expect(w.record(id).state).toBe("pending");
    }),
  );

  test(
    "may be killed as well, and the next one, and the next",
    inSpawnedWorld(async (w) => {
      const { id } = await killAt(w, "auto", "browser", "await_user started");
      for (let times = 1; times <= 3; times++) {
        const waiting = w.start(["session", "wait", id, "--from", String(w.log(id).length)], {
          from: w.log(id).length,
        });
        await waiting.next((event) => labelOf(event) === "await_user started");
        await waiting.killed();
        await expectNoListener(w, id);
        appendFileSync(w.logFile(id), '{"v":1,"seq":'); // and in the middle of a line
      }
      await expectSuccess(w, id, "browser");
    }),
  );
});
