/** The directory that everything is in: where it is, whose it is, who may look into it, and whether it can be written to. */
import {
  accessSync,
  constants,
  lstatSync,
  readdirSync,
  readlinkSync,
  rmSync,
  type Stats,
  statfsSync,
  statSync,
} from "node:fs";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import type { Context } from "../context.ts";
import { exists, ownUid, writeWhole } from "../store/files.ts";
import { codeOf, counted, type Finding, failed, failedBy, ok, skipped, warning } from "./check.ts";

/** What is ours below it. Anything else that stands there is somebody else's business. */
export const ROOMS = [
  "connections",
  "providers",
  "clients",
  "definitions",
  "defaults",
  "refreshes",
  "locks",
  "keys",
  "sessions",
] as const;
const OUR_FILES = /^((config|keys)\.json|audit(\.\d+)?\.ndjson)$/;

const ROOM_TO_WRITE = 16 * 1024 * 1024;
const FILES_TO_MAKE = 100;

const CHOOSE = "Choose another AUTHLINE_HOME.";

/** AUTHLINE_HOME may name any directory by mistake: owners, modes and files are for us to change only where we have lived. */
export const isOurs = (home: string) => ["keys.json", "connections"].some((name) => isThere(join(home, name)));

/**
 * What gives us back what we may not read or write. As root one may be in the home of somebody else, and should not make it
 * one's own.
 */
export function regain(path: string, home: string): string[] | undefined {
  const us = ownUid();
  if (us <= 0) return undefined;
  if (ownerAbove(path) !== us) return isOurs(home) ? ["sudo", "chown", "-R", String(us), home] : undefined;
  if (isOurs(home)) return ["chmod", "-R", "u+rwX", home];
  return path === home ? ["chmod", "u+rwx", home] : undefined; // nobody can look into it before that
}

/** Of a file, or of the directory that hides it. */
function ownerAbove(path: string): number | undefined {
  for (let at = path; ; at = dirname(at)) {
    try {
      return statSync(at).uid;
    } catch {
      if (dirname(at) === at) return undefined;
    }
  }
}

/** Neither lost nor in the way: into the home, under a name that says where it was. */
export const moveAway = (path: string, home: string): string[] | undefined =>
  isOurs(home) ? aside(path, home) : undefined;

/**
 * The same of the settings, which may be the first thing that is there: made by hand in the place that the system has for
 * us, or by `config set`, whose lock stays.
 */
export function moveConfigAway({ config, surroundings: { home }, env }: Context): string[] | undefined {
  const isOurConfig = isOurs(home) || !env("AUTHLINE_HOME") || isThere(join(home, "locks", "config"));
  return isOurConfig ? aside(config.path, home) : undefined;
}

const aside = (path: string, home: string) => [
  ...["mv", "-n", path],
  freeName(join(home, relative(home, path).replaceAll(sep, "-"))),
];

/** `mv -n` does nothing where something is in the way. */
export function freeName(path: string): string {
  let [free, number] = [path, 0];
  while (isThere(free)) free = `${path}.${++number}`;
  return free;
}

export function home({ surroundings: { home }, env }: Context): Finding[] {
  const subject = home;
  try {
    const own = lstatSync(home, { throwIfNoEntry: false });
    const where = `${home}, ${whyThere(home, env)}`;
    if (!own) return [ok(`${where}, is not there yet: the first login makes it.`, { subject })];
    const target = own.isSymbolicLink() ? resolve(dirname(home), readlinkSync(home)) : undefined;
    const stats = statSync(home, { throwIfNoEntry: false });
    if (!stats) {
      const fix = target === undefined ? undefined : ["mkdir", "-p", "-m", "700", target];
      return [failed(`${home} is a link to ${target}, which is not there.`, { subject, fix })];
    }
    if (!stats.isDirectory()) {
      if (env("AUTHLINE_HOME")) return [failed(`${where}, is not a directory. ${CHOOSE}`, { subject })];
      const fix = ["mv", "-n", home, freeName(`${home}.moved`)];
      return [failed(`${where}, is not a directory.`, { subject, fix })];
    }
    const found = [...ownerOf(home, stats), ...roomIn(home)];
    return [ok(`${where}${target === undefined ? "" : `, is a link to ${target}`}.`, { subject }), ...found];
  } catch (error) {
    return [failed(`${home} cannot be looked at (${codeOf(error)}).`, { subject, fix: ["ls", "-ld", dirname(home)] })];
  }
}

function whyThere(home: string, env: Context["env"]): string {
  if (env("AUTHLINE_HOME")) return "as AUTHLINE_HOME says";
  const config = env("XDG_CONFIG_HOME");
  const isXdg = config !== undefined && isAbsolute(config) && dirname(home) === resolve(config);
  return isXdg ? "as XDG_CONFIG_HOME says" : "where it is unless AUTHLINE_HOME says otherwise";
}

function ownerOf(home: string, { uid }: Stats): Finding[] {
  const us = ownUid();
  if (us < 0 || us === uid) return [];
  const fix = regain(home, home);
  const advice = us === 0 ? "Run authline as that user, without sudo." : fix ? "" : CHOOSE;
  const message = `${home} belongs to another user (${uid}). ${advice}`.trim();
  return [warning(message, { subject: home, fix })];
}

function roomIn(home: string): Finding[] {
  const { bavail, bsize, files, ffree } = statfsSync(home);
  const bytes = bavail * bsize;
  const subject = home;
  const fix = ["df", "-h", home];
  if (bytes < ROOM_TO_WRITE) {
    return [warning(`The disk of ${home} is nearly full: ${Math.floor(bytes / 1024)} KiB are left.`, { subject, fix })];
  }
  if (files > 0 && ffree < FILES_TO_MAKE) {
    return [warning(`The disk of ${home} has room for ${counted(ffree, "more file")} only.`, { subject, fix })];
  }
  return [];
}

// --- modes -----------------------------------------------------------------------------------------------------------

interface Open {
  path: string;
  mode: number;
  isDirectory: boolean;
}

const [OTHERS, OTHERS_WRITE] = [0o077, 0o022];

/** Every room's modes in one finding, with the one command that closes it. */
export function modes({ surroundings: { home, platform } }: Context): Finding[] {
  if (platform === "win32") return [skipped("Windows has no such modes.")];
  if (!isDirectory(home)) return [skipped("There is nothing yet.")];
  const found: Finding[] = [];
  const { mode } = statSync(home);
  if (mode & OTHERS_WRITE) {
    const message = `Other users can put files into ${home} (mode ${octal(mode)}).`;
    const how = isOurs(home) ? { fix: ["chmod", "go-w", home] } : {};
    found.push(failed(how.fix ? message : `${message} ${CHOOSE}`, { subject: home, ...how }));
  }
  try {
    for (const name of readdirSync(home)) {
      if (!ROOMS.some((room) => room === name) && !OUR_FILES.test(name)) continue;
      const open = [...openIn(join(home, name))];
      if (open.length === 0) continue;
      const { fix, ...finding } = openFinding(join(home, name), open);
      found.push(isOurs(home) ? { fix, ...finding } : finding);
    }
  } catch (error) {
    const { path = home } = error as NodeJS.ErrnoException;
    found.push(failed(`${path} cannot be looked into (${codeOf(error)}).`, { subject: path, fix: regain(path, home) }));
  }
  return found.length > 0 ? found : [ok("Nobody else can read or change what is kept.")];
}

function* openIn(path: string): Generator<Open> {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (!stats || stats.isSymbolicLink()) return; // somebody may be faster; a link's own mode means nothing
  const isDirectory = stats.isDirectory();
  if (stats.mode & OTHERS) yield { path, mode: stats.mode, isDirectory };
  if (isDirectory) for (const name of readdirSync(path)) yield* openIn(join(path, name));
}

function openFinding(room: string, open: readonly Open[]): Finding {
  const [first, second] = open as [Open, ...Open[]];
  const canWrite = open.some(({ mode }) => mode & OTHERS_WRITE);
  const done = canWrite ? "read or changed" : "read";
  const finding = canWrite || room.endsWith(`${sep}keys`) ? failed : warning;
  const shown = `${first.path} (mode ${octal(first.mode)})`;
  if (!second) {
    const fix = ["chmod", first.isDirectory ? "700" : "600", first.path];
    return finding(`${shown} can be ${done} by other users.`, { subject: first.path, fix });
  }
  const message = `${counted(open.length, "file")} in ${room} can be ${done} by other users, such as ${shown}.`;
  return finding(message, { subject: room, fix: ["chmod", "-R", "go-rwx", room] });
}

const octal = (mode: number) => (mode & 0o777).toString(8).padStart(3, "0");

export const isDirectory = (path: string) => {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
};

// --- store -----------------------------------------------------------------------------------------------------------

/** Writes as the store writes, and takes it away again; where there is no home yet, nothing is made. */
export function store({ surroundings: { home } }: Context): Finding[] {
  if (!isThere(home)) return [canBeMade(home)];
  const room = join(home, "connections");
  const directory = isDirectory(room) ? room : home;
  const probe = join(directory, `.probe-${crypto.randomUUID()}`);
  try {
    writeWhole(probe, "x".repeat(4096));
    return [ok(`Files can be written to ${directory} and come back as they were.`)];
  } catch (error) {
    const code = codeOf(error) ?? "";
    const fixes: Record<string, string[] | undefined> = {
      ENOSPC: ["df", "-h", directory],
      EACCES: regain(directory, home),
      EPERM: regain(directory, home),
    };
    return [failedBy(error, { subject: directory, fix: fixes[code] })];
  } finally {
    removeQuietly(probe);
  }
}

function canBeMade(home: string): Finding {
  let above = dirname(home);
  while (!isThere(above) && dirname(above) !== above) above = dirname(above);
  if (!isDirectory(above)) {
    return failed(`${home} cannot be made: ${above} is not a directory. ${CHOOSE}`, { subject: above });
  }
  try {
    accessSync(above, constants.W_OK | constants.X_OK);
    return ok(`${home} can be made when it is needed.`);
  } catch (error) {
    const message = `${home} cannot be made: ${above} cannot be written to (${codeOf(error)}).`;
    return failed(`${message} ${CHOOSE}`, { subject: above });
  }
}

export function isThere(path: string): boolean {
  try {
    return exists(path);
  } catch {
    return false;
  }
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // it was never made
  }
}
