import { readFileSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { Failure } from "../protocol/failure.ts";
import { attempt, exists, makeDirectories, writeWhole } from "../store/files.ts";
import { command, flag } from "./command.ts";
import { SCRIPTS, SHELLS, type Shell } from "./completion_scripts.ts";

const shell = {
  summary: "which shell",
  required: true,
  choices: SHELLS,
  parse(raw: string, name: string): Shell {
    const found = SHELLS.find((each) => each === raw);
    if (found) return found;
    throw new Failure("usage", `${name} cannot be "${raw}".`, { hint: `It is one of ${SHELLS.join(", ")}.` });
  },
} as const;

export const completion = command({
  positionals: { shell },
  options: { install: flag("write it to where the shell looks for such things of the user's own") },
  examples: ["authline completion bash --install", "authline completion fish"],
  ends: ["config", "store"],

  async *flow({ shell, install }, ctx) {
    const script = SCRIPTS[shell];
    if (!install) return { message: `The completion for ${shell}.`, data: { shell, script } };
    const { path, add } = placeOf(shell, ctx);
    put(path, script);
    const then = add === undefined ? "The next shell has it." : `${HOW[shell]}: ${add}`;
    return {
      message: `The completion for ${shell} is in ${path}. ${then}`,
      data: { shell, script, path, ...defined({ add }) },
    };
  },
});

const HOW = {
  bash: "The next shell has it where the package bash-completion is; else add to ~/.bashrc",
  zsh: "Add to ~/.zshrc, where it is not there yet",
  fish: "",
};

interface Place {
  path: string;
  /** What the shell's own start file needs. */
  add?: string;
}

function placeOf(shell: Shell, { env }: Context): Place {
  const home = env("HOME") ?? "";
  if (!isAbsolute(home)) {
    throw new Failure("config", "HOME does not say where the user's own files are.", {
      hint: `Set HOME, or put the script where ${shell} finds it: authline completion ${shell}`,
    });
  }
  const under = (variable: string, otherwise: string) => {
    const given = env(variable);
    return given !== undefined && isAbsolute(given) ? given : join(home, otherwise);
  };
  switch (shell) {
    case "bash": {
      const path = join(under("XDG_DATA_HOME", ".local/share"), "bash-completion/completions/authline");
      // The package bash-completion looks there by itself; without it nobody does.
      return { path, add: `. ${quoted(path)}` };
    }
    case "zsh": {
      const directory = join(home, ".zfunc");
      const path = join(directory, "_authline");
      return { path, add: `fpath=(${quoted(directory)} $fpath); autoload -Uz compinit; compinit` };
    }
    case "fish":
      return { path: join(under("XDG_CONFIG_HOME", ".config"), "fish/completions/authline.fish") };
  }
}

const quoted = (path: string) => (/^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);

/** Over an older one of ours, and over nothing else. */
function put(path: string, script: string): void {
  const OURS = /^#.*\bauthline\b/;
  attempt("write", path, () => makeDirectories(dirname(path))); // the user's: with the modes that they want
  if (exists(path) && !OURS.test(attempt("read", path, () => readFileSync(path, "utf8")))) {
    throw new Failure("store", `${path} is there, and authline did not write it.`, {
      hint: "Nothing was changed. Move it away and run the command again.",
    });
  }
  writeWhole(path, script);
}
