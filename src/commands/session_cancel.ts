import { Failure } from "../protocol/failure.ts";
import { follow, recounted } from "../sessions/follow.ts";
import { gone, stateAfter } from "../sessions/session.ts";
import { command } from "./command.ts";
import { sessionAt, sessionId, viewOf } from "./session.ts";

export const sessionCancel = command({
  positionals: { id: sessionId },
  options: {},
  examples: ["authline session cancel sess_9fJ2kQ7mX0aB4cD8eF1gHi"],
  ends: ["not_found", "store", "locked"],

  async *flow({ id }, ctx) {
    const before = await sessionAt(id, ctx);
    let { state } = before;
    if (state === "pending") {
      await ctx.sessions.send(id, { cancel: true });
      try {
        // Whoever drives it ends it; nobody does: then this process, for that moment.
        yield* recounted(follow(id, ctx, { from: ctx.sessions.events(id).length }));
        state = "completed";
      } catch (error) {
        if (!(error instanceof Failure) || error.details.session_id !== id) throw error;
        state = stateAfter(error.code);
      }
    }
    const after = ctx.sessions.get(id);
    if (!after) throw gone(id);
    const message =
      state === "cancelled" && before.state === "pending"
        ? "The sign-in is given up."
        : `The sign-in was ${state} already.`;
    return { message, data: { ...viewOf(after, ctx), state }, session_id: id }; // the record is written after the last line
  },
});
