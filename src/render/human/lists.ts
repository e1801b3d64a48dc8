/**
 * Connections, sessions, providers, checks and the audit log: tables on a screen, elsewhere one plain line each, with exact times, for
 * grep and for logs.
 */
import { type AuditEntry, sentence } from "../../protocol/audit.ts";
import type { DataOf, RecordStatus } from "../../protocol/data.ts";
import { dim, green, type Look, type Paint, red, yellow } from "./look.ts";
import { type Row, table } from "./table.ts";
import { fromNow } from "./time.ts";

type Whose = { provider: string; connection: string };
type Status = DataOf<"status">["connections"][number];
type Listed = DataOf<"connections">["connections"][number];
type Session = DataOf<"session">;
type Check = DataOf<"doctor">["checks"][number];
type Provider = DataOf<"providers">["providers"][number];

const fullName = ({ provider, connection }: Whose) => `${connection}@${provider}`;
const shortName = (whose: Whose) => (whose.connection === "default" ? whose.provider : fullName(whose));
const facts = (...all: (string | false | undefined)[]) => all.filter(Boolean).join(", ");

/** Colour only marks: what is green can be used, what is red needs somebody. */
const RECORD: Partial<Record<RecordStatus, Paint>> = {
  connected: green,
  expired: yellow,
  revoked: red,
  unreadable: red,
};
const statusCell = (status: RecordStatus) => ({ text: status, ...(RECORD[status] && { paint: RECORD[status] }) });
const when = (time: string | undefined, now: string) => time && fromNow(time, now);

export function statusWords(connections: Status[], now: string, look: Look): string[] {
  if (!look.terminal) {
    return connections.map((entry) => {
      const { record_status, account, scope, expires_at } = entry;
      const said = facts(record_status, as(account), scope && `scope ${scope}`, until(expires_at));
      return `${shortName(entry)}: ${said}`;
    });
  }
  const rows = connections.map((entry): Row => {
    const { record_status, account, scope, expires_at } = entry;
    return { cells: [shortName(entry), statusCell(record_status), account, scope, when(expires_at, now)] };
  });
  return listed(["connection", "status", "account", "scope", "access ends"], rows, look);
}

export function connectionsWords(connections: Listed[], now: string, look: Look): string[] {
  if (!look.terminal) {
    return connections.map((entry) => {
      const { record_status, account, expires_at } = entry;
      return `${fullName(entry)}: ${facts(entry.default && "default", record_status, as(account), until(expires_at))}`;
    });
  }
  const rows = connections.map((entry): Row => {
    const { record_status, account, expires_at } = entry;
    const mark = entry.default ? "default" : undefined;
    return { cells: [fullName(entry), mark, statusCell(record_status), account, when(expires_at, now)] };
  });
  return listed(["connection", "meant", "status", "account", "access ends"], rows, look);
}

const as = (account: string | undefined) => account && `as ${account}`;
const until = (time: string | undefined) => time && `until ${time}`;

const SESSION: Partial<Record<Session["state"], Paint>> = { completed: green, failed: red, pending: yellow };

export function sessionsWords(sessions: Session[], now: string, look: Look): string[] {
  if (!look.terminal) {
    return sessions.map((session) => {
      const { session_id, state, expires_at, ended_at } = session;
      const end = state === "pending" ? `open until ${expires_at}` : `${state}${ended_at ? ` at ${ended_at}` : ""}`;
      return `${session_id}: ${shortName(session)}, ${end}`;
    });
  }
  const rows = sessions.map((session): Row => {
    const { session_id, state, expires_at, ended_at } = session;
    const text = state === "pending" ? "open" : state;
    const paint = SESSION[state];
    const end = state === "pending" ? `ends ${fromNow(expires_at, now)}` : when(ended_at, now);
    return { cells: [session_id, shortName(session), { text, ...(paint && { paint }) }, end] };
  });
  return listed(["session", "for", "state", "when"], rows, look);
}

const CHECK = { ok: green, warning: yellow, failed: red, skipped: dim };

/** The command that mends it has a line of its own. */
export function checksWords(checks: Check[], look: Look): string[] {
  if (!look.terminal) {
    return checks.flatMap(({ check, state, message, fix }) => {
      const line = `${CHECK[state](state.padEnd(7), look)}  ${check.padEnd(9)}  ${message}`;
      return fix === undefined ? [line] : [line, `${" ".repeat(20)}mend it: ${fix}`];
    });
  }
  const rows = checks.map(
    ({ check, state, message, fix }): Row => ({
      cells: [check, { text: state, paint: CHECK[state] }, message],
      note: fix && `mend it: ${fix}`,
    }),
  );
  return listed(["check", "state", "found"], rows, look);
}

const KINDS: Record<Provider["kinds"][number], string> = { oauth: "OAuth", api_key: "API key" };

export function providersWords(providers: Provider[], look: Look): string[] {
  const said = (each: Provider) => ({
    kinds: facts(...each.kinds.map((kind) => KINDS[kind])),
    whence: facts(
      each.source === "user" && (each.overrides ? "yours, instead of the built-in one" : "yours"),
      each.source === "learned" && "from a login",
      each.problem && "cannot be used",
    ),
    set: each.variables && `--set ${each.variables.join(", ")}`,
  });
  if (!look.terminal) {
    return providers.map((each) => {
      const { kinds, whence, set } = said(each);
      return `${each.name}: ${facts(each.display_name, kinds, set, whence)}`;
    });
  }
  const rows = providers.map((each): Row => {
    const { kinds, whence, set } = said(each);
    const paint = each.problem ? red : yellow;
    return { cells: [each.name, each.display_name, kinds, set, whence ? { text: whence, paint } : undefined] };
  });
  return listed(["provider", "what", "gives out", "asks for", "from"], rows, look);
}

export function auditWords(entries: AuditEntry[], now: string, look: Look): string[] {
  if (!look.terminal) return entries.map(sentence);
  const rows = entries.map((entry): Row => {
    const { time, command, event, state, code, reason, provider, connection, pid, parent, user } = entry;
    const what = event === "end" ? `ended with ${state}` : `${event} ${state}`;
    const why = facts(code, reason);
    const credential = provider && (connection ? fullName({ provider, connection }) : provider);
    const by = facts(user, parent, `process ${pid}`);
    return { cells: [fromNow(time, now), command, credential, why ? `${what} (${why})` : what, by] };
  });
  return listed(["when", "command", "credential", "what", "by"], rows, look);
}

/** With room before what is said about all of them. */
const listed = (titles: string[], rows: Row[], look: Look) =>
  rows.length === 0 ? [] : [...table(titles, rows, look), ""];
