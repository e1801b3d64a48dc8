/**
 * What goes where, and how it looks: the table at the head of src/modes.ts, line by line. Then the same of the built
 * binary, where it is more than a value: what is written, what is read, what is opened.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { type Flags, type Modes, modesOf } from "../src/modes.ts";
import { type HostileServer, startHostileServer } from "./support/hostile-server.ts";
import { authline, type Options, sweep, tempHome } from "./support/spawn.ts";

type Env = Record<string, string>;

/** Who is there. */
const seats = {
  nobody: { stdin: false, stdout: false, stderr: false },
  somebody: { stdin: true, stdout: true, stderr: true },
  "somebody behind a pipe": { stdin: true, stdout: false, stderr: true },
  "somebody with a log": { stdin: true, stdout: true, stderr: false },
};

const modes = (
  who: keyof typeof seats,
  env: Env,
  flags: Flags = {},
  columns?: number,
  platform: NodeJS.Platform = "linux",
) => modesOf({ env, platform, terminal: { ...seats[who], columns: () => columns } }, flags);

describe("the stream is written", () => {
  const [json, not] = [{ json: true }, { json: false }];
  const cases: [who: keyof typeof seats, env: Env, flags: Flags, stream: boolean][] = [
    ["nobody", {}, {}, true],
    ["nobody", {}, not, false],
    ["nobody", { AUTHLINE_JSON: "1" }, not, false],
    ["nobody", { CI: "1" }, {}, true],
    ["nobody", { AUTHLINE_FORCE_TTY: "1" }, {}, false],
    ["nobody", { AUTHLINE_FORCE_TTY: "true" }, {}, false],
    ["nobody", { AUTHLINE_FORCE_TTY: "yes" }, {}, true],
    ["nobody", { AUTHLINE_FORCE_TTY: "0" }, {}, true],
    ["nobody", { AUTHLINE_FORCE_TTY: "1" }, json, true],
    ["nobody", { AUTHLINE_FORCE_TTY: "1", AUTHLINE_JSON: "1" }, {}, true],
    ["somebody", {}, {}, false],
    ["somebody", {}, json, true],
    ["somebody", { AUTHLINE_JSON: "1" }, {}, true],
    ["somebody", { AUTHLINE_JSON: "true" }, {}, true],
    ["somebody", { AUTHLINE_JSON: "TRUE" }, {}, false],
    ["somebody", { AUTHLINE_JSON: "0" }, {}, false],
    ["somebody", { AUTHLINE_JSON: "" }, {}, false],
    ["somebody", { AUTHLINE_JSON: "1" }, not, false],
    ["somebody", { CI: "true" }, {}, false],
    ["somebody behind a pipe", {}, {}, true],
    ["somebody behind a pipe", {}, not, false],
    ["somebody with a log", {}, {}, false],
  ];
  test.each(cases)("%s, %j, %j: %s", (who, env, flags, stream) => {
    expect(modes(who, env, flags).stream).toBe(stream);
  });
});

describe("somebody may be asked", () => {
  const cases: [env: Env, prompt: boolean][] = [
    [{}, true],
    [{ AUTHLINE_NO_PROMPT: "1" }, false],
    [{ AUTHLINE_NO_PROMPT: "true" }, false],
    [{ AUTHLINE_NO_PROMPT: "yes" }, true],
    [{ AUTHLINE_NO_PROMPT: "0" }, true],
    [{ CI: "1" }, false],
    [{ CI: "woodpecker" }, false],
    [{ CI: "" }, true],
    [{ CI: "0" }, true],
    [{ CI: "false" }, true],
    [{ AUTHLINE_FORCE_TTY: "1", CI: "1" }, false],
  ];
  test.each(cases)("%j: %s", (env, prompt) => {
    const { look, ...found } = modes("somebody", env, { pastes: true });
    expect([found.prompt, look.paste]).toEqual([prompt, prompt]);
    expect(modes("somebody", env).look.paste).toBe(false); // to a command that does not listen
  });
});

describe("it looks", () => {
  const UTF8 = { LANG: "en_GB.UTF-8" };
  const VTE = { VTE_VERSION: "7600", TERM: "xterm-256color" };
  const plain = { terminal: false, live: false, colour: false, links: false, reveal: false };
  const drawn = { terminal: true, live: true, colour: true };
  const cases: [what: string, found: Modes, look: Partial<Modes["look"]>][] = [
    ["without a terminal", modes("nobody", {}), { ...plain, unicode: false, width: 80, quiet: false }],
    ["without a terminal, in colour", modes("nobody", { FORCE_COLOR: "1" }), { ...plain, colour: true }],
    ["with a log", modes("somebody with a log", VTE), plain],
    ["on a terminal", modes("somebody", {}), { ...drawn, links: false, reveal: true }],
    ["beside a pipe", modes("somebody behind a pipe", {}), { ...drawn, reveal: false }],
    [
      "beside a pipe that gets nothing",
      modes("somebody behind a pipe", {}, { json: false }),
      { ...drawn, reveal: true },
    ],
    ["beside the stream", modes("somebody", VTE, { json: true }), { ...plain, terminal: true }],
    [
      "beside the stream, in colour",
      modes("somebody", { FORCE_COLOR: "1" }, { json: true }),
      { live: false, colour: true },
    ],
    ["forced", modes("nobody", { AUTHLINE_FORCE_TTY: "1" }), { ...drawn, reveal: true, width: 80 }],
    ["on a dumb one", modes("somebody", { TERM: "dumb" }), { terminal: true, live: false, colour: false }],
    ["on a dumb one, in colour", modes("somebody", { TERM: "dumb", FORCE_COLOR: "3" }), { live: false, colour: true }],
    ["NO_COLOR=1", modes("somebody", { NO_COLOR: "1" }), { ...drawn, colour: false }],
    ["NO_COLOR=0", modes("somebody", { NO_COLOR: "0" }), { colour: false }],
    ["NO_COLOR=", modes("somebody", { NO_COLOR: "" }), { colour: true }],
    ["both", modes("somebody", { NO_COLOR: "1", FORCE_COLOR: "1" }), { colour: true }],
    ["FORCE_COLOR=0", modes("somebody", { FORCE_COLOR: "0" }), { ...drawn, colour: false }],
    ["FORCE_COLOR=false", modes("somebody", { FORCE_COLOR: "false" }), { colour: false }],
    ["FORCE_COLOR=", modes("nobody", { FORCE_COLOR: "" }), { colour: true }],
    ["quiet", modes("somebody", {}, { quiet: true }), { quiet: true, live: true }],
    ["as wide as it is", modes("somebody", {}, {}, 132), { width: 132 }],
    ["as wide as COLUMNS", modes("somebody", { COLUMNS: "40" }, {}, 132), { width: 40 }],
    ["with COLUMNS=0", modes("somebody", { COLUMNS: "0" }, {}, 132), { width: 132 }],
    ["with COLUMNS=wide", modes("somebody", { COLUMNS: "wide" }), { width: 80 }],
    ["with a pipe's width", modes("somebody with a log", {}, {}, 132), { width: 80 }],
    ["with a terminal of no width", modes("somebody", {}, {}, 0), { width: 80 }],
    ["in UTF-8", modes("somebody", UTF8), { unicode: true }],
    ["in LC_ALL first", modes("somebody", { ...UTF8, LC_ALL: "C" }), { unicode: false }],
    ["in LC_CTYPE before LANG", modes("somebody", { LANG: "C", LC_CTYPE: "C.utf8" }), { unicode: true }],
    ["with an empty LC_ALL", modes("somebody", { ...UTF8, LC_ALL: "" }), { unicode: true }],
    ["on Windows", modes("somebody", {}, {}, 80, "win32"), { unicode: true }],
    ["with links", modes("somebody", VTE), { links: true }],
    ["with links in kitty", modes("somebody", { TERM: "xterm-kitty" }), { links: true }],
    ["with links in an editor", modes("somebody", { TERM_PROGRAM: "vscode" }), { links: true }],
    ["with an old VTE", modes("somebody", { VTE_VERSION: "5002" }), { links: false }],
    ["within tmux", modes("somebody", { ...VTE, TMUX: "/run/tmux" }), { links: false }],
    ["within screen", modes("somebody", { ...VTE, TERM: "screen-256color" }), { links: false }],
  ];
  test.each(cases)("%s", (_, { look }, expected) => expect(look).toMatchObject(expected));

  test("as wide as the window is now", () => {
    let columns = 120;
    const { look } = modesOf(
      { env: {}, platform: "linux", terminal: { ...seats.somebody, columns: () => columns } },
      {},
    );
    expect(look.width).toBe(120);
    columns = 60;
    expect(look.width).toBe(60);
  });
});

describe("the binary", () => {
  let server: HostileServer;
  beforeAll(async () => {
    server = await startHostileServer((issuer) => ({
      "GET /.well-known/oauth-authorization-server": {
        json: {
          issuer,
          authorization_endpoint: `${issuer}/authorize`,
          token_endpoint: `${issuer}/token`,
          response_types_supported: ["code"],
          code_challenge_methods_supported: ["S256"],
        },
      },
      "POST /token": { json: { access_token: "access-token-of-modes", token_type: "Bearer", expires_in: 3600 } },
    }));
  });
  afterEach(async () => expect(await sweep()).toEqual([]));
  afterAll(() => server.close());

  const status = (flags: string[], options: Options) => authline(["status", ...flags], options).done;

  test("FORCE_TTY draws into a pipe, and has no stream there", async () => {
    const { stdout, stderr, code } = await status([], { env: { AUTHLINE_FORCE_TTY: "1" } });
    expect([String(stdout), stderr, code]).toEqual(["", "\r\u001b[2KNobody is signed in anywhere.\n", 0]);
  });

  test("colour that is forced and forbidden is no matter of words", async () => {
    const { stderr } = await status([], { sink: "pty-stderr", env: { FORCE_COLOR: "1", NO_COLOR: "1" } });
    expect(stderr).toBe("\r\u001b[2KNobody is signed in anywhere.\r\n");
  });

  test("--quiet is known everywhere, and keeps what was asked for", async () => {
    for (const argv of [
      ["--quiet", "status"],
      ["status", "--quiet"],
      ["help", "status", "--quiet"],
    ]) {
      const { stderr, code } = await authline([...argv, "--no-json"]).done;
      expect([stderr !== "", code], argv.join(" ")).toEqual([true, 0]);
    }
  });

  test("--quiet is silent on what was done, and not on what went wrong", async () => {
    const argv = [
      "login",
      "acme",
      "--issuer",
      server.url,
      "--client-id",
      "robot",
      "--client-secret-from",
      "env:SECRET",
    ];
    const options = { env: { SECRET: "the-secret-of-modes" }, home: tempHome() };
    const run = (...more: string[]) => authline([...argv, "--flow", "client_credentials", ...more], options).done;
    const loud = await run();
    expect(loud.stderr.split("\n").length).toBeGreaterThan(3);
    const quiet = await run("--quiet");
    expect([quiet.stderr, quiet.code]).toEqual(["", 0]);
    expect(quiet.events.length, "the stream is as it was").toBe(loud.events.length);
    const failed = await authline(["token", "github", "--quiet"]).done;
    expect(failed.stderr).toBe("error: Nobody is signed in to github.\nSign in first: authline login github\n");
  });

  const opened: [flags: string[], env: Env, isOpened: boolean][] = [
    [[], {}, true],
    [[], { AUTHLINE_NO_PROMPT: "1" }, false],
    [[], { CI: "true" }, false],
    [["--browser", "always"], { AUTHLINE_NO_PROMPT: "1", CI: "1" }, true],
    [["--browser", "never"], {}, false],
  ];
  test.each(opened)("login %j with %j opens a browser: %s", async (flags, env, isOpened) => {
    const home = tempHome();
    const browser = join(home, "browser");
    writeFileSync(browser, '#!/bin/sh\necho "$1" >"$HOME/opened"\n', { mode: 0o755 });
    const argv = ["login", "acme", "--issuer", server.url, "--client-id", "cli", "--flow", "authorization_code"];
    const running = authline([...argv, ...flags], { home, sink: "pty-stderr", env: { BROWSER: browser, ...env } });
    const { browser_opened, auth_url } = await running.next("auth_url");
    expect(browser_opened).toBe(isOpened);
    if (isOpened) {
      const found = await vi.waitFor(() => readFileSync(join(home, "opened"), "utf8"));
      expect(found.trim()).toBe(auth_url);
    }
    // Who may not be asked is not asked to paste, and what is typed is not read.
    const answered = env["CI"] === undefined && env["AUTHLINE_NO_PROMPT"] === undefined;
    running.write(`${auth_url?.replace(/.*redirect_uri=/, "nonsense")}\r`);
    if (answered) await running.next(({ reason }) => reason !== undefined);
    running.write("\u0003");
    const { stderr, events, code } = await running.done;
    expect(code).toBe(2);
    expect(stderr.includes("paste the address")).toBe(answered);
    expect(events.some(({ reason }) => reason !== undefined)).toBe(answered);
  });
});
