/**
 * A Context made of a scenario: no network, no disk, no clock but its own.
 *
 * Rules:
 * - Everything scripted must be used up, in order, and nothing else may be asked for: `faults()` says what went wrong.
 * - Time passes only while the flow sleeps or waits for an answer. It is the `Date` of the test (fake it), so that what
 *   reads the clock by itself (the ages of tokens) reads the same one.
 * - A person only knows what the stream told: `told()` is given each event, and the callback's `{state}` comes from it.
 */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { vi } from "vitest";
import { auditAt } from "../../src/audit.ts";
import type { Context } from "../../src/context.ts";
import type { Callback, Listener, Stray } from "../../src/flows/listener.ts";
import { newHolds } from "../../src/holds.ts";
import type { PhaseEvent } from "../../src/protocol/event.ts";
import { Failure } from "../../src/protocol/failure.ts";
import { sessionsAt } from "../../src/sessions/sessions.ts";
import { definitionsAt } from "../../src/store/definitions.ts";
import { keysAt } from "../../src/store/keys.ts";
import type { Connection, Learned, Refreshing, Registered } from "../../src/store/record.ts";
import type { Store } from "../../src/store/store.ts";
import {
  type Arrival,
  begunIn,
  type Exchange,
  exchangesOf,
  IdToken,
  ISSUER,
  learnedIn,
  type Reply,
  type Scenario,
  START,
  storedIn,
  type Unreadable,
} from "./scenario.ts";
import { jwks, signed } from "./signing.ts";

export interface Script {
  context: Context;
  signal: AbortSignal;
  store: MemoryStore;
  /** To be given every event that gets out. */
  told(event: PhaseEvent): void;
  /** What did not go by the script, in words. */
  faults(): string[];
  /** Every value so far that must not be seen, by the fields of the stream that may carry it all the same. */
  secrets(): { all: string[]; allow: Record<string, string[]> };
}

export function scripted(scenario: Scenario): Script {
  const timeline = new Timeline();
  const aborter = new AbortController();
  const { signal } = aborter;
  const { aborted, arrivals = [], browser, env = {}, execute = {} } = scenario;
  if (aborted) timeline.at(aborted.after, () => aborter.abort(aborted.by)); // as main.ts does

  const wrong: string[] = [];
  const opened: string[] = [];
  let asked: URL | undefined; // the last auth_url
  const drawn: string[] = [];
  const served: string[] = [];
  const answers: { id_token?: string } = {};
  const exchanges = exchangesOf(scenario);
  const store = new MemoryStore(scenario, answers);
  let closed: boolean | undefined;
  const expected: (() => string | undefined)[] = [];

  const listener = (redirectUri: string): Listener => {
    const arrived: ({ callback: Callback } | { stray: Stray })[] = [];
    let wake = () => {};
    let after = 0;
    for (const arrival of arrivals) {
      after += arrival.after;
      timeline.at((timeline.now() - START) / 1000 + after, () => {
        arrived.push(arrives(arrival, redirectUri));
        wake();
      });
    }
    closed = false;
    return {
      redirectUri,
      async next(until) {
        for (;;) {
          const first = arrived.shift();
          if (first) return first;
          until.throwIfAborted();
          await new Promise<void>((resolve) => {
            wake = resolve;
            until.addEventListener("abort", () => resolve(), { once: true });
          });
        }
      },
      offer: () => "wrong_host",
      async close() {
        closed = true;
      },
    };
  };

  const arrives = ({ callback, answered, stray }: Arrival, redirectUri: string) => {
    if (!callback) return { stray: stray as Stray };
    const url = new URL(redirectUri);
    for (const [name, value] of Object.entries(callback)) {
      url.searchParams.set(name, value === "{state}" ? (asked?.searchParams.get("state") ?? "no auth_url yet") : value);
      if (name === "code") served.push(value);
    }
    let answer: string | undefined;
    expected.push(() => (answer === answered ? undefined : `a callback was answered with ${answer}, not ${answered}`));
    return {
      callback: {
        url,
        async answer(outcome: NonNullable<Arrival["answered"]> & ("signed_in" | "denied" | "failed")) {
          answer = outcome;
        },
        async refuse() {
          answer = "refused";
        },
      },
    };
  };

  const fetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init);
    const form = new URLSearchParams(await request.text());
    const exchange = exchanges.shift();
    const difference = exchange
      ? differences(exchange, request, form, asked)
      : [`${request.method} ${request.url} was not expected`];
    wrong.push(...difference);
    if (!exchange || difference.length > 0) throw new TypeError("not in the script");
    await timeline.pass(exchange.takes ?? 0.1, request.signal);
    if (exchange.fault !== undefined) {
      throw new TypeError("fetch failed", { cause: Object.assign(new Error("scripted"), { code: exchange.fault }) });
    }
    const response = exchange.reply ?? {};
    for (const body of [response.json, response.form]) served.push(...credentialsIn(body));
    return reply(response, { form, request, asked, answers });
  };

  const home = mkdtempSync(join(tmpdir(), "authline-scripted-"));
  const self = { pid: process.pid, host: "here", isAlive: () => true, startOf: () => undefined };
  const lock = { release() {} };
  const keyring = { get: noKeyring, set: noKeyring, remove: noKeyring };
  const keys = keysAt(home, {
    env: () => undefined,
    keyring,
    lock: async () => lock,
    isInUse: () => false,
    now: () => new Date(timeline.now()),
  });
  for (const definition of scenario.definitions ?? []) {
    mkdirSync(join(home, "definitions"), { recursive: true, mode: 0o700 });
    writeFileSync(join(home, "definitions", `${definition.name}.json`), JSON.stringify(definition), { mode: 0o600 });
  }
  const context: Context = {
    signal,
    holds: newHolds(),
    config: { path: "config.json", read: () => new Map(), set: async () => {} },
    definitions: { ...definitionsAt(home, { take: () => lock }), path: (name) => `definitions/${name}.json` },
    store,
    keys,
    audit: auditAt(home, { take: () => lock }, () => ({ pid: 2, ppid: 1, host: "here" })),
    sessions: { ...sessionsAt(home, self, keys), newId: () => "sess_9fJ2kQ7mX0aB4cD8eF1gHi" },
    leaveBehind: async () => {},
    async *lines() {},
    unseen: async () => undefined,
    fetch: fetch as typeof globalThis.fetch,
    now: () => new Date(timeline.now()),
    uptime: () => timeline.now() / 1000,
    sleep: (seconds, until = signal) => timeline.pass(seconds, until),
    random() {
      const value = createHash("sha256").update(`random ${drawn.length}`).digest("base64url");
      drawn.push(value);
      return value;
    },
    async listen(redirectUri) {
      return listener(redirectUri.replace(/^(http:\/\/(?:\[[^\]]+\]|[^/:]+))(?=\/|$)/, "$1:49152"));
    },
    browser: {
      reachesThisHost: browser?.reaches_this_host ?? false,
      welcome: browser?.welcome ?? false,
      async open(url) {
        opened.push(url);
        return browser?.opens ?? false;
      },
    },
    surroundings: {
      ...{ home, self, keyring, platform: "linux", node: "20.19.0" },
      terminal: { stdin: false, stdout: false, stderr: false },
      openers: async () => [],
    },
    env: (name) => env[name],
    stdin: async () => scenario.stdin ?? "",
    bytes: () => Readable.from([Buffer.from(scenario.stdin ?? "")]),
    pass() {},
    edit: async () => false,
    async execute(command) {
      const output = execute[command];
      if (output === undefined) wrong.push(`the command ${command} was not expected`);
      return output ?? "";
    },
  };

  return {
    context,
    signal,
    store,
    told(event) {
      if (event.phase === "auth_url") asked = new URL(event.auth_url);
    },
    faults: () => [
      ...wrong,
      ...exchanges.map(({ request }) => `${request} was never made`),
      ...timeline.left(),
      ...store.faults(),
      ...expected.flatMap((check) => check() ?? []),
      ...(closed === false ? ["the listener was left open"] : []),
      ...(closed === undefined && arrivals.length > 0 ? ["nobody listened for the callbacks"] : []),
      ...opened.filter((url) => url !== asked?.href).map((url) => `a browser was sent to ${url}`),
    ],
    secrets() {
      const shown = ["state", "nonce"].flatMap((name) => asked?.searchParams.get(name) ?? []);
      const tokens = [...served, ...store.secrets()];
      const all = [...tokens, ...drawn, ...Object.values(env), ...Object.values(execute), scenario.stdin ?? ""];
      return {
        all: [...new Set(all)].filter((secret) => secret !== ""),
        allow: {
          auth_url: shown,
          ...(scenario.argv[0] === "token" && { "data.access_token": [...tokens, ...Object.values(env)] }),
        },
      };
    },
  };
}

const noKeyring = () => Promise.reject(new Error("there is none"));

/** What is to happen, and when. Time stands still but while somebody waits for it to pass. */
class Timeline {
  #now = START;
  #due: { at: number; happen: () => void }[] = [];
  #waiting = 0;
  #running = false;

  constructor() {
    vi.setSystemTime(this.#now);
  }

  now = () => this.#now;

  at(seconds: number, happen: () => void): void {
    this.#schedule(START + seconds * 1000, happen);
  }

  /** Rejects with the signal's reason when that aborts. */
  pass(seconds: number, signal: AbortSignal): Promise<void> {
    const until = this.#now + seconds * 1000;
    if (!(until >= this.#now && until < Number.POSITIVE_INFINITY)) throw new RangeError(`a sleep of ${seconds} s`);
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const end = (how: () => void) => {
        this.#waiting--;
        this.#due = this.#due.filter((each) => each !== due);
        signal.removeEventListener("abort", abort);
        how();
      };
      const abort = () => end(() => reject(signal.reason));
      const due = this.#schedule(until, () => end(resolve));
      signal.addEventListener("abort", abort);
      this.#waiting++;
      void this.#run();
    });
  }

  /** What was scheduled and never came. */
  left = (): string[] => this.#due.map(({ at }) => `something was to happen ${(at - START) / 1000} s after the start`);

  #schedule(at: number, happen: () => void) {
    const due = { at, happen };
    this.#due = [...this.#due, due].sort((one, other) => one.at - other.at);
    return due;
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (;;) {
      // What follows from the last thing comes before the next.
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
      const next = this.#waiting > 0 ? this.#due.shift() : undefined;
      if (!next) break;
      this.#now = Math.max(this.#now, next.at);
      vi.setSystemTime(this.#now);
      next.happen();
    }
    this.#running = false;
  }
}

/** In what a request differs from the script. */
function differences(exchange: Exchange, request: Request, form: URLSearchParams, asked: URL | undefined): string[] {
  const [method, address = ""] = exchange.request.split(" ");
  const url = address.startsWith("/") ? `${ISSUER}${address}` : address;
  const what = `${method} ${url}`;
  const faults: string[] = [];
  if (`${request.method} ${request.url}` !== what) return [`${request.method} ${request.url} instead of ${what}`];
  if (exchange.form) {
    const sent = Object.fromEntries(form);
    for (const name of new Set([...Object.keys(sent), ...Object.keys(exchange.form)])) {
      const wanted = exchange.form[name];
      const isThere = wanted === "*" ? Boolean(sent[name]) : sent[name] === wanted;
      if (!isThere) faults.push(`${what}: ${name} is ${sent[name]}, not ${wanted}`);
    }
  }
  for (const [name, wanted] of Object.entries(exchange.headers ?? {})) {
    const sent = request.headers.get(name);
    if (sent !== wanted) faults.push(`${what}: the header ${name} is ${sent}, not ${wanted}`);
  }
  // What every code exchange must keep to, whatever the scenario is about (RFC 7636 §4.6, RFC 6749 §4.1.3).
  const verifier = form.get("code_verifier");
  if (form.get("grant_type") === "authorization_code") {
    const challenge = createHash("sha256").update(String(verifier)).digest("base64url");
    if (challenge !== asked?.searchParams.get("code_challenge")) faults.push(`${what}: the code_verifier does not fit`);
    if (form.get("redirect_uri") !== asked?.searchParams.get("redirect_uri")) {
      faults.push(`${what}: the redirect_uri does not fit`);
    }
  }
  return faults;
}

interface Asking {
  form: URLSearchParams;
  request: Request;
  asked: URL | undefined;
  answers: { id_token?: string };
}

function reply({ status = 200, headers = {}, json, form, text }: Reply, asking: Asking): Response {
  if (form) {
    const type = "application/x-www-form-urlencoded; charset=utf-8";
    return new Response(new URLSearchParams(form).toString(), {
      status,
      headers: { "content-type": type, ...headers },
    });
  }
  if (json === undefined) return new Response(text ?? null, { status, headers });
  const body = json === "{jwks}" ? jwks() : withIdToken(json, asking);
  return new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", ...headers } });
}

function withIdToken(json: unknown, { form, request, asked, answers }: Asking): unknown {
  if (!isObject(json) || !isObject(json["id_token"])) return json;
  const { claims = {}, signed_with } = IdToken.parse(json["id_token"]);
  const basic = Buffer.from(request.headers.get("authorization")?.split(" ")[1] ?? "", "base64").toString();
  const user = decodeURIComponent(basic.split(":")[0] ?? "");
  const now = Math.floor(Date.now() / 1000);
  const good: Record<string, unknown> = {
    iss: ISSUER,
    sub: "248289761001",
    aud: form.get("client_id") ?? user,
    iat: now,
    exp: now + 3600,
    nonce: asked?.searchParams.get("nonce") ?? null,
  };
  const all = Object.entries({ ...good, ...claims }).filter(([, value]) => value !== null);
  answers.id_token = signed(Object.fromEntries(all), signed_with);
  return { ...json, id_token: answers.id_token };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The names under which servers hand out what nobody else may see. */
const CREDENTIALS = ["access_token", "refresh_token", "id_token", "device_code"];

const credentialsIn = (body: unknown): string[] =>
  isObject(body) ? CREDENTIALS.map((name) => body[name]).filter((value) => typeof value === "string") : [];

type Named = Pick<Connection, "provider" | "connection">;
const nameOf = ({ provider, connection }: Named) => `${connection}@${provider}`;

/** Keeps what a disk would: copies, of what the schema knows. */
export class MemoryStore implements Store {
  #connections: (Connection | Unreadable)[];
  #learned: Learned[];
  readonly #registered = new Map<string, Registered>();
  #begun: Map<string, Refreshing>;
  readonly #answers: { id_token?: string };
  readonly #seen = new Set<string>();
  readonly #locked = new Set<string>();
  readonly #wrong: string[] = [];

  constructor(scenario: Scenario, answers: { id_token?: string } = {}) {
    this.#connections = storedIn(scenario);
    this.#learned = learnedIn(scenario);
    this.#begun = new Map(begunIn(scenario).map((begun) => [nameOf(begun), begun]));
    this.#answers = answers;
    this.#remember();
  }

  prepare = async () => [];
  names = () => this.#connections.map(({ provider, connection }) => ({ provider, connection }));
  taught = () => this.#learned.map(({ provider }) => provider);
  standard = async () => "default";
  setStandard = async () => {};
  sealed = () => [];
  writers = () => [];
  registeredIn = async () => undefined;

  async registered(issuer: string) {
    return structuredClone(this.#registered.get(issuer));
  }

  async keepRegistered(registered: Registered) {
    this.#registered.set(registered.issuer, structuredClone(registered));
  }

  async forgetRegistered(issuer: string) {
    this.#registered.delete(issuer);
  }

  registrationLock(issuer: string) {
    return this.lock(issuer, "client");
  }

  lock(provider: string, connection: string) {
    const name = nameOf({ provider, connection });
    if (this.#locked.has(name)) return undefined;
    this.#locked.add(name);
    return { release: () => void this.#locked.delete(name) };
  }

  #mustBeLocked(what: string, named: Named) {
    if (!this.#locked.has(nameOf(named))) this.#wrong.push(`${what} ${nameOf(named)} without its lock`);
  }

  async glance(provider: string, connection: string) {
    const found = await this.connection(provider, connection);
    if (!found) return undefined;
    const { secrets: _, ...view } = found;
    return view;
  }

  async interrupted(record: Named & Pick<Connection, "updated_at">) {
    const begun = this.#begun.get(nameOf(record));
    return begun?.updated_at === record.updated_at ? begun : undefined;
  }

  async begin(refreshing: Refreshing) {
    this.#mustBeLocked("begun to refresh", refreshing);
    this.#begun.set(nameOf(refreshing), refreshing);
  }

  async settle(provider: string, connection: string) {
    this.#mustBeLocked("settled", { provider, connection });
    this.#begun.delete(nameOf({ provider, connection }));
  }

  async clientKey(provider: string) {
    return (await this.learned(provider))?.secrets.client_key;
  }

  async clientSecret(provider: string) {
    return (await this.learned(provider))?.secrets.client_secret;
  }

  async connection(provider: string, connection: string) {
    const found = this.#connections.find((each) => each.provider === provider && each.connection === connection);
    if (found && "problem" in found) throw new Failure("store", found.problem);
    return found && structuredClone(found);
  }

  async connections(provider?: string) {
    const found = this.#connections.filter((each) => provider === undefined || each.provider === provider);
    const name = (each: Connection | Unreadable) => `${each.provider} ${each.connection}`;
    return structuredClone(found).sort((one, other) => (name(one) < name(other) ? -1 : 1));
  }

  async keep(record: Connection) {
    this.#mustBeLocked("kept", record);
    const before = await this.connection(record.provider, record.connection); // throws where it cannot be read
    const others = this.#connections.filter(
      ({ provider, connection }) => provider !== before?.provider || connection !== before.connection,
    );
    this.#connections = [...others, structuredClone(record)];
    this.#remember();
  }

  async remove(provider: string, connection: string) {
    this.#mustBeLocked("removed", { provider, connection });
    this.#begun.delete(nameOf({ provider, connection }));
    const before = this.#connections.length;
    this.#connections = this.#connections.filter(
      (each) => each.provider !== provider || each.connection !== connection,
    );
    return this.#connections.length < before;
  }

  async learned(provider: string) {
    return structuredClone(this.#learned.find((each) => each.provider === provider));
  }

  async learn(learned: Learned) {
    const others = this.#learned.filter(({ provider }) => provider !== learned.provider);
    this.#learned = [...others, structuredClone(learned)];
    this.#remember();
  }

  /** All of it. An ID token that was signed for this run stands as "{id_token}". */
  async content(): Promise<{ connections: (Connection | Unreadable)[]; learned: Learned[] }> {
    const whole = { connections: await this.connections(), learned: structuredClone(this.#learned) };
    const { id_token } = this.#answers;
    return JSON.parse(JSON.stringify(whole, (_, value) => (value === id_token && id_token ? "{id_token}" : value)));
  }

  /** The connections whose last refresh may have been answered without our knowing. */
  leftOpen = () => [...this.#begun.values()].map(({ connection }) => connection).sort();

  /** What was done without the lock, and the locks that nobody gave back. */
  faults = () => [...this.#wrong, ...[...this.#locked].map((name) => `the lock of ${name} was kept`)];

  /** Every secret that it ever held. */
  secrets = () => [...this.#seen];

  #remember() {
    for (const record of [...this.#connections, ...this.#learned]) {
      if ("secrets" in record) for (const secret of strings(record.secrets)) this.#seen.add(secret);
    }
  }
}

/** Every string in it, however deep. */
const strings = (value: unknown): string[] =>
  typeof value === "string" ? [value] : Object.values(value ?? {}).flatMap(strings);
