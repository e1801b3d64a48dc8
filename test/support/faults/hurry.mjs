// Simulates nothing: time passes twenty times as fast for whoever waits, so that a patience of a minute can be watched to
// its end. What the network takes and the date of the machine stay as they are.
import { syncBuiltinESMExports } from "node:module";
import timers from "node:timers/promises";

const SPEED = 20;
const now = performance.now.bind(performance);
performance.now = () => now() * SPEED;
const wait = timers.setTimeout;
timers.setTimeout = (ms, ...rest) => wait(ms / SPEED, ...rest);
syncBuiltinESMExports();
