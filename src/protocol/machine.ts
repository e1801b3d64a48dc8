/**
 * The order of the stream, as a table, and the only door to the outputs.
 *
 *   stream    := progress* ( challenge progress* )* result
 *   challenge := auth_url | device_code
 *
 * Rows are where we are, columns what may come next. The door is total: what is malformed, out of order or too long for
 * a line becomes a `result` `internal`; and it hands on the parsed event, so that an undeclared field never gets out.
 */
import type { Kind } from "./data.ts";
import { type Belonging, type Notice, type Phase, type PhaseEvent, type Result, shapeOf } from "./event.ts";
import { codes } from "./failure.ts";
import { bytes, clip } from "./text.ts";

export const table = {
  /** A command that never asks anybody for anything. */
  quiet: { progress: "quiet", result: "ended" },
  /** A command that may, and has not yet. */
  working: { progress: "working", auth_url: "challenged", device_code: "challenged", result: "ended" },
  /** Somebody has something to do. */
  challenged: { progress: "challenged", auth_url: "challenged", device_code: "challenged", result: "ended" },
  ended: {},
} as const satisfies Record<string, Partial<Record<Phase, string>>>;

export type State = keyof typeof table;

/** What the machine hands to both renderers. */
export interface Transition {
  from: State;
  to: State;
  event: PhaseEvent;
  kind: Kind;
}

/** What the loop stamps on everything that it puts to the machine. */
export type Stamp = Pick<Result, "v" | "seq" | "time" | "command" | "duration_ms">;
type Unstamped<E> = E extends unknown ? Omit<E, keyof Stamp | "session_id"> & Belonging : never;
export type ResultBody = Unstamped<Result>;
/** An event without its stamp: what may be put to the machine. */
export type Body = Notice | ResultBody;

/** Atomic in a pipe (POSIX PIPE_BUF on Linux). */
export const MAX_LINE = 4096;

/** The outcomes whose data is a document, a list or a token, and so may need a longer line. */
const LONG: ReadonlySet<Kind> = new Set([
  "help",
  "schema",
  "status",
  "connections",
  "sessions",
  "logout",
  "token",
  "proof",
  "doctor",
  "providers",
  "provider",
  "provider_check",
  "audit",
  "import",
  "config",
  "completion",
  "candidates",
  "skill",
]);

export type Machine = (state: State, stamp: Stamp, body: Body) => Transition;

export function machineFor(kind: Kind): Machine {
  const accept = (state: State, stamp: Stamp, body: Body): Transition | string => {
    const shape = shapeOf(body, kind);
    if (!shape) return "an event of no known phase";
    const parsed = shape.safeParse({ ...body, ...stamp });
    if (!parsed.success) {
      // Paths only: zod's messages may quote the value.
      return `malformed ${body.phase} (${parsed.error.issues.map((issue) => issue.path.join(".")).join(", ")})`;
    }
    const event = shortened(parsed.data);
    const to = (table[state] as Partial<Record<Phase, State>>)[event.phase];
    if (!to) return `${event.phase} after ${state}`;
    if (tooLong(event) && !(event.phase === "result" && LONG.has(kind))) return `${event.phase} too long for a line`;
    return { from: state, to, event, kind };
  };

  return (state, stamp, body) => {
    const transition = attempt(() => accept(state, stamp, body));
    if (typeof transition !== "string") return transition;
    return { from: state, to: "ended", event: { ...stamp, ...bug(transition) }, kind };
  };
}

/** A body may throw when it is looked at. */
function attempt<T>(look: () => T): T | string {
  try {
    return look();
  } catch {
    return "an event that cannot be read";
  }
}

function bug(what: string): Extract<ResultBody, { status: "error" }> {
  const message = `authline ran into a bug of its own: ${what}.`;
  return {
    phase: "result",
    message,
    status: "error",
    exit_code: codes.internal.exit,
    warnings: [],
    next_actions: [],
    error: { code: "internal", message, retryable: codes.internal.retryable },
  };
}

const tooLong = (event: PhaseEvent): boolean => bytes(JSON.stringify(event)) >= MAX_LINE;

/** Shortens the words of an event that would not fit a line; its facts stay whole. */
function shortened(event: PhaseEvent): PhaseEvent {
  if (!tooLong(event)) return event;
  const short = { ...event, message: clip(event.message, 300) };
  if (short.phase !== "result" || !("error" in short)) return short;
  if (bytes(JSON.stringify(short.next_actions)) > 1500) short.next_actions = [];
  short.warnings = short.warnings.slice(0, 5).map(({ code, message }) => ({ code, message: clip(message, 120) }));
  const { hint, oauth_error_description: description, ...error } = short.error;
  return {
    ...short,
    error: {
      ...error,
      message: clip(error.message, 300),
      ...(hint && { hint: clip(hint, 300) }),
      ...(description && { oauth_error_description: clip(description, 300) }),
    },
  } as PhaseEvent;
}
