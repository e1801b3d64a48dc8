// Every way that authline can end, in front of everybody who may read it. The built binary is spawned as a user would
// spawn it, against a real authorization server.
//
// What is protected, in every cell of the matrix:
// - the order of the stream, `seq` without a gap, exactly one `result`, and nothing else on stdout;
// - `exit_code` is what the process exits with, and it is gone within a second of saying so;
// - what a person reads says the same, and where stdout is a terminal it is all there is;
// - no secret: neither on stdout, nor on stderr, nor in an argument list;
// - nothing stays behind: no process, no listener, and no credential unless the login was a success.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { spawn as spawnPty } from "@lydell/node-pty";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Column, type Ending, filesIn, type Matrix, openMatrix, undrawn } from "./support/matrix.ts";
import { visit } from "./support/person.ts";
import { authline, binary, leftovers, type Run, type Running, sweep, tempHome } from "./support/spawn.ts";
import { checkStream, leaks } from "./support/stream.ts";
import type { Tenant } from "./support/tenants.ts";

// --- columns: who reads ----------------------------------------------------------------------------------------------

const onStdout = { stream: ({ stdout }: Run) => String(stdout), words: ({ stderr }: Run) => stderr };
/** Both on one screen. A line of the stream begins as an object does, but for the echo of a Ctrl-C. */
const screen = ({ stdout }: Run) =>
  String(stdout)
    .split(/(?<=\n)/)
    .map((line) => line.replace(/^\^C/, "").replace("\r\n", "\n"));
const mixed = {
  stream: (run: Run) =>
    screen(run)
      .filter((line) => line.startsWith("{"))
      .join(""),
  words: (run: Run) =>
    screen(run)
      .filter((line) => !line.startsWith("{"))
      .join(""),
};

const columns = {
  "a fast pipe": { sink: "pipe", ...onStdout },
  "a slow pipe": { sink: "slow", ...onStdout },
  "a file": { sink: "file", ...onStdout },
  "nobody: fd 1 is closed": { sink: "closed", words: ({ stderr }) => stderr },
  "a pipe beside a terminal": { sink: "pty-stderr", ...onStdout, drawn: true },
  "a terminal": { sink: "pty", words: ({ stdout }) => String(stdout), drawn: true, reveals: true },
  "a terminal with --json": { sink: "pty", flags: ["--json"], ...mixed },
} as const satisfies Record<string, Column>;

type Reader = keyof typeof columns;

// --- rows: how it ends -----------------------------------------------------------------------------------------------

const CONNECTION = "default@matrix.json";
const SIGNED_IN = { status: "success", exit: 0, says: /^Signed in to /, keeps: [CONNECTION] };
const DENIED = { status: "error", code: "denied", exit: 77, says: /^The request was denied\.$/ };
const CANCELLED = { status: "cancelled", code: "cancelled", exit: 2 };
const BUG = { status: "error", code: "internal", exit: 70 };
const STORE = { status: "error", code: "store", exit: 74 };

/** `not`: the readers with whom it cannot happen, and why. */
const endings: Record<string, Ending & { not?: Partial<Record<Reader, string>> }> = {
  "signed in by device code": {
    meanwhile: ({ approve }) => approve(),
    order: /^p+dp+r$/,
    ...SIGNED_IN,
  },
  "signed in by redirect": {
    flow: "authorization_code",
    meanwhile: async ({ approve }) => expect(await approve()).toMatchObject({ status: 200 }),
    order: /^p+ap+r$/,
    ...SIGNED_IN,
  },
  "signed in while dependencies print": {
    faults: "noisy",
    meanwhile: ({ approve }) => approve(),
    order: /^p+dp+r$/,
    ...SIGNED_IN,
  },
  "denied at the device": {
    meanwhile: ({ deny }) => deny(),
    order: /^p+dp*r$/,
    ...DENIED,
  },
  "denied at the redirect": {
    flow: "authorization_code",
    meanwhile: ({ deny }) => deny(),
    order: /^p+ap*r$/,
    ...DENIED,
  },
  "the device code expires": {
    deviceCodeTtl: 1,
    meanwhile: ({ challenge }) => challenge(),
    byItself: true,
    order: /^p+dp*r$/,
    status: "error",
    code: "expired",
    exit: 75,
    says: /^Nobody approved the request in time\.$/,
  },
  "nobody comes within --timeout": {
    argv: ["login", "--timeout", "1s"],
    flow: "authorization_code",
    meanwhile: ({ challenge }) => challenge(),
    byItself: true,
    order: /^p+ap*r$/,
    status: "error",
    code: "timeout",
    exit: 75,
    says: /^Nobody signed in before the time was up\.$/,
  },
  "SIGINT, or Ctrl-C": {
    flow: "authorization_code",
    meanwhile: async ({ challenge, interrupt }) => (await challenge()) && interrupt(),
    order: /^p+ap*r$/,
    ...CANCELLED,
    says: /^Cancelled by SIGINT; the sign-in itself stays open\.$/,
  },
  SIGTERM: {
    flow: "authorization_code",
    meanwhile: async ({ challenge, running }) => (await challenge()) && running.kill("SIGTERM"),
    order: /^p+ap*r$/,
    ...CANCELLED,
    says: /^Cancelled by SIGTERM; the sign-in itself stays open\.$/,
  },
  SIGHUP: {
    meanwhile: async ({ challenge, running }) => (await challenge()) && running.kill("SIGHUP"),
    order: /^p+dp*r$/,
    ...CANCELLED,
    says: /^Cancelled by SIGHUP; the sign-in itself stays open\.$/,
  },
  "a signal to which a dependency is deaf": {
    faults: "deaf",
    async meanwhile({ underWay, running }) {
      await underWay();
      // Cancelled, the flow has 700 ms to tidy up. One signal must not be taken for two.
      expect(await lasts(running, () => running.kill("SIGTERM"))).toBeGreaterThan(650);
    },
    order: /^pr$/,
    ...CANCELLED,
    says: /^Cancelled by SIGTERM\.$/,
  },
  "a second signal, which waits for nobody": {
    faults: "deaf",
    async meanwhile({ underWay, running }) {
      await underWay();
      const first = "SIGINT";
      const second = "SIGTERM"; // two of one kind may be delivered as one
      expect(await lasts(running, () => running.kill(first) && running.kill(second))).toBeLessThan(600);
    },
    order: /^pr$/,
    ...CANCELLED,
    says: /^Cancelled by SIG(INT|TERM)\.$/,
  },
  "the reader goes away": {
    flow: "authorization_code",
    async meanwhile({ challenge, running }) {
      const { redirect_uri } = await challenge();
      await running.next(({ step }) => step === "await_user");
      running.hangUp();
      await visit(new URL("/stray", redirect_uri)); // makes it say something
    },
    order: /^p+ap$/,
    exit: 141,
    also: (run, column) =>
      undrawn(column.words(run))
        .trimEnd()
        .endsWith(String(run.events.at(-1)?.message))
        ? []
        : ["it was not silent"],
    not: {
      "nobody: fd 1 is closed": "there was none",
      "a file": "it cannot",
      "a terminal": "it takes everything along: see below",
      "a terminal with --json": "the same",
    },
  },
  "the port is taken": {
    argv: ["login", "--redirect-uri", "{taken}"],
    flow: "authorization_code",
    order: /^p+r$/,
    status: "error",
    code: "locked",
    exit: 75,
    says: /^Port \d+ on 127\.0\.0\.1 is in use by another program\.$/,
  },
  "the store cannot be written": {
    before(home) {
      writeFileSync(path.join(home, "file"), "");
      return path.join(home, "file", "below"); // where not even root can make a directory
    },
    order: /^r$/,
    ...STORE,
    says: /^Cannot (create|read) .*\(ENOTDIR\)\.$/,
  },
  "the store is lost while somebody signs in": {
    async meanwhile({ challenge, home, approve }) {
      await challenge();
      rmSync(path.join(home, "connections"), { recursive: true });
      writeFileSync(path.join(home, "connections"), "");
      await approve();
    },
    order: /^p+dp+r$/,
    ...STORE,
    says: /^Cannot (create|write|read) .*\.$/,
  },
  "a callback throws": { faults: "throw", order: /^pr$/, ...BUG, says: /bug of its own: a thrown string\.$/ },
  "nobody handles a rejection": { faults: "rejection", order: /^pr$/, ...BUG, says: /bug of its own: TypeError/ },
  "an await never settles": { faults: "unsettled", order: /^pr$/, ...BUG, says: /ended before its work was done/ },
  "the event loop runs dry": { faults: "drain", order: /^pr$/, ...BUG, says: /ended before its work was done/ },
  "a dependency exits with 0": { faults: "exit", order: /^pr$/, ...BUG, says: /ended before its work was done/ },
  "a misspelt option": {
    argv: ["login", "--tiemout", "1s"],
    order: /^r$/,
    status: "error",
    code: "usage",
    exit: 64,
    says: /^There is no option --tiemout for login\.$/,
  },
  "a token": {
    argv: ["token", "matrix"],
    before: (home, tenant) => signIn(home, tenant),
    order: /^r$/,
    status: "success",
    exit: 0,
    says: /^Access token for matrix\.$/,
    keeps: [CONNECTION],
  },
  "no token, for nobody is signed in": {
    argv: ["token", "github"],
    order: /^r$/,
    status: "error",
    code: "auth_required",
    exit: 4,
    says: /^Nobody is signed in to github\.$/,
  },
};

/** How long it goes on after that, in milliseconds. */
async function lasts({ done }: Running, action: () => unknown): Promise<number> {
  const startedAt = performance.now();
  action();
  await done;
  return performance.now() - startedAt;
}

async function signIn(home: string, tenant: Tenant): Promise<void> {
  const { code } = await authline(matrix.loginArgv(tenant, "client_credentials"), { home, env: matrix.envOf(tenant) })
    .done;
  expect(code).toBe(0);
}

// --- the matrix ------------------------------------------------------------------------------------------------------

let matrix: Matrix;
beforeAll(async () => {
  matrix = await openMatrix();
});
afterAll(async () => {
  const left = await sweep();
  await matrix?.close();
  expect(left).toEqual([]);
});

describe.concurrent("the matrix", () => {
  for (const [how, { not = {}, ...ending }] of Object.entries(endings)) {
    const readers = Object.keys(columns) as Reader[];
    for (const reader of readers.filter((each) => not[each] === undefined)) {
      test(`${how}, read by ${reader}`, async () => {
        expect(await matrix.faultsOf(ending, columns[reader])).toEqual([]);
      });
    }
  }
});

/** Flag beats variable beats detection; and nothing else has a say. */
describe.concurrent("there is a stream", () => {
  const off = { words: columns["a terminal"].words, drawn: true } as const;
  const ending = endings["the port is taken"] as Ending;
  test.each<[string, Column]>([
    ["on a terminal with AUTHLINE_JSON=1", { sink: "pty", env: { AUTHLINE_JSON: "1" }, ...mixed }],
    ["not on a terminal with AUTHLINE_JSON=0", { sink: "pty", env: { AUTHLINE_JSON: "0" }, ...off }],
    [
      "not on a terminal with AUTHLINE_JSON=1 --no-json",
      { sink: "pty", env: { AUTHLINE_JSON: "1" }, flags: ["--no-json"], ...off },
    ],
    [
      "not on a terminal with CI=1, AI_AGENT=1 and the like",
      { sink: "pty", env: { CI: "1", GITHUB_ACTIONS: "true", AI_AGENT: "1" }, ...off },
    ],
    ["on a pipe with AUTHLINE_JSON=0", { sink: "pipe", env: { AUTHLINE_JSON: "0" }, ...onStdout }],
    ["not on a pipe with --no-json", { sink: "pipe", flags: ["--no-json"], words: ({ stderr }) => stderr }],
    [
      "not beside a terminal with --no-json",
      { sink: "pty-stderr", flags: ["--no-json"], words: ({ stderr }) => stderr, drawn: true },
    ],
  ])("%s", async (_, column) => {
    expect(await matrix.faultsOf(ending, column)).toEqual([]);
  });
});

// --- what is no column -----------------------------------------------------------------------------------------------

describe.concurrent("a reader who leaves", () => {
  test("after the first line (| head -1): exit code 141, in silence, and nothing is stored", async () => {
    const tenant = await matrix.server.enrol();
    const argv = matrix.loginArgv(tenant, "device_code");
    const run = await authline(argv, { sink: "gone", env: matrix.envOf(tenant) }).done;
    expect(run).toMatchObject({ code: 141, signal: null });
    expect(checkStream(run.stdout, { command: "login", secrets: tenant.secrets(), partial: true })).toEqual([]);
    expect(run.events).toHaveLength(1);
    expect(run.stderr).not.toMatch(/cancel|error|EPIPE|written/i);
    expect(filesIn(path.join(run.home, "connections"))).toEqual([]);
    expect(await leftovers(run)).toEqual([]);
  });

  test("while somebody is waited for: exit code 141, in silence, and the sign-in can be gone on with", async () => {
    const tenant = await matrix.server.enrol();
    const running = authline(matrix.loginArgv(tenant, "device_code"), { env: matrix.envOf(tenant) });
    const { message, session_id } = await running.next("device_code");
    running.hangUp();
    const run = await running.done;
    await matrix.server.approveDevice(await tenant.userCode);
    await authline(["session", "wait", String(session_id)], { home: run.home }).done;
    expect(run).toMatchObject({ code: 141, signal: null });
    expect(run.stderr).toContain(message);
    expect(run.stderr).not.toMatch(/Signed in|cancel|error|EPIPE|written/i);
    expect(leaks(run.stderr, tenant.secrets())).toEqual([]);
    const { events } = await authline(["token", "matrix"], { home: run.home }).done;
    expect(await matrix.server.isActive(events.at(-1)?.data?.access_token)).toBe(true);
  });

  test("of stderr: the stream goes on", async () => {
    const tenant = await matrix.server.enrol();
    const home = tempHome();
    const child = start(matrix.loginArgv(tenant, "client_credentials"), home, "pipe", matrix.envOf(tenant));
    child.stderr?.destroy();
    const ended = once(child, "exit");
    const stream = await text(child.stdout as Readable);
    const [exitCode] = await ended;
    expect(exitCode).toBe(0);
    expect(checkStream(stream, { command: "login", exitCode, secrets: tenant.secrets() })).toEqual([]);
    expect(filesIn(path.join(home, "connections"))).toEqual([CONNECTION]);
  });

  // With which exit code, nobody is left to ask; and Node aborts when it finds no terminal to restore.
  test("with the terminal, when its window is closed: it is gone, and nothing stays behind", async ({
    onTestFinished,
  }) => {
    const tenant = await matrix.server.enrol();
    const home = tempHome();
    const argv = [binary, ...matrix.loginArgv(tenant, "device_code")];
    const terminal = spawnPty(process.execPath, argv, { env: environment(home, matrix.envOf(tenant)), cwd: home });
    onTestFinished(() => terminal.kill("SIGKILL"));
    const gone = new Promise((resolve) => terminal.onExit(resolve));
    await tenant.userCode;
    (terminal as unknown as { destroy(): void }).destroy();
    await gone;
    expect(filesIn(path.join(home, "connections"))).toEqual([]);
    expect(await leftovers({ pid: terminal.pid, home })).toEqual([]);
  });
});

describe("what is written", () => {
  test.runIf(existsSync("/dev/full"))("to a full disk is lost, and the exit code says so: 74", async () => {
    const tenant = await matrix.server.enrol();
    const home = tempHome();
    const full = openSync("/dev/full", "w");
    const child = start(matrix.loginArgv(tenant, "device_code"), home, full, matrix.envOf(tenant));
    closeSync(full);
    const ended = once(child, "exit");
    const words = await text(child.stderr as Readable);
    expect(await ended).toEqual([74, null]);
    expect(words).toMatch(/stdout.*ENOSPC|ENOSPC.*stdout/);
    expect(leaks(words, tenant.secrets())).toEqual([]);
    expect(filesIn(path.join(home, "connections"))).toEqual([]);
  });

  test("is whole, though the reader is slow, the line longer than the pipe, and the pipe made non-blocking", async () => {
    const tenant = await matrix.server.enrol();
    const home = tempHome();
    await signIn(home, tenant);
    const connections = path.join(home, "connections");
    const record = JSON.parse(readFileSync(path.join(connections, CONNECTION), "utf8"));
    for (let each = 0; each < 400; each++) {
      const name = `account-${each}`;
      writeFileSync(path.join(connections, `${name}@matrix.json`), JSON.stringify({ ...record, connection: name }));
    }
    const run = await authline(["status"], { home, sink: "slow", faults: "nonblocking" }).done;
    expect(checkStream(run.stdout, { command: "status", exitCode: run.code, secrets: tenant.secrets() })).toEqual([]);
    expect(run.stdout.length).toBeGreaterThan(65_536);
    expect(run.events.at(-1)?.data.connections).toHaveLength(401);
  });
});

const environment = (home: string, env: Record<string, string>): Record<string, string> => ({
  PATH: process.env["PATH"] ?? "",
  HOME: home,
  AUTHLINE_HOME: home,
  ...env,
});

/** Started with a stdout that the harness does not have. */
const start = (argv: string[], home: string, stdout: "pipe" | number, env: Record<string, string>) =>
  spawn(process.execPath, [binary, ...argv], {
    env: environment(home, env),
    stdio: ["ignore", stdout, "pipe"],
    timeout: 20_000,
    killSignal: "SIGKILL",
  });
