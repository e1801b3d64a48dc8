/**
 * The seconds that are left, on the line that is rewritten: between two events, for people alone.
 *
 * Rules: it says what the next heartbeat would say, and only as long as nothing else is said; under the hands of somebody
 * who may be typing nothing is rewritten, nor over the prompt of a shell that has put us into the background.
 */
import type { Transition } from "./protocol/machine.ts";
import { waitingForYou } from "./protocol/waiting.ts";

interface Ticking {
  draw(transition: Transition): void;
  /** Whether somebody can paste at the terminal, and is heard. */
  paste: boolean;
  isInForeground(): boolean;
}

/** To be told each transition, once it is drawn. */
export function ticking({ draw, paste, isInForeground }: Ticking): (transition: Transition) => void {
  let waiting: Transition | undefined;
  let deadline = 0; // in milliseconds, as Date has them
  let maySomebodyType = false;
  let timer: NodeJS.Timeout | undefined;

  function schedule(): void {
    clearTimeout(timer);
    const left = deadline - Date.now();
    if (!waiting || maySomebodyType || left <= 0) return;
    timer = setTimeout(tick, left % 1000 || 1000).unref();
  }

  function tick(): void {
    const remaining = Math.ceil((deadline - Date.now()) / 1000);
    if (waiting && isInForeground()) draw(later(waiting, remaining));
    schedule();
  }

  return (transition) => {
    const { event } = transition;
    if (event.phase === "auth_url" || event.phase === "device_code") {
      deadline = Math.max(deadline, Date.parse(event.expires_at));
      // With no browser here, the address that one elsewhere ends at is to be pasted.
      maySomebodyType ||= paste && event.phase === "auth_url" && !event.browser_opened;
    } else if (event.phase === "result") {
      waiting = undefined;
    } else if (event.message === waitingForYou(event.remaining)) {
      waiting = transition;
      if (event.remaining !== undefined) deadline = Date.parse(event.time) + event.remaining * 1000;
    } else if (event.step !== "await_user") {
      waiting = undefined;
    }
    schedule();
  };
}

const later = (transition: Transition, remaining: number) =>
  ({ ...transition, event: { ...transition.event, message: waitingForYou(remaining), remaining } }) as Transition;
