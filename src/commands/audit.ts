import type { AuditReader } from "../audit.ts";
import type { Context } from "../context.ts";
import { type Flow, progress } from "../flow.ts";
import { HEARTBEAT_SECONDS } from "../flows/wait.ts";
import { type AuditEntry, sentence } from "../protocol/audit.ts";
import { Failure, type Warning } from "../protocol/failure.ts";
import { command, count, duration, flag } from "./command.ts";

/** How often the log is looked at. */
const LOOK_SECONDS = 0.2;

/** How long ago, in seconds, or when. */
type Since = { ago: number } | { at: number };

const RFC_3339 = /^\d{4}-\d\d-\d\dt\d\d:\d\d:\d\d(\.\d+)?(z|[+-]\d\d:\d\d)$/i;
const ago = duration("how far back", "7d", { least: 0 });
const since = {
  ...ago,
  summary: "how far back, or from which time on",
  placeholder: "DURATION|TIME",
  parse(raw: string, name: string): Since {
    const at = RFC_3339.test(raw) ? Date.parse(raw) : Number.NaN;
    if (!Number.isNaN(at)) return { at };
    try {
      return { ago: ago.parse(raw, name) };
    } catch {
      throw new Failure("usage", `${name} cannot be "${raw}".`, {
        hint: "Write how long ago, such as 30m, 12h or 7d, up to 30d, or a time such as 2026-01-02T03:04:05Z.",
      });
    }
  },
} as const;

export const audit = command({
  positionals: {},
  options: {
    since,
    last: count("how many entries at the most", "COUNT", "100"),
    follow: flag("go on with each new one as it comes"),
  },
  examples: ["authline audit --since 1h", "authline audit --follow --last 0"],
  ends: ["store"],

  async *flow({ since, last, follow }, ctx) {
    const reader = ctx.audit.reader();
    try {
      const from = "at" in since ? since.at : ctx.now().getTime() - since.ago * 1000;
      const { entries, damaged } = reader.look({ from, last });
      if (follow) return yield* following(entries, damaged, reader, ctx);
      return {
        message: messageOf(entries.length),
        warnings: damaged === 0 ? [] : [unreadable(damaged)],
        data: { entries },
      };
    } finally {
      reader.close();
    }
  },
});

const messageOf = (count: number) =>
  count === 0 ? "Nothing was written down." : `${count} ${count === 1 ? "entry" : "entries"}.`;

const unreadable = (damaged: number): Warning => ({
  code: "audit_damaged",
  message: `${damaged} ${damaged === 1 ? "line" : "lines"} of the audit log cannot be read and ${damaged === 1 ? "is" : "are"} left out.`,
});

/** Goes on until the command is cancelled. */
async function* following(before: AuditEntry[], damaged: number, reader: AuditReader, ctx: Context): Flow<never> {
  let fresh = { entries: before, damaged };
  for (let last = ctx.uptime(); ; fresh = reader.look()) {
    for (const entry of fresh.entries) yield progress("audit", "done", sentence(entry), { entry });
    if (fresh.damaged > 0) yield progress("audit", "failed", unreadable(fresh.damaged).message, { reason: "damaged" });
    const now = ctx.uptime();
    if (fresh.entries.length > 0) last = now;
    if (now >= last + HEARTBEAT_SECONDS) {
      last = now;
      yield progress("audit", "waiting", "Waiting for what is done next.");
    }
    await ctx.sleep(LOOK_SECONDS);
  }
}
