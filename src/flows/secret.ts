/**
 * Where a secret comes from: never from argv, which everybody on the machine can read.
 *
 *   env:NAME   an environment variable       file:PATH  a file
 *   stdin      all of standard input         cmd:LINE   what a command prints
 */
import { readFile } from "node:fs/promises";
import type { Context } from "../context.ts";
import { Failure } from "../protocol/failure.ts";

export const SOURCES = "env:NAME, file:PATH, stdin or cmd:COMMAND";

export function checkSource(raw: string, name: string): void {
  if (raw === "stdin" || /^(env|file|cmd):./s.test(raw)) return;
  throw new Failure("usage", `${name} does not name a source.`, {
    hint: `Write ${SOURCES}. The secret itself must not stand in the arguments: other users of the machine can read them.`,
  });
}

/** Without the line end that files and commands add. Throws `config`, and never quotes what it read. */
export async function readSecret(source: string, name: string, ctx: Context): Promise<string> {
  const secret = (await read(source, name, ctx)).replace(/\r?\n$/, "");
  if (secret === "") {
    const what = source.startsWith("env:") ? "is not set, or empty" : "holds nothing";
    throw new Failure("config", `${name}: ${describe(source)} ${what}.`);
  }
  if (secret.length > 64 * 1024) throw new Failure("config", `${name}: ${describe(source)} is too long for a secret.`);
  return secret;
}

async function read(source: string, name: string, ctx: Context): Promise<string> {
  const [kind, rest] = [source.split(":", 1)[0], source.slice(source.indexOf(":") + 1)];
  try {
    switch (kind) {
      case "env":
        return ctx.env(rest) ?? "";
      case "file":
        return await readFile(rest, "utf8");
      case "cmd":
        return await ctx.execute(rest);
      default:
        return await ctx.stdin();
    }
  } catch (error) {
    ctx.signal.throwIfAborted();
    const { code, exitCode } = error as { code?: string; exitCode?: number };
    const why = exitCode === undefined ? (code ?? "unknown reason") : `exit code ${exitCode}`;
    throw new Failure("config", `${name}: ${describe(source)} cannot be read (${why}).`, { cause: error });
  }
}

/** A command line may hold secrets of its own: it is not repeated. */
const describe = (source: string) =>
  source.startsWith("cmd:")
    ? "the command"
    : source === "stdin"
      ? "standard input"
      : source.slice(source.indexOf(":") + 1);
