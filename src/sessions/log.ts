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

/** Whole lines from `seq` on, up to the first that is none. */
export function eventsIn(path: string, from = 0): PhaseEvent[] {
  return existsSync(path) ? wholeLines(readFileSync(path, "utf8")).slice(from) : [];
}

function wholeLines(text: string): PhaseEvent[] {
  const events: PhaseEvent[] = [];
  for (const line of text.split("\n").slice(0, -1)) {
    try {
      const event = JSON.parse(line) as PhaseEvent;
      if (event?.seq !== events.length) break;
      events.push(event);
    } catch {
      break;
    }
  }
  return events;
}

export interface Writer {
  append(body: Body): PhaseEvent;
}

export function writerOf(path: string, session_id: string, now: () => Date): Writer {
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  const events = wholeLines(text);
  const kept = text
    .split("\n")
    .slice(0, events.length)
    .map((line) => `${line}\n`)
    .join("");
  if (kept !== text) truncateSync(path, Buffer.byteLength(kept));

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
