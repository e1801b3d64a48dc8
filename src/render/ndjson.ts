/** The stream itself: one event, one line. Pure. */
import type { Transition } from "../protocol/machine.ts";

export const ndjson = ({ event }: Transition): string => `${JSON.stringify(event)}\n`;
