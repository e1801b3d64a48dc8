/**
 * One cell of the matrix: brings an ending of the built binary about in front of a reader, and finds everything that is
 * wrong with it. What an ending and a reader are is said by the tables in `matrix.test.ts`.
 *
 * Rules of this file:
 * - Where the stream cannot be seen (fd 1 is closed, or a terminal), what it would have said is learned from the other
 *   side: the user code from the server, the address from the browser that was opened.
 * - Nothing is guessed from a sleep.
 */
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import path from "node:path";
import { vi } from "vitest";
import { approveRedirect, visit } from "./person.ts";
import { namesOf, opened } from "./sealed.ts";
import { authline, leftovers, type Run, type Running, type Sink, tempHome } from "./spawn.ts";
import { checkStream, type Event, leaks, parseStream } from "./stream.ts";
import { startTenants, type Tenant, type Tenants } from "./tenants.ts";

/** Who reads. */
export interface Column {
  sink: Sink;
  flags?: string[];
  env?: Record<string, string>;
  /** The lines of the stream, where there is one and it can be seen. */
  stream?(run: Run): string;
  /** What a person sees. */
  words(run: Run): string;
  /** The words are drawn, with colour and a line that is rewritten. */
  drawn?: boolean;
  /** A person who asked for a token is shown it. */
  reveals?: boolean;
}

/** How it ends. */
export interface Ending {
  /** What is run. `login` (the default) is given a server and a client; `{taken}` is a redirect URI in use. */
  argv?: string[];
  /** Default: `device_code`. */
  flow?: Flow;
  faults?: string;
  /** Seconds. */
  deviceCodeTtl?: number;
  /** Prepares the home, or gives another one. */
  before?(home: string, tenant: Tenant): Promise<unknown> | string;
  /** What happens while it runs. */
  meanwhile?(scene: Scene): Promise<unknown>;
  /** The phases in a row: p for progress, a for auth_url, d for device_code, r for result. */
  order: RegExp;
  /** Without it there is no result: nobody reads it. */
  status?: string;
  code?: string;
  exit: number;
  /** The last sentence, on the stream and for people. */
  says?: RegExp;
  /** The files in AUTHLINE_HOME/connections at the end. */
  keeps?: string[];
  /** It ends by itself, and so perhaps before anybody could look at its processes. */
  byItself?: true;
  /** What else must hold: returns what does not. */
  also?(run: Run, column: Column): string[];
}

type Flow = "device_code" | "authorization_code" | "client_credentials";

export interface Scene {
  running: Running;
  home: string;
  /** What a person is asked to do, once it waits for that. */
  challenge(): Promise<Challenge>;
  /** Its first request went out, or is about to. */
  underWay(): Promise<unknown>;
  /** Ctrl-C, where there is a terminal to type it at. */
  interrupt(): unknown;
  /** Says yes, wherever the login asks for it. */
  approve(): Promise<unknown>;
  deny(): Promise<unknown>;
}

export interface Challenge {
  user_code: string;
  auth_url: string;
  redirect_uri: string;
}

export interface Matrix {
  server: Tenants;
  /** A redirect URI whose port somebody else has. */
  takenUri: string;
  loginArgv(tenant: Tenant, flow: Flow, options?: string[]): string[];
  envOf(tenant: Tenant): Record<string, string>;
  /** Everything that is wrong with one cell. */
  faultsOf(ending: Ending, column: Column): Promise<string[]>;
  close(): Promise<void>;
}

/** A browser that only writes down what it was given, one argument a line. */
const BROWSER = '#!/bin/sh\nprintf "%s\\n" "$@" >"$HOME/opened.part" && mv "$HOME/opened.part" "$HOME/opened"\n';

export async function openMatrix(): Promise<Matrix> {
  const server = await startTenants();
  const stranger = createServer().listen(0, "127.0.0.1");
  await once(stranger, "listening");
  const browser = path.join(tempHome(), "browser");
  writeFileSync(browser, BROWSER, { mode: 0o755 });

  const matrix: Matrix = {
    server,
    takenUri: `http://127.0.0.1:${(stranger.address() as AddressInfo).port}/callback`,
    loginArgv: ({ id }, flow, options = []) => [
      ...[
        "login",
        "matrix",
        "--issuer",
        server.issuer,
        `--client-id=${id}`,
        "--client-secret-from",
        "env:MATRIX_SECRET",
      ],
      ...["--flow", flow, "--browser", "always"],
      ...(flow === "client_credentials" ? [] : ["--scope", "openid email offline_access"]),
      ...options,
    ],
    envOf: ({ secret }) => ({ MATRIX_SECRET: secret, BROWSER: browser }),
    faultsOf: (ending, column) => faultsOf(matrix, ending, column),
    async close() {
      stranger.close();
      await server.close();
    },
  };
  return matrix;
}

async function faultsOf(matrix: Matrix, ending: Ending, column: Column): Promise<string[]> {
  const { argv: [command = "login", ...options] = [], flow = "device_code", faults } = ending;
  const tenant = await matrix.server.enrol(ending.deviceCodeTtl);
  const taken = (word: string) => word.replace("{taken}", matrix.takenUri);
  const argv = command === "login" ? matrix.loginArgv(tenant, flow, options.map(taken)) : [command, ...options];
  const first = tempHome();
  const other = await ending.before?.(first, tenant);
  const home = typeof other === "string" ? other : first;
  const env = { ...matrix.envOf(tenant), ...column.env };
  const running = authline([...argv, ...(column.flags ?? [])], {
    sink: column.sink,
    home,
    env,
    ...(faults && { faults }),
  });

  const seen = watch(matrix, running, tenant, flow, column);
  await ending.meanwhile?.(seen.scene);
  const run = faults === "noisy" ? quietened(await running.done, column) : await running.done;
  return judge({ ending, column, command, tenant, run, ...seen.facts() });
}

/** Everything that a test can do to a run while it runs, and what was learned on the way. */
function watch(matrix: Matrix, running: Running, tenant: Tenant, flow: Flow, { sink, stream }: Column) {
  const { home } = running;
  const { server } = matrix;
  const opened = path.join(home, "opened");
  const commandLines: string[] = [];
  let challenged: Challenge | undefined;

  const deviceChallenge = async (): Promise<Challenge> => {
    if (stream) await running.next("device_code");
    return { user_code: await tenant.userCode, auth_url: "", redirect_uri: "" };
  };
  const redirectChallenge = async (): Promise<Challenge> => {
    if (stream) await running.next("auth_url");
    await appears(opened);
    const auth_url = readFileSync(opened, "utf8").slice(0, -1);
    return { user_code: "", auth_url, redirect_uri: new URL(auth_url).searchParams.get("redirect_uri") ?? "" };
  };
  const scene: Scene = {
    running,
    home,
    async challenge() {
      challenged ??= await (flow === "device_code" ? deviceChallenge() : redirectChallenge());
      commandLines.push(...(await leftovers(running, 0)));
      return challenged;
    },
    underWay: () => (stream ? running.next("progress") : appears(path.join(home, "providers"))),
    interrupt: () => (sink.startsWith("pty") ? running.write("\x03") : running.kill("SIGINT")),
    async approve() {
      const { user_code, auth_url } = await scene.challenge();
      return user_code ? server.approveDevice(user_code) : visit(await approveRedirect(auth_url));
    },
    async deny() {
      const { user_code, auth_url } = await scene.challenge();
      return user_code ? server.denyDevice(user_code) : visit(await approveRedirect(auth_url, { decision: "deny" }));
    },
  };
  return { scene, facts: () => ({ challenged, commandLines }) };
}

interface Case {
  ending: Ending;
  column: Column;
  command: string;
  tenant: Tenant;
  run: Run;
  challenged: Challenge | undefined;
  /** Of what ran while somebody was waited for. */
  commandLines: string[];
}

async function judge(given: Case): Promise<string[]> {
  const { ending, column, run, challenged, tenant } = given;
  const kept = filesIn(path.join(run.home, "connections"));
  const names = kept.length === 0 ? [] : namesOf(run.home, "connection");
  const records = names.map((name) => opened(run.home, "connection", name));
  // What must not be seen: what was issued, sent and kept, and what proves that a callback belongs to the login.
  const auth_url = challenged?.auth_url || undefined;
  const state = auth_url && new URL(auth_url).searchParams.get("state");
  const stored = records.flatMap(({ secrets }) => Object.values(secrets).map(String));
  const secrets = [...new Set([...tenant.secrets(), ...stored, ...(state ? [state] : [])])];
  const token: string | undefined = given.command === "token" ? records[0]?.secrets["access_token"] : undefined;

  return [
    ...faultsOfEnd(given),
    ...(column.stream ? faultsOfStream(given, column.stream(run), { secrets, state, token }) : faultsOfSilence(given)),
    ...faultsOfWords(column, run, token),
    // The address that somebody must open carries the state, and nothing else may.
    ...leaks(
      without(auth_url, column.words(run)),
      column.reveals ? secrets.filter((one) => one !== token) : secrets,
    ).map((leak) => `what a person reads ${leak}`),
    ...leaks(without(auth_url, given.commandLines.join("\n")), secrets).map((leak) => `an argument list ${leak}`),
    ...(challenged && !ending.byItself && !given.commandLines.some((line) => line.includes(" matrix "))
      ? ["no argument list was seen"]
      : []),
    ...(await leftovers(run)).map((process) => `still running: ${process}`),
    ...(challenged?.redirect_uri && (await answers(challenged.redirect_uri)) ? ["somebody listens on its port"] : []),
    ...(String(kept) === String(ending.keeps ?? []) ? [] : [`in the store: ${kept.join(", ") || "nothing"}`]),
    ...(ending.also?.(run, column) ?? []),
  ];
}

function faultsOfEnd({ ending: { exit }, run: { code, signal, lingeredMs = 0 } }: Case): string[] {
  return [
    ...(code === exit && signal === null ? [] : [`exit code ${code}, signal ${signal}, expected ${exit}`]),
    // A second is promised; five tell a process that stays from a machine that is busy.
    ...(lingeredMs < 5000 ? [] : [`it stayed for ${lingeredMs} ms after its result`]),
  ];
}

function faultsOfStream(
  { ending, column, command, run, challenged }: Case,
  stream: string,
  { secrets, state, token }: { secrets: string[]; state: string | null | undefined; token: string | undefined },
): string[] {
  const allow = { ...(state && { auth_url: [state] }), ...(token && { "data.access_token": [token] }) };
  const partial = ending.status === undefined;
  const found = checkStream(stream, { command, exitCode: run.code, secrets, allow, partial });
  const check = (right: boolean | undefined, fault: string) => {
    if (right === false) found.push(fault);
  };

  const events = parseStream(stream);
  const last = events.at(-1);
  const order = events.map(({ phase }) => phase.charAt(0)).join("");
  check(ending.order.test(order), `the phases are ${order}, expected ${ending.order}`);
  check(last?.status === ending.status, `status is ${last?.status}, expected ${ending.status}`);
  check(last?.error?.code === ending.code, `error.code is ${last?.error?.code}, expected ${ending.code}`);
  check(ending.says?.test(String(last?.message)), `the result says: ${last?.message}`);
  check(!token || last?.data?.access_token === token, "the token is not handed out");
  const untold = firstUntold(events, column.words(run));
  check(untold === undefined, `a person is not told, or not in this order: ${untold}`);
  if (challenged?.auth_url) {
    const { auth_url } = events.find(({ phase }) => phase === "auth_url") ?? {};
    check(auth_url === challenged.auth_url, `the browser got ${challenged.auth_url}, the stream says ${auth_url}`);
  }
  return found;
}

/** There is no stream, or nobody can see it: what a person reads says how it ended. */
function faultsOfSilence({ ending, column, run }: Case): string[] {
  const words = undrawn(column.words(run));
  const sentences = words.split("\n").map((line) => line.replace(/^error: /, ""));
  return [
    ...(column.sink === "pty" || run.stdout.length === 0 ? [] : [`stdout is not empty: ${run.stdout}`]),
    ...(/[{}]|"(v|seq|phase)":/.test(words) ? [`there is JSON among the words: ${words}`] : []),
    ...(!ending.says || sentences.some((line) => ending.says?.test(line)) ? [] : [`a person is told: ${words}`]),
  ];
}

function faultsOfWords(column: Column, run: Run, token: string | undefined): string[] {
  const words = column.words(run);
  const bare = column.drawn ? undrawn(words) : words;
  const shown = token ? words.split(token).length - 1 : 0;
  const expected = token && column.reveals ? 1 : 0;
  return [
    ...(/[^\P{Cc}\n]/u.test(bare) ? [`control characters reach a person: ${JSON.stringify(bare)}`] : []),
    ...(shown === expected ? [] : [`a person sees the token ${shown} times, expected ${expected}`]),
  ];
}

/** The first message that a person does not read, or not in its turn. */
function firstUntold(events: Event[], words: string): string | undefined {
  let from = 0;
  for (const { message } of events) {
    const at = words.indexOf(message, from);
    if (at === -1) return message;
    from = at + message.length;
  }
  return undefined;
}

const WIPE = "\r\u001b[2K";
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is what a terminal takes for colour
const COLOUR = /\u001b\[\d*m/g;

/** What was drawn on a terminal, as text: what was wiped stays, as a line of its own. */
export const undrawn = (words: string) =>
  words.replaceAll(WIPE, "\n").replaceAll(COLOUR, "").replaceAll("\r\n", "\n").replaceAll("^C", "");

/** Takes out what the fault `noisy` prints where it may: on stderr, and so on a terminal. */
function quietened(run: Run, { sink }: Column): Run {
  const chatter = [
    "GET ok 200",
    '{"v":1,"seq":0,"phase":"result","status":"success","exit_code":0}',
    "[dotenv@17] injecting env (0) from .env",
  ];
  const quiet = (said: string) =>
    chatter.reduce((rest, words) => rest.replaceAll(`${words}\r\n`, "").replaceAll(`${words}\n`, ""), said);
  // On a terminal the harness takes the line that looks like a result for one.
  if (sink === "pty") return { ...run, stdout: Buffer.from(quiet(String(run.stdout))), lingeredMs: undefined };
  return { ...run, stderr: quiet(run.stderr) };
}

const without = (address: string | undefined, words: string) => (address ? words.replaceAll(address, "") : words);

export function filesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return []; // it is not there, or is no directory
  }
}

const appears = (file: string) => vi.waitUntil(() => existsSync(file), { timeout: 10_000, interval: 10 });

function answers(address: string): Promise<boolean> {
  const { hostname, port } = new URL(address);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
