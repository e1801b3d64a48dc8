import type { Context } from "../context.ts";
import { type Flow, progress } from "../flow.ts";
import { misfit } from "../flows/authorization_code.ts";
import { heartbeat, waitFor } from "../flows/wait.ts";
import { Failure } from "../protocol/failure.ts";
import { follow, recounted } from "../sessions/follow.ts";
import type { SessionClear } from "../sessions/session.ts";
import { command, SIGN_IN_ENDS, text } from "./command.ts";
import { sessionAt, sessionId } from "./session.ts";

export const sessionCallback = command({
  positionals: { id: sessionId },
  options: {
    url: { ...text("the address that the browser ended at; - reads it from stdin", "URL|-"), default: "-" },
  },
  examples: ["authline session callback sess_9fJ2kQ7mX0aB4cD8eF1gHi --url - < address.txt"],
  ends: SIGN_IN_ENDS,

  async *flow({ id, url }, ctx) {
    const session = await sessionAt(id, ctx);
    if (session.state !== "pending") {
      throw new Failure("failed", `The sign-in is ${session.state}: it takes no more addresses.`, { session_id: id });
    }
    const address = url === "-" ? yield* onStdin(session, ctx) : url.trim();
    const saved = (await ctx.sessions.whole(id))?.secrets.doors?.authorization_code;
    if (!saved) throw refused("nobody has asked for an address there");
    if (!URL.canParse(address)) throw refused("it is not a whole address, from http:// on");
    const wrong = misfit(new URL(address), saved);
    if (wrong) throw refused(WRONG[wrong]);
    await ctx.sessions.send(id, { callback: address });
    return yield* recounted(follow(id, ctx, { from: ctx.sessions.events(id).length }));

    function refused(why: string) {
      return new Failure("usage", `The address is refused: ${why}. The sign-in stays open.`, {
        hint: "Give the whole address that the browser shows at the end, with everything after the question mark.",
        session_id: id,
      });
    }
  },
});

/** The first line that says something: whoever pastes it need not say that it was the last. */
async function* onStdin({ session_id, expires_at }: SessionClear, ctx: Context): Flow<string> {
  if (ctx.browser.welcome) {
    yield progress("await_user", "started", "Paste the address that the browser ended at, and press Enter.");
  }
  const until = new Date(expires_at);
  const done = new AbortController();
  const signal = AbortSignal.any([ctx.signal, done.signal]);
  const firstLine = async () => {
    for await (const line of ctx.lines(signal)) if (line.trim() !== "") return line.trim();
    return "";
  };
  try {
    const line = yield* waitFor(firstLine(), until, ctx, heartbeat(until, ctx, "the address on stdin"));
    if (line !== undefined) return line;
    throw new Failure("timeout", "No address came before the time of the sign-in was up.", { session_id });
  } finally {
    done.abort();
  }
}

const WRONG = {
  wrong_host: "its host or port is not the one that the browser was sent back to",
  wrong_path: "its path is not the one that the browser was sent back to",
  wrong_method: "it was not opened but sent",
  wrong_state: "its state belongs to another sign-in",
  wrong_issuer: "it comes from another authorization server",
};
