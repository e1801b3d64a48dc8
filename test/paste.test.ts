/**
 * The third way in: whoever runs `login` pastes the address that a browser on another machine ended at, into a pipe or at
 * the terminal. A wrong one is refused, told, and does no harm.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type AuthorizationServer, startAuthorizationServer } from "./support/authorization-server.ts";
import { approveRedirect } from "./support/person.ts";
import { authline, sweep, tempHome } from "./support/spawn.ts";
import { checkStream } from "./support/stream.ts";

let server: AuthorizationServer;
beforeAll(async () => {
  server = await startAuthorizationServer({ interval: 1 });
});
afterAll(async () => {
  expect(await sweep()).toEqual([]);
  await server.close();
});

const argv = () => [
  ...["login", "acme", "--issuer", server.issuer, "--client-id", server.clients.native, "--scope", "openid"],
  ...["--browser", "never", "--flow", "authorization_code"],
];

test("into a pipe; what is no address and what belongs to another login is refused", async () => {
  const running = authline(argv(), { stdin: "held-open" });
  const { auth_url } = await running.next("auth_url");
  running.write("not an address\n");
  await running.next(({ reason }) => reason === "no_address");
  const address = await approveRedirect(String(auth_url));
  const foreign = new URL(address);
  foreign.searchParams.set("state", "somebody-elses");
  running.write(`${foreign.href}\n`);
  await running.next(({ reason }) => reason === "wrong_state");
  running.write(`${address.href}\n`);
  const run = await running.done;
  expect(run.code).toBe(0);
  expect(checkStream(run.stdout, { command: "login", exitCode: 0 })).toEqual([]);
  expect(run.events.at(-1)?.data?.record_status).toBe("connected");
});

test("at the terminal, to whoever listens, and to nobody else", async () => {
  const home = tempHome();
  const begun = await authline([...argv(), "--no-wait", "--no-json"], { sink: "pty", home }).done;
  expect(String(begun.stdout)).toContain("waits for you");
  expect(String(begun.stdout)).not.toContain("paste");
  const listed = await authline(["session", "list"], { home }).done;
  const session_id = String(listed.events.at(-1)?.data.sessions[0].session_id);
  const shown = await authline(["session", "wait", session_id, "--timeout", "0s"], { home }).done;
  const address = await approveRedirect(String(shown.events.find(({ auth_url }) => auth_url)?.auth_url));

  const running = authline(["session", "callback", session_id, "--json"], { sink: "pty", home });
  expect((await running.next("progress")).message).toMatch(/^Paste the address/);
  running.write(`${address.href}\r`); // and no end of file
  const run = await running.done;
  expect([run.code, run.events.at(-1)?.data?.record_status]).toEqual([0, "connected"]);
});

test("into a pipe that nobody closes", async () => {
  const home = tempHome();
  const begun = await authline([...argv(), "--no-wait"], { home }).done;
  const data = begun.events.at(-1)?.data;
  const running = authline(["session", "callback", data.session_id], { home, stdin: "held-open" });
  running.write(`\n${(await approveRedirect(data.auth_url)).href}\n`);
  const run = await running.done;
  expect(checkStream(run.stdout, { command: "session callback", exitCode: 0 })).toEqual([]);
  expect(run.events.at(-1)?.data?.record_status).toBe("connected");
});

test("at the terminal", async () => {
  const running = authline([...argv(), "--json"], { sink: "pty" });
  const { auth_url } = await running.next("auth_url");
  running.write(`${(await approveRedirect(String(auth_url))).href}\r`);
  const run = await running.done;
  expect(run.code).toBe(0);
  expect(run.events.at(-1)?.data?.record_status).toBe("connected");
});

test.each([
  ["a line that never ends", "x".repeat(300_000), 0],
  ["a thousand lines of somebody who is no person", "y\n".repeat(1000), 100],
])("a login goes on beside %s", async (_, stdin, refusals) => {
  const running = authline(argv(), { stdin });
  const { auth_url } = await running.next("auth_url");
  await running.next(({ step, state }) => step === "await_user" && state === "started");
  for (let count = 0; count < refusals; count++) await running.next(({ reason }) => reason === "no_address");
  await fetch(await approveRedirect(String(auth_url)));
  const { code, events } = await running.done;
  expect([code, events.filter(({ reason }) => reason === "no_address").length]).toEqual([0, refusals]);
});
