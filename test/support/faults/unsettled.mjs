// Simulates an answer that is lost inside a dependency: the promise never settles and nothing keeps the event loop alive,
// so that Node leaves on its own (exit code 13 for a top-level await, else 0).
globalThis.fetch = () => new Promise(() => {});
