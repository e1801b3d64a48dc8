/**
 * Words for people, on stderr. Pure.
 *
 * Rules:
 * - It says what the event says: its message, then what a person needs of its facts.
 * - On a terminal one line stands for what is going on; it is rewritten, and every text begins by wiping it. Colour only
 *   marks. Elsewhere there is not one control character.
 * - A token is shown only where `reveal` says that a person asked for it at a terminal.
 */
import { sentence } from "../protocol/audit.ts";
import type { DataOf, Kind } from "../protocol/data.ts";
import type { PhaseEvent, Result } from "../protocol/event.ts";
import type { Transition } from "../protocol/machine.ts";

export interface Look {
  terminal: boolean;
  reveal: boolean;
}

const WIPE = "\r\u001b[2K";
const paint =
  (code: string) =>
  (text: string, { terminal }: Look) =>
    terminal ? `\u001b[${code}m${text}\u001b[0m` : text;
const bold = paint("1");
const dim = paint("2");
const green = paint("32");
const red = paint("31");
const yellow = paint("33");

export const human =
  (look: Look) =>
  ({ event, kind }: Transition): string => {
    const text = words(event, kind, look);
    if (text === "") return "";
    // A line that will be rewritten has no end yet; every text wipes what stands there.
    return look.terminal ? `${WIPE}${text}` : text;
  };

function words(event: PhaseEvent, kind: Kind, look: Look): string {
  switch (event.phase) {
    case "auth_url":
      return `${bold(event.message, look)}\n${look.terminal && event.command === "login" ? PASTE : ""}`;
    case "device_code":
      return `${event.message}\n\n    ${bold(event.user_code, look)}\n\n${complete(event.verification_uri_complete)}`;
    case "progress":
      return progressWords(event, look);
    case "result":
      return resultWords(event, kind, look);
  }
}

const PASTE = "If your browser is on another machine, paste the address that it ends at here.\n";

const complete = (uri: string | undefined) => (uri ? `With the code filled in: ${uri}\n` : "");

function progressWords(event: Extract<PhaseEvent, { phase: "progress" }>, look: Look): string {
  if (event.entry) return `${event.message}\n`;
  if (event.step === "check") return look.terminal ? dim(event.message, look) : ""; // the list at the end says it again
  const lasting = event.state === "retrying" || event.state === "failed" || event.reason !== undefined;
  if (lasting) return `${yellow(event.message, look)}\n`;
  return look.terminal ? dim(event.message, look) : `${event.message}\n`;
}

function resultWords(event: Result, kind: Kind, look: Look): string {
  const lines: string[] = [];
  switch (event.status) {
    case "success":
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
const SAYS_ALL: ReadonlySet<Kind> = new Set(["doctor"]);

type Words = { [K in Kind]: (data: DataOf<K>, event: Result, look: Look) => string[] };

/** What a person reads of each kind of outcome. */
const dataWords: Words = {
  login: (_, { message }, look) => [green(message, look)],
  token: ({ access_token }, { message }, look) => (look.reveal ? [message, access_token] : [message]),
  status: ({ connections }, { message }) => [...connections.map(connectionWords), message],
  logout: (_, { message }) => [message],
  connections: ({ connections }, { message }) => [...connections.map(nameWords), message],
  connection: (_, { message }) => [message],
  rekey: (_, { message }) => [message],
  sessions: ({ sessions }, { message }) => [...sessions.map(sessionWords), message],
  session: (session, { message }) => [sessionWords(session), message],
  audit: ({ entries }, { message }) => [...entries.map(sentence), message],
  doctor: ({ checks }, { message }, look) => [...checks.flatMap((each) => checkWords(each, look)), message],
  help: ({ text }) => [text.trimEnd()],
  version: (_, { message }) => [message],
  schema: ({ schema }, { message }, { reveal }) => (reveal ? [JSON.stringify(schema, undefined, 2)] : [message]),
};

function sessionWords(session: DataOf<"session">): string {
  const { session_id, provider, connection, state, expires_at, ended_at } = session;
  const when = state === "pending" ? `open until ${expires_at}` : `${state}${ended_at ? ` at ${ended_at}` : ""}`;
  return `${session_id}: ${connection === "default" ? provider : `${connection}@${provider}`}, ${when}`;
}

const STATE_PAINT = { ok: green, warning: yellow, failed: red, skipped: dim };

/** The names under each other, and the command that mends it on a line of its own. */
function checkWords({ check, state, message, fix }: DataOf<"doctor">["checks"][number], look: Look): string[] {
  const line = `${STATE_PAINT[state](state.padEnd(7), look)}  ${check.padEnd(9)}  ${message}`;
  return fix === undefined ? [line] : [line, `${" ".repeat(20)}mend it: ${fix}`];
}

function nameWords(entry: DataOf<"connections">["connections"][number]): string {
  const { provider, connection, record_status, account, expires_at } = entry;
  const facts = [
    entry.default && "default",
    record_status,
    account && `as ${account}`,
    expires_at && `until ${expires_at}`,
  ];
  return `${connection}@${provider}: ${facts.filter(Boolean).join(", ")}`;
}

function connectionWords(entry: DataOf<"status">["connections"][number]): string {
  const { provider, connection, record_status, account, scope, expires_at } = entry;
  const facts = [
    record_status,
    account && `as ${account}`,
    scope && `scope ${scope}`,
    expires_at && `until ${expires_at}`,
  ];
  return `${connection === "default" ? provider : `${connection}@${provider}`}: ${facts.filter(Boolean).join(", ")}`;
}
