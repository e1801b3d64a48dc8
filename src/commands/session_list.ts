import { sessionActions } from "../actions.ts";
import type { Warning } from "../protocol/failure.ts";
import { sweep } from "../sessions/sessions.ts";
import { command } from "./command.ts";
import { upToDate, viewOf } from "./session.ts";

export const sessionList = command({
  positionals: {},
  options: {},
  examples: ["authline session list"],
  ends: ["store"],

  async *flow(_, ctx) {
    sweep(ctx);
    const warnings: Warning[] = [];
    const all = ctx.sessions.all(({ message }) => warnings.push({ code: "unreadable", message }));
    const found = await Promise.all(all.map((session) => upToDate(session, ctx)));
    const views = found.flatMap((session) => (session ? [viewOf(session, ctx)] : []));
    const open = views.filter(({ state }) => state === "pending");
    const sessions = [...open, ...views.filter(({ state }) => state !== "pending").reverse()];
    return {
      message: open.length === 0 ? "No sign-in is open." : `${open.length} of ${views.length} sign-ins are open.`,
      warnings,
      data: { sessions },
      next_actions: open.slice(0, 3).flatMap(({ session_id }) => sessionActions(session_id).slice(0, 1)),
    };
  },
});
