/** Where a person would be: the browser, the terminal; and what runs us. */
import { accessSync, constants } from "node:fs";
import { delimiter, join, sep } from "node:path";
import type { Context } from "../context.ts";
import { type Finding, listed, ok, warning } from "./check.ts";

declare const AUTHLINE_VERSION: string;

const REMOTE = ["SSH_CONNECTION", "SSH_TTY", "CODESPACES"];

export async function browser({ browser, surroundings, env }: Context): Promise<Finding[]> {
  const remote = REMOTE.find((name) => env(name));
  if (remote !== undefined) {
    return [
      ok(`None is opened, because the person is on another machine (${remote}): they open the address or type a code.`),
    ];
  }
  if (!browser.reachesThisHost) {
    return [ok("None is opened, because there is no screen: people open the address elsewhere, or type a code.")];
  }
  const openers = await surroundings.openers();
  const there = openers.find((file) => isProgram(file, env("PATH") ?? "", surroundings.platform));
  if (there !== undefined) {
    const when = browser.welcome ? "" : ", where --browser always asks for it: nobody is at a terminal";
    return [ok(`${there} would be asked to open one${when}.`)];
  }
  const chosen = env("BROWSER");
  if (chosen) return [warning(`BROWSER names ${chosen}, which is no program here.`, { fix: ["unset", "BROWSER"] })];
  const message = `There is a screen, and none of ${listed(openers)} to open a browser with.`;
  return [warning(message, { fix: ["sudo", "apt-get", "install", "xdg-utils"] })];
}

/** What Windows has on board is there; elsewhere it is looked for as a shell would. */
function isProgram(file: string, path: string, platform: NodeJS.Platform): boolean {
  if (platform === "win32") return true;
  const places = file.includes(sep) ? [file] : path.split(delimiter).map((directory) => join(directory, file));
  return places.some((place) => {
    try {
      accessSync(place, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

export function terminal({ surroundings, env }: Context): Finding[] {
  const { stdin, stdout, stderr, columns } = surroundings.terminal;
  const term = env("TERM");
  const streams = Object.entries({ stdin, stdout, stderr }).flatMap(([name, isOne]) => (isOne ? [name] : []));
  const facts = [
    streams.length === 0
      ? "None of stdin, stdout and stderr is one."
      : `${listed(streams)} ${streams.length === 1 ? "is one" : "are"}.`,
  ];
  if (stderr) {
    facts.push(term === "dumb" ? "TERM is dumb: no colours." : `TERM is ${term ?? "not set"}: colours.`);
    const width = columns?.();
    if (width) facts.push(`${width} columns.`);
  }
  const locale = ["LC_ALL", "LC_CTYPE", "LANG"].map((name) => env(name)).find(Boolean);
  const isUtf8 = surroundings.platform === "win32" || /utf-?8/i.test(locale ?? "");
  const found = [ok(facts.join(" "))];
  if (stderr && !isUtf8) {
    const message = `The locale (${locale ?? "not set"}) does not say UTF-8, which is what is written.`;
    found.push(warning(message, { fix: ["export", "LANG=C.UTF-8"] }));
  }
  return found;
}

const OLDEST = [20, 19] as const;

export function runtime({ surroundings: { node, platform } }: Context): Finding[] {
  const [major = 0, minor = 0] = node.split(".").map(Number);
  const isOld = major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
  const message = `authline ${AUTHLINE_VERSION}, Node ${node}, ${platform}.`;
  if (!isOld) return [ok(message)];
  return [warning(`${message} Node ${OLDEST.join(".")} or newer is needed.`)];
}
