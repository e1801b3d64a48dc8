/**
 * The third way in: whoever runs `login` pastes the address that a browser on another machine ended at, into a pipe or at
 * the terminal. A wrong one is refused, told, and does no harm.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type AuthorizationServer, startAuthorizationServer } from "./support/authorization-server.ts";
import { approveRedirect } from "./support/person.ts";
import { authline, sweep } from "./support/spawn.ts";
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

test("at the terminal", async () => {
  const running = authline([...argv(), "--json"], { sink: "pty" });
  const { auth_url } = await running.next("auth_url");
  running.write(`${(await approveRedirect(String(auth_url))).href}\r`);
  const run = await running.done;
  expect(run.code).toBe(0);
  expect(run.events.at(-1)?.data?.record_status).toBe("connected");
});
