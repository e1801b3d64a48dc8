/**
 * Draws a stream that somebody else writes, and passes it on as it is.
 *
 * Rules: every byte goes on before it is looked at, and goes on when the stream turns out to be broken; what is drawn has
 * been through the schema like a line of our own, because the stream may come from anywhere; words that later versions
 * may add (steps, error codes, commands) are no fault, and people read the message.
 */
import type { Readable } from "node:stream";
import type { ReadStream } from "node:tty";
import type { Context } from "../context.ts";
import { type Flow, type Outcome, progress } from "../flow.ts";
import type { Kind } from "../protocol/data.ts";
import { type Notice, type PhaseEvent, type StreamEvent, shapeOf, steps } from "../protocol/event.ts";
import { type Code, codes, type Ending, ends, exits, Failure } from "../protocol/failure.ts";
import { readStream, StreamError } from "../reader.ts";
import { command } from "./command.ts";
import { commands } from "./index.ts";

/** Whoever is cancelled together with us says so within this time. */
const LAST_WORDS_SECONDS = 0.5;

export const render = command({
  positionals: {
    file: {
      summary: "what holds the stream; else it comes from standard input",
      required: false,
      parse(raw: string, name: string): string {
        if (raw === "") throw new Failure("usage", `${name} is empty.`, { hint: "Name a file, or leave it out." });
        return raw;
      },
    },
  },
  options: {},
  examples: ["authline render stream.ndjson", "authline status | authline render"],
  ends: Object.keys({ ...ends, ...codes }) as Ending[], // as the stream does

  async *flow({ file }, ctx): Flow<Outcome> {
    const source = ctx.bytes(file) as Readable & Partial<ReadStream>;
    // What it is, and not what a variable says that it is.
    if (source.isTTY) {
      throw new Failure("usage", "There is no stream to draw: standard input is a terminal.", {
        hint: "Pipe one in, as in authline status | authline render, or name a file that holds one.",
      });
    }
    const passing = passOn(source, file, ctx);
    let line = 0;
    let last: Drawn | undefined;
    try {
      // The reader may give up: what follows must still be passed on, so it is not told that it may close the source.
      for await (const event of readStream({ [Symbol.asyncIterator]: () => ({ next: () => passing.next() }) })) {
        line++;
        const drawn = drawnOf(event, line);
        if (drawn.event.phase === "result") last = drawn;
        else yield noticeOf(drawn.event);
      }
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      const { message } = error;
      const isOver = error.fault === "no_result" || error.fault === "cut_off";
      if (!isOver && file === undefined) {
        const told = `The stream is broken, and from here on only passed on. ${message}`;
        yield progress("verify", "failed", told, { reason: error.fault });
      }
      for await (const _ of passing); // to its end
      throw new Failure("failed", `The stream is broken. ${message}`, {
        cause: error,
        reason: error.fault,
        hint: HINTS[error.fault] ?? "What was drawn before is as it was said; how it ended is not known.",
      });
    } finally {
      await passing.return();
    }
    return endingOf(last as Drawn);
  },
});

const HINTS: Partial<Record<StreamError["fault"], string>> = {
  no_result: "Whoever wrote it was killed, or is no authline. That is a failure, whatever was said before.",
  unknown_version: "It comes from another version of authline: draw it with that one.",
};

type Bytes = AsyncGenerator<Uint8Array, void, void>;

/** Each chunk, once it is passed on. */
async function* passOn(source: Readable, file: string | undefined, ctx: Context): Bytes {
  const leave = async () => {
    await ctx.sleep(LAST_WORDS_SECONDS, new AbortController().signal);
    source.destroy(new Error("cancelled"));
  };
  ctx.signal.addEventListener("abort", leave, { once: true });
  try {
    for await (const chunk of source) {
      ctx.pass(chunk);
      yield chunk;
    }
  } catch (error) {
    throw ctx.signal.aborted ? error : unreadable(error, file);
  } finally {
    ctx.signal.removeEventListener("abort", leave);
  }
}

function unreadable(error: unknown, file = "standard input"): Failure {
  const { code } = error as NodeJS.ErrnoException;
  const details = { cause: error, reason: code, hint: "Name a file that holds a stream, or pipe one in." };
  if (code === "ENOENT") return new Failure("not_found", `There is no file ${file}.`, details);
  return new Failure("failed", `${file} cannot be read (${code}).`, details);
}

/** A line that fits its shape, and the kind that its shape belongs to. */
interface Drawn {
  event: PhaseEvent;
  kind: Kind;
}

const KINDS: Record<string, Kind> = {
  ...{ help: "help", version: "version", authline: "help" },
  ...Object.fromEntries(commands.flatMap(({ name, kind }) => (kind === "any" ? [] : [[name, kind]]))),
};

/** What else a command may end with: `login --import`. */
const ALSO: Record<string, Kind[]> = { login: ["import"] };

function kindsOf(command: string): Kind[] {
  const kind = Object.hasOwn(KINDS, command) ? KINDS[command] : undefined;
  return kind ? [kind, ...(ALSO[command] ?? [])] : [];
}

/** Of this kind people read the message and nothing else: what stands for data that is not known. */
const MESSAGE_ONLY = { kind: "version", data: { version: "", contract: 1, node: "" } } as const;

function drawnOf(event: StreamEvent, line: number): Drawn {
  const known = withKnownWords(event);
  const tried = kindsOf(event.command).map((kind) => ({ kind, parsed: shapeOf(known, kind)?.safeParse(known) }));
  const { kind, parsed } = tried.find(({ parsed }) => parsed?.success) ?? tried[0] ?? {};
  const again = parsed?.success ? parsed : fallback(known);
  if (!again?.success) {
    const where = (parsed ?? again)?.error?.issues.map(({ path }) => path.join(".")).join(", ");
    throw new StreamError("malformed", line, event.seq, `it is no ${event.phase} as the contract has it (${where})`);
  }
  if (again.data.phase === "result" && again.data.exit_code !== exitOf(again.data)) {
    throw new StreamError(
      "malformed",
      line,
      event.seq,
      `its exit_code is ${again.data.exit_code}, which is another end`,
    );
  }
  return { event: again.data, kind: parsed?.success && kind ? kind : MESSAGE_ONLY.kind };
}

const fallback = (event: StreamEvent) =>
  shapeOf(event, MESSAGE_ONLY.kind)?.safeParse("data" in event ? { ...event, data: MESSAGE_ONLY.data } : event);

/** Words that a later version has added, as ones that say no more than the message does. */
function withKnownWords(event: StreamEvent): StreamEvent {
  if (event.phase === "progress" && !(steps as readonly string[]).includes(event.step)) {
    return { ...event, step: "verify" };
  }
  if (event.phase !== "result" || event.status !== "error" || Object.hasOwn(codes, event.error?.code)) return event;
  const names = Object.keys(codes) as Exclude<Code, "cancelled">[];
  const code = names.find((name) => codes[name].exit === event.exit_code) ?? "failed";
  return { ...event, error: { ...event.error, code } };
}

const exitOf = (event: Extract<PhaseEvent, { phase: "result" }>): number =>
  "error" in event ? codes[event.error.code].exit : exits[event.status];

function noticeOf(event: Exclude<PhaseEvent, { phase: "result" }>): Notice {
  const { seq, time, v, command, ...said } = event;
  return { ...said, replayed: { seq, time } } as Notice;
}

/** The end of the stream as the end of whoever draws it. */
function endingOf({ event, kind }: Drawn): Outcome {
  if (event.phase !== "result") throw new TypeError("a stream ends in a result");
  const { seq, time, message, warnings, next_actions, session_id } = event;
  const replayed = { seq, time, kind };
  if (!("error" in event)) {
    const belonging = { ...(session_id !== undefined && { session_id }), replayed };
    return { ...belonging, status: event.status, message, warnings, next_actions, data: event.data };
  }
  const { code, message: _, ...details } = event.error;
  throw new Failure(code, message, { ...details, warnings, next_actions, session_id, replayed });
}
