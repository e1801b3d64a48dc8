// Simulates a promise that somebody forgot to await: an unhandled rejection, right after the first request went out.
const real = globalThis.fetch;
globalThis.fetch = (...args) => {
  globalThis.fetch = real;
  Promise.reject(new TypeError("rejected by a dependency"));
  return real(...args);
};
