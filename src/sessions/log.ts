/**
 * A session's event log: the lines of the stream, as they were first said.
 *
 * Rules: only the driver writes; a line is written before it is shown; what a killed process left half-written is not a
 * line, and the next driver cuts it off.
 */
import { appendFileSync, existsSync, readFileSync, truncateSync } from "node:fs";
import type { PhaseEvent } from "../protocol/event.ts";
import { VERSION } from "../protocol/event.ts";
import { type Body, machineFor, type State, table } from "../protocol/machine.ts";

/** Whole lines from `seq` on. */
export function eventsIn(path: string, from = 0): PhaseEvent[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
  return lines.slice(from).map((line) => JSON.parse(line) as PhaseEvent);
}

export interface Writer {
  append(body: Body): PhaseEvent;
}

export function writerOf(path: string, session_id: string, now: () => Date): Writer {
  const whole = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  const end = whole.lastIndexOf(0x0a) + 1;
  if (end < whole.length) truncateSync(path, end);

  const events = eventsIn(path);
  const startedAt = Date.parse(events[0]?.time ?? now().toISOString());
  const machine = machineFor("login");
  let seq = events.length;
  let state = events.reduce<State>((at, { phase }) => (table[at] as Record<string, State>)[phase] ?? at, "working");
  return {
    append(body) {
      const at = now();
      const duration_ms = Math.max(0, at.getTime() - startedAt);
      const stamp = { v: VERSION, seq, time: at.toISOString(), command: "login", duration_ms } as const;
      const transition = machine(state, stamp, { ...body, session_id });
      appendFileSync(path, `${JSON.stringify(transition.event)}\n`, { mode: 0o600 });
      state = transition.to;
      seq++;
      return transition.event;
    },
  };
}
