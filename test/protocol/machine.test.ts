/** The table against the grammar of the contract, and the door against whatever is put to it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Phase } from "../../src/protocol/event.ts";
import { type Body, machineFor, type Stamp, type State, type Transition, table } from "../../src/protocol/machine.ts";
import { anyNotice, badNotice, goodNotice, reporter, SECRET } from "../support/arbitrary.ts";
import { checkStream } from "../support/stream.ts";

const PHASES: Phase[] = ["auth_url", "device_code", "progress", "result"];
const BODIES: Record<Phase, object> = {
  auth_url: {
    phase: "auth_url",
    message: "Open it.",
    provider: "acme",
    connection: "default",
    auth_url: "https://login.acme.example/authorize",
    redirect_uri: "http://127.0.0.1:1/callback",
    reach: "this_host",
    expires_at: "2026-03-01T12:00:00.000Z",
    expires_in: 600,
    browser_opened: false,
    next_actions: [],
  },
  device_code: {
    phase: "device_code",
    message: "Type it.",
    provider: "acme",
    connection: "default",
    user_code: "WDJB-MJHT",
    verification_uri: "https://login.acme.example/activate",
    expires_at: "2026-03-01T12:00:00.000Z",
    expires_in: 600,
    interval: 5,
    next_actions: [],
  },
  progress: { phase: "progress", message: "Done.", step: "store", state: "done" },
  result: {
    phase: "result",
    message: "Signed in.",
    status: "success",
    exit_code: 0,
    warnings: [],
    next_actions: [],
    data: { provider: "acme", connection: "default", record_status: "connected" },
  },
};
const stamp = (seq: number): Stamp => ({
  v: 1,
  seq,
  time: "2026-03-01T12:00:00.000Z",
  command: "login",
  duration_ms: 0,
});
const machine = machineFor("login");
const put = (state: State, body: unknown, seq = 0): Transition => machine(state, stamp(seq), body as Body);
const isRefused = ({ event }: Transition) => event.phase === "result" && event.status === "error";

/** Every word of up to `length` letters. */
function words(length: number): Phase[][] {
  if (length === 0) return [[]];
  const shorter = words(length - 1);
  const longest = shorter.filter((word) => word.length === length - 1);
  return [...shorter, ...longest.flatMap((word) => PHASES.map((phase) => [...word, phase]))];
}

/** Whether all of it gets through. */
function accepts(start: State, word: Phase[]): boolean {
  let state = start;
  for (const [seq, phase] of word.entries()) {
    const transition = put(state, BODIES[phase], seq);
    if (isRefused(transition)) return false;
    state = transition.to;
  }
  return state === "ended";
}

describe("the table", () => {
  test.each<[State, RegExp]>([
    ["working", /^p*([ad]p*)*r$/],
    ["quiet", /^p*r$/],
  ])("from %s accepts exactly the streams of the contract", (start, grammar) => {
    const letter: Record<Phase, string> = { auth_url: "a", device_code: "d", progress: "p", result: "r" };
    for (const word of words(6)) {
      const spelt = word.map((phase) => letter[phase]).join("");
      expect(accepts(start, word), spelt || "(nothing)").toBe(grammar.test(spelt));
    }
  });

  test("leads nowhere but to its own rows, and nowhere from the end", () => {
    for (const row of Object.values(table)) for (const to of Object.values(row)) expect(table).toHaveProperty(to);
    expect(table.ended).toEqual({});
  });
});

describe("the door", () => {
  const states = fc.constantFrom(...(Object.keys(table) as State[]));
  const line = (transition: Transition) => `${JSON.stringify(transition.event)}\n`;

  test("lets out what it is given, or says that there is a bug; nothing else, whatever it is given", () => {
    fc.assert(
      fc.property(states, fc.oneof(anyNotice, badNotice), (state, body) => {
        const transition = put(state, body);
        const ends = transition.event.phase === "result";
        expect(checkStream(line(transition), { command: "login", secrets: [SECRET], partial: !ends })).toEqual([]);
        if (ends)
          expect(transition).toMatchObject({ to: "ended", event: { exit_code: 70, error: { code: "internal" } } });
        else expect(transition.to).toBe((table[state] as Record<string, string>)[transition.event.phase]);
      }),
      { reporter, numRuns: 500 },
    );
  });

  test("lets out every notice that is as it should be, whatever words it holds", () => {
    fc.assert(
      fc.property(goodNotice, (body) => {
        const { event } = put("working", body);
        expect(event).toMatchObject({ phase: (body as { phase: string }).phase });
      }),
      { reporter, numRuns: 300 },
    );
  });

  test("drops what no line declares, and stamps what a flow may not", () => {
    const body = { ...BODIES.progress, access_token: SECRET, seq: 7, v: 2, command: "other", time: "now" };
    expect(put("working", body, 3).event).toEqual({
      ...BODIES.progress,
      v: 1,
      seq: 3,
      time: stamp(3).time,
      command: "login",
    });
  });

  test.each<[string, object]>([
    ["no phase", {}],
    ["a phase of its own", { ...BODIES.progress, phase: SECRET }],
    ["a status of its own", { ...BODIES.result, status: SECRET }],
    ["no message", { ...BODIES.progress, message: undefined }],
    ["an empty message", { ...BODIES.progress, message: "" }],
    ["a step of its own", { ...BODIES.progress, step: SECRET }],
    ["a pause of less than nothing", { ...BODIES.progress, retry_in: -1 }],
    ["an address that runs a script", { ...BODIES.auth_url, auth_url: "javascript:alert(1)" }],
    ["an address that is none", { ...BODIES.device_code, verification_uri: "|calc" }],
    ["a time that is none", { ...BODIES.auth_url, expires_at: "soon" }],
    ["the data of another command", { ...BODIES.result, data: { connections: [] } }],
    ["an argument that is not text", { ...BODIES.auth_url, next_actions: [{ id: "x", argv: [1], description: "X." }] }],
    ["too much for a line", { ...BODIES.auth_url, auth_url: `https://login.acme.example/?${"x".repeat(4000)}` }],
  ])("refuses %s and repeats none of it", (_, body) => {
    const transition = put("working", body);
    expect(transition).toMatchObject({ to: "ended", event: { exit_code: 70, error: { code: "internal" } } });
    expect(checkStream(line(transition), { secrets: [SECRET] })).toEqual([]);
  });

  test("shortens words rather than refuse them", () => {
    const { event } = put("working", { ...BODIES.result, message: '"'.repeat(5000) });
    expect(event).toMatchObject({ status: "success", message: expect.stringMatching(/^"+…$/) });
  });

  test("a failure is told however much is told with it", () => {
    const long = '"'.repeat(1000);
    const warnings = Array.from({ length: 20 }, () => ({ code: "unreadable", message: long }));
    const next_actions = [{ id: "x", argv: ["authline", long], description: long }];
    const error = { code: "store", message: long, hint: long, oauth_error_description: long, retryable: false };
    const body = {
      ...BODIES.result,
      data: undefined,
      status: "error",
      exit_code: 74,
      message: long,
      error,
      warnings,
      next_actions,
    };
    const transition = put("working", body);
    expect(transition.event).toMatchObject({ exit_code: 74, error: { code: "store" } });
    expect(checkStream(line(transition))).toEqual([]);
  });
});
