/**
 * How a command can end, in one table, and the one error class.
 *
 * A flow says that it failed by throwing a Failure; what becomes of it (status, exit code, whether a retry may help) is
 * looked up here. gh's exit codes where gh has one, sysexits(3) elsewhere.
 */
import type { Belonging } from "./event.ts";

interface Fault {
  exit: number;
  /** Whether the same call may succeed later without anybody changing anything. */
  retryable: boolean;
  /** In words, for help and for the contract. */
  when: string;
}

export const codes = {
  cancelled: { exit: 2, retryable: true, when: "SIGINT, SIGTERM, SIGHUP, or session cancel" },
  auth_required: { exit: 4, retryable: false, when: "no usable credential is stored; nobody is ever prompted for one" },
  auth_expired: { exit: 4, retryable: false, when: "there was one, and it cannot be refreshed" },
  usage: { exit: 64, retryable: false, when: "bad flag, argument or command" },
  not_found: { exit: 66, retryable: false, when: "no such provider, session or connection" },
  network: { exit: 69, retryable: true, when: "the server could not be reached" },
  internal: { exit: 70, retryable: false, when: "a bug" },
  store: { exit: 74, retryable: false, when: "the credential store cannot be read or written" },
  expired: { exit: 75, retryable: true, when: "the code ran out before anybody typed it" },
  timeout: { exit: 75, retryable: true, when: "--timeout ran out" },
  locked: { exit: 75, retryable: true, when: "something else has the port or the lock" },
  rate_limited: { exit: 75, retryable: true, when: "the server asks to be left alone for a while" },
  provider: { exit: 76, retryable: false, when: "the server broke the protocol, or refused the client" },
  denied: { exit: 77, retryable: false, when: "the person said no" },
  config: { exit: 78, retryable: false, when: "a definition or setting is wrong or incomplete" },
  failed: { exit: 1, retryable: false, when: "anything else" },
} as const satisfies Record<string, Fault>;

/** The endings that are not failures. */
export const ends = {
  success: { exit: 0, when: "done" },
  started: { exit: 0, when: "login --no-wait: the session is open, a person must act" },
  pending: { exit: 8, when: "session wait --timeout ran out and the session is still open" },
} as const;

/** Their exit codes. */
export const exits = { success: ends.success.exit, started: ends.started.exit, pending: ends.pending.exit } as const;

/** What a process exits with when the reader of its stdout has gone: 128 + SIGPIPE. */
export const EXIT_READER_GONE = 141;

export type Code = keyof typeof codes;

/** The word for how a command ended: a `status` that is no failure, or an `error.code`. */
export type Ending = keyof typeof ends | Code;

/** A command the reader may run next. `argv` never holds text that a server sent. */
export interface NextAction {
  id: string;
  argv: string[];
  description: string;
}

/** Something the reader should know though the command succeeded. */
export interface Warning {
  code: string;
  message: string;
}

export interface FailureDetails {
  hint?: string | undefined;
  cause?: unknown;
  /** Overrides the table, for a `provider` fault that is the server's bad moment (5xx). */
  retryable?: boolean | undefined;
  /** Seconds. */
  retry_after?: number | undefined;
  /** RFC 6749 §5.2 `error` and `error_description`, as the server sent them. */
  oauth_error?: string | undefined;
  oauth_error_description?: string | undefined;
  http_status?: number | undefined;
  /** What exactly it was, for programs: a word of ours, or the system's code for a network error. */
  reason?: string | undefined;
  next_actions?: NextAction[] | undefined;
  warnings?: Warning[] | undefined;
  /** As of any line: see `Belonging` in event.ts. */
  session_id?: string | undefined;
  replayed?: Belonging["replayed"] | undefined;
}

export class Failure extends Error {
  override readonly name = "Failure";
  readonly code: Code;
  readonly details: FailureDetails;

  constructor(code: Code, message: string, details: FailureDetails = {}) {
    super(message, { cause: details.cause });
    this.code = code;
    this.details = details;
  }

  get retryable(): boolean {
    return this.details.retryable ?? codes[this.code].retryable;
  }
}

/**
 * Any thrown thing as a Failure. What is not a Failure is a bug: only its kind and place are told, because the messages
 * of others quote what they choked on, and that may be a secret.
 */
export function asFailure(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  return new Failure("internal", `authline ran into a bug of its own: ${kindOf(thrown)}.`, {
    cause: thrown,
    hint: "Nothing that was stored is lost. Please report this with the command you ran and the line above.",
  });
}

/** "TypeError at keep (login.js:12:3)". Total: what is thrown may lie, or throw when it is looked at. */
function kindOf(thrown: unknown): string {
  try {
    if (!(thrown instanceof Error)) return `a thrown ${typeof thrown}`;
    const { name, message, stack } = thrown;
    // The message stands above the frames, and may look like one.
    const frames = String(stack).split("\n").slice(String(message).split("\n").length);
    const place = frames[0]?.match(/^\s+at (.+)/)?.[1]?.replace(/\(?(?:file:\/\/)?[^\s(]*[\\/]([^\\/]+?)\)?$/, "($1)");
    return place ? `${name} at ${place}` : `${name}`;
  } catch {
    return "an error that cannot be read";
  }
}
