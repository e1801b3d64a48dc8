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
import { attempt, makeDirectory, sweep as sweepLeftovers, writeWhole } from "../store/files.ts";
import type { Keys } from "../store/keys.ts";
import { isLocked, type Lock, type Self, tryLock } from "../store/lock.ts";
import { type Sealed, shelf, type Writing } from "../store/shelf.ts";
import { eventsIn, type Writer, writerOf } from "./log.ts";
import { SESSION_ID, type Session, SessionClear, SessionSecrets } from "./session.ts";

/** What others have to say to the driver; `reseal`: the key has changed. */
export type Mail = { callback: string } | { cancel: true } | { reseal: true };

export interface Sessions {
  newId(): string;
  /** As their files are called: nothing is opened. */
  ids(): string[];
  /** Without its secrets, for which no key is needed. */
  get(id: string): SessionClear | undefined;
  whole(id: string): Promise<Session | undefined>;
  /** Oldest first. One that cannot be read is told, and does the others no harm. */
  all(unreadable?: (fault: Failure) => void): SessionClear[];
  put(session: Session): Promise<void>;
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
  send(id: string, mail: Mail): Promise<void>;
  /** What has come in, each once. */
  receive(id: string): Promise<Mail[]>;
  /** The same, once there is some. Rejects when `signal` aborts. */
  nextMail(id: string, signal: AbortSignal): Promise<Mail[]>;
  /** Everything that has something sealed in it. */
  sealed(): Sealed[];
  /** Whoever drives a session now, or opens one. */
  writers(): Writing[];
}

/** How often a driver looks into its mailbox. */
const LOOK_MS = 250;
const DAY_MS = 24 * 3600 * 1000;

export function sessionsAt(home: string, self: Self, keys: Keys): Sessions {
  const directory = join(home, "sessions");
  const at = (id: string, suffix: string) => join(directory, `${id}.${suffix}`);
  const nameOf = ({ session_id }: SessionClear) => session_id;
  const records = shelf({ directory, kind: "session", clear: SessionClear, secrets: SessionSecrets, nameOf }, keys);
  const ids = () => records.names().filter((name) => SESSION_ID.test(name));
  const lock = (path: string) => {
    makeDirectory(directory);
    return attempt("lock", path, () => tryLock(path, self));
  };

  const aboutMail = (id: string) => JSON.stringify(["mail", id]);
  const receive = async (id: string): Promise<Mail[]> => {
    const box = at(id, "mail");
    const mails: Mail[] = [];
    for (const path of mailAt(box)) {
      const mail = await mailIn(path, (sealed) => keys.unseal(sealed, aboutMail(id)));
      rmSync(path, { recursive: true, force: true });
      if (mail) mails.push(mail);
    }
    return mails;
  };

  const send = async (id: string, mail: Mail): Promise<void> => {
    const box = at(id, "mail");
    let sealed: string;
    do {
      sealed = await keys.seal(JSON.stringify(mail), aboutMail(id)); // an address holds an authorization code
      makeDirectory(box);
      attempt("write to", box, () => {
        const name = `${Date.now()}-${crypto.randomUUID()}`;
        writeFileSync(join(box, `.${name}`), sealed, { mode: 0o600, flag: "wx", flush: true });
        renameSync(join(box, `.${name}`), join(box, name));
      });
    } while (!keys.isInUse(sealed)); // whoever changes the key does not wait for who sends
  };

  /** What nobody has read yet and the key that is in use now would not open. */
  const oldMail = (id: string) =>
    mailAt(at(id, "mail")).filter((path) => {
      const sealed = textOf(path);
      return sealed !== undefined && !keys.isCurrent(sealed);
    });

  /** A session's record, and the mail for whoever drives it next. */
  const sealed = (): Sealed[] =>
    records
      .sealed((id) => lock(at(id, "lock")))
      .map((record) => ({
        ...record,
        isCurrent: () => record.isCurrent() && oldMail(record.name).length === 0,
        ask: () => send(record.name, { reseal: true }),
        async reseal() {
          await record.reseal();
          for (const path of oldMail(record.name)) {
            const mail = await mailIn(path, (text) => keys.unseal(text, aboutMail(record.name)));
            if (mail) writeWhole(path, await keys.seal(JSON.stringify(mail), aboutMail(record.name)));
            else rmSync(path, { force: true });
          }
        },
      }));

  const isDriven = (id: string) => attempt("read", at(id, "lock"), () => isLocked(at(id, "lock"), self));
  /** A driver that has sealed something with it has looked it up since. */
  const hasNewKey = (id: string) =>
    sealed().some(({ name, isSealed, isCurrent }) => name === id && isSealed() && isCurrent());

  return {
    newId: () => `sess_${randomBytes(17).toString("base64url").slice(0, 22)}`,
    ids,
    get: records.glance,
    whole: records.read,
    all(unreadable = () => {}) {
      const found = ids().flatMap((id) => {
        try {
          return records.glance(id) ?? [];
        } catch (error) {
          unreadable(asFailure(error));
          return [];
        }
      });
      return found.sort((a, b) => Date.parse(a.created_at) - Date.parse(b.created_at));
    },
    async put(session) {
      await records.write(session);
      if (session.state === "pending") return;
      // What else holds secrets.
      sweepLeftovers(directory, `${session.session_id}.json.tmp-`, 0);
      rmSync(at(session.session_id, "mail"), { recursive: true, force: true });
    },
    remove(id) {
      records.remove(id);
      for (const suffix of ["ndjson", "lock", "holder", "mail"])
        rmSync(at(id, suffix), { recursive: true, force: true });
    },
    drive: (id) => lock(at(id, "lock")),
    isDriven,
    hold: (id) => lock(at(id, "holder")),
    isHeld: (id) => attempt("read", at(id, "holder"), () => isLocked(at(id, "holder"), self)),
    door: () => lock(join(directory, "door.lock")),
    events: (id, from) => attempt("read", at(id, "ndjson"), () => eventsIn(at(id, "ndjson"), from)),
    writer(id, now) {
      const path = at(id, "ndjson");
      const writer = attempt("write", path, () => writerOf(path, id, now));
      return { append: (body) => attempt("write", path, () => writer.append(body)) };
    },
    send,
    receive,
    async nextMail(id, signal) {
      for (;;) {
        const mails = await receive(id);
        if (mails.length > 0) return mails;
        await pause(LOOK_MS, undefined, { signal });
      }
    },
    sealed,
    writers: () => [
      ...ids()
        .filter(isDriven)
        .map((id) => ({ name: id, isDone: () => !isDriven(id) || hasNewKey(id) })),
      { name: "another sign-in", isDone: () => !isLocked(join(directory, "door.lock"), self) },
    ],
  };
}

/** In the order in which it was sent; what has a dot before its name is not written to its end. */
function mailAt(box: string): string[] {
  if (!existsSync(box)) return [];
  const names = readdirSync(box).filter((name) => !name.startsWith("."));
  return names.sort().map((name) => join(box, name));
}

/** Undefined where it is gone: the driver may have read it. */
function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/** Undefined where it is none: torn by a machine that stopped, or put there by somebody. */
async function mailIn(path: string, unseal: (sealed: string) => Promise<string>): Promise<Mail | undefined> {
  try {
    const mail = JSON.parse(await unseal(readFileSync(path, "utf8")));
    return mail?.cancel || mail?.reseal || typeof mail?.callback === "string" ? mail : undefined;
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
