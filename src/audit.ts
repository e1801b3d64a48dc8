/**
 * The audit log: what was done with credentials, a line each.
 *
 *   HOME/audit.ndjson     what is written to      HOME/audit.1.ndjson … audit.5.ndjson   what was, the newest first
 *
 * Rules: a line is one write at the end of the file, so that processes need not wait for each other; a file that has grown
 * too long is moved away by the one process that has the lock, and what another one still writes to it is read all the same;
 * where there is no home yet there is nothing to tell of, and none is made.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  type Stats,
  statSync,
  writeSync,
} from "node:fs";
import { join, sep } from "node:path";
import { AuditEntry } from "./protocol/audit.ts";
import { Failure } from "./protocol/failure.ts";
import { attempt, exists } from "./store/files.ts";
import type { Locks } from "./store/locks.ts";

export type Who = Pick<AuditEntry, "pid" | "ppid" | "parent" | "user" | "host">;
export type Happening = Omit<AuditEntry, "v" | keyof Who>;

export interface Audit {
  append(happening: Happening): void;
  reader(): AuditReader;
}

export interface AuditReader {
  /** What was written since the last look, the oldest first; with the first look, all that there is. */
  look(asked?: Asked): Found;
  close(): void;
}

/** The rest is read, and not kept. */
export interface Asked {
  /** In milliseconds since 1970. */
  from: number;
  /** How many at the most, and those the newest. */
  last: number;
}

interface Found {
  entries: AuditEntry[];
  /** Lines that are none. */
  damaged: number;
}

const MAX_BYTES = 1024 * 1024;
/** Files that are kept beside the one that is written to. */
const KEPT = 5;

/** Read too, for its last byte. What is no file at all, a pipe say, must not make us wait. */
const APPEND = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | (constants.O_NONBLOCK ?? 0);
const READ = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
const NEWLINE = 0x0a;

export function auditAt(home: string, locks: Pick<Locks, "take">, who: () => Who, maxBytes = MAX_BYTES): Audit {
  const pathOf = (number: number) => join(home, number === 0 ? "audit.ndjson" : `audit.${number}.ndjson`);
  const current = pathOf(0);

  /** Its length afterwards; undefined where there is no home. */
  function write(line: Buffer): number | undefined {
    const fd = unlessMissing(() => openSync(current, APPEND, 0o600));
    if (fd === undefined) return undefined;
    try {
      const stats = fstatSync(fd);
      if (!stats.isFile()) throw new Failure("store", `${current} is not a file.`);
      if (sep === "/" && (stats.mode & 0o777) !== 0o600) fchmodSync(fd, 0o600); // whatever the umask
      // A disk that was full may have taken half a line: the next one stands by itself.
      const text = isTorn(fd, stats) ? Buffer.concat([Buffer.from("\n"), line]) : line;
      if (writeSync(fd, text) !== text.length) throw Object.assign(new Error("short write"), { code: "ENOSPC" });
      return stats.size + text.length;
    } finally {
      closeSync(fd);
    }
  }

  /** Whoever does not get the lock has no need to: somebody else does it. */
  function rotate(): void {
    const lock = locks.take("audit");
    if (!lock) return;
    try {
      if ((statSync(current, { throwIfNoEntry: false })?.size ?? 0) <= maxBytes) return; // somebody else was faster
      let free = 1; // a killed process may have left a gap
      while (free < KEPT && exists(pathOf(free))) free++;
      for (let number = free; number > 0; number--) {
        unlessMissing(() => renameSync(pathOf(number - 1), pathOf(number)));
      }
    } finally {
      lock.release();
    }
  }

  return {
    append(happening) {
      const line = Buffer.from(`${JSON.stringify(AuditEntry().parse({ v: 1, ...happening, ...who() }))}\n`);
      attempt("write to", current, () => {
        const size = write(line);
        if (size !== undefined && size > maxBytes) rotate();
      });
    },
    reader: () => readerOf(Array.from({ length: KEPT + 1 }, (_, number) => pathOf(number))),
  };
}

function isTorn(fd: number, { size }: Stats): boolean {
  const last = Buffer.alloc(1);
  return size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last[0] !== NEWLINE;
}

// --- reading ---------------------------------------------------------------------------------------------------------

/** A file that is read to its end, again and again. */
interface Source {
  path: string;
  fd: number;
  read: number;
  /** Of a line whose end is not there yet. */
  rest: Buffer;
}

/** Files are known by their inode and not by their name, and are kept open, so that no other can have the same. */
function readerOf(paths: string[]): AuditReader {
  let sources = new Map<number, Source>();

  /** From the newest to the oldest: what is moved meanwhile is met again, and never missed. */
  function open(): void {
    const found = new Map<number, Source>();
    for (const path of paths) {
      const fd = attempt("read", path, () => unlessMissing(() => openSync(path, READ)));
      if (fd === undefined) continue;
      const stats = fstatSync(fd);
      const known = found.get(stats.ino) ?? sources.get(stats.ino);
      if (known || !stats.isFile()) closeSync(fd);
      if (!stats.isFile()) throw new Failure("store", `${path} is not a file.`, { hint: "Move it away." });
      found.set(stats.ino, known ?? { path, fd, read: 0, rest: NOTHING });
    }
    const dropped = [...sources].filter(([ino]) => !found.has(ino));
    sources = new Map([...dropped, ...[...found].reverse()]);
  }

  function close(isKept: (source: Source) => boolean): void {
    for (const [ino, source] of sources) {
      if (isKept(source)) continue;
      closeSync(source.fd);
      sources.delete(ino);
    }
  }

  return {
    look(asked = ALL) {
      open();
      const found: Found = { entries: [], damaged: 0 };
      for (const source of sources.values()) attempt("read", source.path, () => collect(source, asked, found));
      close(({ fd }) => fstatSync(fd).nlink > 0);
      return { ...found, entries: newest(found.entries, asked.last) };
    },
    close: () => close(() => false),
  };
}

const ALL: Asked = { from: Number.NEGATIVE_INFINITY, last: Number.POSITIVE_INFINITY };
const newest = <T>(all: T[], last: number): T[] => (last === 0 ? [] : all.slice(-last));

function collect(source: Source, { from, last }: Asked, found: Found): void {
  for (const line of linesOf(source)) {
    const entry = entryIn(line);
    if (!entry) found.damaged++;
    else if (Date.parse(entry.time) >= from) found.entries.push(entry);
    if (found.entries.length > 2 * last + ENOUGH) found.entries = newest(found.entries, last);
  }
}

/** Entries are let go of many at a time. */
const ENOUGH = 1000;
const PIECE_BYTES = 64 * 1024;
const NOTHING = Buffer.alloc(0);
/** In place of what is too long for a line: no entry begins like this. */
const TOO_LONG = Buffer.from("too long: ");

/** The lines that have come to their end since, but for empty ones. What somebody else put there may be of any length. */
function* linesOf(source: Source): Generator<string> {
  const { size } = fstatSync(source.fd);
  if (size < source.read) Object.assign(source, { read: 0, rest: NOTHING }); // somebody has emptied it
  const piece = Buffer.alloc(Math.min(PIECE_BYTES, size - source.read));
  while (source.read < size) {
    const read = readSync(source.fd, piece, 0, Math.min(piece.length, size - source.read), source.read);
    if (read === 0) return;
    source.read += read;
    const bytes = Buffer.concat([source.rest, piece.subarray(0, read)]);
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
      if (end > start) yield bytes.toString("utf8", start, end);
      start = end + 1;
    }
    const rest = bytes.subarray(start);
    source.rest = rest.length > PIECE_BYTES ? TOO_LONG : rest;
  }
}

function entryIn(line: string): AuditEntry | undefined {
  try {
    return AuditEntry().parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}

function unlessMissing<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
