import { existsSync, readFileSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { Failure } from "../protocol/failure.ts";
import { quoted } from "../quoted.ts";
import { attempt, exists, makeDirectories, writeWhole } from "../store/files.ts";
import { command, flag, oneOf } from "./command.ts";
import { SCRIPTS, SHELLS, type Shell } from "./completion_scripts.ts";

const shell = { ...oneOf("which shell", SHELLS), required: true } as const;

export const completion = command({
  positionals: { shell },
  options: { install: flag("write it to where the shell looks for such things of the user's own") },
  examples: ["authline completion bash --install", "authline completion fish"],
  ends: ["config", "store"],

  async *flow({ shell, install }, ctx) {
    const script = SCRIPTS[shell];
    if (!install) return { message: `The completion for ${shell}.`, data: { shell, script } };
    const { path, add } = placeOf(shell, ctx);
    put(path, script, shell);
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

/** Over an older one of ours, and over nothing else. */
function put(path: string, script: string, shell: Shell): void {
  const OURS = /^#.*\bauthline\b/;
  try {
    attempt("write", path, () => makeDirectories(dirname(path))); // the user's: with the modes that they want
    if (exists(path) && !existsSync(path)) throw inTheWay(`${path} is a link that leads nowhere.`);
    if (exists(path) && !OURS.test(attempt("read", path, () => readFileSync(path, "utf8")))) {
      throw inTheWay(`${path} is there, and authline did not write it.`);
    }
    writeWhole(path, script);
  } catch (error) {
    if (!(error instanceof Failure) || error.details.cause === undefined) throw error;
    const elsewhere = `Put the script where ${shell} finds it: authline completion ${shell}`;
    throw new Failure("store", error.message, { ...error.details, hint: `Nothing was changed. ${elsewhere}` });
  }
}

const inTheWay = (message: string) =>
  new Failure("store", message, { hint: "Nothing was changed. Move it away and run the command again." });
