/**
 * Whatever a flow yields, returns or throws, and whenever somebody ends it: what gets out is a stream by the contract.
 *
 * The oracle (test/support/stream.ts) shares nothing with src. Time is faked, so that a flow that never settles costs
 * nothing.
 */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Flow, Outcome } from "../../src/flow.ts";
import type { Notice } from "../../src/protocol/event.ts";
import { human } from "../../src/render/human.ts";
import { ndjson } from "../../src/render/ndjson.ts";
import { openStream, run } from "../../src/run.ts";
import {
  anyNotice,
  anyOutcome,
  anyThrown,
  goodOutcome,
  kinds,
  reporter,
  SECRET,
  type TestedKind,
  TOKEN,
} from "../support/arbitrary.ts";
import { checkStream, leaks, parseStream } from "../support/stream.ts";

type Step = { say: unknown } | { wait: "turn" | "moment" | "forever" };
type Cleanup = "nothing" | "throws" | "speaks" | "lingers" | "hangs";

interface Plan {
  kind: TestedKind;
  steps: Step[];
  ending: { returns: unknown } | { throws: unknown };
  cleanup: Cleanup;
  /** Whether what it waits for ends when the command is aborted. */
  heeds: boolean;
  /** Milliseconds after the start, or when that many lines are out. */
  abort: { ms: number } | { lines: number };
  /** When the process stops in mid-flow, if it does. */
  stops: number | undefined;
}

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: anyNotice.map((say) => ({ say })) },
  { weight: 2, arbitrary: fc.constantFrom<Step>({ wait: "turn" }, { wait: "moment" }) },
  { weight: 1, arbitrary: fc.constant<Step>({ wait: "forever" }) },
);

const plan: fc.Arbitrary<Plan> = fc.constantFrom(...kinds).chain((kind) =>
  fc.record({
    kind: fc.constant(kind),
    steps: fc.array(step, { maxLength: 8 }),
    ending: fc.oneof(
      anyOutcome(kind).map((returns) => ({ returns })),
      anyThrown.map((throws) => ({ throws })),
    ),
    cleanup: fc.constantFrom<Cleanup>("nothing", "nothing", "throws", "speaks", "lingers", "hangs"),
    heeds: fc.boolean(),
    abort: fc.oneof(
      fc.nat(2000).map((ms) => ({ ms })),
      fc.nat(6).map((lines) => ({ lines })),
    ),
    stops: fc.option(fc.nat(3000), { nil: undefined, freq: 5 }),
  }),
);

const forever = new Promise<never>(() => {});
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function* flowOf({ steps, ending, cleanup, heeds }: Plan, signal: AbortSignal): Flow<Outcome> {
  const cut = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  cut.catch(() => {});
  const waiting = (what: Promise<unknown>) => (heeds ? Promise.race([what, cut]) : what);
  try {
    for (const step of steps) {
      if ("say" in step) yield step.say as Notice;
      else if (step.wait === "turn") await null;
      else await waiting(step.wait === "moment" ? later(400) : forever);
    }
    if ("throws" in ending) throw ending.throws;
    return ending.returns as Outcome;
  } finally {
    if (cleanup === "throws") await Promise.reject(new Error(SECRET));
    if (cleanup === "speaks") yield { phase: "progress", message: "Tidied up.", step: "store", state: "done" };
    if (cleanup === "lingers") await later(300);
    if (cleanup === "hangs") await forever;
  }
}

/** Lets the plan run to its end; by then somebody has ended it. */
async function enact(plan: Plan) {
  const aborter = new AbortController();
  let stream = "";
  let plain = "";
  let tty = "";
  let lines = 0;
  let abortedAt = Number.POSITIVE_INFINITY;
  let endedAt = Number.NaN;
  const abort = () => {
    if (aborter.signal.aborted) return;
    abortedAt = performance.now();
    aborter.abort("SIGINT");
  };
  const words = { plain: human(lookAt(false)), tty: human(lookAt(true)) };
  const opened = openStream({
    command: plan.kind,
    kind: plan.kind,
    challenges: plan.kind === "login",
    signal: aborter.signal,
    now: () => new Date(),
    show(transition) {
      stream += ndjson(transition);
      plain += words.plain(transition);
      tty += words.tty(transition);
      if (transition.event.phase === "result") endedAt = performance.now();
      if ("lines" in plan.abort && ++lines >= plan.abort.lines) abort();
    },
  });
  if ("lines" in plan.abort && plan.abort.lines === 0) abort();
  setTimeout(abort, "ms" in plan.abort ? plan.abort.ms : 4000);
  let exit: number | undefined;
  const ran = run(opened, flowOf(plan, aborter.signal), aborter.signal).then((code) => {
    exit = code;
  });
  let hook: number | undefined;
  if (plan.stops !== undefined)
    setTimeout(() => {
      hook = opened.abandon();
    }, plan.stops);
  await vi.advanceTimersByTimeAsync(8000);
  await Promise.race([ran, Promise.reject(new Error("the loop goes on after the abort"))]);
  return { stream, plain, tty, exit, hook, late: endedAt - abortedAt };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** All the words of a login as long as they may be, of a character that takes two bytes in JSON. */
const quotes = '"'.repeat(5000);
const worst = {
  message: quotes,
  data: { provider: "acme", connection: "default", record_status: "connected", scope: quotes, account: quotes },
  warnings: [{ code: "scope_narrowed", message: quotes }],
  next_actions: [{ id: "token", argv: ["authline", "token", "acme"], description: quotes }],
};

describe("any flow", () => {
  test("makes a stream by the contract", { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(plan, async (plan) => {
        const { stream, plain, tty, exit, hook, late } = await enact(plan);
        const allow = { "data.access_token": [TOKEN] };
        expect(
          checkStream(stream, { command: plan.kind, exitCode: exit ?? null, secrets: [SECRET, TOKEN], allow }),
        ).toEqual([]);
        const phases = parseStream(stream).map(({ phase }) => letters[phase]);
        expect(phases.join("")).toMatch(plan.kind === "login" ? /^p*([ad]p*)*r$/ : /^p*r$/);
        if (hook !== undefined) expect(hook).toBe(exit);
        expect(late).not.toBeGreaterThan(1000); // NaN where nobody aborted
        expect(leaks(plain + tty, [SECRET, TOKEN])).toEqual([]);
        expect(plain).not.toMatch(UNFIT);
        expect(tty.replaceAll(DRAWN, "")).not.toMatch(UNFIT);
      }),
      { numRuns: 600, reporter },
    );
  });

  test("that returns what it should ends well, whatever words a server put into it", async () => {
    const returning = fc.constantFrom(...kinds).chain((kind) => fc.tuple(fc.constant(kind), goodOutcome(kind)));
    await fc.assert(
      fc.asyncProperty(returning, async ([kind, returns]) => {
        const plan: Plan = {
          kind,
          steps: [],
          ending: { returns },
          cleanup: "nothing",
          heeds: true,
          abort: { ms: 2000 },
          stops: undefined,
        };
        const { stream } = await enact(plan);
        expect(parseStream(stream).at(-1)).toMatchObject({ status: "success", exit_code: 0 });
      }),
      { numRuns: 300, reporter, examples: [[["login", worst]]] },
    );
  });
});

const letters = { progress: "p", auth_url: "a", device_code: "d", result: "r" };
/** Wide enough for every sentence: what is cut off cannot be found again. */
const lookAt = (terminal: boolean) => ({
  ...{ terminal, live: terminal, colour: terminal, unicode: true, width: 10_000 },
  ...{ links: false, quiet: false, paste: true, reveal: false },
});
/** What a terminal is given on purpose: a line wiped, a colour begun and ended. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
const DRAWN = /\r\u001b\[2K|\u001b\[\d+m/g;
/** What no terminal should be given, but for the end of a line. */
const UNFIT = /[^\P{Cc}\n]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

describe("the loop", () => {
  const speaking = async function* (): Flow<Outcome> {
    for (;;) yield { phase: "progress", message: "On and on.", step: "store", state: "waiting" };
  };

  test("ends a flow that speaks without a pause and heeds nothing", async () => {
    vi.useRealTimers();
    const aborter = new AbortController();
    let stream = "";
    const opened = openStream({
      command: "login",
      kind: "login",
      challenges: true,
      signal: aborter.signal,
      now: () => new Date(),
      show(transition) {
        stream = transition.event.phase === "result" ? ndjson(transition) : "";
        if (transition.event.seq === 3) aborter.abort("SIGTERM");
      },
    });
    const before = performance.now();
    expect(await run(opened, speaking(), aborter.signal)).toBe(2);
    expect(performance.now() - before).toBeLessThan(1000);
    expect(JSON.parse(stream)).toMatchObject({ status: "cancelled", message: "Cancelled by SIGTERM." });
  });

  test("gives every caller of end() the same exit code, and writes one result", () => {
    let results = 0;
    const { signal } = new AbortController();
    const opened = openStream({
      command: "status",
      kind: "status",
      challenges: false,
      signal,
      now: () => new Date(),
      show: () => {
        results++;
      },
    });
    const outcome: Outcome<"status"> = { message: "Done.", data: { connections: [] } };
    expect([opened.end({ outcome }), opened.end({ thrown: new Error("late") }), opened.abandon()]).toEqual([0, 0, 0]);
    opened.say({ phase: "progress", message: "Too late.", step: "store", state: "done" });
    expect(results).toBe(1);
  });

  test("does not throw away an outcome that came after the abort", async () => {
    const plan: Plan = {
      kind: "version",
      steps: [{ wait: "moment" }],
      ending: { returns: { message: "Done.", data: { version: "1", contract: 1, node: "20" } } },
      cleanup: "nothing",
      heeds: false,
      abort: { ms: 100 },
      stops: undefined,
    };
    expect((await enact(plan)).exit).toBe(0);
  });
});
