/** Protected: whoever waits is told so, whatever is silent; and nothing is added to a flow, or taken away, that is not. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { alive } from "../src/alive.ts";
import { type Flow, progress } from "../src/flow.ts";
import type { Notice } from "../src/protocol/event.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const pause = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const asking = progress("discover", "started", "Asking acme what it offers.");

/** What comes of a flow, with the second in which it came. */
async function watched(flow: Flow<string>): Promise<unknown[]> {
  const start = Date.now();
  const came: unknown[] = [];
  const note = (what: unknown) => came.push([Math.round((Date.now() - start) / 1000), what]);
  const all = (async () => {
    const watched = alive(flow);
    for (;;) {
      const step = await watched.next();
      note(step.done ? step.value : "message" in step.value && step.value.message);
      if (step.done) return;
    }
  })().catch((error: Error) => note(error.message));
  await vi.advanceTimersByTimeAsync(200_000);
  await all;
  return came;
}

const silence = (seconds: number) => `Nothing new for ${seconds} seconds. The last was: ${asking.message}`;

test("the last step is said again as long as nothing else comes, and anew after each that does", async () => {
  async function* slow(): Flow<string> {
    await pause(30); // of what is there nothing to say
    yield asking;
    await pause(45);
    yield progress("discover", "done", "acme answered.");
    await pause(19);
    return "done";
  }
  expect(await watched(slow())).toEqual([
    [30, asking.message],
    [50, silence(20)],
    [70, silence(40)],
    [75, "acme answered."],
    [94, "done"],
  ]);
});

test("what is shown again from a log is not continued", async () => {
  async function* shown(): Flow<string> {
    yield { ...asking, replayed: { seq: 0, time: "2026-11-21T00:00:00.000Z" } } satisfies Notice;
    await pause(50);
    return "done";
  }
  expect(await watched(shown())).toEqual([
    [0, asking.message],
    [50, "done"],
  ]);
});

test("a flow that fails fails, and one that nobody wants any more tidies up", async () => {
  const tidy = vi.fn();
  async function* failing(): Flow<string> {
    try {
      yield asking;
      await pause(25);
      throw new Error("down");
    } finally {
      tidy();
    }
  }
  expect(await watched(failing())).toEqual([
    [0, asking.message],
    [20, silence(20)],
    [25, "down"],
  ]);
  const left = alive(failing());
  await left.next();
  await left.return("enough");
  expect(tidy).toHaveBeenCalledTimes(2);
});
