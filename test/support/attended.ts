/**
 * `authline` as the documents' examples find it in PATH: the built binary, whose every call is written down, with a person
 * in front of it, who signs in once every way in is open, by the one they like if it is there.
 *
 * stdout goes through byte for byte. The person is in this process, and reads along in what is written down.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { approveRedirect, visit, visitDevicePages } from "./person.ts";
import { type Event, parseStream } from "./stream.ts";

/** A call that has ended. */
export interface Attended {
  argv: string[];
  code: number;
  stdout: Buffer;
}

/** A folder for PATH in which `authline` runs the binary; each call has a folder of its own in $AUTHLINE_CALLS, in their order. */
export function shimFor(binary: string, folder: string): string {
  mkdirSync(folder, { recursive: true });
  const script = `#!/bin/bash
number=1000
until mkdir "$AUTHLINE_CALLS/$number" 2>/dev/null; do number=$((number + 1)); done
call=$AUTHLINE_CALLS/$number
printf '%s\\0' "$@" >"$call/argv"
'${process.execPath}' '${binary}' "$@" | tee "$call/stdout"
code=\${PIPESTATUS[0]}
echo "$code" >"$call/code"
exit "$code"
`;
  writeFileSync(join(folder, "authline"), script, { mode: 0o755 });
  return folder;
}

/** A person in front of the calls in this folder, until `leave`, which says how they went and clears them away. */
export function personAt(calls: string, way: Event["phase"]) {
  let stays = true;
  /** How many lines of each call were read. */
  const read = new Map<string, number>();
  /** What may be done, by call, until it is done. */
  const open = new Map<string, Event[]>();

  async function attend(call: string, event: Event): Promise<void> {
    const asked = open.get(call) ?? [];
    if (event.phase === "auth_url" || event.phase === "device_code") open.set(call, [...asked, event]);
    if (event.step !== "await_user" && event.phase !== "result") return;
    open.delete(call);
    const taken = asked.find(({ phase }) => phase === way) ?? asked[0];
    if (taken?.auth_url) await visit(await approveRedirect(taken.auth_url));
    if (taken?.verification_uri_complete) await visitDevicePages(taken.verification_uri_complete);
  }

  async function look(): Promise<void> {
    for (const call of readdirSync(calls).sort()) {
      if (argvOf(call)[0] !== "login") continue; // other commands show again what a login has shown
      const events = parseStream(wholeLines(contentOf(call, "stdout")));
      const fresh = events.slice(read.get(call) ?? 0);
      read.set(call, events.length);
      for (const event of fresh) await attend(call, event);
    }
  }

  const contentOf = (call: string, name: string) => {
    const path = join(calls, call, name);
    return existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  };
  const argvOf = (call: string) => String(contentOf(call, "argv")).split("\0").slice(0, -1);

  const standing = (async () => {
    while (stays) {
      await look();
      await sleep(10);
    }
    await look(); // what came last
  })();
  standing.catch(() => {}); // whoever calls `leave` hears of it

  return {
    async leave(): Promise<Attended[]> {
      stays = false;
      await standing;
      return readdirSync(calls)
        .sort()
        .map((call) => {
          const ended = {
            argv: argvOf(call),
            code: Number(contentOf(call, "code")),
            stdout: contentOf(call, "stdout"),
          };
          rmSync(join(calls, call), { recursive: true });
          return ended;
        });
    },
  };
}

const wholeLines = (bytes: Buffer) => String(bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1));
