import { sessionActions } from "../actions.ts";
import { sweep } from "../sessions/sessions.ts";
import { command } from "./command.ts";
import { upToDate, viewOf } from "./session.ts";

export const sessionList = command({
  positionals: {},
  options: {},
  examples: ["authline session list"],

  async *flow(_, ctx) {
    sweep(ctx);
    const found = await Promise.all(ctx.sessions.all().map((session) => upToDate(session, ctx)));
    const views = found.flatMap((session) => (session ? [viewOf(session, ctx)] : []));
    const open = views.filter(({ state }) => state === "pending");
    const sessions = [...open, ...views.filter(({ state }) => state !== "pending").reverse()];
    return {
      message: open.length === 0 ? "No sign-in is open." : `${open.length} of ${views.length} sign-ins are open.`,
      data: { sessions },
      next_actions: open.slice(0, 3).flatMap(({ session_id }) => sessionActions(session_id).slice(0, 1)),
    };
  },
});
