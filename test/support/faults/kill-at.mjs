// Simulates the end of the process, by SIGKILL, at the KILL_AT-th step that changes something in AUTHLINE_HOME: before the
// call; of a file that is written, also half-way.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const { AUTHLINE_HOME, KILL_AT } = process.env;
let steps = 0;
const isLast = () => ++steps === Number(KILL_AT);
const end = () => process.kill(process.pid, "SIGKILL");
const isOurs = (path) => String(path).startsWith(AUTHLINE_HOME);

const CALLS = ["mkdirSync", "chmodSync", "writeFileSync", "appendFileSync", "renameSync", "linkSync", "rmSync"];
for (const name of [...CALLS, "unlinkSync", "truncateSync", "utimesSync"]) {
  const real = fs[name];
  fs[name] = (path, ...rest) => {
    if (isOurs(path) && isLast()) end();
    if (name === "writeFileSync" && isOurs(path) && isLast()) {
      const [text, options] = rest;
      real(path, text.slice(0, text.length / 2), options);
      end();
    }
    return real(path, ...rest);
  };
}
// Of a directory that is synced only the opening has a name.
const { openSync } = fs;
fs.openSync = (path, ...rest) => {
  if (isOurs(path) && isLast()) end();
  return openSync(path, ...rest);
};
syncBuiltinESMExports();
