// Simulates a dependency that leaves by itself: a stray process.exit(0), in the middle of the first request.
globalThis.fetch = () => process.exit(0);
