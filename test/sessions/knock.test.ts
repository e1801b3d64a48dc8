/**
 * Whoever knocks at a session: with a wrong id, a wrong address, too late, twice, or only to look.
 *
 * What is protected: each is told clearly what was wrong with it, and the session is none the worse: it can still be
 * completed. What has ended tells everybody the same. `inWorld` judges every stream, log and argument list.
 */
import { afterAll, describe, expect, test } from "vitest";
import { visit } from "../support/person.ts";
import { inWorld, type World } from "../support/sessions.ts";
import { sweep } from "../support/spawn.ts";
import type { Event } from "../support/stream.ts";

afterAll(async () => {
  expect(await sweep()).toEqual([]);
});

async function begin(w: World, ...more: string[]) {
  const { result } = await w.run(w.login("--no-wait", ...more));
  expect(result.status).toBe("started");
  return { id: String(result.session_id), data: result.data };
}
const device = (w: World) => begin(w, "--flow", "device_code");
const redirect = (w: World) => begin(w, "--flow", "authorization_code");

/** The same session as before, which nothing has happened to. */
async function expectUnharmed(w: World, before: ReturnType<World["record"]>) {
  const { secrets, ...now } = w.record(before.session_id);
  const { secrets: _, ...then } = before;
  expect(now).toEqual(then);
  expect(Object.keys(secrets.doors ?? {})).toEqual(Object.keys(before.secrets.doors ?? {}));
}

async function expectSuccess(w: World, id: string) {
  const { result } = await w.run(["session", "wait", id]);
  expect([result.error, result.status]).toEqual([undefined, "success"]);
  await w.expectSignedIn();
}

const COMMANDS = ["show", "wait", "callback", "cancel"];
const stdin = "http://127.0.0.1:1/callback?code=c&state=s";

describe.concurrent("an id", () => {
  test(
    "that nobody has heard of is not found",
    inWorld(async (w) => {
      for (const command of COMMANDS) {
        const { code, result, events } = await w.run(["session", command, `sess_${"x".repeat(22)}`], { stdin });
        expect([command, code, result.error?.code, events.length]).toEqual([command, 66, "not_found", 1]);
        expect(result.next_actions).toMatchObject([{ argv: ["authline", "session", "list"] }]);
      }
      expect(w.ids()).toEqual([]);
    }),
  );

  test(
    "of another home is not found here, and nothing happens to it there",
    inWorld(async (there) => {
      const { id, data } = await device(there);
      const before = there.record(id);
      await inWorld(async (here) => {
        for (const command of COMMANDS) {
          const { code, result } = await here.run(["session", command, id], { stdin });
          expect([command, code, result.error?.code]).toEqual([command, 66, "not_found"]);
        }
      })();
      await expectUnharmed(there, before);
      await there.approve(data);
      await expectSuccess(there, id);
    }),
  );

  test.each([
    "",
    "sess_",
    "sess_short",
    `sess_${"x".repeat(23)}`,
    `SESS_${"x".repeat(22)}`,
    "../../../etc/passwd",
    "acme",
  ])("that is none is a misuse: %j", async (id) =>
    inWorld(async (w) => {
      for (const command of COMMANDS) {
        const { code, result } = await w.run(["session", command, id], { stdin });
        expect([command, code, result.error?.code]).toEqual([command, 64, "usage"]);
      }
    })(),
  );

  test(
    "that is a path finds no record outside of the sessions",
    inWorld(async (w) => {
      const { id, data } = await device(w);
      await w.approve(data);
      await expectSuccess(w, id);
      for (const path of ["../connections/default@acme", `./${id}`, `${id}.json`, `x/../${id}`]) {
        expect((await w.run(["session", "show", path])).code).toBe(64);
      }
    }),
  );
});

/** What somebody does to the address that the browser ended at, and the words that say what is wrong with it. */
const WRONG: [what: string, spoil: (address: URL) => string, says: RegExp][] = [
  ["its state is another", (url) => changed(url, { state: "x".repeat(43) }), /state/],
  ["it has no state", (url) => changed(url, { state: undefined }), /state/],
  ["it has two states", (url) => `${url}&state=${url.searchParams.get("state")}`, /state/],
  ["its iss is another", (url) => changed(url, { iss: "https://evil.example" }), /server/],
  ["it has no iss where the server gives one", (url) => changed(url, { iss: undefined }), /server/],
  ["its path is another", (url) => url.href.replace("/callback", "/elsewhere"), /path/],
  ["its path goes on", (url) => url.href.replace("/callback", "/callback/"), /path/],
  ["its host is another", (url) => url.href.replace("127.0.0.1", "evil.example"), /host/],
  ["its host is another name for it", (url) => url.href.replace("127.0.0.1", "localhost"), /host/],
  ["its port is another", (url) => url.href.replace(/:\d+/, ":1"), /port/],
  ["its scheme is another", (url) => url.href.replace("http:", "https:"), /host/],
  ["it is half an address", ({ pathname, search }) => `${pathname}${search}`, /whole address/],
  ["it is only the code", ({ searchParams }) => String(searchParams.get("code")), /whole address/],
  ["it is words", () => "I have signed in, what now?", /whole address/],
  ["it is nothing", () => "", /whole address/],
  ["it is white space", () => " \n\n", /whole address/],
];

function changed(address: URL, changes: Record<string, string | undefined>): string {
  const url = new URL(address);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  return url.href;
}

describe.concurrent("an address", () => {
  test.each(["while somebody listens", "while nobody does"])(
    "that does not belong here is refused with the reason, and then the right one is taken: %s",
    async (when) =>
      inWorld(async (w) => {
        const { id, data } = await redirect(w);
        if (when === "while nobody does") for (const pid of await w.pids()) process.kill(pid, "SIGKILL");
        const before = w.record(id);
        const said = w.log(id).filter(({ state }) => state !== "waiting").length;
        const address = await w.callback(data.auth_url);
        // A process each: where nobody listens, one of a kind will do.
        const tried = when === "while nobody does" ? WRONG.filter((_, index) => index % 4 === 0) : WRONG;
        for (const [what, spoil, says] of tried) {
          const { code, result, stderr } = await w.run(["session", "callback", id, "--url", "-"], {
            stdin: spoil(address),
          });
          expect([what, code, result.error?.code]).toEqual([what, 64, "usage"]);
          expect(result.message).toMatch(says);
          expect(result.message).toMatch(/stays open/);
          expect(stderr).toContain(result.message);
          await expectUnharmed(w, before);
        }
        expect(w.log(id).filter(({ state }) => state !== "waiting")).toHaveLength(said); // but for a heartbeat
        expect(w.requestsTo("/token")).toEqual([]);
        const { result } = await w.run(["session", "callback", id], { stdin: `  ${address}\r\n` });
        expect([result.error, result.status]).toEqual([undefined, "success"]);
        await expectSuccess(w, id);
      })(),
  );

  test(
    "given twice at once signs in once, and both are told",
    inWorld(async (w) => {
      const { id, data } = await redirect(w);
      const address = await w.callback(data.auth_url);
      const both = [1, 2].map(() => w.run(["session", "callback", id], { stdin: address.href }));
      for (const { code, result } of await Promise.all(both)) {
        // The second may find the first one's sign-in to be over.
        if (code === 0) expect(result.data.session_id).toBe(id);
        else expect([code, result.message]).toEqual([1, expect.stringContaining("completed")]);
      }
      expect(w.requestsTo("/token")).toHaveLength(1);
      await expectSuccess(w, id);
    }),
  );

  test(
    "that comes after the end is told so, and changes nothing",
    inWorld(async (w) => {
      const { id, data } = await redirect(w);
      const address = await w.callback(data.auth_url);
      await visit(address);
      await expectSuccess(w, id);
      const before = w.record(id);
      const { code, result } = await w.run(["session", "callback", id], { stdin: address.href });
      expect([code, result.error?.code, result.message]).toEqual([1, "failed", expect.stringContaining("completed")]);
      expect(w.record(id)).toEqual(before);
      expect(w.requestsTo("/token")).toHaveLength(1);
      await w.expectSignedIn();
    }),
  );

  test(
    "that says that the person refused ends the session, as the listener would",
    inWorld(async (w) => {
      const { id, data } = await redirect(w);
      const address = new URL(changed(await w.callback(data.auth_url), { code: undefined, error: "access_denied" }));
      const { code, result } = await w.run(["session", "callback", id], { stdin: address.href });
      expect([code, result.error?.code, w.record(id).state]).toEqual([77, "denied", "failed"]);
    }),
  );

  test(
    "is refused where only a code is asked for",
    inWorld(async (w) => {
      const { id, data } = await device(w);
      const before = w.record(id);
      const { code, result } = await w.run(["session", "callback", id], { stdin });
      expect([code, result.error?.code]).toEqual([64, "usage"]);
      expect(result.message).toMatch(/nobody has asked/);
      await expectUnharmed(w, before);
      await w.approve(data);
      await expectSuccess(w, id);
    }),
  );
});

/** The same lines, whoever says them and whenever. */
const asSaid = ({ command: _, duration_ms: __, ...event }: Event) => event;

describe.concurrent("whoever waits", () => {
  test(
    "is told that it is still open when their patience ends, and it goes on",
    inWorld(async (w) => {
      const { id, data } = await device(w);
      const { code, result, durationMs } = await w.run(["session", "wait", id, "--timeout", "1s"]);
      expect([code, result.status, result.data.record_status]).toEqual([8, "pending", "pending"]);
      expect(durationMs).toBeGreaterThan(1000);
      expect(result.next_actions?.map(({ argv }) => argv.slice(1, 4))).toEqual([
        ["session", "wait", id],
        ["session", "cancel", id],
      ]);
      expect((await w.run(["session", "wait", id, "--timeout", "0s"])).code).toBe(8);
      expect(w.log(id).every(({ phase }) => phase !== "result")).toBe(true); // it is not over for the others
      await w.approve(data);
      await expectSuccess(w, id);
    }),
  );

  test(
    "may go on from a line, and is told that line and all after it",
    inWorld(async (w) => {
      const { id, data } = await device(w);
      await w.approve(data);
      await expectSuccess(w, id);
      const log = w.log(id);
      for (const from of [0, 1, 5, log.length - 1]) {
        const { code, events } = await w.run(["session", "wait", id, "--from", String(from)], { from });
        expect(code).toBe(0);
        expect(events.map(asSaid)).toEqual(log.slice(from).map(asSaid));
      }
    }),
  );

  test(
    "from a line that will never be is told the end",
    inWorld(async (w) => {
      const { id, data } = await device(w);
      await w.approve(data);
      await expectSuccess(w, id);
      const [log, record] = [w.log(id), w.record(id)];
      for (const from of [log.length, 999]) {
        const { code, events } = await w.start(["session", "wait", id, "--from", String(from)]).done;
        expect([from, code, events.length]).toEqual([from, 0, 1]);
        expect(events.at(-1)).toMatchObject({ status: "success", data: { session_id: id } });
      }
      expect([w.log(id), w.record(id)]).toEqual([log, record]);
    }),
  );

  test(
    "from a line that is not there yet is told what comes from there on",
    inWorld(async (w) => {
      const { id, data } = await device(w);
      const from = w.log(id).length + 2; // behind the driver's own first words
      const waiting = w.start(["session", "wait", id, "--from", String(from)], { from });
      await w.approve(data);
      const { events, code } = await waiting.ended();
      expect(code).toBe(0);
      expect(events.map(asSaid)).toEqual(w.log(id).slice(from).map(asSaid));
    }),
  );

  test.each(["-1", "one", "1.5", ""])("from what is no line is misused: %j", async (from) =>
    inWorld(async (w) => {
      const { id } = await device(w);
      expect((await w.run(["session", "wait", id, `--from=${from}`])).code).toBe(64);
      expect((await w.run(["session", "show", id])).result.data.state).toBe("pending");
    })(),
  );
});

const ENDS: [state: string, exit: number, end: (w: World, started: Awaited<ReturnType<typeof device>>) => unknown][] = [
  ["completed", 0, (w, { data }) => w.approve(data)],
  ["failed", 77, (w, { data }) => w.server.denyDevice(data.user_code)],
  ["cancelled", 2, (w, { id }) => w.run(["session", "cancel", id])],
  ["expired", 75, (w, { id }) => w.change(id, { expires_at: new Date().toISOString() })],
];

describe.concurrent("what has ended", () => {
  test.each(ENDS)("as %s says so to everybody, with exit code %i, and stays as it is", async (state, exit, end) =>
    inWorld(async (w) => {
      const started = await device(w);
      const { id } = started;
      await end(w, started);
      const first = await w.run(["session", "wait", id]);
      const { result } = first;
      expect(first.code).toBe(exit);
      const record = w.record(id);
      expect(record).toMatchObject({ state, secrets: {} });

      const again = await w.run(["session", "wait", id]);
      expect(again.code).toBe(exit);
      expect(again.events.map(asSaid)).toEqual(w.log(id).map(asSaid));
      expect(asSaid(again.result)).toEqual(asSaid(result));
      const shown = await w.run(["session", "show", id]);
      expect([shown.code, shown.result.data.state, shown.result.next_actions]).toEqual([0, state, []]);

      for (const _ of ["once", "twice"]) {
        const { code, result } = await w.run(["session", "cancel", id]);
        expect([code, result.data.state]).toEqual([0, state]);
        expect(result.message).toContain(`${state} already`);
      }
      const late = await w.run(["session", "callback", id], { stdin });
      expect([late.code, late.result.message]).toEqual([1, expect.stringContaining(state)]);
      expect(w.record(id)).toEqual(record);
      if (state === "completed") await w.expectSignedIn();
    })(),
  );

  test(
    "by `session cancel` ends for whoever drives it and whoever watches, and a listener is closed",
    inWorld(async (w) => {
      const { id } = await begin(w);
      const watching = [1, 2].map(() => w.start(["session", "wait", id]));
      for (const one of watching) await one.challenge();
      const { code, result } = await w.run(["session", "cancel", id]);
      expect([code, result.data]).toMatchObject([0, { session_id: id, state: "cancelled" }]);
      for (const one of watching) {
        const { code, result } = await one.ended();
        expect([code, result.status, result.session_id]).toEqual([2, "cancelled", id]);
      }
      expect((await w.run(["session", "list"])).result.data.sessions).toMatchObject([{ state: "cancelled" }]);
    }),
  );
});
