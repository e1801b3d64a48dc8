/**
 * What `npm test` and `npm run demo` need on a fresh clone: the packages of the lockfile, and with --browser what the
 * tests drive.
 * What it cannot install it names. Runs before anything is installed, so: plain JavaScript and Node alone.
 */
import { execSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { findChromium } from "./chromium.mjs";

const asRoot = process.getuid?.() === 0 ? "" : "sudo -n ";
const STAMP = "node_modules/.authline-lockfile";

needsNode(20, 19);
installPackages();
if (process.argv.includes("--browser")) {
  needsTools("bash", "curl", "jq", "python3"); // the examples of the docs are run
  await needsChromium();
}

function needsNode(major, minor) {
  const [is, isMinor] = process.versions.node.split(".").map(Number);
  if (is > major || (is === major && isMinor >= minor)) return;
  stop(`Node ${major}.${minor} or newer is needed; this is ${process.versions.node}.`);
}

function installPackages() {
  const lockfile = createHash("sha256").update(readFileSync("package-lock.json")).digest("hex");
  if (existsSync(STAMP) && readFileSync(STAMP, "utf8") === lockfile) return;
  if (!succeeds("npm ci --no-audit --no-fund")) stop("The packages of the lockfile could not be installed: see above.");
  writeFileSync(STAMP, lockfile);
}

function needsTools(...tools) {
  const isMissing = (tool) =>
    !(process.env.PATH ?? "").split(delimiter).some((folder) => existsSync(join(folder, tool)));
  const missing = tools.filter(isMissing);
  if (missing.length === 0) return;
  [`${asRoot}apt-get update`, `${asRoot}apt-get install -y --no-install-recommends ${missing.join(" ")}`].every(
    succeeds,
  );
  const still = missing.filter(isMissing);
  if (still.length > 0)
    stop(`The tests of the docs need ${still.join(" and ")}, and it could not be installed here: install it.`);
}

async function needsChromium() {
  if (findChromium()) return;
  const ways = [
    [`${asRoot}apt-get install -y --no-install-recommends chromium`, `${asRoot}apt-get update`],
    ["npx --no-install playwright-core install chromium-headless-shell"],
  ];
  for (const [install, ...before] of ways) {
    if (![...before, install].every(succeeds)) continue;
    if (findChromium() || (await playwrightHasOne())) return;
  }
  stop(
    "The browser tests need Chromium, Chrome or Edge, and none could be installed here: install one, or say where it is with CHROMIUM_PATH.",
  );
}

async function playwrightHasOne() {
  const { chromium } = await import("playwright-core");
  return existsSync(chromium.executablePath());
}

function run(command) {
  // `npm run -s` would keep the reason of a failure to itself.
  execSync(command, { stdio: ["ignore", 2, 2], env: { ...process.env, npm_config_loglevel: "error" } });
}

function succeeds(command) {
  try {
    run(command);
    return true;
  } catch {
    return false;
  }
}

function stop(why) {
  console.error(why);
  process.exit(1);
}
