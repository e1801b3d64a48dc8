/**
 * A reader of the stream, for programs that start authline and for `authline render`.
 *
 * Rules: it loads nothing, so that it costs next to nothing; it refuses what a reader must not believe (a `v` that it does
 * not know, a line that was lost, doubled or cut off, a stream without an end) and nothing else: fields, steps, codes and
 * commands that it does not know pass. It does not look into the fields of a phase; `schema/event.json` describes those.
 */
import type { Kind } from "./protocol/data.ts";
import type { StreamEvent } from "./protocol/event.ts";

/** The version of the contract that is understood. */
const UNDERSTOOD = 1;
/** In bytes, with its end: what any line but a `result` keeps to. */
const MAX_LINE = 4096;
/** In bytes: what a `result` may have before it is taken for one that never ends. */
const MAX_RESULT = 64 * 1024 * 1024;

/** What is wrong with a line, for programs. */
export type StreamFault =
  | "not_utf8"
  | "not_json"
  | "unknown_version"
  | "malformed"
  | "gap"
  | "out_of_order"
  | "after_result"
  | "too_long"
  | "cut_off"
  | "no_result";

/** The stream cannot be believed any further. What came before the line is as it was said. */
export class StreamError extends Error {
  override readonly name = "StreamError";
  readonly fault: StreamFault;
  /** Counted from 1: the line that is broken, or that is missing. */
  readonly line: number;
  /** The `seq` that this line should have had. */
  readonly seq: number;

  constructor(fault: StreamFault, line: number, seq: number, what: string) {
    super(`Line ${line} (seq ${seq}): ${what}.`);
    this.fault = fault;
    this.line = line;
    this.seq = seq;
  }
}

type Chunk = string | Uint8Array;

/** A Node stream, a web stream, or any other source of bytes or text. */
export type StreamSource =
  | AsyncIterable<Chunk>
  | Iterable<Chunk>
  | {
      getReader(): {
        read(): Promise<{ done: boolean; value?: Chunk | undefined }>;
        cancel(): Promise<unknown>;
        releaseLock(): void;
      };
    };

export interface ReadOptions {
  /** The `seq` of the first line. Default: 0, and with `session wait` the one that it begins with (`--from`). */
  from?: number;
}

/**
 * Each line as it comes, the result last; throws a `StreamError` where the stream is broken, at its end at the latest.
 * `K` says which kind of outcome is expected: `readStream<"token">(child.stdout)`.
 */
export async function* readStream<K extends Kind = Kind>(
  source: StreamSource,
  options: ReadOptions = {},
): AsyncGenerator<StreamEvent<K>, void, void> {
  const check = checker(options);
  for await (const line of linesOf(source, check.fault)) yield check.line(line) as StreamEvent<K>;
  check.end();
}

type Broken = (fault: StreamFault, what: string) => StreamError;

function checker({ from }: ReadOptions) {
  let line = 1;
  let seq = from ?? 0;
  let ended = false;
  const fault: Broken = (name, what) => new StreamError(name, line, seq, what);

  return {
    fault,
    line(bytes: Uint8Array): unknown {
      if (ended) throw fault("after_result", "it stands after the result");
      const event = parsed(bytes, fault);
      if (event["v"] !== UNDERSTOOD)
        throw fault("unknown_version", `its v is ${shown(event["v"])}, which is not known`);
      const isMidway = line === 1 && from === undefined && event["command"] === "session wait";
      if (isMidway && isCount(event["seq"])) seq = event["seq"];
      for (const [name, fits] of Object.entries(FIELDS)) {
        if (!fits(event[name])) throw fault("malformed", `its ${name} is ${shown(event[name])}`);
      }
      const said = event["seq"] as number;
      if (said > seq) throw fault("gap", `its seq is ${said}, so that something before it is lost`);
      if (said < seq) throw fault("out_of_order", `its seq is ${said}, which has been before`);
      ended = event["phase"] === "result";
      if (ended && !(typeof event["status"] === "string" && isCount(event["exit_code"])))
        throw fault("malformed", "it is a result without status or exit_code");
      if (!ended && bytes.length >= MAX_LINE) throw fault("too_long", `it has more than ${MAX_LINE} bytes`);
      line++;
      seq++;
      return event;
    },
    end() {
      if (!ended) throw fault("no_result", "the stream has ended without a result");
    },
  };
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isText = (value: unknown) => typeof value === "string";
const PHASES: readonly unknown[] = ["auth_url", "device_code", "progress", "result"];

/** On every line. */
const FIELDS: Record<string, (value: unknown) => boolean> = {
  seq: isCount,
  time: isText,
  command: isText,
  phase: (value) => PHASES.includes(value),
  message: isText,
};

const shown = (value: unknown) => (value === undefined ? "missing" : JSON.stringify(value).slice(0, 40));

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function parsed(bytes: Uint8Array, fault: Broken): Record<string, unknown> {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw fault("not_utf8", "it is not UTF-8");
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // said below
  }
  throw fault("not_json", "it is not a JSON object");
}

const NEWLINE = 0x0a;

/** Cuts bytes, not text: a chunk may end within a character. */
async function* linesOf(source: StreamSource, fault: Broken): AsyncGenerator<Uint8Array, void, void> {
  const encoder = new TextEncoder();
  let begun = new Uint8Array(MAX_LINE); // the chunks may be single bytes: they are kept in one piece
  let size = 0;
  const keep = (bytes: Uint8Array) => {
    if (size + bytes.length > begun.length) {
      const larger = new Uint8Array(2 * (size + bytes.length));
      larger.set(begun.subarray(0, size));
      begun = larger;
    }
    begun.set(bytes, size);
    size += bytes.length;
  };
  for await (const chunk of chunksOf(source)) {
    const bytes = typeof chunk === "string" ? encoder.encode(chunk) : chunk;
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
      const last = bytes.subarray(start, end);
      if (size > 0) keep(last);
      yield size > 0 ? begun.subarray(0, size) : last;
      start = end + 1;
      size = 0;
    }
    keep(bytes.subarray(start)); // a copy: whoever sent it may use its memory again
    if (size > MAX_RESULT) throw fault("too_long", `it has more than ${MAX_RESULT} bytes`);
  }
  if (size > 0) throw fault("cut_off", "it is cut off");
}

/** Not every web stream can be iterated over. */
async function* chunksOf(source: StreamSource): AsyncGenerator<Chunk, void, void> {
  if (!("getReader" in source)) return yield* source;
  const reader = source.getReader();
  let over = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      over = done;
      if (done) return;
      if (value !== undefined) yield value;
    }
  } finally {
    if (!over) await reader.cancel().catch(() => {}); // a stream that has failed cannot be cancelled
    reader.releaseLock();
  }
}
