/** What others are at just now, and what they left when they were cut off. */
import { readdirSync } from "node:fs";
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

/** A credential is changed in seconds, or in as long as its server is waited for; a sign-in may take as long as it likes. */
const LONG_SECONDS = 600;

interface LockPlace {
  path: string;
  what: string;
  /** Held as long as somebody signs in. */
  isPatient?: boolean;
}

export function locks({ surroundings: { home, self }, now }: Context): Finding[] {
  const held: Finding[] = [];
  let left = 0;
  for (const { path, what, isPatient } of lockPlaces(home)) {
    try {
      const holder = holderOf(path, self);
      if (!holder) continue;
      if (!holder.holds) {
        left++;
        continue;
      }
      const isHere = holder.host === self.host;
      const who = isHere ? `process ${holder.pid}` : `process ${holder.pid} on ${holder.host.split(" ")[0]}`;
      const message = `${what} is held by ${who}, since ${holder.since.toISOString()}.`;
      const isLong = !isPatient && now().getTime() - holder.since.getTime() > LONG_SECONDS * 1000;
      const fix = isHere ? ["kill", String(holder.pid)] : undefined;
      held.push(
        isLong
          ? warning(`${message} That is long: others wait for it.`, { subject: path, fix })
          : ok(message, { subject: path }),
      );
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

function lockPlaces(home: string): LockPlace[] {
  const [store, sessions] = [join(home, "locks"), join(home, "sessions")];
  const inStore = namesIn(store).map((name) => ({ path: join(store, name), what: `The lock of ${name}` }));
  const inSessions = namesIn(sessions).flatMap((name) => {
    const path = join(sessions, name);
    const id = name.replace(/\.\w+$/, "");
    if (name === "door.lock") return [{ path, what: "The lock for opening sign-ins" }];
    if (name.endsWith(".lock")) return [{ path, what: `The sign-in ${id}`, isPatient: true }];
    return name.endsWith(".holder") ? [{ path, what: `The listener of ${id}`, isPatient: true }] : [];
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
