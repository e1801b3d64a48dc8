// An independent reading of the stream contract, for tests.
//
// Rules of this file:
// - It imports nothing from src/: an oracle that shares code with the program shares its mistakes. Beside it, every line of
//   every test is held to the schema that is published (schema.ts).
// - `parseStream` is lenient (whatever can be read), `checkStream` is strict (whatever is wrong, in words; [] = fine).
// - Every rule here is one that a reader was promised; a stricter one would fail a program that keeps its word.

import { faultsBySchema } from "./schema.ts";

export type Phase = "auth_url" | "device_code" | "progress" | "result";

export interface StreamError {
  code: string;
  message: string;
  retryable: boolean;
  hint?: string;
  retry_after?: number;
  oauth_error?: string;
  oauth_error_description?: string;
  http_status?: number;
}

export interface NextAction {
  id: string;
  argv: string[];
  description: string;
}

/** One line, as a reader sees it: typed by what the contract promises, not by what was checked. */
export interface Event {
  v: number;
  seq: number;
  time: string;
  command: string;
  phase: Phase;
  message: string;
  session_id?: string;
  provider?: string;
  connection?: string;
  auth_url?: string;
  redirect_uri?: string;
  reach?: "this_host" | "anywhere";
  browser_opened?: boolean;
  user_code?: string;
  verification_uri?: string;
  verification_uri_complete?: string;
  expires_at?: string;
  expires_in?: number;
  interval?: number;
  step?: string;
  state?: string;
  attempt?: number;
  retry_in?: number;
  remaining?: number;
  reason?: string;
  status?: string;
  exit_code?: number;
  duration_ms?: number;
  warnings?: unknown[];
  next_actions?: NextAction[];
  // biome-ignore lint/suspicious/noExplicitAny: its shape belongs to each command; a test asserts on it anyway
  data?: any;
  error?: StreamError;
  [undeclared: string]: unknown;
}

export interface Expectations {
  /** What `command` must say on every line. */
  command?: string;
  /** What the process exited with. */
  exitCode?: number | null;
  /** Values that must not appear on any line, whether as they are, percent-encoded or in base64. */
  secrets?: string[];
  /**
   * Which secrets a field may carry: `{ "data.access_token": [token] }` for `token`, `{ auth_url: [state] }` for `login`.
   * A `message` may repeat a whole `auth_url` that it announces.
   */
  allow?: Record<string, string[]>;
  /** The stream may break off anywhere (SIGKILL, reader gone): what did arrive must still be right. */
  partial?: boolean;
  /** The `seq` of the first line, where a reader asked not to be told from the beginning. Default 0. */
  from?: number;
}

type Check = (value: unknown) => boolean;
type Fields = Record<string, Check>;

const isObject = (x: unknown): x is Record<string, unknown> => typeof x === "object" && x !== null && !Array.isArray(x);
const text: Check = (x) => typeof x === "string" && x !== "";
const flag: Check = (x) => typeof x === "boolean";
const list: Check = (x) => Array.isArray(x);
const amount: Check = (x) => typeof x === "number" && Number.isFinite(x) && x >= 0;
const whole: Check = (x) => amount(x) && Number.isInteger(x);
const date: Check = (x) =>
  typeof x === "string" && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(x) && !Number.isNaN(Date.parse(x));
const webUrl: Check = (x) => typeof x === "string" && /^https?:\/\//.test(x) && URL.canParse(x);
const oneOf =
  (...choices: unknown[]): Check =>
  (x) =>
    choices.includes(x);
const optional =
  (check: Check): Check =>
  (x) =>
    x === undefined || check(x);
const commandLine: Check = (x) =>
  Array.isArray(x) && x[0] === "authline" && x.every((word) => typeof word === "string");
const action: Check = (x) =>
  isObject(x) && checkFields({ id: text, description: text, argv: commandLine }, x).length === 0;
const actions: Check = (x) => Array.isArray(x) && x.every(action);

/** What each phase carries besides the fields of every line. */
const FIELDS: Record<Phase, Fields> = {
  auth_url: {
    provider: text,
    connection: text,
    auth_url: webUrl,
    redirect_uri: text,
    reach: oneOf("this_host", "anywhere"),
    expires_at: date,
    expires_in: amount,
    browser_opened: flag,
    next_actions: actions,
  },
  device_code: {
    provider: text,
    connection: text,
    user_code: text,
    verification_uri: webUrl,
    verification_uri_complete: optional(webUrl),
    expires_at: date,
    expires_in: amount,
    interval: amount,
    next_actions: actions,
  },
  progress: {
    step: text,
    state: oneOf("started", "waiting", "retrying", "done", "skipped", "failed"),
    attempt: optional(whole),
    retry_in: optional(amount),
    remaining: optional(amount),
    reason: optional(text),
  },
  result: {
    status: oneOf("success", "started", "pending", "cancelled", "error"),
    exit_code: whole,
    duration_ms: amount,
    warnings: list,
    next_actions: actions,
  },
};

const ERROR_FIELDS: Fields = {
  code: text,
  message: text,
  retryable: flag,
  hint: optional(text),
  retry_after: optional(amount),
  oauth_error: optional((x) => typeof x === "string"),
  oauth_error_description: optional((x) => typeof x === "string"),
  http_status: optional(whole),
};

const EXIT_OF_STATUS: Record<string, number> = { success: 0, started: 0, pending: 8, cancelled: 2 };
const EXIT_OF_ERROR: Record<string, number> = {
  auth_required: 4,
  auth_expired: 4,
  usage: 64,
  not_found: 66,
  network: 69,
  internal: 70,
  store: 74,
  expired: 75,
  timeout: 75,
  locked: 75,
  rate_limited: 75,
  provider: 76,
  denied: 77,
  config: 78,
  failed: 1,
};

/** What only one command may say. */
const ONLY_FROM: Record<string, string[]> = {
  auth_url: ["login", "session wait"],
  device_code: ["login", "session wait"],
  started: ["login"],
  pending: ["session wait"],
};

const MAX_LINE = 4096; // bytes with the newline: PIPE_BUF on Linux, what one write to a pipe keeps in one piece
// C0, DEL, C1; the bidi marks, embeddings, overrides and isolates; halves of surrogate pairs, which are not text at all.
const UNSHOWABLE = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\p{Surrogate}]/u;

/** The objects on the stream; what is not one is left out. */
export function parseStream(bytes: Buffer | string): Event[] {
  return splitLines(Buffer.from(bytes)).flatMap((line) => {
    const event = parseLine(line.toString("utf8"));
    return event ? [event] : [];
  });
}

/** Everything in which these bytes break the contract. */
export function checkStream(bytes: Buffer | string, expected: Expectations = {}): string[] {
  const buffer = Buffer.from(bytes);
  const faults: string[] = [];
  if (!isUtf8(buffer)) faults.push("the stream is not valid UTF-8");

  const lines = splitLines(buffer);
  if (buffer.length > 0 && buffer.at(-1) !== 0x0a) {
    const last = lines.pop();
    if (!expected.partial) faults.push(`the last line does not end in a newline: ${quote(String(last))}`);
  }

  const events: Event[] = [];
  for (const [index, bytesOfLine] of lines.entries()) {
    const say = (fault: string) => faults.push(`line ${index + 1}: ${fault}`);
    const line = bytesOfLine.toString("utf8");
    const event = parseLine(line);
    for (const fault of leaksOfLine(line, event, expected)) say(fault);
    if (!event) {
      say(`not one JSON object: ${quote(line)}`);
      continue;
    }
    if (!line.startsWith("{") || !line.endsWith("}")) say(`foreign bytes around the object: ${quote(line)}`);
    const size = bytesOfLine.length + 1;
    if (size > MAX_LINE && !mayBeLong(event)) say(`${size} bytes long, more than ${MAX_LINE}`);
    for (const fault of [...checkEvent(event), ...faultsBySchema(event)]) say(fault);
    const before = events.at(-1);
    const seq = (expected.from ?? 0) + events.length;
    if (event.seq !== seq) say(`seq is ${event.seq}, expected ${seq}`);
    if (before && event.time < before.time) say(`time ${event.time} is before ${before.time} of the line above`);
    if (before && event.command !== before.command) say(`command changed from ${before.command} to ${event.command}`);
    if (before?.phase === "result") say(`a ${event.phase} after the result`);
    events.push(event);
  }

  const sessions = new Set(events.flatMap((event) => event.session_id ?? []));
  if (sessions.size > 1) faults.push(`more than one session_id: ${[...sessions].join(", ")}`);
  const command = events[0]?.command;
  if (expected.command !== undefined && command !== undefined && command !== expected.command) {
    faults.push(`command is ${command}, expected ${expected.command}`);
  }
  const results = events.filter((event) => event.phase === "result");
  if (results.length === 0 && !expected.partial) faults.push("the stream has no result");
  if (results.length > 1) faults.push(`the stream has ${results.length} results`);
  const exit = results.at(-1)?.exit_code;
  if (expected.exitCode !== undefined && exit !== undefined && exit !== expected.exitCode) {
    faults.push(`exit_code is ${exit}, but the process exited with ${expected.exitCode}`);
  }
  return faults;
}

/** Which of these secrets a text shows, in words. For what is not the stream: stderr, a file, an argument list. */
export function leaks(content: Buffer | string, secrets: string[]): string[] {
  const haystack = String(content);
  return secrets.filter((secret) => disguises(secret).some((shape) => haystack.includes(shape))).map(nameSecret);
}

function checkEvent(event: Event): string[] {
  const faults: string[] = [];
  if (event.v !== 1) faults.push(`v is ${quote(event.v)}, expected 1`);
  if (!isTimestamp(event.time)) faults.push(`time ${quote(event.time)} is not RFC 3339 in UTC with milliseconds`);
  if (!text(event.command)) faults.push(`command is ${quote(event.command)}`);
  if (!text(event.message)) faults.push(`message is ${quote(event.message)}`);
  else if (UNSHOWABLE.test(event.message)) faults.push(`message has control characters: ${quote(event.message)}`);
  if (event.session_id !== undefined && !/^sess_./.test(String(event.session_id))) {
    faults.push(`session_id is ${quote(event.session_id)}`);
  }
  for (const name of Object.keys(event)) if (!/^[a-z][a-z0-9_]*$/.test(name)) faults.push(`${name} is not snake_case`);
  for (const name of credentials(event)) faults.push(`${name} is a credential and is never printed`);

  const fields = FIELDS[event.phase];
  if (!fields || !Object.hasOwn(FIELDS, event.phase)) return [...faults, `phase is ${quote(event.phase)}`];
  faults.push(...checkFields(fields, event));
  for (const word of [event.phase, event.status ?? ""]) {
    const commands = ONLY_FROM[word];
    if (commands && !commands.includes(event.command)) faults.push(`${word} comes from ${quote(event.command)}`);
  }
  if (event.phase === "result") faults.push(...checkResult(event));
  return faults;
}

function checkResult({ status, exit_code, data, error, command }: Event): string[] {
  const faults: string[] = [];
  const failed = status === "error" || status === "cancelled";
  if (failed && data !== undefined) faults.push(`a result with status ${status} has data`);
  if (!failed && error !== undefined) faults.push(`a result with status ${status} has an error`);
  if (!failed && (typeof data !== "object" || data === null)) faults.push(`data is ${quote(data)}`);
  if (failed && !isObject(error)) faults.push(`error is ${quote(error)}`);
  if (isObject(error)) {
    faults.push(...checkFields(ERROR_FIELDS, error, "error."));
    if (UNSHOWABLE.test(String(error.message))) faults.push(`error.message has control characters`);
  }
  if (typeof data?.access_token === "string" && command !== "token") {
    faults.push(`${command} puts an access token on stdout`);
  }

  const code = String(error?.code);
  if (status === "cancelled" && code !== "cancelled") faults.push(`status is cancelled but error.code is ${code}`);
  if (status === "error" && !Object.hasOwn(EXIT_OF_ERROR, code)) faults.push(`error.code ${quote(code)} is unknown`);
  const exit = status === "error" ? EXIT_OF_ERROR[code] : EXIT_OF_STATUS[String(status)];
  if (exit !== undefined && exit_code !== exit) {
    faults.push(`exit_code is ${exit_code}, expected ${exit} for ${status === "error" ? code : status}`);
  }
  return faults;
}

function checkFields(fields: Fields, object: object, prefix = ""): string[] {
  const values = object as Record<string, unknown>;
  return Object.entries(fields)
    .filter(([name, check]) => !check(values[name]))
    .map(([name]) => `${prefix}${name} is ${quote(values[name])}`);
}

/** A document (help, schema, a list) or a token. What tells how a login stands is neither, however it got so long. */
function mayBeLong({ phase, data }: Event): boolean {
  if (phase !== "result" || typeof data !== "object" || data === null) return false;
  return "access_token" in data || !("record_status" in data || "session_id" in data);
}

/** Names under which only a credential can stand. A schema may have them as keys too, but then of an object. */
function credentials(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    typeof inner === "string" && ["device_code", "refresh_token", "code_verifier"].includes(name)
      ? [name]
      : credentials(inner),
  );
}

/**
 * Counts rather than searches: a secret may appear as often as the fields allowed to carry it do. Looks at the string
 * literals of the line, so that neither an escape (\u0061) nor a field given twice hides anything.
 */
function leaksOfLine(line: string, event: Event | undefined, { secrets = [], allow = {} }: Expectations): string[] {
  const shown = event ? literals(line).join("\n") : line;
  return secrets
    .filter((secret) =>
      disguises(secret).some((shape) => {
        let allowed = 0;
        for (const [path, carried] of Object.entries(allow)) {
          const value = carried.includes(secret) ? at(event, path) : undefined;
          if (typeof value !== "string" || value === "") continue;
          allowed += count(value, shape);
          if (path.endsWith("auth_url")) allowed += count(String(event?.message), value) * count(value, shape);
        }
        return count(shown, shape) > allowed;
      }),
    )
    .map(nameSecret);
}

function disguises(secret: string): string[] {
  if (secret === "") throw new TypeError("an empty secret is on every line");
  const base64 = Buffer.from(secret).toString("base64").replace(/=+$/, "");
  return [...new Set([secret, encodeURIComponent(secret), base64, Buffer.from(secret).toString("base64url")])];
}

const nameSecret = (secret: string) => `shows the secret ${quote(`${secret.slice(0, 8)}…`)}`;
const literals = (line: string): string[] => (line.match(/"(?:[^"\\]|\\.)*"/g) ?? []).map((word) => JSON.parse(word));
const count = (haystack: string, needle: string) => haystack.split(needle).length - 1;
const at = (value: unknown, path: string): unknown =>
  path.split(".").reduce<unknown>((inner, name) => (isObject(inner) ? inner[name] : undefined), value);
const quote = (value: unknown) => String(JSON.stringify(value)).slice(0, 120);
const isTimestamp = (time: unknown) =>
  typeof time === "string" &&
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(time) &&
  !Number.isNaN(Date.parse(time)) &&
  new Date(time).toISOString() === time;

function parseLine(line: string): Event | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? (value as Event) : undefined;
  } catch {
    return undefined;
  }
}

/** Splits bytes, not text: the limit is in bytes. What follows the last newline counts as a line if it is not empty. */
function splitLines(buffer: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = buffer.indexOf(0x0a); end !== -1; end = buffer.indexOf(0x0a, start)) {
    lines.push(buffer.subarray(start, end));
    start = end + 1;
  }
  return start < buffer.length ? [...lines, buffer.subarray(start)] : lines;
}

function isUtf8(buffer: Buffer): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(buffer);
    return true;
  } catch {
    return false;
  }
}
