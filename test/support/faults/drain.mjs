// Simulates the same loss one step later: the headers arrive, the body never does, and nothing keeps the event loop alive.
globalThis.fetch = async () =>
  new Response(new ReadableStream({ pull: () => new Promise(() => {}) }), {
    headers: { "content-type": "application/json" },
  });
