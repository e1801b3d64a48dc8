// The tests' own tools, tested: an oracle that says yes to everything, or a sink that reads like any other, would let
// every other test pass. `support/stand-in.mjs` plays the binary here.

import { createPublicKey, verify } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  endless,
  type HostileServer,
  hang,
  huge,
  jwks,
  metadata,
  raw,
  reset,
  signIdToken,
  signingKey,
  startHostileServer,
} from "./support/hostile-server.ts";
import { checkStream, leaks, parseStream } from "./support/stream.ts";

// `binary` is settled when spawn.ts is loaded.
vi.stubEnv("AUTHLINE_BIN", fileURLToPath(new URL("support/stand-in.mjs", import.meta.url)));
const { authline, leftovers, sweep, tempHome } = await import("./support/spawn.ts");

type Line = Record<string, unknown>;
const at = (seconds: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, seconds)).toISOString();
const progress: Line = { phase: "progress", step: "discover", state: "done", message: "Found it." };
const authUrl: Line = {
  phase: "auth_url",
  message: "Open https://as.example/authorize?state=s3cretstate",
  provider: "p",
  connection: "c",
  auth_url: "https://as.example/authorize?state=s3cretstate",
  redirect_uri: "http://127.0.0.1:1/callback",
  reach: "this_host",
  expires_at: at(60),
  expires_in: 60,
  browser_opened: false,
  next_actions: [{ id: "wait", argv: ["authline", "session", "wait", "sess_1"], description: "Wait for it" }],
};
const deviceCode: Line = {
  phase: "device_code",
  message: "Enter ABCD at https://as.example/device",
  provider: "p",
  connection: "c",
  user_code: "ABCD",
  verification_uri: "https://as.example/device",
  expires_at: at(60),
  expires_in: 60,
  interval: 5,
  next_actions: [],
};
const end = { phase: "result", message: "Over.", duration_ms: 12, warnings: [], next_actions: [] };
const signedIn = { provider: "p", connection: "c", record_status: "connected" };
const success: Line = { ...end, status: "success", exit_code: 0, data: signedIn };
const handedOut = {
  provider: "p",
  connection: "c",
  token_type: "bearer",
  header: { name: "Authorization", prefix: "Bearer " },
  refreshed: false,
  source: "store",
};
const failure = (code: string, exit_code: number): Line => ({
  ...end,
  status: code === "cancelled" ? "cancelled" : "error",
  exit_code,
  error: { code, message: "It went wrong.", retryable: false },
});

const refused = (reason: unknown) => {
  const line = failure("denied", 77);
  return { ...line, error: { ...Object(line["error"]), reason } };
};

/** Lines with the fields of every line filled in; a line may override them. */
const stream = (...lines: Line[]) =>
  lines
    .map((line, seq) => `${JSON.stringify({ v: 1, seq, time: at(seq), command: "login", message: "Hi.", ...line })}\n`)
    .join("");
const without = (line: Line, field: string) => ({ ...line, [field]: undefined });

describe("checkStream accepts", () => {
  test.each<[string, string, Parameters<typeof checkStream>[1]?]>([
    ["a result alone", stream(success)],
    ["progress, challenges and more progress", stream(progress, authUrl, progress, deviceCode, progress, success)],
    ["the command and the exit code that were expected", stream(success), { command: "login", exitCode: 0 }],
    ["every failure with its exit code", stream(failure("denied", 77)), { exitCode: 77 }],
    ["a cancelled login", stream(failure("cancelled", 2)), { exitCode: 2 }],
    ["fields that it does not know", stream({ ...success, more: 1 })],
    ["a long document", stream({ ...success, command: "schema", data: { schema: { title: "x".repeat(9000) } } })],
    ["a schema that names credentials", stream({ ...success, data: { schema: { refresh_token: {} } } })],
    [
      "a token where it may stand",
      stream({ ...success, command: "token", data: { ...handedOut, access_token: "t0ken" } }),
      { secrets: ["t0ken"], allow: { "data.access_token": ["t0ken"] } },
    ],
    [
      "state inside the URL and its repetition",
      stream(authUrl, success),
      { secrets: ["s3cretstate"], allow: { auth_url: ["s3cretstate"] } },
    ],
    ["a stream that breaks off, where it may", stream(progress).slice(0, -5), { partial: true }],
    ["letters of any language", stream({ ...success, message: "Angemeldet: Zoë 🦊 日本" })],
  ])("%s", (_name, bytes, expected) => {
    expect(checkStream(bytes, expected)).toEqual([]);
  });
});

describe("checkStream finds", () => {
  test.each<[string, string | Buffer, RegExp, Parameters<typeof checkStream>[1]?]>([
    ["an empty stream", "", /no result/],
    ["bytes that are not UTF-8", Buffer.from(`${stream(success).replace("Over", "\xff")}`, "latin1"), /UTF-8/],
    ["a byte order mark", `\uFEFF${stream(success)}`, /line 1: not one JSON object/],
    ["a foreign line", `[dotenv] hi\n${stream(success)}`, /line 1: not one JSON object: "\[dotenv/],
    ["an empty line", `${stream(success)}\n`, /line 2: not one JSON object/],
    ["CRLF", stream(success).replace("\n", "\r\n"), /foreign bytes/],
    ["a list", `[]\n${stream(success)}`, /line 1: not one JSON object/],
    ["two objects on a line", stream(progress, success).replace("\n", ""), /not one JSON object/],
    ["a missing newline", stream(success).trimEnd(), /does not end in a newline/],
    ["a line of 4097 bytes", stream({ ...progress, reason: "x".repeat(4096) }, success), /bytes long/],
    ["a long result of a login", stream({ ...success, data: { session_id: "s", x: "x".repeat(4096) } }), /bytes long/],
    ["a lost line", stream(progress, progress, success).replace(/\n.*\n/, "\n"), /seq is 2, expected 1/],
    ["another version", stream({ ...success, v: 2 }), /v is 2/],
    ["local time", stream({ ...success, time: "2026-01-01T00:00:00.000+01:00" }), /RFC 3339/],
    ["time without milliseconds", stream({ ...success, time: "2026-01-01T00:00:00Z" }), /RFC 3339/],
    ["the 31st of February", stream({ ...success, time: "2026-02-31T00:00:00.000Z" }), /RFC 3339/],
    ["time that runs backwards", stream({ ...progress, time: at(5) }, success), /is before/],
    ["a command that changes", stream(progress, { ...success, command: "logout" }), /command changed/],
    ["another command than expected", stream(success), /expected token/, { command: "token" }],
    ["a fifth phase", stream({ ...progress, phase: "debug" }, success), /phase is "debug"/],
    ["a phase named after a method", stream({ ...progress, phase: "toString" }, success), /phase is "toString"/],
    ["no message", stream(without(progress, "message"), success), /message is undefined/],
    ["an empty message", stream({ ...progress, message: "" }, success), /message is ""/],
    ["an escape sequence", stream({ ...progress, message: "\x1b[2Jboo" }, success), /control characters/],
    ["a C1 control", stream({ ...progress, message: "\x9b2J" }, success), /control characters/],
    ["DEL", stream({ ...progress, message: "a\x7f" }, success), /control characters/],
    ["a bidi override", stream({ ...progress, message: "a\u202etxt" }, success), /control characters/],
    ["half a surrogate pair", stream({ ...progress, message: "\ud83e" }, success), /control characters/],
    ["a field in camelCase", stream({ ...success, exitCode: 0 }), /exitCode is not snake_case/],
    ["an unknown state", stream({ ...progress, state: "running" }, success), /state is "running"/],
    ["a URL that is no URL", stream({ ...authUrl, auth_url: "javascript:alert(1)" }, success), /auth_url is/],
    ["a challenge without its code", stream(without(deviceCode, "user_code"), success), /user_code is undefined/],
    [
      "a challenge from another command",
      stream({ ...authUrl, command: "token" }, { ...success, command: "token" }),
      /auth_url comes from "token"/,
    ],
    [
      "an action that runs something else",
      stream({ ...success, next_actions: [{ id: "x", argv: ["rm"], description: "x" }] }),
      /next_actions/,
    ],
    ["RFC 8628's device_code", stream({ ...deviceCode, device_code: "x" }, success), /device_code is a credential/],
    ["a refresh token", stream({ ...success, data: { a: [{ refresh_token: "x" }] } }), /refresh_token is a credential/],
    ["an access token in a login", stream({ ...success, data: { access_token: "x" } }), /login puts an access token/],
    ["a stream without a result", stream(progress), /no result/],
    ["two results", stream(success, success), /2 results/],
    ["something after the result", stream(success, progress), /a progress after the result/],
    ["two sessions", stream({ ...progress, session_id: "sess_1" }, { ...success, session_id: "sess_2" }), /session_id/],
    ["an unknown status", stream({ ...success, status: "ok" }), /status is "ok"/],
    ["an exit code that does not fit the status", stream({ ...success, exit_code: 1 }), /exit_code is 1, expected 0/],
    ["an exit code that does not fit the error", stream(failure("denied", 1)), /exit_code is 1, expected 77/],
    ["an exit code that is not the process's", stream(success), /exited with 70/, { exitCode: 70 }],
    ["a process that a signal ended", stream(success), /exited with null/, { exitCode: null }],
    ["an unknown error code", stream(failure("oops", 1)), /error.code "oops" is unknown/],
    ["started, but not by login", stream({ ...success, status: "started", command: "token" }), /started comes from/],
    ["data beside an error", stream({ ...failure("denied", 77), data: {} }), /has data/],
    ["an error beside data", stream({ ...success, error: { code: "denied" } }), /has an error/],
    ["data of no kind", stream({ ...success, data: { surprise: 1 } }), /no entry of the schema/],
    [
      "data with a wrong field",
      stream({ ...success, data: { ...signedIn, account: 7 } }),
      /data\/account must be string/,
    ],
    [
      "no time of day",
      stream({ ...success, data: { ...signedIn, expires_at: "soon" } }),
      /data\/expires_at must match/,
    ],
    ["an error's wrong field", stream({ ...end, ...refused(7) }), /error\/reason must be string/],
    ["a success without data", stream(without(success, "data")), /data is undefined/],
    ["a failure without an error", stream(without(failure("denied", 77), "error")), /error is undefined/],
    ["a result without warnings", stream(without(success, "warnings")), /warnings is undefined/],
    ["a result without duration_ms", stream(without(success, "duration_ms")), /duration_ms is undefined/],
    ["a secret", stream({ ...success, hint: "a s3cret b" }), /line 1: shows the secret/, { secrets: ["s3cret"] }],
    [
      "an escaped secret",
      stream({ ...success, hint: "s3cret" }).replace("s3c", "s3\\u0063"),
      /secret/,
      { secrets: ["s3cret"] },
    ],
    ["a percent-encoded secret", stream({ ...success, hint: "a%2Fb" }), /secret/, { secrets: ["a/b"] }],
    ["a secret in base64", stream({ ...success, hint: btoa("s3cret") }), /secret/, { secrets: ["s3cret"] }],
    ["a secret in a foreign line", `s3cret\n${stream(success)}`, /secret/, { secrets: ["s3cret"] }],
    [
      "a secret in a field given twice",
      stream(success).replace('"v":1', '"v":1,"hint":"s3cret","hint":""'),
      /secret/,
      { secrets: ["s3cret"] },
    ],
    [
      "an allowed secret in another field too",
      stream({ ...success, command: "token", hint: "t0ken", data: { access_token: "t0ken" } }),
      /secret/,
      { secrets: ["t0ken"], allow: { "data.access_token": ["t0ken"] } },
    ],
    [
      "state outside the URL",
      stream({ ...authUrl, message: "s3cretstate" }, success),
      /secret/,
      { secrets: ["s3cretstate"], allow: { auth_url: ["s3cretstate"] } },
    ],
    [
      "another secret where one is allowed",
      stream(authUrl, success),
      /secret/,
      { secrets: ["s3cretstate"], allow: { auth_url: ["other"] } },
    ],
  ])("%s", (_name, bytes, fault, expected) => {
    const found = checkStream(bytes, expected);
    expect(found.join("\n")).toMatch(fault);
    expect(found.length).toBeLessThanOrEqual(4); // one misdeed is not a landslide
  });

  test("nothing in an empty secret but a mistake of the test", () => {
    expect(() => checkStream(stream(success), { secrets: [""] })).toThrow(/empty secret/);
  });
});

test("parseStream takes what it can read", () => {
  expect(parseStream(`noise\n${stream(progress)}[1]\n{"half`).map((event) => event.phase)).toEqual(["progress"]);
});

test("leaks looks for the same disguises elsewhere", () => {
  expect(leaks("token=a%2Fb", ["a/b", "other"])).toEqual(['shows the secret "a/b…"']);
});

describe("authline", () => {
  afterEach(async () => {
    await sweep();
  });

  test("pipe: streams, exit code and environment as a user has them", async () => {
    const run = await authline(["ok"], { env: { EXTRA: "1" } }).done;
    expect(checkStream(run.stdout, { command: "login", exitCode: run.code })).toEqual([]);
    expect(run).toMatchObject({ stderr: "for people\n", code: 0, signal: null });
    const { env } = run.events.at(-1)?.data ?? {};
    expect(env).toMatchObject({ HOME: run.home, AUTHLINE_HOME: run.home, EXTRA: "1" });
    const allowed = ["PATH", "TMPDIR", "LANG", "HOME", "AUTHLINE_HOME", "EXTRA"];
    expect(Object.keys(env).filter((name) => !allowed.includes(name))).toEqual([]);
    expect(run.lingeredMs).toBeLessThan(run.durationMs);
    expect(await leftovers(run)).toEqual([]);
  });

  test("the same home twice, a variable taken away", async () => {
    const home = tempHome();
    const run = await authline(["ok"], { home, env: { LANG: undefined } }).done;
    expect(run.home).toBe(home);
    expect(run.events.at(-1)?.data.env).not.toHaveProperty("LANG");
  });

  test("next awaits events in order, kill sends a signal", async () => {
    const running = authline(["wait"]);
    expect((await running.next("progress")).state).toBe("waiting");
    expect(running.kill("SIGTERM")).toBe(true);
    expect((await running.next((event) => event.phase === "result")).status).toBe("cancelled");
    await expect(running.next("progress")).rejects.toThrow(/the stream ended/);
    const run = await running.done;
    expect(checkStream(run.stdout, { exitCode: run.code })).toEqual([]);
    expect(run.code).toBe(2);
    expect(running.kill("SIGTERM")).toBe(false);
  });

  test("a signal that nobody handles is told apart from an exit code", async () => {
    const running = authline(["wait"]);
    await running.next("progress");
    running.kill("SIGKILL");
    expect(await running.done).toMatchObject({ code: null, signal: "SIGKILL" });
  });

  test("foreign bytes are kept for the oracle", async () => {
    const run = await authline(["noisy"]).done;
    expect(run.events).toHaveLength(2);
    expect(checkStream(run.stdout)).toEqual([expect.stringMatching(/line 2: not one JSON object/)]);
  });

  test("slow: everything arrives, however long it takes", async () => {
    const run = await authline(["lots"], { sink: "slow" }).done;
    expect(checkStream(run.stdout, { exitCode: 0 })).toEqual([]);
    expect(run.events).toHaveLength(601);
    expect(run.events.at(-1)?.data.sawEagain).toBe(false);
    expect(run.durationMs).toBeGreaterThan(500); // 300 kB, 512 bytes a millisecond
  });

  test("closed: there is no stdout", async () => {
    const run = await authline(["ok"], { sink: "closed" }).done;
    expect(run).toMatchObject({ code: 0, stderr: "for people\n" });
    expect(run.stdout).toHaveLength(0);
  });

  test("gone: one line, then EPIPE", async () => {
    const run = await authline(["lots"], { sink: "gone" }).done;
    expect(run).toMatchObject({ code: 141, stderr: "" });
    expect(run.events).toHaveLength(1);
    expect(checkStream(run.stdout, { partial: true })).toEqual([]);
  });

  test("hangUp: the reader leaves when the test says so", async () => {
    const running = authline(["echo"], { stdin: "held-open" });
    await running.next("progress");
    running.hangUp();
    running.write("anything");
    expect((await running.done).code).toBe(141);
  });

  test("file: can be followed, and is whole at the end", async () => {
    const running = authline(["wait"], { sink: "file" });
    await running.next("progress");
    running.kill("SIGTERM");
    const run = await running.done;
    expect(checkStream(run.stdout, { exitCode: 2 })).toEqual([]);
    expect(run.events).toHaveLength(2);
  });

  test("pty: stdin, stdout and stderr are one terminal", async () => {
    const run = await authline(["tty"], { sink: "pty", cols: 43, rows: 12 }).done;
    expect(run.code).toBe(0);
    expect(run.events.at(-1)?.data).toMatchObject({ tty: [true, true, true], columns: 43 });
  });

  test("pty: exit codes, signals and typing come through", async () => {
    const waiting = authline(["wait"], { sink: "pty" });
    await waiting.next("progress");
    waiting.kill("SIGTERM");
    expect(await waiting.done).toMatchObject({ code: 2, signal: null });

    const interrupted = authline(["wait"], { sink: "pty" });
    await interrupted.next("progress");
    interrupted.write("\x03");
    expect(await interrupted.done).toMatchObject({ code: null, signal: "SIGINT" });
  });

  test("pty: however much it is, the end of it comes through", async () => {
    for (let time = 0; time < 5; time++) {
      const { stdout, events, code } = await authline(["lots"], { sink: "pty" }).done;
      expect([events.length, code, String(stdout).endsWith("}\r\n")]).toEqual([601, 0, true]);
    }
  });

  test("pty-stderr: a pipe beside a terminal", async () => {
    const run = await authline(["tty"], { sink: "pty-stderr", cols: 43 }).done;
    expect(run.events.at(-1)?.data).toMatchObject({ tty: [true, false, true], columns: 43 });
    const words = await authline(["ok"], { sink: "pty-stderr" }).done;
    expect(checkStream(words.stdout, { exitCode: words.code })).toEqual([]);
    expect(words.stderr).toBe("for people\r\n");
  });

  test.each(["pipe", "pty"] as const)("stdin reaches the child (%s)", async (sink) => {
    const run = await authline(["echo"], { sink, stdin: "hello\n" }).done;
    expect(run.events.at(-1)?.data.said).toBe("hello\n");
  });

  test.runIf(process.platform === "linux")("leftovers finds what left its process group, sweep ends it", async () => {
    const run = await authline(["litter"]).done;
    const [left, ...more] = await leftovers(run, 50);
    expect(more).toEqual([]);
    expect(left).toContain("setInterval");
    expect(await sweep()).toEqual([left]);
    expect(await leftovers(run, 0)).toEqual([]);
  });

  test("a child that cannot be started fails, and nobody else is blamed", async () => {
    const running = authline(["ok"], { cwd: "/nowhere/at/all" });
    await expect(running.done).rejects.toThrow(/ENOENT/);
    expect(await leftovers(running, 0)).toEqual([]);
  });

  test("a run that does not end is ended, and says what it said", async () => {
    const running = authline(["hang"], { timeoutMs: 300 });
    await expect(running.done).rejects.toThrow(/did not end within 300 ms\nstdout: /);
    expect(await leftovers(running)).toEqual([]);
  });
});

describe("faults", () => {
  let server: HostileServer;
  beforeEach(async () => {
    server = await startHostileServer({ "GET /": { text: "pong" } });
  });
  afterEach(async () => {
    await sweep();
    await server.close();
  });
  const fetching = (faults: string, options = {}) => authline(["fetch", server.url], { faults, ...options });

  test("noisy talks on stdout, at once and later", async () => {
    const run = await fetching("noisy").done;
    const said = String(run.stdout).match(/\[dotenv@17\]/g) ?? [];
    expect(said.length).toBeGreaterThan(1);
    expect(run.events.at(-1)?.data).toMatchObject({ body: "pong" });
  });

  test.each([
    ["throw", 1, /thrown by a dependency/],
    ["rejection", 1, /rejected by a dependency/],
    ["unsettled", 13, /^$|unsettled top-level await/],
    ["drain", 13, /^$|unsettled top-level await/],
    ["exit", 0, /^$/],
  ])("%s ends the process without a result", async (name, code, words) => {
    const run = await fetching(name).done;
    expect(run.code).toBe(code);
    expect(run.stderr).toMatch(words);
    expect(checkStream(run.stdout)).toContain("the stream has no result");
  });

  test("deaf waits until it is killed", async () => {
    await expect(fetching("deaf", { timeoutMs: 500 }).done).rejects.toThrow(/did not end/);
  });

  test("nonblocking makes a full pipe fail with EAGAIN", async () => {
    const run = await authline(["lots"], { sink: "slow", faults: "nonblocking" }).done;
    expect(run.events.at(-1)?.data.sawEagain).toBe(true);
    expect(checkStream(run.stdout, { exitCode: 0 })).toEqual([]);
  });

  test("a name that does not exist is a mistake of the test", () => {
    expect(() => fetching("nosuch")).toThrow(/no such fault: nosuch/);
  });
});

describe("hostile server", () => {
  let server: HostileServer;
  const start = async (...args: Parameters<typeof startHostileServer>) => {
    server = await startHostileServer(...args);
    return server.url;
  };
  afterEach(() => server.close());

  test("answers from the table and records what was asked", async () => {
    const url = await start((issuer) => ({
      "GET /.well-known/openid-configuration": { json: metadata(issuer, { userinfo_endpoint: undefined, extra: 1 }) },
      "POST /token": { status: 400, headers: { "retry-after": "7" }, form: { error: "slow down" } },
      "* /any": (req) => ({ text: req.method ?? "" }),
    }));
    const document = await (await fetch(`${url}/.well-known/openid-configuration`)).json();
    expect(document).toMatchObject({ issuer: url, token_endpoint: `${url}/token`, extra: 1 });
    expect(document).not.toHaveProperty("userinfo_endpoint");

    const answer = await fetch(`${url}/token?x=1`, { method: "POST", body: new URLSearchParams({ code: "c" }) });
    expect([answer.status, answer.headers.get("retry-after"), await answer.text()]).toEqual([
      400,
      "7",
      "error=slow+down",
    ]);
    expect(await (await fetch(`${url}/any`, { method: "PUT" })).text()).toBe("PUT");
    expect((await fetch(`${url}/nowhere`)).status).toBe(404);
    expect(server.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "GET /.well-known/openid-configuration",
      "POST /token",
      "PUT /any",
      "GET /nowhere",
    ]);
    expect(server.requests[1]?.query.get("x")).toBe("1");
    expect(server.requests[1]?.form.get("code")).toBe("c");
  });

  test("plays a script and says what was not used", async () => {
    const url = await start({ "GET /": [{ text: "1" }, { text: "2" }] });
    expect(await (await fetch(url)).text()).toBe("1");
    expect(server.unused()).toEqual(["GET / (1 left)"]);
    expect(await (await fetch(url)).text()).toBe("2");
    expect(server.unused()).toEqual([]);
    expect(await (await fetch(url)).text()).toContain("used up");
  });

  test("hangs, and still closes", async () => {
    const url = await start({ "*": hang });
    const silent = connect(Number(new URL(url).port), "127.0.0.1"); // one that never asks anything
    await once(silent, "connect");
    const asked = fetch(url).catch((error: unknown) => error);
    await vi.waitUntil(() => server.requests.length === 1);
    silent.once("error", () => {});
    await server.close();
    expect(await asked).toBeInstanceOf(TypeError);
    server = await startHostileServer({});
  });

  test("resets, and says nonsense", async () => {
    const url = await start({ "GET /reset": reset, "GET /raw": raw("220 smtp ready\r\n\r\n") });
    await expect(fetch(`${url}/reset`)).rejects.toMatchObject({ cause: { code: "ECONNRESET" } });
    await expect(fetch(`${url}/raw`)).rejects.toMatchObject({ cause: { name: "HTTPParserError" } });
  });

  test("never ends", async () => {
    const url = await start({ "GET /": (_req, res) => endless(res, 1) });
    const reader = (await fetch(url)).body?.getReader();
    for (let i = 0; i < 5; i++) expect((await reader?.read())?.done).toBe(false);
    await reader?.cancel();
    await server.requests[0]?.closed;
  });

  test("is huge, but sends no more than the client takes", async () => {
    const url = await start({ "GET /": (_req, res) => huge(res), "GET /small": (_req, res) => huge(res, 100_000) });
    const reader = (await fetch(url)).body?.getReader();
    await reader?.read();
    await reader?.cancel();
    await server.requests[0]?.closed;
    expect(server.requests[0]?.sent()).toBeLessThan(50 * 1024 * 1024);
    expect(await (await fetch(`${url}/small`)).json()).toEqual({ access_token: "x".repeat(100_000) });
  });

  test.each(["RS256", "ES256"] as const)("signs ID tokens that its JWKS verifies (%s)", async (alg) => {
    await start({});
    const token = signIdToken({ sub: "a" }, { alg });
    const [head = "", claims = "", signature = ""] = token.split(".");
    const header = JSON.parse(String(Buffer.from(head, "base64url")));
    const jwk = jwks().keys.find((key) => "kid" in key && key.kid === header.kid);
    const key = createPublicKey({ key: { ...jwk }, format: "jwk" });
    const verified = verify(
      "sha256",
      Buffer.from(`${head}.${claims}`),
      { key, dsaEncoding: "ieee-p1363" },
      Buffer.from(signature, "base64url"),
    );
    expect([header.alg, verified]).toEqual([alg, true]);
    expect(JSON.stringify(jwks())).not.toContain('"d":'); // the public half only
  });

  test("forges ID tokens", async () => {
    await start({});
    const header = (token: string) => JSON.parse(String(Buffer.from(token.split(".")[0] ?? "", "base64url")));
    expect(signIdToken({}, { alg: "none" })).toMatch(/\.$/);
    expect(header(signIdToken({}, { alg: "HS256" }))).toEqual({ alg: "HS256", typ: "JWT", kid: signingKey().kid });
    expect(header(signIdToken({}, { kid: "else" })).kid).toBe("else");
    expect(header(signIdToken({}, { kid: null }))).not.toHaveProperty("kid");
  });
});

test("the oracle stands alone", () => {
  for (const file of ["stream", "spawn", "hostile-server"]) {
    expect(readFileSync(new URL(`support/${file}.ts`, import.meta.url), "utf8")).not.toMatch(/from "(\.\.\/)+src/);
  }
});
