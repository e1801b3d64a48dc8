/**
 * `authline` as the documents' examples find it in PATH: the built binary with a person in front of it, who signs in once
 * every way in is open, by the one they like (AUTHLINE_ATTENDED_WAY) if it is there. docs.test.ts bundles it.
 *
 * stdout goes through byte for byte. How it went is written to a file of its own in AUTHLINE_ATTENDED_LOG.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { approveRedirect, visit, visitDevicePages } from "./person.ts";
import { type Event, parseStream } from "./stream.ts";

/** What stands in the file. */
export interface Attended {
  argv: string[];
  code: number | null;
  /** In base64: nothing that was wrong with the bytes may be mended on the way. */
  stdout: string;
}

const { AUTHLINE_ATTENDED_BINARY = "", AUTHLINE_ATTENDED_LOG = "", AUTHLINE_ATTENDED_WAY = "" } = process.env;
const argv = process.argv.slice(2);
const startedAt = process.hrtime.bigint();
const child = spawn(process.execPath, [AUTHLINE_ATTENDED_BINARY, ...argv], { stdio: ["inherit", "pipe", "inherit"] });
const closed = once(child, "close");
const seen: Buffer[] = [];
child.stdout.on("data", (chunk: Buffer) => {
  seen.push(chunk);
  process.stdout.write(chunk);
});

/** What somebody may do, until somebody does it. Other commands show again what a login has shown. */
let open: Event[] = [];

async function attend(event: Event): Promise<void> {
  if (argv[0] !== "login") return;
  if (event.phase === "auth_url" || event.phase === "device_code") open.push(event);
  if (event.step !== "await_user" && event.phase !== "result") return;
  const taken = open.find(({ phase }) => phase === AUTHLINE_ATTENDED_WAY) ?? open[0];
  open = [];
  if (taken?.auth_url) await visit(await approveRedirect(taken.auth_url));
  if (taken?.verification_uri_complete) await visitDevicePages(taken.verification_uri_complete);
}

try {
  for await (const line of createInterface({ input: child.stdout })) {
    for (const event of parseStream(line)) await attend(event);
  }
} catch (error) {
  console.error(`The person in front of authline is lost: ${error}`);
  child.kill("SIGKILL");
}
const [code] = (await closed) as [number | null];
const attended: Attended = { argv, code, stdout: Buffer.concat(seen).toString("base64") };
writeFileSync(join(AUTHLINE_ATTENDED_LOG, `${startedAt}-${process.pid}.json`), JSON.stringify(attended));
process.exitCode = code ?? 1;
