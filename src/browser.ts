/**
 * Hands a URL to the desktop.
 *
 * Rules: only an http(s) URL that was parsed and written anew; as one argument; without a shell. A URL that a server
 * sent has run commands elsewhere (CVE-2025-6514).
 */
import { execa } from "execa";

interface Desktop {
  env: Readonly<Record<string, string | undefined>>;
  platform: NodeJS.Platform;
}

/** Tried in order until one takes the URL. */
export function openers({ env, platform }: Desktop): [file: string, ...args: string[]][] {
  if (env["BROWSER"]) return [[env["BROWSER"]]];
  if (platform === "darwin") return [["/usr/bin/open"]];
  // Not `cmd /c start`: & and ^ mean something to cmd.
  if (platform === "win32") return [["rundll32", "url.dll,FileProtocolHandler"]];
  return env["WSL_DISTRO_NAME"] ? [["wslview"], ["xdg-open"]] : [["xdg-open"], ["gio", "open"]];
}

/** How long an opener may take to say that it failed; one that runs longer is a browser at work. */
const VERDICT_MS = 1500;

/** True when an opener took the URL. Never throws: a person can always open it by hand. */
export async function openBrowser(address: string, desktop: Desktop): Promise<boolean> {
  const url = URL.parse(address);
  if (url?.protocol !== "https:" && url?.protocol !== "http:") return false;
  for (const [file, ...args] of openers(desktop)) {
    if (await takes(file, [...args, url.href])) return true;
  }
  return false;
}

async function takes(file: string, args: string[]): Promise<boolean> {
  const child = execa(file, args, { stdio: "ignore", detached: true, cleanup: false, reject: false, shell: false });
  child.unref();
  let timer: NodeJS.Timeout | undefined;
  const running = new Promise<true>((resolve) => {
    timer = setTimeout(resolve, VERDICT_MS, true);
  });
  try {
    return await Promise.race([child.then(({ failed }) => !failed), running]);
  } finally {
    clearTimeout(timer);
  }
}
