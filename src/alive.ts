/** A flow that is never silent for long: where nothing comes for a while, it is said that its last step goes on. */
import { type Flow, progress } from "./flow.ts";
import type { Notice } from "./protocol/event.ts";

/** Longer than the pause between two heartbeats of whoever waits for somebody, which say more. */
const SILENCE_SECONDS = 20;

/** What is shown again from a log is left alone: its lines are numbered there, by whoever writes them. */
export async function* alive<T>(flow: Flow<T>): Flow<T> {
  let said: Notice | undefined;
  let quiet = 0;
  try {
    let next = flow.next();
    for (;;) {
      const step = await soon(next);
      if (step === undefined) {
        quiet += SILENCE_SECONDS;
        if (said?.phase === "progress" && !said.replayed) {
          yield progress(said.step, "waiting", `Nothing new for ${quiet} seconds. The last was: ${said.message}`);
        }
        continue;
      }
      if (step.done) return step.value;
      quiet = 0;
      said = step.value;
      yield said;
      next = flow.next();
    }
  } finally {
    await flow.return(undefined as never);
  }
}

/** What a flow says next, if that is soon. */
async function soon<T>(next: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<undefined>((resolve) => {
    // It must not keep a process that has nothing left to do: that is one that waits for what never comes.
    timer = setTimeout(resolve, SILENCE_SECONDS * 1000, undefined).unref();
  });
  try {
    return await Promise.race([next, silence]);
  } finally {
    clearTimeout(timer);
  }
}
