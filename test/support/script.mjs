/** Runs a TypeScript file on every Node that is supported: bundled first, packages left where they are. */
import { spawnSync } from "node:child_process";
import { basename, join } from "node:path";
import { build } from "rolldown";

const [source, ...args] = process.argv.slice(2);
const file = join("node_modules/.scripts", `${basename(source, ".ts")}.mjs`);
await build({
  input: source,
  platform: "node",
  external: /^[^./]/,
  logLevel: "warn",
  output: { file, format: "esm", codeSplitting: false },
});
process.exit(spawnSync(process.execPath, [file, ...args], { stdio: "inherit" }).status ?? 1);
