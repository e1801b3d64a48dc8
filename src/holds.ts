/**
 * What must not be torn away in its middle: an answer that is on its way may hold the only token that still works. Whoever
 * cancels waits for it, though not for ever; a second signal leaves at once.
 */

/** What a cancelled flow may take to tidy up before it is torn away. */
export const GRACE_MS = 700;
/** The same while something is held. */
export const HELD_MS = 5000;

export interface Holds {
  /** Runs to its end though the command is cancelled. `why` is what whoever waits then is told. */
  during<T>(why: string, work: () => Promise<T>): Promise<T>;
  /** Why the process must not end yet; undefined where it may. */
  readonly why: string | undefined;
  /** Called once, when nothing is held any more. */
  onIdle(call: () => void): void;
}

export function newHolds(): Holds {
  const held: string[] = [];
  let told: (() => void)[] = [];
  return {
    async during(why, work) {
      held.push(why);
      try {
        return await work();
      } finally {
        held.splice(held.indexOf(why), 1);
        if (held.length === 0) {
          for (const call of told) call();
          told = [];
        }
      }
    },
    get why() {
      return held.at(-1);
    },
    onIdle: (call) => told.push(call),
  };
}
