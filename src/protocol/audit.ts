/**
 * One line of the audit log: who did what to which credential, and when.
 *
 * Rule: nothing stands here that is secret, and no word that a server said.
 */
import * as z from "zod/mini";
import { lazily, text, timestamp, uint } from "./shapes.ts";

export const AuditEntry = lazily(() =>
  z.object({
    v: z.literal(1),
    time: timestamp(),
    command: text(40),
    provider: z.optional(text(64)),
    connection: z.optional(text(64)),
    session_id: z.optional(text(40)),
    /** `refresh`, `store`, `revoke`, `register`: what was done; `end`: how the command ended. May grow. */
    event: text(40),
    /** `done` or `failed`; of `end` the result's `status`. */
    state: text(40),
    /** The result's `error.code`. */
    code: z.optional(text(40)),
    reason: z.optional(text(60)),
    /** Where `token` had it from. */
    source: z.optional(text(40)),
    exit_code: z.optional(uint()),
    pid: uint(),
    ppid: uint(),
    /** The name of the process that started this one, where the system says it. */
    parent: z.optional(text(60)),
    user: z.optional(text(60)),
    host: text(100),
  }),
);
export type AuditEntry = z.infer<ReturnType<typeof AuditEntry>>;

/** The entry in words. */
export function sentence(entry: AuditEntry): string {
  const { time, command, event, state, code, reason, exit_code, pid, parent, user, host } = entry;
  const what = event === "end" ? `ended with ${state}` : `${event} ${state}`;
  const why = [code, reason].filter(Boolean).join(", ");
  const exit = exit_code ? `, exit ${exit_code}` : "";
  const who = [`process ${pid}`, parent && `started by ${parent}`, user && `user ${user}`, `on ${host}`];
  return `${time} ${command}${whose(entry)}: ${what}${why ? ` (${why})` : ""}${exit}; ${who.filter(Boolean).join(", ")}.`;
}

function whose({ provider, connection, source }: AuditEntry): string {
  if (provider === undefined) return "";
  return ` ${connection === undefined ? provider : `${connection}@${provider}`}${source ? ` from ${source}` : ""}`;
}
