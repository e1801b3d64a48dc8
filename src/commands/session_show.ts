import { sessionActions } from "../actions.ts";
import type { SessionClear } from "../sessions/session.ts";
import { command } from "./command.ts";
import { sessionAt, sessionId, viewOf } from "./session.ts";

export const sessionShow = command({
  positionals: { id: sessionId },
  options: {},
  examples: ["authline session show sess_9fJ2kQ7mX0aB4cD8eF1gHi"],
  ends: ["not_found", "store"],

  async *flow({ id }, ctx) {
    const session = await sessionAt(id, ctx);
    const { state, provider } = session;
    return {
      message: `The sign-in to ${provider} is ${state}.`,
      data: { ...viewOf(session, ctx), events: ctx.sessions.events(id).length },
      next_actions: state === "pending" ? sessionActions(id, ...doorsOf(session)) : [],
    };
  },
});

const doorsOf = ({ doors }: SessionClear) => (doors.includes("authorization_code") ? (["callback"] as const) : []);
