/** Where a Chromium, Chrome or Edge may be. Plain JavaScript: the set-up runs before anything is installed. */
import { existsSync } from "node:fs";
import { join } from "node:path";

const PATHS = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/usr/bin/google-chrome-stable",
  "/usr/bin/microsoft-edge",
  "/snap/bin/chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
];
const WINDOWS = ["Google/Chrome/Application/chrome.exe", "Microsoft/Edge/Application/msedge.exe"];

/** The path of an installed one; CHROMIUM_PATH has the last word. @returns {string | undefined} */
export function findChromium() {
  const { CHROMIUM_PATH, PROGRAMFILES, "PROGRAMFILES(X86)": X86, LOCALAPPDATA } = process.env;
  const roots = [PROGRAMFILES, X86, LOCALAPPDATA].filter((root) => root !== undefined);
  const places = [...PATHS, ...roots.flatMap((root) => WINDOWS.map((path) => join(root, path)))];
  return CHROMIUM_PATH || places.find((path) => existsSync(path));
}
