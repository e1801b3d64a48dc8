/**
 * The stream, version 1: what may stand on a line of stdout.
 *
 * Rules: four phases and no others; `result` is split by `status`; every string that a person may see is neutralised
 * here, on its way through the schema; fields that are not declared here never get out.
 */
import * as z from "zod/mini";
import { AuditEntry } from "./audit.ts";
import { type DataOf, type Kind, outcomes } from "./data.ts";
import { type Code, codes } from "./failure.ts";
import { amount, httpUrl, lazily, sentence, text, timestamp, uint } from "./shapes.ts";

export const VERSION = 1;

/** What a `progress` line is about. The list may grow: readers take any string. */
export const steps = [
  "discover",
  "register",
  "authorize",
  "await_user",
  "exchange",
  "verify",
  "account",
  "refresh",
  "lock",
  "store",
  "revoke",
  "audit",
  "check",
] as const;
export const Step = z.enum(steps);

/** Why a command failed. The list may grow: readers take any string. */
export const ErrorCode = z.enum(
  Object.keys(codes).filter((code) => code !== "cancelled") as Exclude<Code, "cancelled">[],
);

const said = () => ({ message: sentence(1900), session_id: z.optional(z.string()) });
const whose = () => ({ provider: z.string(), connection: z.string() });
const deadline = () => ({ expires_at: timestamp(), expires_in: uint() });
const next_actions = lazily(() =>
  z.array(z.object({ id: z.string(), argv: z.array(z.string()), description: text() })),
);

/** On every line. Stamped by the loop and by nobody else. */
const stamp = lazily(() => ({ v: z.literal(VERSION), seq: uint(), time: timestamp(), command: z.string() }));

/** The three phases that a flow may yield. */
export const notices = {
  /** Somebody must open a URL. */
  auth_url: lazily(() =>
    z.object({
      ...stamp(),
      phase: z.literal("auth_url"),
      ...said(),
      ...whose(),
      auth_url: httpUrl(),
      redirect_uri: z.string(),
      reach: z.enum(["this_host", "anywhere"]),
      ...deadline(),
      browser_opened: z.boolean(),
      next_actions: next_actions(),
    }),
  ),
  /** Somebody must type a code. Not RFC 8628's `device_code`, which is a credential. */
  device_code: lazily(() =>
    z.object({
      ...stamp(),
      phase: z.literal("device_code"),
      ...said(),
      ...whose(),
      user_code: text(),
      verification_uri: httpUrl(),
      verification_uri_complete: z.optional(httpUrl()),
      ...deadline(),
      interval: amount(),
      next_actions: next_actions(),
    }),
  ),
  /** Nothing to do, something happened. */
  progress: lazily(() =>
    z.object({
      ...stamp(),
      phase: z.literal("progress"),
      ...said(),
      step: Step,
      state: z.enum(["started", "waiting", "retrying", "done", "skipped", "failed"]),
      attempt: z.optional(uint()),
      retry_in: z.optional(amount()),
      remaining: z.optional(uint()),
      reason: z.optional(text()),
      /** With the step `audit`: a line of the audit log. */
      entry: z.optional(AuditEntry()),
    }),
  ),
};

/** What stands on every result. */
const end = <S extends string>(status: S, message = sentence(1900)) => ({
  ...stamp(),
  phase: z.literal("result"),
  ...said(),
  message,
  status: z.literal(status),
  exit_code: uint(),
  duration_ms: uint(),
  warnings: z.array(z.object({ code: z.string(), message: text(600) })),
  next_actions: next_actions(),
});

const problem = <C extends z.ZodMiniType>(code: C) =>
  z.object({
    code,
    message: sentence(800),
    hint: z.optional(text(600)),
    retryable: z.boolean(),
    retry_after: z.optional(amount()),
    oauth_error: z.optional(text(100)),
    oauth_error_description: z.optional(text(600)),
    http_status: z.optional(uint()),
    reason: z.optional(text(60)),
  });

/** The results that say why there is no outcome. */
export const failures = {
  error: lazily(() => z.object({ ...end("error", sentence(800)), error: problem(ErrorCode) })),
  cancelled: lazily(() => z.object({ ...end("cancelled", sentence(800)), error: problem(z.literal("cancelled")) })),
};

/** The results that carry `data`, whose shape is the command's kind of outcome. */
export const successes = {
  success: <K extends Kind>(kind: K) => z.object({ ...end("success"), data: dataOf(kind) }),
  started: <K extends Kind>(kind: K) => z.object({ ...end("started"), data: dataOf(kind) }),
  pending: <K extends Kind>(kind: K) => z.object({ ...end("pending"), data: dataOf(kind) }),
};

const dataOf = <K extends Kind>(kind: K) => outcomes[kind]() as unknown as z.ZodMiniType<DataOf<K>>;

/** The one shape that a line of this phase and status may have; undefined where there is none. */
export function shapeOf({ phase, status }: { phase?: unknown; status?: unknown }, kind: Kind) {
  if (isKey(notices, phase)) return notices[phase]();
  if (phase !== "result") return undefined;
  if (isKey(failures, status)) return failures[status]();
  return isKey(successes, status) ? successes[status](kind) : undefined;
}

const isKey = <T extends object>(table: T, key: unknown): key is keyof T =>
  typeof key === "string" && Object.hasOwn(table, key);

type Shape<T extends Record<string, (kind: Kind) => z.ZodMiniType>> = z.infer<ReturnType<T[keyof T]>>;
type Challenge = Shape<typeof notices>;
export type Result = Shape<typeof failures> | Shape<typeof successes>;
export type PhaseEvent = Challenge | Result;
export type Phase = PhaseEvent["phase"];

/** What a reader may find on a line, of a command whose outcome is of this kind. */
export type StreamEvent<K extends Kind = Kind> = Challenge | Shape<typeof failures> | Ended<K>;
type Ended<K extends Kind> = K extends Kind
  ? {
      [S in keyof typeof successes]: Omit<z.infer<ReturnType<(typeof successes)[S]>>, "data"> & { data: DataOf<K> };
    }[keyof typeof successes]
  : never;

/** What ties a line to a login session. */
export interface Belonging {
  session_id?: string;
  /**
   * A line that is shown again, or that was written to the session's log first, keeps the stamp that it has there, and
   * the kind of outcome of the command that said it.
   */
  replayed?: { seq: number; time: string; kind?: Kind };
  /** The kind of outcome, where it is not the one that the command is listed with. */
  kind?: Kind;
  /** What another process has done and said: it is only shown again. */
  again?: true;
  /** The credential that it is about, where the command does not name it. */
  whose?: { provider: string; connection: string };
}

type Stamped = "v" | "seq" | "time" | "command" | "session_id";
type Body<E> = E extends unknown ? Omit<E, Stamped> & Belonging : never;
/** What a flow may yield: the three phases that are not `result`. */
export type Notice = Body<Challenge>;
export type ProgressNotice = Extract<Notice, { phase: "progress" }>;
