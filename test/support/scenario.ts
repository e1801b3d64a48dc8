/**
 * What a scenario.json may say, and what it need not say because it is always the same.
 *
 * Rules:
 * - A word that is not listed here is an error: a misspelt expectation would be one that never fails.
 * - The server is https://login.acme.example and has every endpoint; a scenario names what is different.
 * - A path that begins with "/" is one of that server.
 */
import * as z from "zod/mini";
import type { Connection, Learned, Refreshing } from "../../src/store/record.ts";

export const ISSUER = "https://login.acme.example";

/** When every scenario begins. */
export const START = Date.parse("2026-03-01T12:00:00.000Z");

export const METADATA: Readonly<Record<string, unknown>> = {
  issuer: ISSUER,
  authorization_endpoint: `${ISSUER}/authorize`,
  token_endpoint: `${ISSUER}/token`,
  device_authorization_endpoint: `${ISSUER}/device`,
  revocation_endpoint: `${ISSUER}/revoke`,
  jwks_uri: `${ISSUER}/jwks`,
  token_endpoint_auth_methods_supported: ["none", "client_secret_basic", "client_secret_post"],
};

const Strings = z.record(z.string(), z.string());
const Values = z.record(z.string(), z.unknown());

const Reply = z.strictObject({
  status: z.optional(z.int()),
  headers: z.optional(Strings),
  /** One of these is the body. `id_token` may be `{ "claims": …, "signed_with": "another key" }`. */
  json: z.optional(z.unknown()),
  form: z.optional(Strings),
  text: z.optional(z.string()),
});
export type Reply = z.infer<typeof Reply>;

/** The claims that differ from those of a good ID token; null takes one away. */
export const IdToken = z.strictObject({
  claims: z.optional(Values),
  signed_with: z.optional(z.literal("another key")),
});

const Exchange = z.strictObject({
  /** "POST /token" */
  request: z.string().check(z.regex(/^(GET|POST) (\/|https:\/\/)\S*$/)),
  /** All that the form holds; "*" for a value that is random. */
  form: z.optional(Strings),
  /** Some of the headers. */
  headers: z.optional(Strings),
  reply: z.optional(Reply),
  /** The code of the error that the connection fails with. */
  fault: z.optional(z.string()),
  /** How often in a row; once unless told. */
  times: z.optional(z.int().check(z.positive())),
  /** Seconds that the answer takes; a tenth unless told. */
  takes: z.optional(z.number()),
});
export type Exchange = z.infer<typeof Exchange>;

/** Exchanges that many scenarios share, called by name: "pending", or "pending x4" for four in a row. */
const COMMON: Record<string, Exchange> = {
  discovery: { request: "GET /.well-known/openid-configuration", reply: { json: METADATA } },
  jwks: { request: "GET /jwks", reply: { json: "{jwks}" } },
  device_code: {
    request: "POST /device",
    reply: {
      json: {
        device_code: "device-4wQ8yN",
        user_code: "WDJB-MJHT",
        verification_uri: `${ISSUER}/activate`,
        verification_uri_complete: `${ISSUER}/activate?user_code=WDJB-MJHT`,
        expires_in: 900,
        interval: 5,
      },
    },
  },
  pending: {
    request: "POST /token",
    form: {
      client_id: "cli",
      grant_type: "urn:ietf:params:oauth:grant-type:device_code",
      device_code: "device-4wQ8yN",
    },
    reply: { status: 400, json: { error: "authorization_pending" } },
  },
};
const Common = z.string().check(z.regex(new RegExp(`^(${Object.keys(COMMON).join("|")})( x\\d+)?$`)));

const Arrival = z.strictObject({
  /** Seconds after the one before, or after the listener was bound. */
  after: z.number(),
  /** The query of a callback; "{state}" is the one in the auth_url. */
  callback: z.optional(Strings),
  /** What it must be answered with. */
  answered: z.optional(z.enum(["signed_in", "denied", "failed", "refused"])),
  stray: z.optional(z.enum(["wrong_host", "wrong_path", "wrong_method"])),
});
export type Arrival = z.infer<typeof Arrival>;

const Unreadable = z.strictObject({ provider: z.string(), connection: z.string(), problem: z.string() });

export const Scenario = z.strictObject({
  /** What it shows. */
  about: z.string(),
  argv: z.array(z.string()),
  env: z.optional(Strings),
  stdin: z.optional(z.string()),
  /** What shell commands print. */
  execute: z.optional(Strings),
  browser: z.optional(
    z.strictObject({ reaches_this_host: z.boolean(), welcome: z.boolean(), opens: z.optional(z.boolean()) }),
  ),
  /** Records before; only what differs from a device login at the server that ended well. */
  stored: z.optional(z.array(z.union([Unreadable, Values]))),
  learned: z.optional(z.array(Values)),
  /** What somebody has added to the catalogue. */
  definitions: z.optional(z.array(z.looseObject({ name: z.string() }))),
  /** The connections of acme whose refresh was cut off before: the answer to it may be lost. */
  cut_off: z.optional(z.array(z.string())),
  exchanges: z.optional(z.array(z.union([Common, Exchange]))),
  arrivals: z.optional(z.array(Arrival)),
  /** Seconds after the start. */
  aborted: z.optional(z.strictObject({ after: z.number(), by: z.enum(["SIGINT", "SIGTERM", "SIGHUP"]) })),
  exit: z.int(),
  /** Records after, as far as they matter (`secrets` to the last one); unless told, nothing may have changed. */
  kept: z.optional(z.array(Values)),
  /** The same for what is remembered of providers. */
  taught: z.optional(z.array(Values)),
  /** The connections whose last refresh may have been answered without our knowing; none unless told. */
  left_open: z.optional(z.array(z.string())),
});
export type Scenario = z.infer<typeof Scenario>;

/** Every exchange of a scenario, one by one. */
export const exchangesOf = ({ exchanges = [] }: Scenario): Exchange[] =>
  exchanges.flatMap((each) => {
    const [name, times] = typeof each === "string" ? each.split(" x") : [];
    const exchange = name === undefined ? (each as Exchange) : (COMMON[name] as Exchange);
    return Array.from({ length: Number(times ?? exchange.times ?? 1) }, () => exchange);
  });

export type Unreadable = z.infer<typeof Unreadable>;

export function storedIn({ stored = [] }: Scenario): (Connection | Unreadable)[] {
  return stored.map((record) =>
    "problem" in record ? (record as Unreadable) : (complete(record) as unknown as Connection),
  );
}

const complete = (record: Record<string, unknown>) => ({
  v: 1,
  provider: "acme",
  connection: "default",
  flow: "device_code",
  // A key comes from no server.
  ...(record["flow"] !== "api_key" && {
    server: METADATA,
    client: { client_id: "cli", token_endpoint_auth_method: "none" },
  }),
  token_type: "bearer",
  created_at: "2026-02-01T09:00:00.000Z",
  updated_at: "2026-02-28T17:30:00.000Z",
  refreshable: Object.hasOwn((record["secrets"] as object | undefined) ?? {}, "refresh_token"),
  secrets: {},
  ...record,
});

export const begunIn = ({ cut_off = [], ...scenario }: Scenario): Refreshing[] =>
  cut_off.flatMap((name) =>
    storedIn(scenario).flatMap((record) => {
      if ("problem" in record || record.connection !== name) return [];
      const { provider, connection, updated_at } = record;
      return [{ v: 1, provider, connection, updated_at, begun_at: "2026-03-01T11:58:00.000Z" }];
    }),
  );

export const learnedIn = ({ learned = [] }: Scenario): Learned[] =>
  learned.map((each) => ({ v: 1, provider: "acme", definition: { issuer: ISSUER }, secrets: {}, ...each }) as Learned);
