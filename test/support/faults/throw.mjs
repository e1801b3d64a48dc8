// Simulates a bug in a callback that nobody awaits, thrown as something that is not an Error: uncaughtException with a
// string, right after the first request went out.
const real = globalThis.fetch;
globalThis.fetch = (...args) => {
  globalThis.fetch = real;
  setImmediate(() => {
    throw "thrown by a dependency";
  });
  return real(...args);
};
