/**
 * A machine with an authorization server beside it, for the tests of sign-ins that outlive their process: every world has
 * a server and an AUTHLINE_HOME of its own, so that many can go on at once.
 *
 * Whatever runs in a world is judged when it ends: its stream keeps the contract, and no secret that this world has ever
 * seen stands in it, in a log or in an argument list. `close` judges what is left behind.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { expect } from "vitest";
import {
  type AuthorizationServer,
  type AuthorizationServerOptions,
  startAuthorizationServer,
} from "./authorization-server.ts";
import { program } from "./inside.ts";
import { approveRedirect, visit } from "./person.ts";
import { connectionSecrets, opened, partsOf, putSealed } from "./sealed.ts";
import { authline, leftovers, type Options, type Run, type Running, tempHome } from "./spawn.ts";
import { checkStream, type Event, leaks } from "./stream.ts";

export interface Ended extends Run {
  result: Event;
}

export interface Driving extends Running {
  /** The next challenge, whichever it is. */
  challenge(): Promise<Event>;
  /** The end of the process and its stream, judged. */
  ended(): Promise<Ended>;
  /** SIGKILL, and what had come out until then, judged. */
  killed(): Promise<Run>;
}

/** The record of a session, as it stands on disk. */
export interface SessionRecord {
  session_id: string;
  state: string;
  expires_at: string;
  ended_at?: string;
  secrets: {
    client_secret?: string;
    client_key?: string;
    dpop_key?: string;
    doors?: Record<string, Record<string, unknown>>;
  };
}

export interface How extends Options {
  /** In a process of its own, which can be killed. Default: what is started, as its world is; what is run, not. */
  spawned?: boolean;
  /** The first line that the stream has to show. */
  from?: number;
}

export interface WorldOptions extends AuthorizationServerOptions {
  /** Every command that is started has a process of its own. */
  spawned?: boolean;
}

export type World = Awaited<ReturnType<typeof world>>;

const CONCEALED = ["state", "nonce", "code_verifier", "device_code", "auth_req_id"];

export async function world({ spawned: all = false, ...options }: WorldOptions = {}) {
  // With an interval of a second: the five of RFC 8628 would be waited for.
  const server: AuthorizationServer = await startAuthorizationServer({ interval: 1, ...options });
  const home = tempHome();
  const sessions = join(home, "sessions");
  const everSecret = new Set<string>();
  /** Of these an `auth_url` consists. */
  const inAddress = new Set<string>();

  const readSession = (id: string) => opened(home, "session", id) as unknown as SessionRecord;
  const ids = () => filesOf(sessions, ".json").map((name) => name.slice(0, -".json".length));
  const logOf = (id: string): Buffer => {
    const path = join(sessions, `${id}.ndjson`);
    return existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  };

  /** Takes note of every secret that there is by now. */
  function secrets(): string[] {
    const { accessTokens, refreshTokens, deviceCodes } = server.records();
    for (const { id } of [...accessTokens, ...refreshTokens, ...deviceCodes]) everSecret.add(id);
    for (const id of ids()) {
      const { doors, ...alone } = readSession(id).secrets;
      for (const secret of Object.values(alone).flatMap(partsOf)) everSecret.add(secret);
      for (const [name, value] of Object.values(doors ?? {}).flatMap((door) => Object.entries(door))) {
        if (CONCEALED.includes(name)) everSecret.add(String(value));
        if (["state", "nonce"].includes(name)) inAddress.add(String(value));
      }
    }
    for (const secret of connectionSecrets(home)) everSecret.add(secret);
    return [...everSecret];
  }

  /** What a stream shows that it should not; `expected` as `checkStream` has it. */
  function judged(stdout: Buffer, expected: Parameters<typeof checkStream>[1]) {
    const found = secrets();
    const address = [...inAddress];
    const token = expected?.command === "token" ? { "data.access_token": found } : {};
    return checkStream(stdout, {
      ...expected,
      secrets: found,
      allow: { auth_url: address, "data.auth_url": address, ...token },
    });
  }

  /** Every argument list of this world's processes. */
  const processes = () => leftovers({ pid: 0, home }, 0);

  const pids = async () => (await processes()).map((line) => Number(line.split(" ")[0]));

  async function noSecretInSight() {
    const found = secrets();
    expect(leaks((await processes()).join("\n"), found)).toEqual([]);
    for (const id of ids()) expect(judged(logOf(id), { command: "login", partial: true })).toEqual([]);
  }

  function start(argv: string[], { from, spawned = all, ...options }: How = {}): Driving {
    const running = (spawned ? authline : program)(argv, { home, timeoutMs: 20_000, ...options });
    const command = argv.slice(0, ["session", "connection"].includes(argv[0] ?? "") ? 2 : 1).join(" ");
    const said = ({ stdout, stderr, events }: Run, expected: Parameters<typeof checkStream>[1]) => {
      expect(judged(stdout, { ...expected, command, ...(from !== undefined && { from }) })).toEqual([]);
      // A person has to be told the whole address.
      const addresses = events.flatMap(({ auth_url }) => auth_url ?? []);
      expect(
        leaks(
          addresses.reduce((text, address) => text.replaceAll(address, ""), stderr),
          secrets(),
        ),
      ).toEqual([]);
    };
    return {
      ...running,
      async challenge() {
        const event = await running.next(({ phase }) => phase === "auth_url" || phase === "device_code");
        await noSecretInSight();
        return event;
      },
      async ended() {
        const run = await running.done;
        const result = run.events.at(-1);
        if (!result) throw new Error(`${argv.join(" ")} said nothing on stdout; on stderr: ${run.stderr}`);
        said(run, { exitCode: run.code });
        return { ...run, result };
      },
      async killed() {
        await noSecretInSight();
        running.kill("SIGKILL");
        const run = await running.done;
        // Nobody is faster than the last lines of a login, always.
        if (run.signal !== "SIGKILL") expect(run.events.at(-1)?.phase).toBe("result");
        said(run, { partial: true });
        return run;
      },
    };
  }

  return {
    server,
    home,
    sessions,
    start,
    /** A command from its beginning to its end. */
    async run(argv: string[], how: How = {}): Promise<Ended> {
      const ended = await start(argv, { spawned: false, ...how }).ended();
      await noSecretInSight();
      return ended;
    },
    /** The arguments of a first login; what is given comes on top. */
    login: (...more: string[]) => [
      ...["login", "acme", "--issuer", server.issuer, "--client-id", server.clients.native],
      ...["--browser", "never", ...(more.includes("--scope") ? [] : ["--scope", "openid offline_access"]), ...more],
    ],
    ids,
    record: readSession,
    change(id: string, change: Partial<SessionRecord>) {
      putSealed(home, "session", id, { ...opened(home, "session", id), ...change });
    },
    log: (id: string): Event[] =>
      String(logOf(id))
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line)),
    logFile: (id: string) => join(sessions, `${id}.ndjson`),
    processes,
    pids,
    /** Signs in at the server and returns the address that the browser is sent to at the end. Nobody opens it. */
    async callback(auth_url = ""): Promise<URL> {
      const address = await approveRedirect(auth_url);
      const code = address.searchParams.get("code");
      if (code) everSecret.add(code);
      return address;
    },
    approve: ({ user_code = "" }: Event) => server.approveDevice(user_code),
    requestsTo: (path: string) => server.requests.filter((request) => request.path === path),
    /** `token` gives one that the server itself takes. */
    async expectSignedIn() {
      const { result } = await start(["token", "acme"]).ended();
      expect(result.error).toBeUndefined();
      expect(await server.isActive(result.data.access_token)).toBe(true);
    },
    /** For what has failed: whatever still runs is ended, and nothing is judged. */
    async abandon() {
      for (const pid of await pids()) process.kill(pid, "SIGKILL");
      await server.close();
    },
    /** Ends the world: nothing runs any more, and what is on disk is whole. */
    async close() {
      try {
        expect(await leftovers({ pid: 0, home }, 3000)).toEqual([]);
        expect(filesOf(sessions).filter((name) => name.includes(".tmp-"))).toEqual([]);
        await noSecretInSight();
        for (const id of ids()) {
          const { state, secrets } = readSession(id);
          if (state !== "pending") expect(secrets).toEqual({});
        }
      } finally {
        await server.close();
      }
    },
  };
}

function filesOf(directory: string, suffix = ""): string[] {
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) return [];
  return readdirSync(directory)
    .filter((name) => name.endsWith(suffix))
    .sort();
}

/** A test in a world of its own, where what goes on at once are processes. */
export const inSpawnedWorld = (body: (world: World) => Promise<unknown>, options?: WorldOptions) =>
  inWorld(body, { ...options, spawned: true });

/** A test in a world of its own. */
export const inWorld = (body: (world: World) => Promise<unknown>, options?: WorldOptions) => async () => {
  const mine = await world(options);
  try {
    await body(mine);
  } catch (error) {
    await mine.abandon();
    throw error;
  }
  await mine.close();
};

/** Whether somebody listens there. */
export function isListening(url: string | URL): Promise<boolean> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** The browser comes back as soon as somebody is there: who takes a sign-in over needs a moment to bind its address. */
export async function comeBack(address: URL): ReturnType<typeof visit> {
  await until(() => isListening(address));
  return visit(address);
}

/** Asks until it is so; the test's own time is the limit. */
export async function until(isSo: () => unknown): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 20));
}
