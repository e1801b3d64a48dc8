/**
 * The stream, version 1: what may stand on a line of stdout.
 *
 * Rules: four phases and no others; `result` is split by `status`; every string that a person may see is neutralised
 * here, on its way through the schema; fields that are not declared here never get out.
 */
import * as z from "zod/mini";
import { type Kind, outcomes } from "./data.ts";
import { type Code, codes } from "./failure.ts";
import { httpUrl, text, timestamp, uint } from "./shapes.ts";

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
] as const;
export const Step = z.enum(steps);

/** Why a command failed. The list may grow: readers take any string. */
export const ErrorCode = z.enum(
  Object.keys(codes).filter((code) => code !== "cancelled") as Exclude<Code, "cancelled">[],
);

const NextAction = z.object({ id: z.string(), argv: z.array(z.string()), description: text() });
const Warning = z.object({ code: z.string(), message: text(600) });
const next_actions = z.array(NextAction);

/** On every line. Stamped by the loop and by nobody else. */
const stamp = {
  v: z.literal(VERSION),
  seq: uint(),
  time: timestamp(),
  command: z.string(),
};
const said = { message: text(1900), session_id: z.optional(z.string()) };
const whose = { provider: z.string(), connection: z.string() };
const deadline = { expires_at: timestamp(), expires_in: uint() };

export const AuthUrl = z.object({
  ...stamp,
  phase: z.literal("auth_url"),
  ...said,
  ...whose,
  auth_url: httpUrl(),
  redirect_uri: z.string(),
  reach: z.enum(["this_host", "anywhere"]),
  ...deadline,
  browser_opened: z.boolean(),
  next_actions,
});

export const DeviceCode = z.object({
  ...stamp,
  phase: z.literal("device_code"),
  ...said,
  ...whose,
  user_code: text(),
  verification_uri: httpUrl(),
  verification_uri_complete: z.optional(httpUrl()),
  ...deadline,
  interval: z.number(),
  next_actions,
});

export const Progress = z.object({
  ...stamp,
  phase: z.literal("progress"),
  ...said,
  step: Step,
  state: z.enum(["started", "waiting", "retrying", "done", "skipped", "failed"]),
  attempt: z.optional(uint()),
  retry_in: z.optional(z.number()),
  remaining: z.optional(uint()),
  reason: z.optional(text()),
});

const ended = {
  ...stamp,
  phase: z.literal("result"),
  ...said,
};
const closing = {
  exit_code: uint(),
  duration_ms: uint(),
  warnings: z.array(Warning),
  next_actions,
};

/** `error` of a result, for one list of codes. */
const problem = <C extends z.ZodMiniType>(code: C) =>
  z.object({
    code,
    message: text(800),
    hint: z.optional(text(600)),
    retryable: z.boolean(),
    retry_after: z.optional(z.number()),
    oauth_error: z.optional(text(100)),
    oauth_error_description: z.optional(text(600)),
    http_status: z.optional(uint()),
  });

const failing = { ...said, message: text(800) };
export const ErrorResult = z.object({
  ...ended,
  ...failing,
  status: z.literal("error"),
  ...closing,
  error: problem(ErrorCode),
});
export const CancelledResult = z.object({
  ...ended,
  ...failing,
  status: z.literal("cancelled"),
  ...closing,
  error: problem(z.literal("cancelled")),
});

/** The results that carry `data` of one shape. */
export const resultsWith = <D extends z.ZodMiniType>(data: D) =>
  [
    z.object({ ...ended, status: z.literal("success"), ...closing, data }),
    z.object({ ...ended, status: z.literal("started"), ...closing, data }),
    z.object({ ...ended, status: z.literal("pending"), ...closing, data }),
  ] as const;

/** Every line that a command whose outcome is of `kind` may write. */
export const eventOf = (kind: Kind) =>
  z.discriminatedUnion("phase", [
    AuthUrl,
    DeviceCode,
    Progress,
    z.discriminatedUnion("status", [
      ...resultsWith(outcomes[kind] as z.ZodMiniType<Data>),
      ErrorResult,
      CancelledResult,
    ]),
  ]);

type Data = z.infer<(typeof outcomes)[Kind]>;
export type PhaseEvent = z.infer<ReturnType<typeof eventOf>>;
export type Phase = PhaseEvent["phase"];
export type Result = Extract<PhaseEvent, { phase: "result" }>;

type Stamped = "v" | "seq" | "time" | "command" | "session_id";
type Body<E> = E extends unknown ? Omit<E, Stamped> : never;
/** What a flow may yield: the three phases that are not `result`. */
export type Notice = Body<Exclude<PhaseEvent, Result>>;
export type ProgressNotice = Extract<Notice, { phase: "progress" }>;
