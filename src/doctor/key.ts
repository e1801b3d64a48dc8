/** The keys that everything is sealed with, and the OS keyring. */
import { readdirSync, statSync } from "node:fs";
import { join, sep } from "node:path";
import type { Context } from "../context.ts";
import { PLACES } from "../store/key_places.ts";
import type { KeyList } from "../store/keys.ts";
import { counted, type Finding, failed, failedBy, type Known, ok, skipped, warning } from "./check.ts";
import { regain } from "./home.ts";

export async function key(ctx: Context, known: Known): Promise<Finding[]> {
  try {
    const list = ctx.keys.list();
    const given = ctx.keys.inEnv();
    if (!list) return [withoutList(given, ctx, known)];
    const main = await asListed(list, given, ctx, known);
    return [main, ...unfinished(list), ...unlisted(list, ctx)];
  } catch (error) {
    known.keyProblem = true;
    return [failedBy(error, { fix: unsetting(ctx) ?? closing(undefined, ctx) ?? regaining(error, ctx) })];
  }
}

function withoutList(given: string | undefined, { keys: _, ...ctx }: Context, known: Known): Finding {
  if ([...ctx.store.sealed(), ...ctx.sessions.sealed()].some(({ isSealed }) => isSealed())) {
    known.keyProblem = true;
    const path = join(ctx.surroundings.home, "keys.json");
    const advice = "Put it back, or move the whole directory away to start anew.";
    return failed(`${path} is gone, and there are records that need it. ${advice}`, { subject: path });
  }
  return ok(
    given === undefined
      ? "There is none yet: the first login makes one."
      : "There is none in use yet: the first login begins to use the one in AUTHLINE_KEY.",
  );
}

async function asListed(list: KeyList, given: string | undefined, ctx: Context, known: Known): Promise<Finding> {
  const current = list.keys.find(({ id }) => id === list.current);
  try {
    if (!current) throw new TypeError("no current key");
    await ctx.keys.check();
    return ok(`The key ${current.id} is in ${PLACES[current.source]}, since ${current.created_at}, and can be had.`);
  } catch (error) {
    known.keyProblem = true;
    if (!current) return failed("keys.json names no key that is in use.", { subject: "keys.json" });
    const isAnother = given !== undefined && !list.keys.some(({ id }) => id === given);
    const fix = isAnother ? unsetting(ctx) : undefined;
    return failedBy(error, { fix: fix ?? closing(list, ctx) ?? regaining(error, ctx) });
  }
}

/** The store has its key elsewhere, and a variable is in its way. */
function unsetting({ keys, env }: Context): string[] | undefined {
  const sources = sourcesOf(keys);
  const set = ["AUTHLINE_KEY", "AUTHLINE_KEY_FILE"].filter((name) => env(name));
  return !sources || sources.includes("env") || set.length === 0 ? undefined : ["unset", ...set];
}

/** A key of ours that we may not read. */
function regaining(error: unknown, { surroundings: { home } }: Context): string[] | undefined {
  const { code, path = "" } = (error as { details?: { cause?: NodeJS.ErrnoException } }).details?.cause ?? {};
  return code === "EACCES" && path.startsWith(home + sep) ? regain(path, home) : undefined;
}

/** A file with a key that others can read is not used. */
function closing(list: KeyList | undefined, { surroundings, env }: Context): string[] | undefined {
  if (surroundings.platform === "win32") return undefined;
  const ids = (list?.keys ?? []).filter(({ source }) => source === "file").map(({ id }) => id);
  const paths = [env("AUTHLINE_KEY_FILE"), ...ids.map((id) => join(surroundings.home, "keys", id))];
  const open = paths.flatMap((path) => (path && ((modeOf(path) ?? 0) & 0o077) !== 0 ? [path] : []));
  return open.length > 0 ? ["chmod", "600", ...open] : undefined;
}

const modeOf = (path: string) => {
  try {
    return statSync(path).mode;
  } catch {
    return undefined;
  }
};

function unfinished({ keys }: KeyList): Finding[] {
  if (keys.length < 2) return [];
  const message = `A change of the key was begun and has not come to its end: ${counted(keys.length, "key")} are in use.`;
  // A variable holds one key: the other one comes from a file.
  const given = keys.filter(({ source, retired }) => source === "env" && !retired);
  if (given.length < 2) return [warning(message, { fix: ["authline", "store", "rekey"] })];
  const command = "AUTHLINE_KEY=<old> authline store rekey --to env --key-from file:<new>";
  return [warning(`${message} Both are given from outside; go on with both: ${command}`)];
}

function unlisted({ keys }: KeyList, { surroundings: { home } }: Context): Finding[] {
  const directory = join(home, "keys");
  const isListed = (file: string) => keys.some(({ id }) => id === file);
  return namesIn(directory)
    .filter((file) => /^[0-9a-f]{16}$/.test(file) && !isListed(file))
    .map((file) => join(directory, file))
    .map((path) =>
      warning(`${path} is a key that is not in use. It may go once every record can be opened.`, {
        subject: path,
        fix: ["rm", "-i", path],
      }),
    );
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // not there; or told by another check
  }
}

/** Where the key is kept there, the check before has just asked it. */
export async function keyring({ keys, surroundings, env }: Context, { keyProblem }: Known): Promise<Finding[]> {
  const sources = sourcesOf(keys);
  if (sources?.includes("keyring")) {
    return [keyProblem ? skipped("The key is kept in it: see the check of the key.") : ok("The key is kept in it.")];
  }
  const elsewhere = sources?.[0] ?? (env("AUTHLINE_KEY") || env("AUTHLINE_KEY_FILE") ? "env" : undefined);
  const problem = await surroundings.keyring.get("doctor").then(
    () => undefined,
    (error: Error) => error.message,
  );
  if (elsewhere !== undefined) {
    const place = `It is not used: the key is in ${PLACES[elsewhere]}.`;
    if (problem !== undefined) return [skipped(`${place} It could not be used here: ${problem}.`)];
    return [skipped(`${place} It answers; to go over to it: authline store rekey --to keyring`)];
  }
  return [
    problem === undefined
      ? ok("It answers: the first login puts the key into it.")
      : warning(`It cannot be used: ${problem}. The first login puts the key into a file beside the store.`),
  ];
}

function sourcesOf(keys: Context["keys"]) {
  try {
    return keys.list()?.keys.map(({ source }) => source);
  } catch {
    return undefined; // told by the check of the key
  }
}
