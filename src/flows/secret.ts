/**
 * Where a secret comes from: never from argv, which everybody on the machine can read.
 *
 *   env:NAME   an environment variable       file:PATH  a file
 *   stdin      all of standard input         cmd:LINE   what a command prints
 */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { Context } from "../context.ts";
import { Failure } from "../protocol/failure.ts";

export const SOURCES = "env:NAME, file:PATH, stdin or cmd:COMMAND";

export function checkSource(raw: string, name: string): void {
  if (raw === "stdin" || /^(env|file|cmd):./s.test(raw)) return;
  throw new Failure("usage", `${name} does not name a source.`, {
    hint: `Write ${SOURCES}. The secret itself must not stand in the arguments: other users of the machine can read them.`,
  });
}

const MAX_BYTES = 64 * 1024;
/** A password manager may ask somebody to unlock it. */
const MAX_SECONDS = 120;

/** Without the line end that files and commands add, and the mark that some editors put before all. Throws `config`, and never quotes what it read. */
export async function readSecret(source: string, name: string, ctx: Context): Promise<string> {
  const enough = new AbortController();
  const signal = AbortSignal.any([ctx.signal, enough.signal]);
  const timer = ctx.sleep(MAX_SECONDS, signal).then(
    () => enough.abort("too late"),
    () => {},
  );
  try {
    const secret = (await read(source, ctx, signal)).replace(/^\ufeff|\r?\n$/g, "");
    if (secret !== "") return secret;
    const what = source.startsWith("env:") ? "is not set, or empty" : "holds nothing";
    throw new Failure("config", `${name}: ${describe(source)} ${what}.`);
  } catch (error) {
    ctx.signal.throwIfAborted();
    if (error instanceof Failure) throw error;
    const { code, exitCode, isMaxBuffer, signalDescription } = error as Fault;
    const why =
      (enough.signal.aborted && `nothing came within ${MAX_SECONDS} s`) ||
      ((isMaxBuffer || code === "TOO_LONG") && "it is too long") ||
      (exitCode !== undefined && `exit code ${exitCode}`) ||
      (signalDescription ?? code ?? "unknown reason");
    throw new Failure("config", `${name}: ${describe(source)} cannot be read (${why}).`, { cause: error });
  } finally {
    enough.abort("read");
    await timer;
  }
}

interface Fault {
  code?: string;
  exitCode?: number;
  isMaxBuffer?: boolean;
  signalDescription?: string;
}

function read(source: string, ctx: Context, signal: AbortSignal): Promise<string> {
  const rest = source.slice(source.indexOf(":") + 1);
  if (source.startsWith("env:")) return Promise.resolve(ctx.env(rest) ?? "");
  if (source.startsWith("file:")) return readFileOrPipe(rest, ctx, signal);
  if (source.startsWith("cmd:")) return ctx.execute(rest, { signal, maxBytes: MAX_BYTES });
  return ctx.stdin({ signal, maxBytes: MAX_BYTES });
}

/** Never blocks, as a named pipe that nobody writes to would; `file:<(command)` is one that somebody will. */
async function readFileOrPipe(path: string, ctx: Context, signal: AbortSignal): Promise<string> {
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const buffer = Buffer.alloc(MAX_BYTES + 1);
    for (let length = 0; ; ) {
      const bytesRead = await file.read(buffer, length, buffer.length - length).then(
        (done) => done.bytesRead,
        (error: NodeJS.ErrnoException) => {
          if (error.code !== "EAGAIN") throw error;
        },
      );
      if (bytesRead === 0) return buffer.toString("utf8", 0, length);
      length += bytesRead ?? 0;
      if (length > MAX_BYTES) throw Object.assign(new Error("too long"), { code: "TOO_LONG" });
      if (bytesRead === undefined) await ctx.sleep(0.05, signal);
    }
  } finally {
    await file.close();
  }
}

/** What may hold a secret of its own is not repeated: a command line, and a variable's value in place of its name. */
function describe(source: string): string {
  const rest = source.slice(source.indexOf(":") + 1);
  if (source.startsWith("cmd:")) return "the command";
  if (source.startsWith("env:")) return /^[A-Z_][A-Z0-9_]*$/.test(rest) ? rest : "that variable";
  return source === "stdin" ? "standard input" : rest;
}
