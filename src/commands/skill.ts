/**
 * What an agent has to know of authline, in the form of Agent Skills (agentskills.io): on the stream, or put where agents
 * look for it.
 *
 * Rules: only where an agent has a folder already; a file that says something else is left alone without --force.
 */
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import type { DataOf } from "../protocol/data.ts";
import { Failure, type Warning } from "../protocol/failure.ts";
import { makeDirectories } from "../store/files.ts";
import { command, flag } from "./command.ts";

const NAME = "authline";
const DOCUMENT = new URL("./skills/authline/SKILL.md", import.meta.url);

/**
 * Where agents look, and below what. Sources: the documentation of Claude Code, of Codex, of GitHub Copilot, of Gemini CLI,
 * of Cursor and of OpenCode; `.agents` is what several of them share.
 */
const AGENTS = [".agents", ".claude", ".codex", ".copilot", ".cursor", ".gemini", ".config/opencode"];

type Installed = NonNullable<DataOf<"skill">["installed"]>;

export const skill = command({
  positionals: {
    dir: {
      summary: "with --install: the folder of skills to put it into; else those of the agents that are here",
      required: false,
      parse(raw: string, name: string): string {
        if (raw !== "" && !raw.includes("\0")) return raw;
        throw new Failure("usage", `${name} is empty.`, { hint: "Name a folder, such as ./skills." });
      },
    },
  },
  options: {
    install: flag("put it where agents look for it"),
    force: flag("with --install: even over a file that says something else"),
  },
  examples: [
    "authline skill | jq -r '.data.text'",
    "authline skill --install",
    "authline skill --install ./skills",
    "authline skill --install --force",
  ],
  ends: ["failed"],

  async *flow({ dir, install, force }, ctx) {
    if (!install && (dir !== undefined || force)) {
      throw new Failure("usage", "A folder and --force go with --install only.", { hint: "Add --install." });
    }
    const text = readFileSync(DOCUMENT, "utf8");
    if (!install) return { message: "What an agent has to know of authline.", data: { name: NAME, text } };
    const folders = dir === undefined ? foldersOfAgents(ctx) : [resolve(dir)];
    const installed = folders.map((folder) => put(text, join(folder, NAME, "SKILL.md"), force));
    const there = installed.filter(({ state }) => state === "written" || state === "unchanged");
    const warnings = installed.flatMap(warningsOf);
    const [first] = warnings;
    if (first && there.length === 0) throw nowhere(first, installed, warnings);
    return {
      message: `The skill is in ${there.length} ${there.length === 1 ? "place" : "places"}.`,
      warnings,
      data: { name: NAME, text, ...defined({ installed }) },
    };
  },
});

const warningsOf = ({ path, state, reason }: Installed[number]): Warning[] => {
  if (state === "failed") return [{ code: "skill_failed", message: `${path} cannot be written (${reason}).` }];
  if (state !== "differs") return [];
  const message = `${path} says something else and is left as it is: --force writes over it.`;
  return [{ code: "skill_differs", message }];
};

/** What is wrong with each place: of one the error itself says it. */
const nowhere = ({ code, message }: Warning, installed: Installed, warnings: Warning[]) =>
  new Failure("failed", warnings.length === 1 ? message : "The skill could be put nowhere.", {
    hint:
      code === "skill_differs"
        ? "Look at it; with --force it is written over."
        : "Name another folder: authline skill --install ./skills",
    reason: installed.find(({ reason }) => reason)?.reason ?? "differs",
    warnings: warnings.length === 1 ? [] : warnings,
  });

/** Throws where no agent has a folder. */
function foldersOfAgents({ env }: Context): string[] {
  const home = env("HOME") || homedir();
  const here = AGENTS.map((agent) => join(home, agent)).filter(isFolder);
  if (here.length > 0) return here.map((folder) => join(folder, "skills"));
  throw new Failure("failed", "No agent has a folder here.", {
    hint: "Name one: authline skill --install ./skills",
    reason: "no_agent",
  });
}

/** What cannot be looked into is nobody's to write to. */
function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Written beside and renamed: an agent never reads half of it. What is wrong with one place keeps nobody from the others. */
function put(text: string, path: string, force: boolean): Installed[number] {
  try {
    const there = textOf(path);
    if (there === text) return { path, state: "unchanged" };
    if (there !== undefined && !force) return { path, state: "differs" };
    makeDirectories(dirname(path));
    replace(path, text);
    return { path, state: "written" };
  } catch (error) {
    return { path, state: "failed", reason: (error as NodeJS.ErrnoException).code ?? "unknown reason" };
  }
}

function replace(path: string, text: string): void {
  const part = `${path}.${crypto.randomUUID()}.part`; // nobody has put a link there
  try {
    writeFileSync(part, text, { flag: "wx" });
    renameSync(part, path);
  } catch (error) {
    rmSync(part, { force: true });
    throw error;
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
