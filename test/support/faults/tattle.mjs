// Simulates a dependency whose errors quote what they choked on: the whole request with its body and its headers, once as
// the reason of a rejection, with the same in its `cause`, and once thrown where nobody catches it.
const real = globalThis.fetch;
globalThis.fetch = async (url, init = {}) => {
  if ((init.method ?? "GET") === "GET") return real(url, init);
  const all = `${url} ${init.body} ${JSON.stringify([...new Headers(init.headers)])}`;
  const error = Object.assign(new RangeError(all, { cause: new Error(all) }), { request: all });
  if (process.env.TATTLE === "uncaught") {
    setImmediate(() => {
      throw error;
    });
    return new Promise(() => setInterval(() => {}, 1000));
  }
  throw error;
};
