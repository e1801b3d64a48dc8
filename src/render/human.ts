/**
 * Words for people, on stderr. Pure. human/ holds what one phase or one kind of list needs.
 *
 * Rules:
 * - It says what the event says: its message, then what a person needs of its facts.
 * - On a terminal one line stands for what is going on; it is rewritten, and every text begins by wiping it. It is never
 *   longer than the terminal is wide. Colour only marks. Elsewhere there is not one control character.
 * - A sentence, an address and a command are written as they are, however long: the terminal breaks them, and what is
 *   copied from it is whole.
 * - A token is shown only where `reveal` says that a person asked for it at a terminal.
 */
import type { DataOf, Kind } from "../protocol/data.ts";
import type { PhaseEvent, Result } from "../protocol/event.ts";
import type { Transition } from "../protocol/machine.ts";
import { authUrlWords, deviceCodeWords } from "./human/challenge.ts";
import {
  auditWords,
  checksWords,
  connectionsWords,
  providersWords,
  sessionsWords,
  statusWords,
} from "./human/lists.ts";
import { dim, green, type Look, red, WIPE, yellow } from "./human/look.ts";
import { cut } from "./human/width.ts";

export type { Look };

export const human =
  (look: Look) =>
  ({ event, kind }: Transition): string => {
    const text = words(event, kind, look);
    // The last word wipes what stands there, even if it is none.
    if (text === "" && event.phase !== "result") return "";
    return look.live ? `${WIPE}${text}` : text;
  };

function words(event: PhaseEvent, kind: Kind, look: Look): string {
  switch (event.phase) {
    case "auth_url":
      return authUrlWords(event, look);
    case "device_code":
      return deviceCodeWords(event, look);
    case "progress":
      return progressWords(event, look);
    case "result":
      return resultWords(event, kind, look);
  }
}

function progressWords(event: Extract<PhaseEvent, { phase: "progress" }>, look: Look): string {
  if (event.entry) return `${event.message}\n`; // it was asked for
  if (look.quiet && event.reason !== "type_key") return ""; // that one asks for something
  if (event.step === "check") return look.live ? statusLine(event.message, look) : ""; // the list at the end says it again
  const lasting = event.state === "retrying" || event.state === "failed" || event.reason !== undefined;
  if (lasting) return `${yellow(event.message, look)}\n`;
  return look.live ? statusLine(event.message, look) : `${event.message}\n`;
}

/** One column stays free: in the last one some terminals go on in the next row. */
const statusLine = (message: string, look: Look) => dim(cut(message, look.width - 1, look), look);

function resultWords(event: Result, kind: Kind, look: Look): string {
  const lines: string[] = [];
  switch (event.status) {
    case "success":
      if (!(look.quiet && DEEDS.has(kind))) lines.push(...dataWords[kind](event.data as never, event, look));
      break;
    case "started":
    case "pending":
      lines.push(...dataWords[kind](event.data as never, event, look));
      break;
    case "error":
      lines.push(`${red("error:", look)} ${event.message}`);
      if (event.error.hint) lines.push(event.error.hint);
      break;
    case "cancelled":
      lines.push(event.message);
      break;
  }
  const warnings = SAYS_ALL.has(kind) && "data" in event ? [] : event.warnings;
  for (const { message } of warnings) lines.push(`${yellow("warning:", look)} ${message}`);
  return lines.map((line) => `${line}\n`).join("");
}

/** Whose data shows what is in the warnings too. */
const SAYS_ALL: ReadonlySet<Kind> = new Set(["doctor", "import", "provider_check"]);

/** What was done, where nothing was asked: with --quiet the exit code says it. */
const DEEDS: ReadonlySet<Kind> = new Set(["login", "import", "logout", "connection", "rekey"]);

type Words = { [K in Kind]: (data: DataOf<K>, event: Result, look: Look) => string[] };

/** What a person reads of each kind of outcome. */
const dataWords: Words = {
  login: (_, { message }, look) => [green(message, look)],
  import: ({ taken, skipped }, { message }) => [
    ...taken.map(({ provider, variable, account }) => `${variable}: ${provider}${account ? ` as ${account}` : ""}`),
    ...skipped.map(({ variable, message }) => `${variable}: left, ${message}`),
    message,
  ],
  token: ({ access_token }, { message }, look) => (look.reveal ? [message, access_token] : [message]),
  proof: ({ proof }, { message }, look) => (look.reveal ? [message, proof] : [message]),
  whoami: (data, { message }) => [message, ...whoamiWords(data)],
  status: ({ connections }, { message, time }, look) => [...statusWords(connections, time, look), message],
  logout: (_, { message }) => [message],
  connections: ({ connections }, { message, time }, look) => [...connectionsWords(connections, time, look), message],
  connection: (_, { message }) => [message],
  rekey: (_, { message }) => [message],
  sessions: ({ sessions }, { message, time }, look) => [...sessionsWords(sessions, time, look), message],
  session: (session, { message, time }, look) => [...sessionsWords([session], time, look), message],
  audit: ({ entries }, { message, time }, look) => [...auditWords(entries, time, look), message],
  doctor: ({ checks }, { message }, look) => [...checksWords(checks, look), message],
  providers: ({ providers }, { message }, look) => [...providersWords(providers, look), message],
  provider: ({ definition }, { message }, { reveal }) =>
    definition && reveal ? [JSON.stringify(definition, undefined, 2), "", message] : [message],
  provider_check: ({ checks }, { message }, look) => [...checksWords(checks, look), message],
  config: ({ entries }, { message }) => [...entries.map(settingWords), message],
  completion: ({ script, path }, { message }, { reveal }) =>
    path === undefined && reveal ? [script.trimEnd()] : [message],
  candidates: () => [],
  help: ({ text }) => [text.trimEnd()],
  version: (_, { message }) => [message],
  schema: ({ schema }, { message }, { reveal }) => (reveal ? [JSON.stringify(schema, undefined, 2)] : [message]),
  skill: ({ text, installed = [] }, { message }, { reveal }) =>
    reveal && installed.length === 0
      ? [text.trimEnd()]
      : [...installed.map(({ path, state }) => `${path}: ${state}`), message],
};

/** The rest of what is known, a fact a line. */
const whoamiWords = ({ account, subject, email, name, issuer, scope, expires_at }: DataOf<"whoami">) =>
  Object.entries({ subject, email, name, issuer, scope, "access ends": expires_at }).flatMap(([what, value]) =>
    value === undefined || value === account ? [] : [`${what}: ${value}`],
  );

const settingWords = ({ key, value, source }: DataOf<"config">["entries"][number]) =>
  value === undefined ? `${key} is not set` : `${key} = ${value}${source === "default" ? "" : ` (${source})`}`;
