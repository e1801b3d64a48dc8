/**
 * Whatever a flow may put to the stream, for property tests: what it should, what it should not, and what nobody would.
 *
 * Rules: a SECRET is planted only where nothing may show it; what is well-formed is so by the contract, not by src's types.
 */
import fc from "fast-check";
import { codes, Failure } from "../../src/protocol/failure.ts";

/** In undeclared fields, in causes, in the messages of other people's errors. */
export const SECRET = "s3cret-8Zq1vT0aLxK2";
/** What `token` may show, in one place. */
export const TOKEN = "access-5hYw9RkD3mNc";

// --- values ----------------------------------------------------------------------------------------------------------

const nasty = fc.constantFrom(
  "\u001b[2J\u001b]0;title\u0007",
  "line\r\nbreak\u2028\u2029\u0085",
  "\u202eright to left\u202c \u2066isolated\u2069",
  "half \ud800 a pair \udc00",
  "nul \u0000 tag \u{e0041} zero\u200bwidth",
  '"'.repeat(5000),
  "\\".repeat(3000),
  "長".repeat(3000),
  "👩‍👩‍👧".repeat(700),
  "x".repeat(100_000),
);
/** Any text, an empty one and half a character included. */
export const wild: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: fc.string() },
  { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 60 }) },
  { weight: 2, arbitrary: nasty },
  { weight: 1, arbitrary: fc.tuple(nasty, fc.string(), nasty).map((parts) => parts.join("")) },
);
const some = wild.map((text) => text || "?");
const name = fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,20}$/);
const url = fc.webUrl({ withQueryParameters: true, withFragments: true });
const time = fc
  .date({ min: new Date("1970-01-01"), max: new Date("9999-12-31T23:59:59.999Z"), noInvalidDate: true })
  .map((date) => date.toISOString());
const whole = fc.nat();
const seconds = fc.oneof(fc.nat(), fc.double({ min: 0, max: 1e9, noNaN: true }));
/** As many as a command ever has: beyond that, one line cannot be promised. */
const FEW = { maxLength: 1 };
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const next_actions = fc.array(
  fc.record({
    id: name,
    argv: fc.array(name, { maxLength: 5 }).map((words) => ["authline", ...words]),
    description: some,
  }),
  FEW,
);
const warnings = fc.array(fc.record({ code: name, message: some }), FEW);

/** An object as it is, or without what is undefined: both are ways to leave a field out. */
const pruned = <T extends object>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.tuple(arbitrary, fc.boolean()).map(([value, prune]) => {
    if (!prune) return value;
    return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T;
  });

// --- notices ---------------------------------------------------------------------------------------------------------

const progress = pruned(
  fc.record({
    phase: fc.constant("progress"),
    message: some,
    step: fc.constantFrom("discover", "authorize", "await_user", "exchange", "store", "revoke"),
    state: fc.constantFrom("started", "waiting", "retrying", "done", "skipped", "failed"),
    attempt: optional(whole),
    retry_in: optional(seconds),
    remaining: optional(whole),
    reason: optional(some),
  }),
);

const authUrl = fc.record({
  phase: fc.constant("auth_url"),
  message: some,
  provider: name,
  connection: name,
  auth_url: url,
  redirect_uri: url,
  reach: fc.constantFrom("this_host", "anywhere"),
  expires_at: time,
  expires_in: whole,
  browser_opened: fc.boolean(),
  next_actions,
});

const deviceCode = pruned(
  fc.record({
    phase: fc.constant("device_code"),
    message: some,
    provider: name,
    connection: name,
    user_code: some,
    verification_uri: url,
    verification_uri_complete: optional(url),
    expires_at: time,
    expires_in: whole,
    interval: seconds,
    next_actions,
  }),
);

export const notices = { progress, auth_url: authUrl, device_code: deviceCode };
export const goodNotice: fc.Arbitrary<object> = fc.oneof(progress, authUrl, deviceCode);

/** Fields that no line declares, with what must not get out, and stamps that are not a flow's to give. */
const contraband = {
  access_token: SECRET,
  refresh_token: SECRET,
  device_code: SECRET,
  code_verifier: SECRET,
  cause: { message: SECRET },
  v: 2,
  seq: 4711,
  time: "yesterday",
  command: SECRET,
  duration_ms: -1,
};
const laden = (arbitrary: fc.Arbitrary<object>): fc.Arbitrary<object> =>
  arbitrary.map((value) => ({ ...value, ...contraband }));

/** For the report of a failure: what cannot be printed without harm gets a name. */
const called = <T extends object>(label: string, value: T): T =>
  Object.defineProperty(value, fc.toStringMethod, { value: () => `(${label})` });

/** Throws when it is read. */
const trapped = <T extends object>(field: string, value: T): T =>
  Object.defineProperty(called(`a trap at ${field}`, value), field, {
    enumerable: true,
    get() {
      throw new Error(SECRET);
    },
  });
const trap = (field: string): object =>
  trapped(field, { phase: "progress", message: "A trap.", step: "store", state: "done" });

/** A good one with one field taken away or exchanged for anything. */
const broken = (arbitrary: fc.Arbitrary<object>): fc.Arbitrary<object> =>
  fc
    .tuple(arbitrary, fc.nat(), fc.option(fc.anything({ withBigInt: true, withDate: true }), { nil: undefined }))
    .map(([value, pick, other]) => {
      const fields = Object.keys(value);
      const field = fields[pick % fields.length] as string;
      const { [field]: _, ...rest } = value as Record<string, unknown>;
      return other === undefined ? rest : { ...rest, [field]: other };
    });

export const badNotice: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: broken(goodNotice) },
  { weight: 1, arbitrary: fc.anything() },
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>(
      undefined,
      null,
      { phase: SECRET },
      { phase: "__proto__" },
      { phase: { toString: () => SECRET } },
      { phase: "result", status: "success", message: "Done.", exit_code: 0, warnings: [], next_actions: [], data: {} },
      { phase: "progress", message: "", step: "store", state: "done" },
      { phase: "progress", message: "Sooner.", step: "store", state: "retrying", retry_in: -1 },
      { phase: "progress", message: "Whose?", step: "store", state: "done", [SECRET]: SECRET },
    ),
  },
  { weight: 1, arbitrary: fc.constantFrom("phase", "message", "step", "reason").map(trap) },
);

/** What a flow may yield, and what it may not. */
export const anyNotice: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 8, arbitrary: goodNotice },
  { weight: 3, arbitrary: laden(goodNotice) },
  { weight: 1, arbitrary: badNotice },
);

// --- endings ---------------------------------------------------------------------------------------------------------

const status = fc.constantFrom("pending", "connected", "expired", "revoked", "absent");
const data = {
  login: pruned(
    fc.record({
      provider: name,
      connection: name,
      record_status: status,
      scope: optional(wild),
      expires_at: optional(time),
      account: optional(wild),
    }),
  ),
  token: pruned(
    fc.record({
      provider: name,
      connection: name,
      access_token: fc.constant(TOKEN),
      token_type: some,
      header: fc.record({ name: some, prefix: wild }),
      scope: optional(wild),
      expires_in: optional(fc.nat()),
      refreshed: fc.boolean(),
      source: fc.constantFrom("store", "env"),
    }),
  ),
  import: fc.record({
    taken: fc.array(pruned(fc.record({ provider: name, connection: name, variable: name, account: optional(wild) }))),
    skipped: fc.array(fc.record({ variable: name, provider: name, reason: name, message: wild })),
  }),
  status: fc.record({
    connections: fc.array(
      pruned(
        fc.record({
          provider: some, // of a record that cannot be read: the name of a file
          connection: some,
          record_status: status,
          scope: optional(wild),
          account: optional(wild),
          problem: optional(wild),
        }),
      ),
      { maxLength: 4 },
    ),
  }),
  version: fc.record({ version: fc.string(), contract: fc.constant(1), node: fc.string() }),
};
export type TestedKind = keyof typeof data;
export const kinds = Object.keys(data) as TestedKind[];

export const goodOutcome = (kind: TestedKind): fc.Arbitrary<object> =>
  fc
    .record({ message: some, data: data[kind], warnings: optional(warnings), next_actions: optional(next_actions) })
    .map(({ warnings, next_actions, ...outcome }) => ({
      ...outcome,
      ...(warnings && { warnings }),
      ...(next_actions && { next_actions }),
    }));

const badOutcome = (kind: TestedKind): fc.Arbitrary<unknown> =>
  fc.oneof(
    fc.anything(),
    broken(goodOutcome(kind)),
    goodOutcome(kind).map((outcome) => ({ ...outcome, status: SECRET })),
    goodOutcome(kind).map((outcome) => ({ ...outcome, kind: SECRET })),
    goodOutcome(kind).map((outcome) => ({ ...outcome, data: trapped("provider", {}) })),
  );

export const anyOutcome = (kind: TestedKind): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 6, arbitrary: goodOutcome(kind) },
    {
      weight: 2,
      arbitrary: goodOutcome(kind).map((outcome) => ({
        ...outcome,
        ...contraband,
        data: { ...contraband, ...(outcome as { data: object }).data },
      })),
    },
    { weight: 1, arbitrary: badOutcome(kind) },
  );

const failure: fc.Arbitrary<Failure> = fc
  .record({
    code: fc.constantFrom(...(Object.keys(codes) as (keyof typeof codes)[])),
    message: wild,
    details: pruned(
      fc.record({
        hint: optional(some),
        retryable: optional(fc.boolean()),
        retry_after: optional(fc.oneof(seconds, fc.constantFrom(-1, Number.NaN, Number.POSITIVE_INFINITY))),
        oauth_error: optional(wild),
        oauth_error_description: optional(wild),
        http_status: optional(fc.integer({ min: 100, max: 599 })),
        next_actions: optional(next_actions),
        cause: fc.constant({ message: SECRET }),
      }),
    ),
  })
  .map(({ code, message, details }) => new Failure(code, message, details));

/** Other people's errors quote what they choked on. */
const foreign: fc.Arbitrary<unknown> = fc
  .constantFrom<() => unknown>(
    () => new Error(SECRET),
    () => new TypeError(`cannot read ${SECRET}`, { cause: new Error(SECRET) }),
    () => new Error(`two lines\n    at ${SECRET}`),
    () => Object.assign(new Error("x"), { stack: 42 }),
    () => Object.assign(new Error("x"), { stack: undefined }),
    () => Object.assign(new Error("x"), { name: "\u001b[31mRed" }),
    () => called("an error named by a symbol", Object.assign(new Error("x"), { name: Symbol("name") })),
    () => trapped("stack", new Error("x")),
    () => trapped("name", new Error("x")),
    () => new AggregateError([new Error(SECRET)], SECRET),
    () => new DOMException(SECRET, "AbortError"),
    () => SECRET,
    () => undefined,
    () => null,
    () => Symbol(SECRET),
    () => ({ message: SECRET, code: "denied" }),
    () => Object.create(null),
  )
  .map((make) => make());

export const anyThrown: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: failure },
  { weight: 3, arbitrary: foreign },
  { weight: 1, arbitrary: fc.anything() },
);

/** fast-check's own report, less the hundreds of kilobytes that a counterexample may have. */
export function reporter<T>(details: fc.RunDetails<T>): void {
  if (!details.failed) return;
  const report = String(fc.defaultReportMessage(details)).replaceAll(/(.{1,12}?)\1{20,}/gu, "$1$1…");
  throw new Error(report.slice(0, 6000), { cause: details.errorInstance });
}
