/** The audit log: whether what is done can be written down, and whether it stays as long as it should. */
import { closeSync, constants, lstatSync, openSync, readdirSync, type Stats } from "node:fs";
import { join } from "node:path";
import type { Context } from "../context.ts";
import { codeOf, type Finding, failed, ok, warning } from "./check.ts";
import { isDirectory, moveAway, regain } from "./home.ts";

const LOGS = /^audit(\.\d+)?\.ndjson$/;
/** As a line is added: the last byte is read before. */
const OPEN = constants.O_RDWR | constants.O_APPEND | (constants.O_NONBLOCK ?? 0);
const MIB = 1024 * 1024;
/** One that is written to and five that were, of about 1 MiB each, and some room for who writes while they are moved. */
const MOST_BYTES = 8 * MIB;

interface Log {
  path: string;
  stats: Stats;
}

export function audit({ surroundings: { home } }: Context): Finding[] {
  const logs = logsIn(home);
  if (logs.length === 0) return [ok("There is none yet.")];
  const found = logs.flatMap((log) => wrongWith(log, home));
  const bytes = logs.reduce((sum, { stats }) => sum + (stats.isFile() ? stats.size : 0), 0);
  const [largest] = logs.filter(({ stats }) => stats.isFile()).sort((a, b) => b.stats.size - a.stats.size);
  if (largest && bytes > MOST_BYTES) {
    const message = `The log takes ${inMib(bytes)}: more than ${inMib(MOST_BYTES)}, so it is not rotated as it should be.`;
    found.push(warning(message, { subject: largest.path, fix: moveAway(largest.path, home) }));
  }
  return found.length > 0 ? found : [ok(`It can be written to, and takes ${inMib(bytes)}.`)];
}

function logsIn(home: string): Log[] {
  if (!isDirectory(home)) return [];
  try {
    return readdirSync(home).flatMap((name) => {
      const path = join(home, name);
      const stats = LOGS.test(name) ? lstatSync(path, { throwIfNoEntry: false }) : undefined;
      return stats ? [{ path, stats }] : [];
    });
  } catch {
    return []; // told by the check of the modes
  }
}

function wrongWith({ path, stats }: Log, home: string): Finding[] {
  const subject = path;
  if (stats.isSymbolicLink()) {
    const message = `${path} is a link: what is done may be written where others read or delete it.`;
    return [warning(message, { subject, fix: moveAway(path, home) })];
  }
  if (!stats.isFile()) {
    return [failed(`${path} is not a file: nothing can be written to it.`, { subject, fix: moveAway(path, home) })];
  }
  try {
    closeSync(openSync(path, OPEN));
    return [];
  } catch (error) {
    if (codeOf(error) === "EROFS") return []; // told by the check of the store
    return [failed(`${path} cannot be written to (${codeOf(error)}).`, { subject, fix: regain(path, home) })];
  }
}

const inMib = (bytes: number) => `${(bytes / MIB).toFixed(1)} MiB`;
