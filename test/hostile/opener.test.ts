// Protected: what is handed to the browser (CVE-2025-6514). One argument, an http(s) URL as the URL parser writes it, no
// shell; whatever else a server calls its authorization endpoint never gets there.

import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sweep } from "../support/spawn.ts";
import { comesBack, POISON, suffer } from "./attack.ts";

const directory = mkdtempSync(path.join(os.tmpdir(), "authline-opener-"));
const opener = path.join(directory, "opener");

beforeAll(() => {
  // One line an argument. Written beside and renamed, so that it is there whole or not at all.
  writeFileSync(opener, '#!/bin/sh\nprintf "%s\\n" "$#" "$@" >"$OPENED.new"\nmv "$OPENED.new" "$OPENED"\n');
  chmodSync(opener, 0o755);
});
afterAll(sweep);
afterAll(() => rmSync(directory, { recursive: true }));

let runs = 0;
const options = () => {
  const opened = path.join(directory, `opened-${runs++}`);
  return { opened, options: { env: { BROWSER: opener, OPENED: opened } }, argv: ["--browser", "always"] };
};

describe.concurrent("metacharacters arrive as one percent-encoded argument", () => {
  test.each([
    "?x=$(touch owned)",
    "?x=`touch owned`",
    "?x=a;touch owned",
    "?x=a&touch owned&",
    "?x=a|touch owned",
    "?x=a>owned",
    "?x='%22\"touch owned",
    "?x=%0atouch owned",
    "?x=\ntouch owned\n",
    "/$(touch owned)",
    "/`touch owned`",
    "/;touch\u0024{IFS}owned;",
    "/&&touch owned||",
    "/\\..\\owned",
    "/--new-window",
    `/${POISON}`,
    `?x=${POISON}`,
    "?x=%PATH%^&calc",
    "#$(touch owned)",
  ])("%j", (tail) => {
    const { opened, ...how } = options();
    return suffer({
      does: "is a shell script",
      flow: "authorization_code",
      metadata: (url) => ({ authorization_endpoint: `${url}/authorize${tail}` }),
      ends: "success",
      meanwhile: comesBack(),
      ...how,
      also({ events }) {
        const challenge = events.find(({ phase }) => phase === "auth_url");
        expect(challenge).toMatchObject({ browser_opened: true });
        const [count, url = "", ...rest] = readFileSync(opened, "utf8").split("\n");
        expect({ count, rest }).toEqual({ count: "1", rest: [""] });
        expect(url).toBe(challenge?.auth_url);
        expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/[\x21-\x7e]+$/);
        expect(url).not.toMatch(/[\s"<>\\`{}]/);
        expect(new URL(url).href).toBe(url);
        // The server's own parameters are still what they were.
        const own = new URL(`http://x/${tail}`).searchParams.get("x");
        if (own !== null) expect(new URL(url).searchParams.get("x")).toBe(own);
      },
    });
  });
});

describe.concurrent("what is no web address never gets there", () => {
  test.each([
    "javascript:alert(1)",
    "file:///etc/passwd",
    "vbscript:x",
    "smb://example.com/share",
    "calculator:",
    "-a Calculator",
    "$(touch owned)",
    "http://example.com/authorize",
    "\u0000https:",
  ])("%j", (authorization_endpoint) => {
    const { opened, ...how } = options();
    return suffer({
      does: "lies",
      flow: "authorization_code",
      metadata: { authorization_endpoint },
      ends: "provider",
      ...how,
      also: () => expect(existsSync(opened)).toBe(false),
    });
  });
});

describe.concurrent("an opener that does not work", () => {
  test.each([
    ["is not there", "/nonexistent/browser"],
    ["is a command line", "touch owned;true"],
    ["fails", "/bin/false"],
  ])("%s: the address is shown all the same", (_, BROWSER) =>
    suffer({
      does: "is honest",
      flow: "authorization_code",
      argv: ["--browser", "always"],
      options: { env: { BROWSER } },
      ends: "success",
      meanwhile: comesBack(),
      also: ({ events }) =>
        expect(events.find(({ phase }) => phase === "auth_url")).toMatchObject({ browser_opened: false }),
    }),
  );
});
