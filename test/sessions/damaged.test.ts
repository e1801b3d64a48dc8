/** One damaged session harms no other, and a damaged log or mail harms not even its own. */
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type AuthorizationServer, startAuthorizationServer } from "../support/authorization-server.ts";
import { authline, sweep, tempHome } from "../support/spawn.ts";

let server: AuthorizationServer;
beforeAll(async () => {
  server = await startAuthorizationServer({ interval: 1 });
});
afterAll(async () => {
  expect(await sweep()).toEqual([]);
  await server.close();
});

/** A login by device code that has said what is to be done. */
async function begin(home: string, provider: string) {
  const who = ["--issuer", server.issuer, "--client-id", server.clients.native, "--scope", "openid"];
  const run = await authline(["login", provider, ...who, "--flow", "device_code", "--no-wait"], { home }).done;
  expect(run.code).toBe(0);
  const data = run.events.at(-1)?.data as { session_id: string; user_code: string };
  return { ...data, file: (suffix: string) => join(home, "sessions", `${data.session_id}.${suffix}`) };
}

test("a record that cannot be read is told by the list, and stops no login", async () => {
  const home = tempHome();
  const { file } = await begin(home, "acme");
  writeFileSync(file("json"), "");
  await begin(home, "other");
  const { events } = await authline(["session", "list"], { home }).done;
  expect(events.at(-1)?.data?.sessions).toHaveLength(1);
  expect(events.at(-1)?.warnings).toMatchObject([{ code: "unreadable" }]);
});

test("mail that is none and a log that was torn are passed over: the sign-in still succeeds", async () => {
  const home = tempHome();
  const { session_id, user_code, file } = await begin(home, "acme");
  mkdirSync(file("mail"));
  for (const [name, junk] of ["", "{junk", "null", '{"callback":5}'].entries()) {
    writeFileSync(join(file("mail"), `${name}.json`), junk);
  }
  appendFileSync(file("ndjson"), 'junk\n{"v":1,"se');
  await server.approveDevice(user_code);
  const { code, events } = await authline(["session", "wait", session_id], { home }).done;
  expect(code).toBe(0);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index));
});

test("an address beyond all measure is refused, and the session stays open", async () => {
  const home = tempHome();
  const who = ["--issuer", server.issuer, "--client-id", server.clients.native, "--scope", "openid"];
  const { events } = await authline(["login", "acme", ...who, "--no-wait"], { home }).done;
  const session_id = String(events.at(-1)?.data?.session_id);
  const run = await authline(["session", "callback", session_id], { home, stdin: "a".repeat(70_000) }).done;
  expect(run.code).toBe(64);
  const shown = await authline(["session", "show", session_id], { home }).done;
  expect(shown.events.at(-1)?.data?.state).toBe("pending");
  await authline(["session", "cancel", session_id], { home }).done;
});
