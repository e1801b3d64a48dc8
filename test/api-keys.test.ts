/**
 * API keys: given or typed, tried at a server that really listens, kept, and handed out with the header that they go in.
 *
 * What is protected: a key is seen by nobody but the one endpoint that its definition names (every stream, every home and every
 * terminal here is searched for it); one that is not accepted, or that nobody could try, is not stored, and what was stored before
 * stays; the terminal is as it was however a command ends; and nobody is asked where nobody may be.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spawn as spawnPty } from "@lydell/node-pty";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { commands as entries } from "../src/commands/index.ts";
import { startAuthorizationServer } from "./support/authorization-server.ts";
import { type HostileServer, hang, startHostileServer } from "./support/hostile-server.ts";
import { program } from "./support/inside.ts";
import { remember, secretsIn } from "./support/issued.ts";
import { namesOf, opened, putSealed } from "./support/sealed.ts";
import { authline, binary, type Options, sweep, tempHome } from "./support/spawn.ts";
import { checkStream, type Event } from "./support/stream.ts";

const ADA = "ak-ada1815lovelace1852";
const BOB = "ak-bob1832tables1913xx";
const UNKNOWN = "ak-nobody0000000000000";
const FOREIGN = "sk-of-another-provider-1";
const PAT = "pat_ada1815lovelace1852";
remember(ADA, BOB, UNKNOWN, FOREIGN, PAT);
const OWNERS: Record<string, string> = { [ADA]: "ada", [BOB]: "bob" };
const KEYS = "https://acme.example/keys";

const commands = entries.map(({ name }) => name);

let api: HostileServer;
let home: string;

beforeAll(async () => {
  api = await startHostileServer({
    "GET /me": ({ headers }) => {
      const name = OWNERS[String(headers["x-api-key"])];
      return name ? { json: { data: { name } } } : { status: 401, json: { error: "invalid_key" } };
    },
    "GET /user": ({ headers }) =>
      headers.authorization === `Bearer ${PAT}` ? { json: { login: "ada" } } : { status: 401 },
    "GET /forbidden": { status: 403 },
    "GET /nowhere": { status: 404 },
    "GET /broken": { status: 500 },
    "GET /busy": { status: 429, headers: { "retry-after": "7" } },
    "GET /moved": { status: 302, headers: { location: "https://elsewhere.example/" } },
    "GET /hang": hang,
    "POST /graph": ({ headers }, _, body) =>
      headers["x-api-key"] === ADA && headers["acme-version"] === "1" && body === '{"query":"{me}"}'
        ? { json: { me: 1815 } }
        : { status: 400 },
    "GET /odd": { text: "not JSON" },
  });
});
afterAll(() => api.close());

beforeEach(() => {
  home = tempHome();
  api.requests.length = 0;
  define("acme");
});
afterEach(async () => {
  expect(await sweep()).toEqual([]);
});

/** What somebody has added to the catalogue. */
function define(provider: string, { api_key = {}, ...more }: Record<string, object> = {}): void {
  const verify = { endpoint: `${api.url}/me`, field: "data.name" };
  const key = { header: { name: "x-api-key" }, pattern: "^ak-[a-z0-9]{8,}$", hint: "It begins with ak-.", verify };
  const whole: { verify?: { endpoint: string } } = { ...key, ...api_key };
  const definition = {
    name: provider,
    display_name: "Acme",
    api: { hosts: [new URL(whole.verify?.endpoint ?? verify.endpoint).host] },
    api_key: { create_url: KEYS, ...whole },
    environment: { api_key: ["ACME_API_KEY", "ACME_KEY"] },
    ...more,
  };
  add(definition);
}

function add(definition: { name: string; [field: string]: unknown }): void {
  mkdirSync(join(home, "definitions"), { recursive: true, mode: 0o700 });
  writeFileSync(join(home, "definitions", `${definition.name}.json`), JSON.stringify(definition), { mode: 0o600 });
}

async function run(argv: string[], options: Options = {}): Promise<Event & { events: Event[]; stderr: string }> {
  const { stdout, stderr, code, events } = await program(argv, { home, ...options }).done;
  const [command] = [argv.slice(0, 2).join(" "), argv[0] ?? ""].filter((name) => commands.includes(name));
  expect(checkStream(stdout, { ...(command && { command }), exitCode: code }), stderr).toEqual([]);
  const { warnings = [], ...end } = events.at(-1) as Event;
  // That there is no keyring here is told with whatever is stored first.
  return {
    ...end,
    warnings: (warnings as { code: string }[]).filter(({ code }) => code !== "key_in_file"),
    events,
    stderr,
  };
}

const from = (key: string): Options => ({ env: { KEY: key } });
const login = (...more: string[]) => ["login", "acme", "--key-from", "env:KEY", ...more];
const stored = () => namesOf(home, "connection");
const told = (events: Event[]) => events.map(({ step, state }) => [step, state]);

describe("where a key comes from", () => {
  const sources: [source: string, options: () => Options][] = [
    ["env:KEY", () => from(ADA)],
    ["stdin", () => ({ stdin: `${ADA}\n` })],
    ["file:key.txt", () => ({ cwd: home })],
    ["cmd:cat key.txt", () => ({ cwd: home })],
  ];
  test.each(sources)("%s: tried, stored sealed, and handed out with its header", async (source, options) => {
    const isFile = source.endsWith("key.txt");
    if (isFile) writeFileSync(join(home, "key.txt"), `${ADA} \r\n`);
    const ended = await run(["login", "acme", "--key-from", source], options());
    if (isFile) writeFileSync(join(home, "key.txt"), ""); // it was ours, and no leak
    expect(ended).toMatchObject({ status: "success", exit_code: 0, message: "Signed in to Acme as ada." });
    expect(ended.data).toEqual({ provider: "acme", connection: "default", record_status: "connected", account: "ada" });
    expect(told(ended.events)).toEqual([
      ["verify", "started"],
      ["verify", "done"],
      ["store", "done"],
      [undefined, undefined],
    ]);
    expect(api.requests).toHaveLength(1);
    expect(api.requests[0]).toMatchObject({ method: "GET", path: "/me", headers: { "x-api-key": ADA } });
    expect(api.requests[0]?.headers).not.toHaveProperty("authorization");

    const { server, client, ...record } = opened(home, "connection", "default@acme");
    expect({ server, client }).toEqual({ server: undefined, client: undefined }); // none has issued it
    expect(record).toMatchObject({ flow: "api_key", token_type: "api_key", header: { name: "x-api-key" } });
    expect(record.secrets).toEqual({ access_token: ADA });
    const token = await run(["token", "acme"]);
    expect(token.data).toEqual({
      ...{ provider: "acme", connection: "default", access_token: ADA, token_type: "api_key" },
      ...{ header: { name: "x-api-key", prefix: "" }, refreshed: false, source: "store" },
    });
    expect(api.requests).toHaveLength(1);
  });

  test("in argv it is refused unread, and not repeated", async () => {
    const { stdout, stderr, code } = await program(["login", "acme", "--key-from", "hunter2hunter2"], { home }).done;
    expect(code).toBe(64);
    expect(`${stdout}${stderr}`).not.toContain("hunter2");
  });

  test("nowhere: said with where one is created and how it is given, though stdin stays open", async () => {
    const ended = await run(["login", "acme"], { stdin: "held-open" });
    expect(ended).toMatchObject({ status: "error", exit_code: 78, error: { code: "config" } });
    expect(ended.error?.hint).toContain(`Create one at ${KEYS}`);
    expect(ended.error?.hint).toContain("--key-from env:ACME_API_KEY");
    expect(ended.next_actions?.[0]?.argv).toEqual(["authline", "login", "acme", "--key-from", "env:ACME_API_KEY"]);
    expect(stored()).toEqual([]);
  });

  test("a variable of the environment is not taken without being asked for, but named", async () => {
    const ended = await run(["login", "acme"], { env: { ACME_KEY: ADA } });
    expect(ended.error).toMatchObject({ code: "config", hint: expect.stringContaining("--key-from env:ACME_KEY") });
    expect(api.requests).toEqual([]);
  });
});

test("from a command that takes its time: whoever waits is told so, and Ctrl-C ends it", {
  timeout: 40_000,
}, async () => {
  const login = authline(["login", "acme", "--key-from", "cmd:sleep 60"], { home, timeoutMs: 30_000 });
  expect(await login.next("progress")).toMatchObject({ step: "await_user", state: "waiting", reason: "read_source" });
  process.kill(login.pid, "SIGINT");
  expect((await login.done).events.at(-1)?.error?.code).toBe("cancelled");
});

describe("a key that does not fit", () => {
  const unfit: [what: string, key: string][] = [
    ["of another provider", FOREIGN],
    ["of two lines", `${ADA}\nx-evil: 1`],
    ["with a character that no header takes", `${ADA}\u00e9`],
  ];
  test.each(unfit)("%s is refused with the definition's hint, never quoted, never sent", async (_, key) => {
    const ended = await run(login(), from(key));
    expect(ended).toMatchObject({ exit_code: 78, error: { code: "config", retryable: false } });
    expect(ended.error?.hint).toBe(`It begins with ak-. Create one at ${KEYS}`);
    expect(secretsIn(JSON.stringify(ended))).toEqual([]);
    expect(api.requests).toEqual([]);
    expect(stored()).toEqual([]);
  });

  test("without a pattern anything that a header takes is tried", async () => {
    define("acme", { api_key: { pattern: undefined } as object });
    expect(await run(login(), from(FOREIGN))).toMatchObject({ exit_code: 76 });
    expect(api.requests).toHaveLength(1);
  });
});

describe("a key is tried", () => {
  test("and refused: nothing is stored, what was there stays", async () => {
    await run(login(), from(ADA));
    const before = readFileSync(join(home, "connections/default@acme.json"), "utf8");
    const ended = await run(login(), from(UNKNOWN));
    expect(ended).toMatchObject({ status: "error", exit_code: 76 });
    expect(ended.error).toMatchObject({ code: "provider", http_status: 401, reason: "refused", retryable: false });
    expect(ended.error?.hint).toContain(KEYS);
    expect(readFileSync(join(home, "connections/default@acme.json"), "utf8")).toBe(before);
  });

  const answers: [path: string, code: string, exit: number, details: object][] = [
    ["/forbidden", "provider", 76, { http_status: 403, reason: "refused" }],
    ["/nowhere", "provider", 76, { http_status: 404, reason: "not_verified" }],
    ["/broken", "provider", 76, { http_status: 500, retryable: true }],
    ["/busy", "rate_limited", 75, { retry_after: 7 }],
    ["/moved", "provider", 76, { http_status: 302 }],
  ];
  test.each(answers)("at %s: %s, exit %i; with --no-verify it is stored unseen", async (path, code, exit, details) => {
    define("acme", { api_key: { verify: { endpoint: `${api.url}${path}` } } });
    const ended = await run(login(), from(ADA));
    expect(ended).toMatchObject({ exit_code: exit, error: { code, ...details } });
    if (code !== "provider" || !("reason" in details) || details.reason !== "refused")
      expect(ended.error?.hint).toContain("--no-verify");
    expect(stored()).toEqual([]);
    expect(await run(login("--no-verify"), from(ADA))).toMatchObject({ exit_code: 0 });
    expect(api.requests).toHaveLength(1);
    expect(stored()).toEqual(["default@acme"]);
  });

  test("where nobody listens: network, and the same command again", async () => {
    const closed = await startHostileServer({});
    await closed.close();
    define("acme", { api_key: { verify: { endpoint: `${closed.url}/me` } } });
    const ended = await run(login(), from(ADA));
    expect(ended).toMatchObject({ exit_code: 69, error: { code: "network", reason: "ECONNREFUSED", retryable: true } });
    expect(ended.error?.hint).toContain("--no-verify");
    expect(ended.next_actions?.[0]?.argv).toEqual(["authline", ...login()]);
    expect(stored()).toEqual([]);
  });

  test("by the request of the definition, with its method, headers and body", async () => {
    const headers = { "acme-version": "1" };
    const verify = { endpoint: `${api.url}/graph`, method: "POST", headers, body: '{"query":"{me}"}', field: "me" };
    define("acme", { api_key: { verify } });
    expect((await run(login(), from(ADA))).data).toMatchObject({ account: "1815" });
  });

  test("an answer that names nobody, and is no JSON, is an answer", async () => {
    define("acme", { api_key: { verify: { endpoint: `${api.url}/odd`, field: "name" } } });
    expect((await run(login(), from(ADA))).data).not.toHaveProperty("account");
  });

  test("where no request is known it is said that it was not", async () => {
    define("acme", { api_key: { verify: undefined } as object });
    const { events, exit_code } = await run(login(), from(ADA));
    expect({ exit_code, first: told(events)[0] }).toEqual({ exit_code: 0, first: ["verify", "skipped"] });
  });

  test("over http elsewhere than on this machine it is not", async () => {
    const definition = { display_name: "Acme", api_key: { verify: { endpoint: "http://acme.example/me" } } };
    add({ name: "acme", ...definition });
    expect((await run(login(), from(ADA))).exit_code).not.toBe(0);
    expect(stored()).toEqual([]);
  });

  test("cancelled in the middle of it, nothing is stored", async () => {
    define("acme", { api_key: { verify: { endpoint: `${api.url}/hang` } } });
    const running = program(login(), { home, ...from(ADA) });
    await running.next(({ step }) => step === "verify");
    running.kill("SIGTERM");
    expect(await running.done).toMatchObject({ code: 2 });
    expect(stored()).toEqual([]);
  });
});

describe("which way in", () => {
  const oauth = { issuer: "https://login.acme.example", client_registration: "https://acme.example/apps" };

  test("a provider with keys and OAuth is signed in to by key where one is given, or --flow says so", async () => {
    define("acme", { ...oauth } as never);
    expect(await run(login(), from(ADA))).toMatchObject({ exit_code: 0 });
    const without = await run(["login", "acme", "--flow", "api_key"]);
    expect(without.error?.message).toBe("An API key is needed to sign in to Acme.");
    expect((await run(["login", "acme"])).error?.message).toBe("A client ID is needed to sign in to Acme.");
  });

  const wrong: [argv: string[], code: string, words: RegExp][] = [
    [["login", "acme", "--flow", "device_code"], "usage", /signed in to with an API key, and not with --flow/],
    [["login", "acme", "--flow", "device_code", "--key-from", "env:KEY"], "usage", /--key-from gives an API key/],
    [
      ["login", "acme", "--key-from", "env:KEY", "--scope", "x"],
      "usage",
      /--scope says nothing to a sign-in with an API key/,
    ],
    [["login", "acme", "--key-from", "env:KEY", "--dpop"], "usage", /--dpop says nothing/],
    [
      ["login", "acme", "--key-from", "env:KEY", "--assertion-from", "env:KEY"],
      "usage",
      /--assertion-from says nothing/,
    ],
    [["login", "github", "--flow", "api_key"], "config", /GitHub has no API keys that authline knows of/],
    [["login", "nobody", "--flow", "api_key"], "not_found", /No provider is called "nobody"/],
  ];
  test.each(wrong)("%j: %s", async (argv, code, words) => {
    const { error } = await run(argv, from(ADA));
    expect(error).toMatchObject({ code, message: expect.stringMatching(words) });
  });

  test("under a name of its own", async () => {
    await run(login("--connection", "work"), from(BOB));
    expect(stored()).toEqual(["work@acme"]);
    expect((await run(["token", "acme", "--connection", "work"])).data).toMatchObject({ access_token: BOB });
  });
});

describe("the header that a credential goes in", () => {
  test("is Authorization: Bearer for a key whose definition says nothing", async () => {
    define("acme", { api_key: { header: undefined, verify: undefined } as object });
    await run(login(), from(ADA));
    expect((await run(["token", "acme"])).data.header).toEqual({ name: "Authorization", prefix: "Bearer " });
  });

  test("is the one of the definition for a key, with its prefix, and it is tried in that", async () => {
    const header = { name: "authorization", prefix: "Key " };
    define("acme", { api_key: { header } });
    await run(login(), from(ADA));
    expect(api.requests.at(-1)?.headers.authorization).toBe(`Key ${ADA}`);
    await run(login("--no-verify"), from(ADA));
    expect((await run(["token", "acme"])).data.header).toEqual(header);
  });

  test("is the one of the definition for what OAuth gave, else Authorization: Bearer", async () => {
    const server = await startAuthorizationServer();
    const { id, secret } = server.clients.confidential;
    const client = ["--client-id", id, "--client-secret-from", "env:SECRET", "--flow", "client_credentials"];
    const sign = { env: { SECRET: secret } };
    await run(["login", "plain", "--issuer", server.issuer, ...client], sign);
    expect((await run(["token", "plain"])).data).toMatchObject({
      header: { name: "Authorization", prefix: "Bearer " },
    });
    const hosts = ["api.other.example"];
    const definition = { display_name: "Other", issuer: server.issuer, api: { hosts, header: { name: "X-Token" } } };
    add({ name: "other", ...definition });
    await run(["login", "other", ...client], sign);
    expect((await run(["token", "other"])).data).toMatchObject({ header: { name: "X-Token", prefix: "" } });
    await server.close();
  });

  test("is told of a token in the environment too", async () => {
    const env = { AUTHLINE_TOKEN_ACME: "a-key-of-the-job", AUTHLINE_TOKEN_NOBODY: "a-token-of-the-job" };
    expect((await run(["token", "acme"], { env })).data).toMatchObject({
      header: { name: "x-api-key" },
      source: "env",
    });
    expect((await run(["token", "nobody"], { env })).data).toMatchObject({ header: { name: "Authorization" } });
  });
});

describe("kept like any credential:", () => {
  beforeEach(async () => {
    await run(login(), from(ADA));
  });

  test("status shows whose it is", async () => {
    const [shown] = (await run(["status", "acme"])).data.connections;
    expect(shown).toMatchObject({ record_status: "connected", account: "ada", flow: "api_key", refreshable: false });
    expect(shown).not.toHaveProperty("issuer");
  });

  test("token --refresh hands it out, and says that there is nothing to refresh", async () => {
    const { data, warnings, exit_code } = await run(["token", "acme", "--refresh"]);
    expect({ exit_code, warnings }).toMatchObject({ exit_code: 0, warnings: [{ code: "not_refreshable" }] });
    expect(data).toMatchObject({ access_token: ADA, refreshed: false });
  });

  test("logout deletes it here and says where it is deleted for good", async () => {
    const { data, warnings } = await run(["logout", "acme"]);
    expect(data.connections[0].steps).toEqual([{ step: "local_record", state: "done" }]);
    expect(warnings).toEqual([
      { code: "revocation_skipped", message: `The API key stays valid: delete it at ${KEYS}` },
    ]);
    expect(stored()).toEqual([]);
    expect(api.requests).toHaveLength(1); // nothing but the one that tried it
  });

  test("renamed, made the default one, sealed with another key and removed", async () => {
    await run(["connection", "rename", "acme", "default", "work"]);
    await run(["store", "rekey", "--to", "file"]);
    expect((await run(["token", "acme"])).data).toMatchObject({ connection: "work", access_token: ADA });
    expect((await run(["connection", "list"])).data.connections).toMatchObject([{ default: true, account: "ada" }]);
    await run(["connection", "remove", "acme", "work"]);
    expect(stored()).toEqual([]);
  });

  test("doctor finds nothing wrong with it, and asks nobody", async () => {
    const { data } = await run(["doctor"]);
    const { checks } = data as { checks: { check: string; state: string; message: string }[] };
    expect(checks.find(({ check }) => check === "records")).toMatchObject({ state: "ok" });
    expect(checks.find(({ check }) => check === "issuers")).toMatchObject({
      state: "skipped",
      message: "No server has issued what is stored.",
    });
    expect(api.requests).toHaveLength(1);
  });

  test("audit tells that it was stored and handed out", async () => {
    await run(["token", "acme"]);
    const { entries } = (await run(["audit"])).data as { entries: Event[] };
    expect(entries.map(({ command, event, provider }) => [command, event, provider])).toEqual([
      ["login", "store", "acme"],
      ["login", "end", "acme"],
      ["token", "end", "acme"],
    ]);
  });

  test("a login over an OAuth credential replaces all of it", async () => {
    const { secrets, ...record } = opened(home, "connection", "default@acme");
    const server = { issuer: "https://login.acme.example", revocation_endpoint: "https://login.acme.example/revoke" };
    const client = { client_id: "cli", token_endpoint_auth_method: "none" };
    const oauth = {
      ...record,
      flow: "device_code",
      server,
      client,
      secrets: { ...secrets, refresh_token: "old-old-old-old" },
    };
    putSealed(home, "connection", "default@acme", oauth);
    await run(login(), from(BOB));
    const now = opened(home, "connection", "default@acme");
    expect(now).not.toHaveProperty("server");
    expect(now.secrets).toEqual({ access_token: BOB });
  });
});

// --- at a terminal ---------------------------------------------------------------------------------------------------

interface Terminal {
  seen(): string;
  until(words: string): Promise<void>;
  type(text: string): void;
  /** Of the program that was started by the shell. */
  kill(signal: NodeJS.Signals): void;
  ended: Promise<number>;
}

/** A shell that runs the command, and says what it finds changed of its terminal after it. */
function terminal(argv: string[], env: Record<string, string> = {}): Terminal {
  const script = `before=$(stty -g); "$@"; code=$?; [ "$before" = "$(stty -g)" ] || echo CHANGED; exit $code`;
  const child = spawnPty("sh", ["-c", script, "sh", process.execPath, binary, ...argv], {
    ...{ name: "xterm-256color", cols: 100, rows: 30, cwd: home },
    env: { PATH: String(process.env["PATH"]), LANG: "C.UTF-8", HOME: home, AUTHLINE_HOME: home, ...env },
  });
  let seen = "";
  let wake = () => {};
  let isOver = false;
  child.onData((text) => {
    seen += text;
    wake();
  });
  const ended = new Promise<number>((resolve) => {
    child.onExit(({ exitCode }) => {
      isOver = true;
      wake();
      resolve(exitCode);
    });
  });
  return {
    seen: () => seen,
    async until(words) {
      while (!seen.includes(words)) {
        if (isOver) throw new Error(`it ended without "${words}":\n${seen}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    type: (text) => child.write(text),
    kill(signal) {
      const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ");
      process.kill(Number(children.at(-1)), signal);
    },
    ended,
  };
}

describe("typed at a terminal", () => {
  const ASKED = "it will not be shown.";
  const KEYSTROKES: [what: string, typed: string][] = [
    ["as it is", `${ADA}\r`],
    ["with a mistake that was taken back", `${ADA.slice(0, -1)}zz\u007f\u007f${ADA.at(-1)}\r`],
    ["anew", `${UNKNOWN}\u0015${ADA}\r`],
    ["with arrow keys", `\u001b[A${ADA}\u001b[D\u001bOC\r`],
    ["pasted as a terminal marks it", `\u001b[200~${ADA}\u001b[201~\r`],
    ["ended by Ctrl-D", `${ADA}\u0004`],
  ];
  test.each(KEYSTROKES)("%s: it is taken, and shown nowhere", async (_, typed) => {
    const at = terminal(["login", "acme"]);
    await at.until(ASKED);
    at.type(typed);
    expect({ code: await at.ended, seen: at.seen() }).toMatchObject({
      code: 0,
      seen: expect.stringContaining("Signed in to Acme as ada."),
    });
    expect(secretsIn(at.seen())).toEqual([]);
    expect(at.seen()).not.toContain("CHANGED");
    expect(opened(home, "connection", "default@acme").secrets).toEqual({ access_token: ADA });
  });

  test("nor in the stream, whether the terminal has it or a pipe", async () => {
    const at = terminal(["login", "acme", "--json"]);
    await at.until(ASKED);
    at.type(`${ADA}\r`);
    expect(await at.ended).toBe(0);
    expect(at.seen()).toContain('"reason":"type_key"');
    expect(secretsIn(at.seen())).toEqual([]);

    const running = program(["login", "acme"], { home, sink: "pty-stderr" });
    await running.next(({ reason }) => reason === "type_key");
    running.write(`${ADA}\r`);
    const { code, stderr, stdout } = await running.done;
    expect(code).toBe(0);
    expect(checkStream(stdout, { command: "login", exitCode: 0 })).toEqual([]);
    expect(secretsIn(stderr)).toEqual([]);
  });

  test("--quiet still says what is asked for", async () => {
    const at = terminal(["login", "acme", "--quiet"]);
    await at.until(ASKED);
    at.type(`${ADA}\r`);
    expect(await at.ended).toBe(0);
  });

  test("nothing: said as where none can be typed", async () => {
    const at = terminal(["login", "acme"]);
    await at.until(ASKED);
    at.type("\r");
    expect(await at.ended).toBe(78);
    expect(at.seen()).toContain("An API key is needed to sign in to Acme.");
    expect(at.seen()).not.toContain("CHANGED");
  });

  const ENDINGS: [what: string, end: (at: Terminal) => void, code: number, words: string][] = [
    ["Ctrl-C", (at) => at.type(`${ADA.slice(0, 15)}\u0003`), 2, "Cancelled by SIGINT."],
    ["SIGTERM", (at) => at.kill("SIGTERM"), 2, "Cancelled by SIGTERM."],
    ["SIGINT from elsewhere", (at) => at.kill("SIGINT"), 2, "Cancelled by SIGINT."],
    ["the end of the time", () => {}, 75, "Nobody typed the key in time."],
  ];
  test.each(ENDINGS)("%s: the terminal is as it was", async (what, end, code, words) => {
    const isLate = what === "the end of the time";
    const at = terminal(["login", "acme", "--timeout", isLate ? "1s" : "10m"]);
    await at.until(ASKED);
    end(at);
    expect({ code: await at.ended, seen: at.seen() }).toEqual({ code, seen: expect.stringContaining(words) });
    expect(at.seen()).not.toContain("CHANGED");
    expect(at.seen()).not.toContain(ADA.slice(0, 15));
    expect(stored()).toEqual([]);
  });

  const FORBIDDEN: [what: string, argv: string[], env: Record<string, string>][] = [
    ["AUTHLINE_NO_PROMPT", [], { AUTHLINE_NO_PROMPT: "1" }],
    ["CI", [], { CI: "true" }],
    ["--no-wait", ["--no-wait"], {}],
  ];
  test.each(FORBIDDEN)("%s: nobody is asked", async (_, more, env) => {
    const at = terminal(["login", "acme", ...more], env);
    expect(await at.ended).toBe(78);
    expect(at.seen()).not.toContain(ASKED);
    expect(at.seen()).toContain("--key-from env:ACME_API_KEY");
  });
});

// --- from a file -----------------------------------------------------------------------------------------------------

describe("login --import", () => {
  const put = (text: string) => writeFileSync(join(home, ".env"), text);
  const take = (...more: string[]) => ["login", ...more, "--import", ".env"];
  const here = () => ({ cwd: home });
  const reasons = ({ data }: Event) =>
    Object.fromEntries(
      data.skipped.map((each: { variable: string; reason: string }) => [each.variable, each.reason] as const),
    );

  beforeEach(() => {
    define("bolt", { environment: { api_key: ["BOLT_KEY"] } });
    add({
      name: "cask",
      display_name: "Cask",
      endpoints: { token_endpoint: "https://cask.example/token" },
      api: { hosts: [new URL(api.url).host] },
      account: { endpoint: `${api.url}/user`, field: "login" },
      environment: { access_token: ["CASK_TOKEN"] },
    });
  });
  afterEach(() => put("")); // it was ours, and no leak

  test("takes over what it knows, and tells of the rest by name alone; the file stays as it is", async () => {
    const text = [
      "# of the project",
      `export ACME_API_KEY="${ADA}"`,
      `BOLT_KEY='${BOB}' # the second one`,
      `CASK_TOKEN=${PAT}`,
      "",
      `DATABASE_URL=postgres://${FOREIGN}@db`,
      "lower_case=1",
    ].join("\r\n");
    put(text);
    const ended = await run(take(), here());
    expect(ended).toMatchObject({ exit_code: 0, message: "Taken over: acme, bolt, cask." });
    expect(ended.data).toEqual({
      taken: [
        { provider: "acme", connection: "default", variable: "ACME_API_KEY", account: "ada" },
        { provider: "bolt", connection: "default", variable: "BOLT_KEY", account: "bob" },
        { provider: "cask", connection: "default", variable: "CASK_TOKEN", account: "ada" },
      ],
      skipped: [{ variable: "DATABASE_URL", reason: "unknown", message: "no provider that is known reads it." }],
    });
    expect(ended.warnings).toEqual([
      { code: "names_left_out", message: "Not looked at, because their names are not in capitals: 1." },
    ]);
    expect(readFileSync(join(home, ".env"), "utf8")).toBe(text);
    expect(stored()).toEqual(["default@acme", "default@bolt", "default@cask"]);
    const token = await run(["token", "cask"]);
    expect(token.data).toMatchObject({ access_token: PAT, token_type: "bearer", header: { prefix: "Bearer " } });
    const { entries } = (await run(["audit"])).data as { entries: Event[] };
    expect(entries.filter(({ event }) => event === "store").map(({ provider }) => provider)).toEqual([
      ...["acme", "bolt", "cask"],
    ]);
  });

  test("from stdin", async () => {
    const ended = await run(["login", "--import", "-"], { stdin: `ACME_KEY=${ADA}\n` });
    expect(ended.data.taken).toMatchObject([{ provider: "acme", variable: "ACME_KEY" }]);
  });

  test("one that fails is told of, and the others are taken", async () => {
    put(`ACME_API_KEY=${UNKNOWN}\nBOLT_KEY=${BOB}\nCASK_TOKEN=\n`);
    const ended = await run(take(), here());
    expect(ended).toMatchObject({ exit_code: 0, message: "Taken over: bolt." });
    expect(reasons(ended)).toEqual({ ACME_API_KEY: "provider", CASK_TOKEN: "empty" });
    expect(ended.warnings).toMatchObject([
      { code: "import_failed", message: expect.stringContaining("ACME_API_KEY: ") },
    ]);
    expect(ended.stderr).toContain("ACME_API_KEY: left, Acme does not accept the API key (HTTP 401).");
  });

  test("where all fail it fails, with the code of the first", async () => {
    put(`ACME_API_KEY=${UNKNOWN}\nBOLT_KEY=${FOREIGN}\n`);
    const ended = await run(take(), here());
    expect(ended).toMatchObject({ status: "error", exit_code: 76, error: { code: "provider", reason: "refused" } });
    expect(ended.warnings).toHaveLength(2);
    expect(stored()).toEqual([]);
  });

  test("where nobody could be reached, the same command is the next one", async () => {
    define("acme", { api_key: { verify: { endpoint: `${api.url}/broken` } } });
    put(`ACME_API_KEY=${ADA}\n`);
    const { next_actions } = await run(take("--connection", "work"), here());
    const argv = ["authline", "login", "--connection", "work", "--import", ".env"];
    expect(next_actions?.map((action) => action.argv)).toEqual([argv]);
  });

  test("the mark that some editors put before all hides no variable", async () => {
    put(`\ufeffACME_API_KEY=${ADA}\n`);
    expect(await run(take(), here())).toMatchObject({ exit_code: 0, data: { taken: [{ variable: "ACME_API_KEY" }] } });
  });

  test("the commonest variable of a provider comes first, the next one where that fails", async () => {
    put(`ACME_KEY=${BOB}\nACME_API_KEY=${ADA}\n`);
    const first = await run(take(), here());
    expect(first.data.taken).toMatchObject([{ variable: "ACME_API_KEY" }]);
    expect(reasons(first)).toEqual({ ACME_KEY: "another_taken" });
    put(`ACME_KEY=${BOB}\nACME_API_KEY=${UNKNOWN}\n`);
    const next = await run(take("acme"), here());
    expect(next.data.taken).toMatchObject([{ variable: "ACME_KEY", account: "bob" }]);
  });

  test("what is connected is replaced only where its provider is named, or it gets another name", async () => {
    put(`ACME_API_KEY=${ADA}\n`);
    await run(take(), here());
    put(`ACME_API_KEY=${BOB}\n`);
    const again = await run(take(), here());
    expect(again).toMatchObject({ exit_code: 0, data: { taken: [], skipped: [{ reason: "connected" }] } });
    expect(opened(home, "connection", "default@acme").secrets).toEqual({ access_token: ADA });
    await run(take("--connection", "work"), here());
    expect(opened(home, "connection", "work@acme").secrets).toEqual({ access_token: BOB });
    await run(take("acme"), here());
    expect(opened(home, "connection", "default@acme").secrets).toEqual({ access_token: BOB });
  });

  test("a variable that two providers read goes to the one whose pattern it fits, else to neither", async () => {
    define("bolt", { environment: { api_key: ["ACME_API_KEY"] } });
    put(`ACME_API_KEY=${ADA}\n`);
    expect((await run(take(), here())).error).toMatchObject({
      code: "not_found",
      hint: "ACME_API_KEY: acme, bolt all read it: name the provider.",
    });
    expect((await run(take("bolt"), here())).data.taken).toMatchObject([{ provider: "bolt" }]);
    define("bolt", { environment: { api_key: ["ACME_API_KEY"] }, api_key: { pattern: "^bk-.*$" } });
    expect((await run(take(), here())).data.taken).toMatchObject([{ provider: "acme" }]);
  });

  test("AUTHLINE_PROVIDER does not stand for a provider that is not named", async () => {
    put(`ACME_API_KEY=${ADA}\nBOLT_KEY=${BOB}\n`);
    const ended = await run(take("--no-verify"), { ...here(), env: { AUTHLINE_PROVIDER: "bolt" } });
    expect(ended.data.taken).toHaveLength(2);
    expect(api.requests).toEqual([]);
  });

  test("of a broken file no line is told that might be a secret", async () => {
    const line = "MIIEpAIBAAKCAQEA7bq4mZk1LzYw";
    put(`ACME_API_KEY=${ADA}\n-----BEGIN PRIVATE KEY-----\n${line}=\n-----END PRIVATE KEY-----\n`);
    const { stdout, stderr, code } = await program(take(), { home, ...here() }).done;
    expect(code).toBe(0);
    expect(`${stdout}${stderr}`).not.toContain(line);
  });

  const wrong: [what: string, text: string | undefined, more: string[], code: string][] = [
    ["nothing that is known", "FOO=1\n", [], "not_found"],
    ["an empty file", "", [], "config"],
    ["no file", undefined, [], "config"],
    ["a provider that is not known", "FOO=1\n", ["nobody"], "not_found"],
    ["a key beside it", "FOO=1\n", ["--key-from", "stdin"], "usage"],
    ["a flow beside it", "FOO=1\n", ["--flow", "device_code"], "usage"],
    ["a client beside it", "FOO=1\n", ["--client-id", "x"], "usage"],
  ];
  test.each(wrong)("%s: one clear error", async (_, text, more, code) => {
    if (text !== undefined) put(text);
    const ended = await run(text === undefined ? ["login", "--import", "none.env"] : take(...more), here());
    expect(ended.error).toMatchObject({ code });
  });

  test("cancelled half-way it keeps what was taken", async () => {
    define("bolt", {
      environment: { api_key: ["BOLT_KEY"] },
      api_key: { verify: { endpoint: `${api.url}/hang` } },
    });
    put(`ACME_API_KEY=${ADA}\nBOLT_KEY=${BOB}\n`);
    const running = program(take(), { home, ...here() });
    await running.next(({ step, state }) => step === "store" && state === "done");
    await running.next(({ step }) => step === "verify");
    running.kill("SIGINT");
    expect(await running.done).toMatchObject({ code: 2 });
    expect(stored()).toEqual(["default@acme"]);
  });
});
