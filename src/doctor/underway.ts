/** What others are at just now, and what they left when they were cut off. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { naming } from "../actions.ts";
import type { Context } from "../context.ts";
import { readRecord, recordsIn } from "../store/files.ts";
import { holderOf } from "../store/lock.ts";
import { Refreshing } from "../store/record.ts";
import { capped, counted, type Finding, failed, failedBy, listed, ok, warning } from "./check.ts";
import { isDirectory, moveAway } from "./home.ts";

const fileOf = ({ provider, connection }: Refreshing) => `${connection}@${provider}`;

export async function refreshes(ctx: Context): Promise<Finding[]> {
  const { home, self } = ctx.surroundings;
  const directory = join(home, "refreshes");
  const found: Finding[] = [];
  let underWay = 0;
  try {
    for (const name of recordsIn(directory)) {
      const subject = join(directory, `${name}.json`);
      try {
        const begun = readRecord({ directory, name }, Refreshing(), fileOf)?.record;
        if (!begun) continue; // it has come to its end
        if (holderOf(join(home, "locks", name), self)?.holds) underWay++;
        else found.push(await cutOff(begun, ctx));
      } catch (error) {
        found.push(failedBy(error, { subject, fix: moveAway(subject, home) }));
      }
    }
  } catch (error) {
    found.push(failedBy(error, { subject: directory }));
  }
  const now = underWay === 0 ? "None was cut off." : `${counted(underWay, "is", "are")} under way; none was cut off.`;
  return found.length > 0 ? capped(found) : [ok(now)];
}

async function cutOff({ provider, connection, updated_at, begun_at }: Refreshing, ctx: Context): Promise<Finding> {
  const whose = `${connection}@${provider}`;
  const record = await ctx.store.glance(provider, connection).catch(() => undefined); // told by the check of records
  if (record?.updated_at !== updated_at) return ok(`A refresh of ${whose} was cut off, and is of the past by now.`);
  const standard = await ctx.store.standard(provider).catch(() => "default");
  return warning(
    `The refresh of ${whose} at ${begun_at} was cut off: its answer may be lost. The next one finds out.`,
    {
      subject: whose,
      fix: ["authline", "token", ...naming(provider, connection, standard), "--refresh"],
    },
  );
}

// --- locks -----------------------------------------------------------------------------------------------------------

/**
 * From when on a lock is held for long. A credential is changed in seconds, or in as long as its server is waited for: others
 * give up after a minute and a half. A change of the key may have many records to seal; a sign-in may take as long as it likes.
 */
const LONG = { credential: 120, store: 600, patient: Number.POSITIVE_INFINITY };
/** By how many seconds the clock of another machine may be ahead. */
const AHEAD_SECONDS = 60;

interface LockPlace {
  path: string;
  what: string;
  kind: keyof typeof LONG;
}

export function locks({ surroundings: { home, self }, now }: Context): Finding[] {
  const held: Finding[] = [];
  let left = 0;
  for (const { path, what, kind } of lockPlaces(home)) {
    try {
      const holder = holderOf(path, self);
      if (!holder) continue;
      const isHere = holder.host === self.host;
      const who = isHere ? `process ${holder.pid}` : `process ${holder.pid} on ${holder.host.split(" ")[0]}`;
      if (!isHere && touched(path) - now().getTime() > AHEAD_SECONDS * 1000) {
        const why = "lies in the future: whether it still has it cannot be told. Set the clocks of both machines.";
        held.push(warning(`${what} was taken by ${who}, whose last sign of life ${why}`, { subject: path }));
        continue;
      }
      if (!holder.holds) {
        left++;
        continue;
      }
      const message = `${what} is held by ${who}, since ${holder.since.toISOString()}.`;
      const isLong = now().getTime() - holder.since.getTime() > LONG[kind] * 1000;
      if (isLong) {
        const { why, fix } = isHere ? waking(holder.pid) : { why: "others wait for it." };
        held.push(warning(`${message} That is long: ${why}`, { subject: path, fix }));
      } else held.push(ok(message, { subject: path }));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      held.push(failed(`${path} cannot be read (${code}).`, { subject: path, fix: ["ls", "-la", path] }));
    }
  }
  const gone = `${counted(left, "lock was", "locks were")} left by processes that are gone: whoever comes next takes them over.`;
  const rest = left > 0 ? [ok(gone)] : held.length === 0 ? [ok("None is held.")] : [];
  const byState = held.sort((a, b) => Number(a.state === "ok") - Number(b.state === "ok"));
  return [...capped(byState), ...rest];
}

/** A stopped process does not even hear that it is to end. */
function waking(pid: number): { why: string; fix: string[] } {
  return isStopped(pid)
    ? { why: "it is stopped, and others wait for it.", fix: ["kill", "-CONT", String(pid)] }
    : { why: "others wait for it.", fix: ["kill", String(pid)] };
}

/** proc(5): the state comes after the name, which may hold anything. Nothing is known where there is no /proc. */
function isStopped(pid: number): boolean {
  try {
    return /.*\) T /s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** When the claim that counts was made, or last confirmed. */
function touched(path: string): number {
  const newest = Math.max(...namesIn(path).map(Number).filter(Number.isInteger));
  return statSync(join(path, String(newest)), { throwIfNoEntry: false })?.mtimeMs ?? 0; // it may be given back by now
}

function lockPlaces(home: string): LockPlace[] {
  const [store, sessions] = [join(home, "locks"), join(home, "sessions")];
  const inStore = namesIn(store).map((name): LockPlace => {
    return { path: join(store, name), what: `The lock of ${name}`, kind: name.includes("@") ? "credential" : "store" };
  });
  const inSessions = namesIn(sessions).flatMap((name): LockPlace[] => {
    const path = join(sessions, name);
    const id = name.replace(/\.\w+$/, "");
    if (name === "door.lock") return [{ path, what: "The lock for opening sign-ins", kind: "store" }];
    if (name.endsWith(".lock")) return [{ path, what: `The sign-in ${id}`, kind: "patient" }];
    return name.endsWith(".holder") ? [{ path, what: `The listener of ${id}`, kind: "patient" }] : [];
  });
  return [...inStore, ...inSessions].filter(({ path }) => isDirectory(path));
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return []; // not there; or told by another check
  }
}

// --- sessions --------------------------------------------------------------------------------------------------------

export function sessions(ctx: Context): Finding[] {
  try {
    const pending = ctx.sessions.all().filter(({ state }) => state === "pending");
    const isOver = ({ expires_at }: { expires_at: string }) => Date.parse(expires_at) <= ctx.now().getTime();
    const overdue = pending.filter((each) => isOver(each) && !ctx.sessions.isDriven(each.session_id));
    const open = pending.filter((each) => !isOver(each));
    const found: Finding[] = [];
    if (open.length > 0) {
      const ids = open.slice(0, 5).map(({ session_id, provider }) => `${session_id} (${provider})`);
      const more = open.length > ids.length ? [`${open.length - ids.length} more`] : [];
      const verb = open.length === 1 ? "sign-in waits" : "sign-ins wait";
      found.push(ok(`${open.length} ${verb} for somebody: ${listed([...ids, ...more])}.`));
    }
    if (overdue.length > 0) {
      const message = `The time of ${counted(overdue.length, "sign-in")} is up, and nobody has closed the book on it.`;
      found.push(warning(message, { fix: ["authline", "session", "list"] }));
    }
    return found.length > 0 ? found : [ok("No sign-in is open.")];
  } catch (error) {
    return [failedBy(error)];
  }
}
