/**
 * A hundred processes that ask for the same expired token at once, with a real authorization server behind it, whose
 * refresh tokens work once; and SIGKILL for some of them.
 *
 * Nothing here judges: `test/storm.test.ts` does, `bench/storm.ts` counts.
 */
import { spawn } from "node:child_process";
import type { AuthorizationServer } from "./authorization-server.ts";
import { opened, putSealed } from "./sealed.ts";
import type { Event } from "./stream.ts";

/** One process: what it was told, or that it was killed before. */
export interface Told {
  result: Event | undefined;
  killed: boolean;
}

export interface Round {
  told: Told[];
  /** From the first start to the last end. */
  wallMs: number;
  /** To the token endpoint, whatever it answered. */
  requests: number;
  /** Those that it answered with tokens. */
  refreshes: number;
}

export interface Storm {
  /** As `bin` of package.json has it. */
  binary: string;
  home: string;
  server: AuthorizationServer;
}

const NAME = "default@acme";

const envOf = (home: string) => ({ PATH: process.env["PATH"], HOME: home, AUTHLINE_HOME: home, LANG: "C.UTF-8" });

/** One call of the program, until its end or until it is killed. */
export function call({ binary, home }: Storm, argv: string[], killAfterMs?: number): Promise<Told> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [binary, ...argv], {
      cwd: home,
      env: envOf(home),
      stdio: ["ignore", "pipe", "ignore"],
    });
    const timer = killAfterMs === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), killAfterMs);
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (chunk) => {
      stdout += chunk;
    });
    child.once("error", reject);
    child.once("close", (_, signal) => {
      clearTimeout(timer);
      const last = stdout.trimEnd().split("\n").at(-1) ?? "";
      const result = last.includes('"phase":"result"') ? (JSON.parse(last) as Event) : undefined;
      resolve({ result, killed: signal === "SIGKILL" });
    });
  });
}

/** Somebody signs in, with a code, as often as it has to be. */
export async function signIn(storm: Storm): Promise<void> {
  const { binary, home, server } = storm;
  const argv = ["login", "acme", "--issuer", server.issuer, "--client-id", server.clients.native];
  const child = spawn(
    process.execPath,
    [binary, ...argv, "--flow", "device_code", "--scope", "openid offline_access"],
    {
      env: envOf(home),
      stdio: ["ignore", "pipe", "ignore"],
    },
  );
  let stdout = "";
  for await (const chunk of child.stdout.setEncoding("utf8")) {
    const code = /"user_code":"([^"]+)"/.exec(chunk)?.[1];
    if (code !== undefined && !stdout.includes('"user_code"')) await server.approveDevice(code);
    stdout += chunk;
  }
  if (!stdout.includes('"status":"success"')) throw new Error(`nobody could sign in: ${stdout}`);
}

/** The access token has ended, as far as this machine knows. */
export function expire({ home }: Storm): void {
  const expires_at = new Date(Date.now() - 1000).toISOString();
  putSealed(home, "connection", NAME, { ...opened(home, "connection", NAME), expires_at });
}

export const storedRefreshToken = ({ home }: Storm): string =>
  String(opened(home, "connection", NAME).secrets["refresh_token"]);

/** All at once; `killAfterMs` says when each of them is killed, and undefined that it is not. */
export async function round(
  storm: Storm,
  count: number,
  killAfterMs: (index: number) => number | undefined = () => undefined,
): Promise<Round> {
  expire(storm);
  const before = storm.server.requests.length;
  const started = performance.now();
  const calls = Array.from({ length: count }, (_, index) => call(storm, ["token", "acme"], killAfterMs(index)));
  const told = await Promise.all(calls);
  const wallMs = performance.now() - started;
  const asked = storm.server.requests.slice(before).filter(({ path }) => path === "/token");
  return { told, wallMs, requests: asked.length, refreshes: asked.filter(({ status }) => status === 200).length };
}

/** A third of them, each at some moment of the first `withinMs` of its life. */
export function aThird(random: () => number, withinMs: number): () => number | undefined {
  return () => (random() < 1 / 3 ? random() * withinMs : undefined);
}

/** The same numbers for the same seed (mulberry32): what went wrong can be had again. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
