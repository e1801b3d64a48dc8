/**
 * The main job, shown: a real sign-in against an embedded authorization server, by device code and by browser redirect,
 * with the person's part played by a script. Run by `npm run demo`.
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { startAuthorizationServer } from "./support/authorization-server.ts";
import { approveRedirect, visit } from "./support/person.ts";

const server = await startAuthorizationServer();
const home = await mkdtemp(join(tmpdir(), "authline-demo-"));
const binary = resolve("dist/authline.js");

/** Runs authline, shows both of its streams, and lets `person` act on each event as it comes. */
async function show(argv: string[], person: (event: Record<string, string>) => unknown = () => {}): Promise<void> {
  console.log(`\n$ authline ${argv.join(" ")}`);
  const child = spawn(process.execPath, [binary, ...argv], {
    env: { ...process.env, AUTHLINE_HOME: home },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise<number | null>((done) => child.once("close", done));
  const read = async (from: NodeJS.ReadableStream, label: string, each: (line: string) => unknown) => {
    for await (const line of createInterface({ input: from })) {
      console.log(`${label} ${line}`);
      await each(line);
    }
  };
  await Promise.all([
    read(child.stdout, "stdout │", (line) => person(JSON.parse(line))),
    read(child.stderr, "stderr │", () => {}),
  ]);
  const code = await ended;
  if (code !== 0) throw new Error(`authline ${argv[0]} ended with exit code ${code}`);
}

const who = [
  "demo",
  "--issuer",
  server.issuer,
  "--client-id",
  server.clients.native,
  "--scope",
  "openid email offline_access",
];

try {
  await show(["login", ...who, "--flow", "device_code"], async ({ phase, user_code }) => {
    if (phase === "device_code") await server.approveDevice(user_code as string);
  });
  await show(["login", ...who, "--connection", "work", "--flow", "authorization_code"], async ({ phase, auth_url }) => {
    if (phase === "auth_url") await visit(await approveRedirect(auth_url as string));
  });
  await show(["status"]);
  await show(["token", "demo"]);
  await show(["token", "demo", "--refresh"]);
  await show(["logout", "demo", "--all"]);
  console.log("\nSigned in twice, got a token, refreshed it, signed out. Nothing is left behind.");
} finally {
  await server.close();
  await rm(home, { recursive: true, force: true });
}
