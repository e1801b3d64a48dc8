/**
 * What goes where, and how it looks. Flag beats variable beats detection.
 *
 *   what              flag                variable                                  else
 *   the stream        --json, --no-json   AUTHLINE_JSON adds it                     unless stdout is a terminal
 *   few words         --quiet                                                       no
 *   asking somebody                       AUTHLINE_NO_PROMPT and CI forbid it       yes
 *   terminals                             AUTHLINE_FORCE_TTY: all three are         each as it is
 *   colour                                FORCE_COLOR, then NO_COLOR, TERM=dumb     where stderr is a terminal
 *   one live line                         TERM=dumb: none                           where stderr is a terminal
 *   width                                 COLUMNS                                   the terminal's; 80
 *   UTF-8                                 LC_ALL, then LC_CTYPE, then LANG          on Windows
 *   links                                 those that good terminals set             no
 *
 * Where lines of the stream land on the same screen there is neither a live line, which they would break, nor colour,
 * unless FORCE_COLOR asks for it. The AUTHLINE_ variables take `1` and `true`; with another value it is as if they were
 * not set. CI counts unless it is empty, 0 or false.
 */
import type { Process } from "./context.ts";
import type { Look } from "./render/human.ts";

export interface Modes {
  /** Whether the stream is written to stdout. */
  stream: boolean;
  /** Whether a person may be asked: a terminal read, a browser opened that nobody asked for. */
  prompt: boolean;
  /** Which of the three are taken for terminals. */
  terminal: Process["terminal"];
  look: Look;
}

export interface Flags {
  /** --json or --no-json, where one was given. */
  json?: boolean | undefined;
  quiet?: boolean | undefined;
  /** Whether the command takes what somebody pastes. */
  pastes?: boolean | undefined;
}

type Env = Process["env"];

const isOn = (value: string | undefined) => value === "1" || value === "true";
const isSet = (value: string | undefined) => !["", "0", "false"].includes(value ?? "");

export function modesOf(
  { env, platform, terminal: real }: Pick<Process, "env" | "platform" | "terminal">,
  flags: Flags,
): Modes {
  const columns = () => (real.stderr ? real.columns?.() : undefined); // to ask a pipe would change the pipe
  const forced = isOn(env["AUTHLINE_FORCE_TTY"]) && { stdin: true, stdout: true, stderr: true };
  const terminal = { ...real, ...forced, columns };
  const stream = flags.json ?? (isOn(env["AUTHLINE_JSON"]) || !terminal.stdout);
  const prompt = !isOn(env["AUTHLINE_NO_PROMPT"]) && !isSet(env["CI"]);
  const live = terminal.stderr && env["TERM"] !== "dumb" && !(stream && terminal.stdout);
  return {
    ...{ stream, prompt, terminal },
    look: {
      terminal: terminal.stderr,
      live,
      colour: forcedColour(env) ?? (live && !env["NO_COLOR"]),
      links: live && hasLinks(env),
      unicode: platform === "win32" || /utf-?8/i.test(localeOf(env)),
      get width() {
        return widthIn(env) ?? (columns() || 80);
      },
      quiet: flags.quiet ?? false,
      paste: prompt && (flags.pastes ?? false),
      reveal: terminal.stderr && !stream,
    },
  };
}

/** As Node reads it: what it does not know means none. */
const forcedColour = ({ FORCE_COLOR: value }: Env) =>
  value === undefined ? undefined : ["", "1", "true", "2", "3"].includes(value);

/** POSIX: the first of them that is not empty. */
const localeOf = (env: Env) => env["LC_ALL"] || env["LC_CTYPE"] || env["LANG"] || "";

const widthIn = ({ COLUMNS: value = "" }: Env) => (/^[1-9]\d{0,3}$/.test(value) ? Number(value) : undefined);

/** Of terminals that show OSC 8 as a link. Within tmux and screen nobody knows what is outside. */
const LINKING: readonly ((env: Env) => boolean)[] = [
  ({ TERM_PROGRAM = "" }) => ["iTerm.app", "WezTerm", "vscode", "ghostty"].includes(TERM_PROGRAM),
  ({ TERM = "" }) => /^(xterm-kitty|xterm-ghostty|foot(-extra)?|alacritty)$/.test(TERM),
  ({ VTE_VERSION = "" }) => Number(VTE_VERSION) >= 5100, // 0.50 crashed on them
  ({ WT_SESSION = "" }) => WT_SESSION !== "",
];

const hasLinks = (env: Env) =>
  !env["TMUX"] && !/^(tmux|screen)/.test(env["TERM"] ?? "") && LINKING.some((isGood) => isGood(env));
