/**
 * The seconds that pass on a terminal while somebody is waited for.
 *
 * What is protected: they pass between the lines of the stream and change none of it; they are the time that is left, as
 * the next heartbeat will say it; nothing is drawn where somebody may be typing, behind the prompt of another program, into
 * a log, or after something else was said.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { modesOf } from "../src/modes.ts";
import type { PhaseEvent } from "../src/protocol/event.ts";
import type { Transition } from "../src/protocol/machine.ts";
import { human } from "../src/render/human.ts";
import { ticking } from "../src/ticking.ts";
import { loginOf, onStage } from "./support/screens.ts";
import { authline, sweep } from "./support/spawn.ts";

const START = Date.parse("2026-03-01T12:00:00.000Z");
const at = (seconds: number) => new Date(START + seconds * 1000).toISOString();

describe("between two lines of the stream", () => {
  let drawn: string[];
  let tell: (event: object) => void;
  let isInForeground: boolean;

  beforeEach(() => {
    vi.useFakeTimers({ now: START });
    drawn = [];
    isInForeground = true;
    const { look } = modesOf(
      { env: {}, platform: "linux", terminal: { stdin: true, stdout: true, stderr: true } },
      { pastes: true },
    );
    const words = human(look);
    const tick = ticking({
      paste: true,
      isInForeground: () => isInForeground,
      // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal takes for wiping and colour
      draw: (transition) => drawn.push(words(transition).replaceAll(/\r|\u001b\[\d*[mK]/g, "")),
    });
    tell = (event) => {
      const said = { v: 1, seq: 0, time: new Date().toISOString(), command: "login", ...event } as PhaseEvent;
      tick({ from: "working", to: "challenged", event: said, kind: "login" } satisfies Transition);
    };
  });
  afterEach(() => vi.useRealTimers());

  const code = { phase: "device_code", message: "Open it.", expires_at: at(600) };
  const address = { phase: "auth_url", message: "Open it.", expires_at: at(600), browser_opened: true };
  const step = (step: string, message: string, more: object = {}) => ({
    ...{ phase: "progress", step, state: "waiting", message },
    ...more,
  });
  const started = step("await_user", "Waiting for you to sign in.", { state: "started" });
  const beat = (remaining: number, words: string) =>
    step("await_user", `Waiting for you to sign in, ${words} left.`, { remaining });
  const left = (words: string) => `Waiting for you to sign in, ${words} left.`;

  test("every second, from the challenge on", () => {
    tell(code);
    vi.advanceTimersByTime(5000);
    expect(drawn).toEqual([]); // the code stands there alone
    tell(started);
    vi.advanceTimersByTime(3000);
    expect(drawn).toEqual(["9 minutes 54 seconds", "9 minutes 53 seconds", "9 minutes 52 seconds"].map(left));
  });

  test("as the heartbeats say, whatever the challenge said", () => {
    tell(code);
    tell(started);
    tell(beat(65, "1 minute 5 seconds"));
    vi.advanceTimersByTime(6000);
    expect(drawn).toEqual(
      ["4 seconds", "3 seconds", "2 seconds", "1 second"]
        .map((each) => left(`1 minute ${each}`))
        .concat(left("1 minute"), left("59 seconds")),
    );
  });

  test("to the end, and no further", () => {
    tell(code);
    tell(beat(3, "3 seconds"));
    vi.advanceTimersByTime(60_000);
    expect(drawn).toEqual(["2 seconds", "1 second", "0 seconds"].map(left));
    expect(vi.getTimerCount()).toBe(0);
  });

  test("the longest of several ways counts", () => {
    tell({ ...code, expires_at: at(300) });
    tell(address);
    tell(started);
    vi.advanceTimersByTime(1000);
    expect(drawn).toEqual([left("9 minutes 59 seconds")]);
  });

  test("what was said long ago and is shown again has as much time left as there is", () => {
    tell({ ...code, time: at(-500), expires_at: at(100) });
    tell({ ...started, time: at(-500) });
    vi.advanceTimersByTime(1000);
    expect(drawn).toEqual([left("1 minute 39 seconds")]);
    tell({ ...code, time: at(-5000), expires_at: at(-4000) });
    tell({ ...beat(40, "40 seconds"), time: at(-4040) });
    vi.advanceTimersByTime(5000);
    expect(drawn).toHaveLength(1);
  });

  test("after a word on the wait it goes on, after any other not", () => {
    tell(code);
    tell(started);
    tell(step("await_user", "The server asks for more time.", { reason: "slow_down" }));
    vi.advanceTimersByTime(1000);
    expect(drawn).toHaveLength(1);
    tell(step("exchange", "Exchanging the code.", { state: "started" }));
    vi.advanceTimersByTime(5000);
    expect(drawn).toHaveLength(1);
  });

  test("not after the end", () => {
    tell(code);
    tell(started);
    tell({ phase: "result", status: "cancelled", message: "Cancelled." });
    vi.advanceTimersByTime(5000);
    expect([drawn, vi.getTimerCount()]).toEqual([[], 0]);
  });

  test("not while it is in the background, and again when it is back", () => {
    tell(code);
    tell(started);
    isInForeground = false;
    vi.advanceTimersByTime(10_000);
    expect(drawn).toEqual([]);
    isInForeground = true;
    vi.advanceTimersByTime(1000);
    expect(drawn).toEqual([left("9 minutes 49 seconds")]);
  });

  test("not where an address is to be pasted; where a browser was opened nobody will", () => {
    tell({ ...address, browser_opened: false });
    tell(started);
    vi.advanceTimersByTime(10_000);
    expect(drawn).toEqual([]);
  });
});

test("at a real terminal seconds pass, the stream is as ever, and a log gets none of it", () =>
  onStage(async (stage) => {
    const argv = [...loginOf(stage, "device_code").slice(0, -1), "5m"];
    const beside = authline(argv, { sink: "pty-stderr" });
    const log = authline(argv, { env: { AUTHLINE_FORCE_TTY: "1" } });
    const running = stage.run(argv, 80, "colour", "fresh");
    const seconds = () => new Set(running.raw().match(/4 minutes 5\d seconds left/g)).size;
    await vi.waitUntil(() => seconds() >= 3, { timeout: 20_000, interval: 50 });
    running.type("\u0003");
    expect(await running.ended).toBe(2);
    expect(running.screen().text.trimEnd().split("\n").at(-1)).toMatch(/^Cancelled by SIGINT/);

    beside.kill("SIGINT");
    log.kill("SIGINT");
    const [drawn, logged] = await Promise.all([beside.done, log.done]);
    expect(drawn.stderr).toMatch(/4 minutes 5\d seconds left/);
    expect(drawn.events.filter(({ remaining }) => remaining !== undefined)).toEqual([]);
    expect(logged.stderr).toContain("Waiting for you to sign in.");
    expect(logged.stderr).not.toContain("seconds left");
    await sweep();
  }));
