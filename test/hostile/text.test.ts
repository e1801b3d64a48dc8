// Protected: the terminal. Whatever a server writes into a field that is shown, in any command and on any sink, no control
// or bidi character gets through, no line is forged, no line is longer than it may be.

import { afterAll, describe, expect, test } from "vitest";
import { program } from "../support/inside.ts";
import { type Sink, sweep, tempHome } from "../support/spawn.ts";
import { checkStream } from "../support/stream.ts";
import { comesBack, device, judge, login, POISON, record, server, strings, suffer, tokens } from "./attack.ts";

afterAll(sweep);

const UNFIT = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}]/u;
const SCOPE = `read${POISON}`;

describe.concurrent("a server that poisons every field it can", () => {
  test("gets nothing of it into login, status, token and logout", async () => {
    const hostile = await server(
      {
        "POST /token": { json: tokens({ scope: SCOPE, [POISON]: POISON, error_description: POISON }) },
        "POST /revoke": { status: 400, json: { error: POISON, error_description: POISON, error_uri: POISON } },
      },
      { [POISON]: POISON, service_documentation: POISON, op_policy_uri: "javascript:alert(1)" },
    );
    const home = tempHome();
    try {
      const first = login(hostile.url, ["--flow", "authorization_code"], { home });
      await comesBack({ iss: hostile.url, session_state: POISON })(first);
      await judge(await first.done, "success");
      for (const argv of [["status"], ["token", "acme"], ["logout", "acme"]]) {
        const run = await program(argv, { home, cwd: home }).done;
        expect(checkStream(run.stdout, { exitCode: 0 })).toEqual([]);
        expect(strings(run.events).filter((text) => UNFIT.test(text))).toEqual([]);
        expect(run.stderr.replaceAll("\n", "")).not.toMatch(UNFIT);
        expect(run.stderr).not.toMatch(/^\{"v":1/m);
      }
    } finally {
      await hostile.close();
    }
  });

  test("gets nothing of it into a refresh", async () => {
    const hostile = await server();
    const home = tempHome();
    try {
      const first = login(hostile.url, ["--flow", "authorization_code"], { home });
      await comesBack()(first);
      await judge(await first.done, "success");
      hostile.routes["POST /token"] = { status: 400, json: { error: POISON, error_description: POISON } };
      const run = await program(["token", "acme", "--refresh"], { home, cwd: home }).done;
      expect(checkStream(run.stdout, { exitCode: 76 })).toEqual([]);
      expect(strings(run.events).filter((text) => UNFIT.test(text))).toEqual([]);
      expect(run.stderr.replaceAll("\n", "")).not.toMatch(UNFIT);
      expect(record(home).secrets["refresh_token"]).toBeDefined();
    } finally {
      await hostile.close();
    }
  });

  // A terminal shows our own colours and rewrites our own line; nothing else may stand there.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about
  const OURS = /\r\n|\r\u001b\[2K|\u001b\[(0|1|2|31|32|33)m/g;
  test.each<[Sink, string]>([
    ["pty", "error"],
    ["pty-stderr", "error"],
    ["pty", "user_code"],
    ["pty-stderr", "user_code"],
  ])("gets nothing of it onto a terminal (%s, %s)", async (sink, where) => {
    const hostile = await server((url) => ({
      "POST /device": { json: device(url, where === "user_code" ? { user_code: POISON } : {}) },
      "POST /token": { status: 400, json: { error: "access_denied_not", error_description: POISON } },
    }));
    try {
      const run = await login(hostile.url, ["--flow", "device_code"], { sink }).done;
      const screen = sink === "pty" ? String(run.stdout) : run.stderr;
      expect(screen).toContain("owned");
      // What is red elsewhere and red here cannot be told apart by itself: the poison is longer than a colour.
      expect(screen.replace(OURS, "").replaceAll("\n", "")).not.toMatch(UNFIT);
      expect(screen).not.toContain("\u001b]0");
    } finally {
      await hostile.close();
    }
  });
});

describe.concurrent("lines stay short however much a server says", () => {
  test.each([
    ["scope", { scope: "é".repeat(100_000) }],
    ["scope of quotes", { scope: '"\\'.repeat(100_000) }],
    ["an unknown field", { [`x${'"'.repeat(5000)}`]: "\\".repeat(5000) }],
  ])("%s", async (_, more) => {
    await suffer({ does: "talks", ends: "success", routes: { "POST /token": { json: tokens(more) } } });
  });

  test("an authorization endpoint of 2 kB fits", async () => {
    await suffer({
      does: "is long",
      flow: "authorization_code",
      metadata: (url) => ({ authorization_endpoint: `${url}/${"a".repeat(2000)}` }),
      ends: "success",
      meanwhile: comesBack(),
    });
  });

  test("an authorization endpoint of 100 kB is refused as the server's fault", async () => {
    await suffer({
      does: "is longer",
      flow: "authorization_code",
      metadata: (url) => ({ authorization_endpoint: `${url}/${"a".repeat(100_000)}` }),
      ends: "provider",
    });
  });
});
