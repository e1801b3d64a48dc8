/** Whether each record can be read and opened, and what stands beside them that is none. */
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { complaint, find, KEYS, settings } from "../config.ts";
import type { Context } from "../context.ts";
import { recordsIn } from "../store/files.ts";
import { isCopy } from "../store/record.ts";
import { capped, codeOf, counted, type Finding, failedBy, type Known, listed, ok, warning } from "./check.ts";
import { isDirectory, isOurs, moveAway, moveConfigAway, regain } from "./home.ts";

interface Kind {
  room: string;
  what: string;
  /** Reads it with its secrets, or as much as can be read without a key. */
  read(name: string, ctx: Context, hasKey: boolean): Promise<unknown>;
}

const KINDS: Kind[] = [
  {
    room: "connections",
    what: "connection",
    async read(name, { store }, hasKey) {
      const [connection = "", provider = ""] = name.split("@");
      return hasKey ? store.connection(provider, connection) : store.glance(provider, connection);
    },
  },
  {
    room: "providers",
    what: "provider",
    read: (name, { store }, hasKey) => (hasKey ? store.clientSecret(name) : store.learned(name)),
  },
  { room: "definitions", what: "definition", read: (name, { definitions }) => definitions.read(name) },
  { room: "clients", what: "client", read: (name, { store }) => store.registeredIn(name) },
  { room: "defaults", what: "default", read: (name, { store }) => store.standard(name) },
  {
    room: "sessions",
    what: "sign-in",
    read: async (name, { sessions }, hasKey) => (hasKey ? sessions.whole(name) : sessions.get(name)),
  },
];

export async function records(ctx: Context, { keyProblem = false }: Known): Promise<Finding[]> {
  const { home } = ctx.surroundings;
  if (!isDirectory(home)) return [ok("There are none yet.")];
  const wrong: Finding[] = [];
  const counts: string[] = [];
  wrong.push(...settingsOf(ctx));
  for (const { room, what, read } of KINDS) {
    const directory = join(home, room);
    let good = 0;
    for (const name of namesIn(directory, wrong, home)) {
      try {
        await read(name, ctx, !keyProblem);
        good++;
      } catch (error) {
        wrong.push(unreadable(error, join(directory, `${name}.json`), home));
      }
    }
    if (good > 0) counts.push(counted(good, what));
  }
  wrong.push(...(await twins(ctx)));
  const done = keyProblem ? "can be read, and not opened: there is no key" : "can be read and opened";
  const sum = counts.length === 0 ? "There are none that can be read." : `${listed(counts)} ${done}.`;
  if (wrong.length > 0) return [...(counts.length > 0 ? [ok(sum)] : []), ...capped(wrong)];
  return [ok(counts.length === 0 ? "There are none yet." : sum)];
}

/** One that does not fit harms only who needs it; a file that cannot be read, everybody who needs one. */
function settingsOf(ctx: Context): Finding[] {
  const subject = ctx.config.path;
  try {
    return KEYS.flatMap((key) => {
      const found = find({ config: key }, ctx);
      const message = found && complaint(settings[key], found);
      return message ? [warning(message, { subject, fix: ["authline", "config", "unset", key] })] : [];
    });
  } catch (error) {
    return [unreadable(error, subject, ctx.surroundings.home, moveConfigAway(ctx))];
  }
}

/** What a rename that was cut off has left under two names. Records that cannot be read are told by now. */
async function twins({ store }: Context): Promise<Finding[]> {
  const all = (await store.connections().catch(() => [])).flatMap((each) => ("problem" in each ? [] : [each]));
  const byName = new Map(all.map((each) => [`${each.connection}@${each.provider}`, each]));
  return all.flatMap((copy) => {
    const { provider, connection, renamed_from } = copy;
    const original = byName.get(`${renamed_from}@${provider}`);
    if (!original || !isCopy(copy, original)) return [];
    return warning(`The rename of ${renamed_from}@${provider} to ${connection} was cut off: both are there.`, {
      subject: `${connection}@${provider}`,
      fix: ["authline", "connection", "rename", provider, original.connection, connection],
    });
  });
}

function namesIn(directory: string, wrong: Finding[], home: string): string[] {
  const fits = FITTING[directory.slice(home.length + 1)];
  try {
    return recordsIn(directory).filter((name) => fits?.test(`${name}.json`));
  } catch (error) {
    wrong.push(unreadable(error, directory, home));
    return [];
  }
}

/** Moved away it is neither lost nor in the way; what may not be read is only to be given back to us. */
function unreadable(error: unknown, path: string, home: string, away = moveAway(path, home)): Finding {
  const isDenied = ["EACCES", "EPERM"].includes(codeOf(error) ?? "");
  return failedBy(error, { subject: path, fix: isDenied ? regain(path, home) : away });
}

// --- what is no record -----------------------------------------------------------------------------------------------

const NAME = "[a-z0-9][a-z0-9._-]{0,63}";

/** The names of the files that authline makes, by room. */
const FITTING: Record<string, RegExp> = {
  connections: new RegExp(`^${NAME}@${NAME}\\.json$`),
  refreshes: new RegExp(`^${NAME}@${NAME}\\.json$`),
  providers: new RegExp(`^${NAME}\\.json$`),
  defaults: new RegExp(`^${NAME}\\.json$`),
  definitions: new RegExp(`^(${NAME}|\\.${NAME}\\.edit-[0-9a-f-]{36})\\.json$`),
  keys: /^[0-9a-f]{16}$/,
  sessions: /^(sess_[\w-]{22}\.(json|ndjson|lock|holder|mail)|door\.lock)$/,
};
const LEFTOVER = /\.tmp-[0-9a-f-]+$|^\.probe-[0-9a-f-]+$/;
/** A write takes no minute. */
const OLD_MS = 60_000;

export function leftovers({ surroundings: { home } }: Context): Finding[] {
  const found: Finding[] = [];
  if (!isOurs(home)) return [ok("Nothing here is of our making.")];
  for (const [room, fits] of [...Object.entries(FITTING), ["", /^/] as const]) {
    const directory = join(home, room);
    for (const file of filesIn(directory)) {
      const path = join(directory, file);
      if (LEFTOVER.test(file)) {
        const touched = lstatSync(path, { throwIfNoEntry: false })?.mtimeMs;
        if (touched === undefined || Date.now() - touched < OLD_MS) continue;
        const message = `${path} is left of a write that was cut off.`;
        found.push(warning(message, { subject: path, fix: ["rm", "-f", path] }));
      } else if (!fits.test(file)) {
        const message = `${path} is nothing that authline wrote: it is left alone.`;
        found.push(warning(message, { subject: path, fix: moveAway(path, home) }));
      }
    }
  }
  return found.length > 0 ? capped(found) : [ok("Nothing is left of anything that was cut off.")];
}

function filesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return []; // not there; or told by another check
  }
}
