#!/usr/bin/env node
/**
 * The process: fd 1, signals, exit code. The only file that names `process`.
 *
 * Rules: fd 1 is guarded before anything else is loaded; however the process ends (but for SIGKILL and its like), one
 * `result` has been written and the exit code is the one that it names.
 */
import { isatty } from "node:tty";

// From here on whatever a dependency prints goes to stderr. The real stdout is never touched: its getter would make
// fd 1 non-blocking for everybody who shares it.
Object.defineProperty(process, "stdout", { configurable: true, get: () => process.stderr });

const aborter = new AbortController();
let stream: import("./run.ts").Stream | undefined;
/** What the process ends with when stdout cannot be written any more. */
let lost: number | undefined;

for (const name of ["SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"] as const) {
  if (name === "SIGBREAK" && process.platform !== "win32") continue;
  process.on(name, () => {
    if (aborter.signal.aborted) process.exit(); // the second one leaves at once; the exit hook has the last word
    aborter.abort(name);
  });
}
for (const name of ["uncaughtException", "unhandledRejection"]) {
  process.on(name, (thrown: unknown) => {
    stream?.end({ thrown });
    process.exit();
  });
}
process.on("exit", () => {
  const code = stream?.abandon() ?? 70; // EX_SOFTWARE: not even the program could be loaded
  process.exitCode = lost ?? code;
});

const { start } = await import("./start.ts");
await start({
  argv: process.argv.slice(2),
  env: process.env,
  platform: process.platform,
  node: process.versions.node,
  terminal: { stdin: isatty(0), stdout: isatty(1), stderr: isatty(2) },
  stdin: () => process.stdin,
  signal: aborter.signal,
  pid: process.pid,
  isAlive(pid) {
    try {
      return process.kill(pid, 0);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "EPERM";
    }
  },
  program: [process.execPath, process.argv[1] ?? ""],
  onStream(opened) {
    stream = opened;
  },
  onLost(exitCode) {
    lost = exitCode;
    aborter.abort("the reader of stdout");
  },
});
process.exit();
