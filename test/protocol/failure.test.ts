/** How a command can end: the table against the contract, and what becomes of things that are thrown. */
import { describe, expect, test } from "vitest";
import { asFailure, codes, EXIT_READER_GONE, exits, Failure } from "../../src/protocol/failure.ts";

/** As the contract has it. */
const CONTRACT = {
  cancelled: 2,
  auth_required: 4,
  auth_expired: 4,
  usage: 64,
  not_found: 66,
  network: 69,
  internal: 70,
  store: 74,
  expired: 75,
  timeout: 75,
  locked: 75,
  rate_limited: 75,
  provider: 76,
  denied: 77,
  config: 78,
  failed: 1,
};

describe("the table", () => {
  test("has the codes and exit codes of the contract, and no others", () => {
    expect(Object.fromEntries(Object.entries(codes).map(([code, { exit }]) => [code, exit]))).toEqual(CONTRACT);
    expect(exits).toEqual({ success: 0, started: 0, pending: 8 });
    expect(EXIT_READER_GONE).toBe(141);
  });

  test("calls what may pass by itself retryable", () => {
    const passing = Object.entries(codes).flatMap(([code, { retryable }]) => (retryable ? [code] : []));
    expect(passing).toEqual(["cancelled", "network", "expired", "timeout", "locked", "rate_limited"]);
    expect(new Failure("provider", "Busy.", { retryable: true }).retryable).toBe(true);
    expect(new Failure("network", "Gone.", { retryable: false }).retryable).toBe(false);
  });
});

describe("asFailure", () => {
  test("passes a Failure on", () => {
    const failure = new Failure("denied", "No.");
    expect(asFailure(failure)).toBe(failure);
  });

  test.each<[string, () => unknown]>([
    ["an error", () => new TypeError("hunter2")],
    ["an error with a cause", () => new Error("hunter2", { cause: new Error("hunter2") })],
    ["an error whose message looks like a stack", () => new Error("no\n    at hunter2 (hunter2.js:1:1)")],
    ["an error whose stack is not text", () => Object.assign(new Error("hunter2"), { stack: 42 })],
    ["an error without a stack", () => Object.assign(new Error("hunter2"), { stack: undefined })],
    ["an error named by a symbol", () => Object.assign(new Error("hunter2"), { name: Symbol("hunter2") })],
    [
      "an error that cannot be read",
      () =>
        Object.defineProperty(new Error("hunter2"), "stack", {
          get() {
            throw new Error("hunter2");
          },
        }),
    ],
    ["a text", () => "hunter2"],
    ["a symbol", () => Symbol("hunter2")],
    ["an object", () => ({ message: "hunter2", code: "denied" })],
    ["an object without a prototype", () => Object.create(null)],
    ["nothing", () => undefined],
    ["null", () => null],
  ])("makes %s a bug of ours and repeats none of it", (_, make) => {
    const thrown = make();
    const { code, message, details } = asFailure(thrown);
    expect(code).toBe("internal");
    expect(message).toMatch(/^authline ran into a bug of its own: .+\.$/);
    expect(message).not.toContain("hunter2");
    expect(details.cause).toBe(thrown);
  });

  test("says where, without the folders of whoever built it", () => {
    const { message } = asFailure(new TypeError("x"));
    expect(message).toMatch(/TypeError at .*failure\.test\.ts:\d+:\d+/);
    expect(message).not.toMatch(/[\\/]/);
  });
});
