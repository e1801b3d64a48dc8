/**
 * Outcome kinds: the shapes that `result.data` may have. A command names the kind that it ends with, and the machine
 * lets nothing else through.
 *
 * Rule: a secret stands in exactly one place, `token.access_token`.
 */
import * as z from "zod/mini";
import { httpUrl, lazily, text, timestamp } from "./shapes.ts";

/** `pending`, `connected`, `expired` (refresh possible), `revoked` (login needed), `absent`; `unreadable`: who knows. */
export const RecordStatus = z.enum(["pending", "connected", "expired", "revoked", "absent", "unreadable"]);
export type RecordStatus = z.infer<typeof RecordStatus>;

const whose = { provider: text(), connection: text() };

const ConnectionStatus = lazily(() =>
  z.object({
    ...whose,
    record_status: RecordStatus,
    issuer: z.optional(text(600)),
    client_id: z.optional(text()),
    flow: z.optional(z.string()),
    scope: z.optional(text(20_000)),
    expires_at: z.optional(timestamp()),
    refreshable: z.optional(z.boolean()),
    account: z.optional(text()),
    updated_at: z.optional(timestamp()),
    /** Why a record that is there cannot be used. */
    problem: z.optional(text()),
  }),
);

const SessionView = lazily(() =>
  z.object({
    session_id: z.string(),
    ...whose,
    state: z.enum(["pending", "completed", "failed", "expired", "cancelled"]),
    flow: z.string(),
    scope: z.optional(text(1200)),
    created_at: timestamp(),
    expires_at: timestamp(),
    ended_at: z.optional(timestamp()),
    /** A process works on it now. */
    driven: z.boolean(),
    /** Lines in its log. */
    events: z.optional(z.int()),
  }),
);

const Option = lazily(() =>
  z.object({
    name: z.string(),
    summary: z.string(),
    type: z.enum(["string", "boolean"]),
    placeholder: z.optional(z.string()),
    default: z.optional(z.string()),
    choices: z.optional(z.array(z.string())),
  }),
);

const CommandHelp = lazily(() =>
  z.object({
    name: z.string(),
    usage: z.string(),
    summary: z.string(),
    positionals: z.array(z.object({ name: z.string(), summary: z.string(), required: z.boolean() })),
    options: z.array(Option()),
    examples: z.array(z.string()),
  }),
);

export const outcomes = {
  login: lazily(() =>
    z.object({
      ...whose,
      record_status: RecordStatus,
      scope: z.optional(text(1200)),
      expires_at: z.optional(timestamp()),
      account: z.optional(text()),
      session_id: z.optional(z.string()),
      /** With `started`: the challenges again, for readers that only see the end. */
      auth_url: z.optional(httpUrl()),
      user_code: z.optional(text()),
      verification_uri: z.optional(httpUrl()),
      verification_uri_complete: z.optional(httpUrl()),
    }),
  ),
  token: lazily(() =>
    z.object({
      ...whose,
      access_token: z.string(),
      token_type: text(40),
      scope: z.optional(text(20_000)),
      expires_at: z.optional(timestamp()),
      expires_in: z.optional(z.int()),
      refreshed: z.boolean(),
    }),
  ),
  status: lazily(() => z.object({ connections: z.array(ConnectionStatus()) })),
  logout: lazily(() =>
    z.object({
      connections: z.array(
        z.object({
          ...whose,
          record_status: RecordStatus,
          /** What became of each token at the server. */
          revoked: z.array(z.object({ token_type_hint: z.string(), state: z.enum(["done", "skipped", "failed"]) })),
        }),
      ),
    }),
  ),
  sessions: lazily(() => z.object({ sessions: z.array(SessionView()) })),
  session: SessionView,
  /** `text` is what a person reads, `commands` what a program reads. */
  help: lazily(() => z.object({ text: z.string(), commands: z.array(CommandHelp()), options: z.array(Option()) })),
  version: lazily(() => z.object({ version: z.string(), contract: z.int(), node: z.string() })),
  schema: lazily(() => z.object({ schema: z.record(z.string(), z.unknown()) })),
} as const;

export type Kind = keyof typeof outcomes;
export type DataOf<K extends Kind> = z.infer<ReturnType<(typeof outcomes)[K]>>;
export type ConnectionStatus = z.infer<ReturnType<typeof ConnectionStatus>>;
export type SessionView = z.infer<ReturnType<typeof SessionView>>;
export type CommandHelp = z.infer<ReturnType<typeof CommandHelp>>;
export type OptionHelp = z.infer<ReturnType<typeof Option>>;
