import { Failure } from "../protocol/failure.ts";
import { follow, recounted } from "../sessions/follow.ts";
import { gone } from "../sessions/session.ts";
import { command } from "./command.ts";
import { sessionAt, sessionId, viewOf } from "./session.ts";

export const sessionCancel = command({
  positionals: { id: sessionId },
  options: {},
  examples: ["authline session cancel sess_9fJ2kQ7mX0aB4cD8eF1gHi"],
  ends: ["not_found", "store", "locked"],

  async *flow({ id }, ctx) {
    const before = await sessionAt(id, ctx);
    if (before.state === "pending") {
      await ctx.sessions.send(id, { cancel: true });
      try {
        // Whoever drives it ends it; nobody does: then this process, for that moment.
        yield* recounted(follow(id, ctx, { from: ctx.sessions.events(id).length }));
      } catch (error) {
        if (!(error instanceof Failure) || error.details.session_id !== id) throw error;
      }
    }
    const after = ctx.sessions.get(id);
    if (!after) throw gone(id);
    const { state } = after;
    const message =
      state === "cancelled" && before.state === "pending"
        ? "The sign-in is given up."
        : `The sign-in was ${state} already.`;
    return { message, data: viewOf(after, ctx), session_id: id };
  },
});
