// A machine without a network: whoever is asked, nobody answers.
globalThis.fetch = async () => {
  throw Object.assign(new TypeError("fetch failed"), {
    cause: Object.assign(new Error("offline"), { code: "ENETUNREACH" }),
  });
};
