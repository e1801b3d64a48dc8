// One attack: a server that misbehaves in one way, a command that meets it, and what must be true afterwards.
//
// Rules of this file:
// - A row says only what is unusual: everything that it leaves out is a well-behaved server and a plain login.
// - Every run, whatever its row is about, is held to the same promises (`judge`): the stream keeps its contract, nobody's
//   terminal is touched, no secret is shown, nothing is stored unless the login succeeded, nothing was executed and
//   nothing is left running.
// - It knows the contract and the store's directory, and imports nothing from src/.
// - The binary is spawned where processes are the point; elsewhere the program runs inside (support/inside.ts).

import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { type OutgoingHttpHeaders, request } from "node:http";
import path from "node:path";
import { expect } from "vitest";
import { type HostileServer, jwks, metadata, type Routes, startHostileServer } from "../support/hostile-server.ts";
import { inside } from "../support/inside.ts";
import { opened } from "../support/sealed.ts";
import { authline, leftovers, type Options, type Run, type Running, tempHome } from "../support/spawn.ts";
import { checkStream, type Event, leaks } from "../support/stream.ts";

/** Exit codes as the contract has them. */
const EXITS = {
  success: 0,
  cancelled: 2,
  auth_expired: 4,
  network: 69,
  expired: 75,
  timeout: 75,
  rate_limited: 75,
  provider: 76,
  denied: 77,
  config: 78,
} as const;
export type Ending = keyof typeof EXITS;

export const CLIENT = "client-of-the-tests";
export const SECRET = {
  access: "access-token-7f3a91",
  refresh: "refresh-token-52cb0e",
  device: "device-code-d81f44",
  code: "authorization-code-09be7c",
  client: "client-secret-e6a2d5",
};

/** What no terminal and no line may get: control, format (bidi, zero-width), private-use and broken characters. */
const UNFIT = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029]/u;

/** For a server to put into every text it sends: a title, colour, C1, bidi, a line of a stream, markup and a shell command. */
export const POISON = `\u001b]0;owned\u0007\u001b[31m\u009b2J\u202e\u2066\u200b\r\n{"v":1,"seq":0}<script>alert(1)</script>$(touch owned)\ud800`;

export const tokens = (more: object = {}) => ({
  access_token: SECRET.access,
  token_type: "Bearer",
  expires_in: 3600,
  refresh_token: SECRET.refresh,
  ...more,
});

export const device = (url: string, more: object = {}) => ({
  device_code: SECRET.device,
  user_code: "WDJB-MJHT",
  verification_uri: `${url}/activate`,
  expires_in: 600,
  interval: 1,
  ...more,
});

const GRANTS = [
  "authorization_code",
  "client_credentials",
  "refresh_token",
  "urn:ietf:params:oauth:grant-type:device_code",
];

/** What a well-behaved server says of itself. */
export const document = (issuer: string, overrides: object = {}) =>
  metadata(issuer, { grant_types_supported: GRANTS, ...overrides });

/** A server to sign in to. Overrides come last; `metadata` is merged into the document. */
export function server(
  routes: Routes | ((url: string) => Routes) = {},
  about: object | ((url: string) => object) = {},
) {
  return startHostileServer((url) => ({
    "GET /.well-known/openid-configuration": {
      json: document(url, typeof about === "function" ? about(url) : about),
    },
    "GET /jwks": { json: jwks() },
    "POST /device": { json: device(url) },
    "POST /token": { json: tokens() },
    ...(typeof routes === "function" ? routes(url) : routes),
  }));
}

export interface Attack {
  /** What the server (or whoever else) does. */
  does: string;
  ends: Ending;
  routes?: Routes | ((url: string) => Routes);
  metadata?: object | ((url: string) => object);
  /** Default: client_credentials, which is one request and no waiting. */
  flow?: "authorization_code" | "device_code" | "client_credentials";
  argv?: string[];
  /** Behind the server's URL. */
  issuer?: string;
  options?: Options;
  /** With a process of its own: what is about time, memory, signals, or programs that are started. */
  spawned?: true;
  /** Plays the person, or the attacker, while the login runs. */
  meanwhile?: (running: Running, server: HostileServer) => Promise<void>;
  /** What the result's message is to say. */
  says?: RegExp;
  /** What must not be found in either output. */
  hidden?: (string | RegExp)[];
  /** What else must be true of it. */
  also?: (run: Run, server: HostileServer) => void;
}

/** Signs in while the attack goes on, and judges how that ended. */
export async function suffer(attack: Attack): Promise<void> {
  const { routes, flow = "client_credentials", argv = [], issuer = "", options = {}, ends } = attack;
  const hostile = await server(routes, attack.metadata);
  try {
    const running = login(hostile.url + issuer, ["--flow", flow, ...argv], options, attack.spawned ?? false);
    if (attack.meanwhile) await attack.meanwhile(running, hostile);
    const run = await running.done;
    await judge(run, ends, attack);
    expect(hostile.unused()).toEqual([]);
    attack.also?.(run, hostile);
  } finally {
    await hostile.close();
  }
}

/** `authline login acme`, in an empty home that is its working directory as well. */
export function login(issuer: string, argv: string[], options: Options = {}, spawned = true): Running {
  const home = options.home ?? tempHome();
  const words = [
    "login",
    "acme",
    "--issuer",
    issuer,
    "--client-id",
    CLIENT,
    "--client-secret-from",
    "env:CLIENT_SECRET",
  ];
  const env = { CLIENT_SECRET: SECRET.client, ...options.env };
  const call = [...words, ...argv];
  const all = { timeoutMs: 15_000, cwd: home, ...options, home, env };
  return spawned || options.env ? authline(call, all) : inside(call, all);
}

/** The promises that hold however the server behaved. */
export async function judge(run: Run, ends: Ending, { says, hidden = [] }: Pick<Attack, "says" | "hidden"> = {}) {
  const state = run.events.map(({ auth_url }) => auth_url && new URL(auth_url).searchParams.get("state")).find(Boolean);
  const secrets = Object.values(SECRET);
  const result = run.events.at(-1);
  const { status, error } = result ?? {};
  expect({ code: error?.code ?? status, exit: run.code, signal: run.signal }, `${run.stdout}\n${run.stderr}`).toEqual({
    code: ends,
    exit: EXITS[ends],
    signal: null,
  });
  expect(
    checkStream(run.stdout, {
      exitCode: run.code,
      secrets: [...secrets, ...(state ? [state] : [])],
      allow: { auth_url: [state ?? ""].filter(Boolean), "data.access_token": [SECRET.access] },
    }),
  ).toEqual([]);
  expect(strings(run.events).filter((text) => UNFIT.test(text))).toEqual([]);
  expect(run.stderr.replaceAll("\n", "")).not.toMatch(UNFIT);
  expect(leaks(run.stderr, secrets)).toEqual([]);
  if (says) expect(result?.message).toMatch(says);
  for (const text of hidden) {
    expect(String(run.stdout)).not.toMatch(text);
    expect(run.stderr).not.toMatch(text);
  }
  // The home is the working directory: what a shell was tricked into making would lie there.
  expect(readdirSync(run.home).filter((name) => !OURS.has(name))).toEqual([]);
  expect(existsSync("owned")).toBe(false);
  if (status === "error" || status === "cancelled") expect(stored(run.home)).toEqual([]);
  expect(await leftovers(run)).toEqual([]);
}

/** What a home may hold. */
const OURS = new Set([
  ...["connections", "providers", "sessions", "defaults", "refreshes", "clients"],
  ...["keys", "keys.json", "locks", "audit.ndjson"],
]);

/** Every file of the store. */
export function stored(home: string): string[] {
  return ["connections", "providers"].flatMap((directory) => {
    const full = path.join(home, directory);
    return existsSync(full) ? readdirSync(full).map((file) => `${directory}/${file}`) : [];
  });
}

/** The one connection that a login left. */
export function record(home: string) {
  return opened(home, "connection", "default@acme");
}

/** Puts a file into the store, as an earlier login or a careless person might have. */
export function plant(home: string, file: string, content: object): void {
  const full = path.join(home, file);
  mkdirSync(path.dirname(full), { recursive: true, mode: 0o700 });
  writeFileSync(full, JSON.stringify(content), { mode: 0o600 });
}

/** Every string of a value, keys included. */
export function strings(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [name, ...strings(inner)]);
}

export interface Knock {
  method?: string;
  /** Instead of the redirect URI's own. */
  path?: string;
  headers?: OutgoingHttpHeaders;
}

/** The request that a browser (or a stranger) makes to the listener. Status 0: cut off without an answer. */
export function knock(
  { redirect_uri = "" }: Event,
  query: Record<string, string> | [string, string][],
  { method = "GET", headers = {}, ...knocked }: Knock = {},
): Promise<{ status: number; body: string }> {
  const { hostname, port, pathname } = new URL(redirect_uri);
  const target = `${knocked.path ?? pathname}?${new URLSearchParams(query)}`;
  return new Promise((resolve) => {
    const sent = request({ hostname, port, path: target, method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: String(Buffer.concat(chunks)) }));
    });
    sent.on("error", () => resolve({ status: 0, body: "" }));
    sent.end();
  });
}

export const stateOf = ({ auth_url = "" }: Event) => new URL(auth_url).searchParams.get("state") ?? "";

/** The person who signs in, at the end of the redirect. */
export const comesBack =
  (more: Record<string, string> = {}) =>
  async (running: Running) => {
    const challenge = await running.next("auth_url");
    await knock(challenge, { code: SECRET.code, state: stateOf(challenge), ...more });
  };
