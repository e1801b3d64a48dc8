/**
 * The process that talks to the OS keyring, for `store/keyring.ts`: `keyring.js get|set|remove ID`, the value on stdin or
 * stdout. It is killed when it takes too long, and ends by itself where nobody is left to do that.
 */
import { readFileSync, writeSync } from "node:fs";

const SERVICE = "authline";
/** Longer than whoever asks waits. */
const LIMIT_SECONDS = 10;

const [verb, id = ""] = process.argv.slice(2);
// By a signal: an exit would wait for the thread that the keyring keeps.
setTimeout(() => process.kill(process.pid, "SIGKILL"), LIMIT_SECONDS * 1000).unref();
try {
  const { AsyncEntry } = await import("@napi-rs/keyring");
  const entry = new AsyncEntry(SERVICE, id, { linux: { store: "secret-service" } });
  if (verb === "get") writeSync(1, (await entry.getPassword()) ?? "");
  if (verb === "set") await entry.setPassword(readFileSync(0, "utf8"));
  if (verb === "remove") await entry.deletePassword();
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException;
  writeSync(1, `error: ${code === "ERR_MODULE_NOT_FOUND" ? "its library is not installed" : message.split("\n")[0]}\n`);
  process.exitCode = 1;
}
