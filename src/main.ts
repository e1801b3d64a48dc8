#!/usr/bin/env node
/**
 * The process: fd 1, signals, exit code. The only file that names `process`.
 *
 * Rules: fd 1 is guarded before anything else is loaded; however the process ends (but for SIGKILL and its like), one
 * `result` has been written and the exit code is the one that it names.
 */
import { writeSync } from "node:fs";
import { homedir } from "node:os";
import { isatty } from "node:tty";

// From here on whatever a dependency prints goes to stderr. The real stdout is never touched: its getter would make
// fd 1 non-blocking for everybody who shares it.
Object.defineProperty(process, "stdout", { configurable: true, get: () => process.stderr });

standSomewhere();

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
  const code = stream ? stream.abandon() : unloaded();
  process.exitCode = lost ?? code;
});

const { start } = await import("./start.ts");
await start({
  argv: process.argv.slice(2),
  env: process.env,
  platform: process.platform,
  node: process.versions.node,
  terminal: {
    ...{ stdin: isatty(0), stdout: isatty(1), stderr: isatty(2) },
    columns: () => process.stderr.columns,
  },
  stdin: () => process.stdin,
  signal: aborter.signal,
  pid: process.pid,
  ppid: process.ppid,
  isAlive(pid) {
    try {
      return process.kill(pid, 0);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "EPERM";
    }
  },
  kill(pid) {
    try {
      process.kill(process.platform === "win32" ? pid : -pid, "SIGKILL");
    } catch {
      // it has ended by itself
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

/** Dependencies ask where they are and whose home it is while they are loaded, and do not survive a "nowhere". */
function standSomewhere(): void {
  try {
    process.cwd();
  } catch {
    process.chdir("/");
  }
  try {
    homedir();
  } catch {
    process.env["HOME"] = "/nonexistent"; // a store there fails, and says so
  }
}

/** Not even the program could be loaded, so nothing of it can say so: the one line that is made by hand. */
function unloaded(): number {
  const message = "authline cannot be loaded: its installation is broken.";
  const stamp = { v: 1, seq: 0, time: new Date().toISOString(), command: "authline", phase: "result", message };
  const end = { status: "error", exit_code: 70, duration_ms: 0, warnings: [], next_actions: [] };
  const error = { code: "internal", message, hint: "Install it again.", retryable: false };
  if (!isatty(1)) writeSync(1, `${JSON.stringify({ ...stamp, ...end, error })}\n`);
  writeSync(2, `error: ${message}\n`);
  return end.exit_code;
}
