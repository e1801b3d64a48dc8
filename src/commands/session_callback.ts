import { misfit } from "../flows/authorization_code.ts";
import { Failure } from "../protocol/failure.ts";
import { follow, recounted } from "../sessions/follow.ts";
import { command, text } from "./command.ts";
import { sessionAt, sessionId } from "./session.ts";

export const sessionCallback = command({
  positionals: { id: sessionId },
  options: {
    url: { ...text("the address that the browser ended at; - reads it from stdin", "URL|-"), default: "-" },
  },
  examples: ["authline session callback sess_9fJ2kQ7mX0aB4cD8eF1gHi --url - < address.txt"],
  ends: [
    "not_found",
    "network",
    "store",
    "expired",
    "timeout",
    "locked",
    "rate_limited",
    "provider",
    "denied",
    "config",
    "failed",
  ],

  async *flow({ id, url }, ctx) {
    const { state } = await sessionAt(id, ctx);
    if (state !== "pending") {
      throw new Failure("failed", `The sign-in is ${state}: it takes no more addresses.`, { session_id: id });
    }
    const address = (url === "-" ? await onStdin() : url).trim();
    const saved = (await ctx.sessions.whole(id))?.secrets.doors?.authorization_code;
    if (!saved) throw refused("nobody has asked for an address there");
    if (!URL.canParse(address)) throw refused("it is not a whole address, from http:// on");
    const wrong = misfit(new URL(address), saved);
    if (wrong) throw refused(WRONG[wrong]);
    await ctx.sessions.send(id, { callback: address });
    return yield* recounted(follow(id, ctx, { from: ctx.sessions.events(id).length }));

    async function onStdin(): Promise<string> {
      try {
        return await ctx.stdin({ signal: ctx.signal, maxBytes: 64 * 1024 });
      } catch (error) {
        ctx.signal.throwIfAborted();
        throw (error as { code?: string }).code === "TOO_LONG" ? refused("it is too long") : error;
      }
    }

    function refused(why: string) {
      return new Failure("usage", `The address is refused: ${why}. The sign-in stays open.`, {
        hint: "Give the whole address that the browser shows at the end, with everything after the question mark.",
        session_id: id,
      });
    }
  },
});

const WRONG = {
  wrong_host: "its host or port is not the one that the browser was sent back to",
  wrong_path: "its path is not the one that the browser was sent back to",
  wrong_method: "it was not opened but sent",
  wrong_state: "its state belongs to another sign-in",
  wrong_issuer: "it comes from another authorization server",
};
