/** From argv to the last line: what is run, what is shown where, and what becomes of a stdout that cannot be written. */
import { alive } from "./alive.ts";
import { read } from "./cli.ts";
import { isInForeground, type Process } from "./context.ts";
import { newHolds } from "./holds.ts";
import { modesOf } from "./modes.ts";
import { calm, output } from "./output.ts";
import { codes, EXIT_READER_GONE } from "./protocol/failure.ts";
import type { Transition } from "./protocol/machine.ts";
import { human } from "./render/human.ts";
import { ndjson } from "./render/ndjson.ts";
import { openStream, run, type Stream } from "./run.ts";
import { ticking } from "./ticking.ts";

export interface Host extends Process {
  onStream(stream: Stream): void;
  /** Told when stdout cannot be written any more, with what the process must exit with. */
  onLost(exitCode: number): void;
  /** Who writes to a descriptor. */
  output?: typeof output;
}

/** Runs what argv says; when it returns, the result is out. */
export async function start(host: Host): Promise<void> {
  const call = read(host.argv);
  const modes = modesOf(host, call);
  let readerGone = false;
  const { output: writer = output } = host;
  const stderr = writer(2, () => {});
  const stdout = writer(1, (code) => {
    readerGone = code === "EPIPE" || code === "EOF"; // a reader that leaves is told nothing more
    if (!readerGone) stderr.write(`Nothing more can be written to stdout (${code}).\n`);
    host.onLost(readerGone ? EXIT_READER_GONE : codes.store.exit);
  });
  // Rendering is synchronous: what it may need is loaded before.
  const draws = call.challenges && modes.look.live && modes.look.unicode && modes.look.colour;
  const qr = draws ? (await import("./render/human/qr.ts")).qr : undefined;
  const words = human(Object.assign(modes.look, { qr }));
  const screen = calm(stderr);
  const draw = (transition: Transition) => screen.write(words(transition));
  const { live, quiet, paste } = modes.look;
  const ticks = live && !quiet && host.terminal.stderr; // not where a variable says so: a log would grow by the second
  const tick = ticks ? ticking({ draw, paste, isInForeground }) : () => {};
  const stream = openStream({
    command: call.name,
    kind: call.kind,
    challenges: call.challenges,
    signal: host.signal,
    now: () => new Date(),
    show(transition) {
      if (modes.stream && !call.stdout) stdout.write(ndjson(transition));
      if (readerGone) return;
      draw(transition);
      tick(transition);
    },
  });
  host.onStream(stream);
  const pass = (bytes: Uint8Array) => modes.stream && stdout.write(bytes);
  const holds = newHolds();
  const { terminal, prompt } = modes;
  await run(stream, alive(call.flow({ ...host, terminal, prompt, pass, holds })), host.signal, holds);
}
