/**
 * The sessions on disk.
 *
 *   HOME/sessions/<id>.json     the record        HOME/sessions/<id>.ndjson   the event log
 *   HOME/sessions/<id>.lock/    who drives it     HOME/sessions/<id>.mail/    what others have to say to the driver
 *
 * Rules: only the driver, who has the lock, writes record and log; everybody else reads, or sends mail.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Context } from "../context.ts";
import type { PhaseEvent } from "../protocol/event.ts";
import { asFailure, type Failure } from "../protocol/failure.ts";
import {
  attempt,
  makeDirectory,
  readRecord,
  recordsIn,
  removeRecord,
  sweep as sweepLeftovers,
  writeRecord,
} from "../store/files.ts";
import { isLocked, type Lock, type Self, tryLock } from "../store/lock.ts";
import { eventsIn, type Writer, writerOf } from "./log.ts";
import { SESSION_ID, Session } from "./session.ts";

export type Mail = { callback: string } | { cancel: true };

export interface Sessions {
  newId(): string;
  get(id: string): Session | undefined;
  /** Oldest first. One that cannot be read is told, and does the others no harm. */
  all(unreadable?: (fault: Failure) => void): Session[];
  put(session: Session): void;
  remove(id: string): void;
  /** The lock of the one driver; undefined while somebody else has it. */
  drive(id: string): Lock | undefined;
  isDriven(id: string): boolean;
  /** The lock of the one process that is left behind to hold the listener. */
  hold(id: string): Lock | undefined;
  isHeld(id: string): boolean;
  /** Held for the moment in which a login joins a session or opens one. */
  door(): Lock | undefined;
  events(id: string, from?: number): PhaseEvent[];
  writer(id: string, now: () => Date): Writer;
  send(id: string, mail: Mail): void;
  /** What has come in, each once. */
  receive(id: string): Mail[];
  /** The same, once there is some. Rejects when `signal` aborts. */
  nextMail(id: string, signal: AbortSignal): Promise<Mail[]>;
}

/** How often a driver looks into its mailbox. */
const LOOK_MS = 250;
const DAY_MS = 24 * 3600 * 1000;

export function sessionsAt(home: string, self: Self): Sessions {
  const directory = join(home, "sessions");
  const at = (id: string, suffix: string) => join(directory, `${id}.${suffix}`);
  const place = (name: string) => ({ directory, name });
  const nameOf = ({ session_id }: Session) => session_id;
  const lock = (path: string) => {
    makeDirectory(directory);
    return attempt("lock", path, () => tryLock(path, self));
  };

  const receive = (id: string): Mail[] => {
    const box = at(id, "mail");
    if (!existsSync(box)) return [];
    const files = readdirSync(box).filter((name) => name.endsWith(".json"));
    return files.sort().flatMap((name) => {
      const mail = mailIn(join(box, name));
      rmSync(join(box, name), { recursive: true, force: true });
      return mail ?? [];
    });
  };

  return {
    newId: () => `sess_${randomBytes(17).toString("base64url").slice(0, 22)}`,
    get: (id) => readRecord(place(id), Session(), nameOf),
    all(unreadable = () => {}) {
      const ids = recordsIn(directory).filter((name) => SESSION_ID.test(name));
      const found = ids.flatMap((id) => {
        try {
          return readRecord(place(id), Session(), nameOf) ?? [];
        } catch (error) {
          unreadable(asFailure(error));
          return [];
        }
      });
      return found.sort((a, b) => Date.parse(a.created_at) - Date.parse(b.created_at));
    },
    put(session) {
      writeRecord(place(session.session_id), session, Session(), nameOf);
      if (session.state === "pending") return;
      // What else holds secrets.
      sweepLeftovers(directory, `${session.session_id}.json.tmp-`, 0);
      rmSync(at(session.session_id, "mail"), { recursive: true, force: true });
    },
    remove(id) {
      removeRecord(place(id));
      for (const suffix of ["ndjson", "lock", "holder", "mail"])
        rmSync(at(id, suffix), { recursive: true, force: true });
    },
    drive: (id) => lock(at(id, "lock")),
    isDriven: (id) => attempt("read", at(id, "lock"), () => isLocked(at(id, "lock"), self)),
    hold: (id) => lock(at(id, "holder")),
    isHeld: (id) => attempt("read", at(id, "holder"), () => isLocked(at(id, "holder"), self)),
    door: () => lock(join(directory, "door.lock")),
    events: (id, from) => attempt("read", at(id, "ndjson"), () => eventsIn(at(id, "ndjson"), from)),
    writer(id, now) {
      const path = at(id, "ndjson");
      const writer = attempt("write", path, () => writerOf(path, id, now));
      return { append: (body) => attempt("write", path, () => writer.append(body)) };
    },
    send(id, mail) {
      const box = at(id, "mail");
      makeDirectory(box);
      attempt("write to", box, () => {
        const name = `${Date.now()}-${crypto.randomUUID()}`;
        writeFileSync(join(box, `.${name}`), JSON.stringify(mail), { mode: 0o600, flag: "wx", flush: true });
        renameSync(join(box, `.${name}`), join(box, `${name}.json`));
      });
    },
    receive,
    async nextMail(id, signal) {
      for (;;) {
        const mails = receive(id);
        if (mails.length > 0) return mails;
        await pause(LOOK_MS, undefined, { signal });
      }
    },
  };
}

/** Undefined where it is none: torn by a machine that stopped, or put there by somebody. */
function mailIn(path: string): Mail | undefined {
  try {
    const mail = JSON.parse(readFileSync(path, "utf8"));
    return mail?.cancel === true || typeof mail?.callback === "string" ? mail : undefined;
  } catch {
    return undefined;
  }
}

/** Forgets what ended more than a day ago. */
export function sweep({ sessions, now }: Pick<Context, "sessions" | "now">): void {
  for (const { session_id, ended_at } of sessions.all()) {
    if (ended_at && now().getTime() - Date.parse(ended_at) > DAY_MS) sessions.remove(session_id);
  }
}
