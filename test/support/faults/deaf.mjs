// Simulates a request that cannot be cancelled: never settles, ignores its AbortSignal and keeps the event loop alive.
// Who waits for it to honour a signal waits for ever.
globalThis.fetch = () => new Promise(() => setInterval(() => {}, 1000));
