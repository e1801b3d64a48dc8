// Protected: the ways in which real servers bend the RFCs. For each one a server answers as the real one is documented to, and
// the built binary signs in to it, hands the token out and refreshes it.
//
// A row of a provider of the catalogue runs with its own definition, moved to loopback: without the quirk in its file, or
// without the adapter, the row fails.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import type { Definition, Grant, quirks } from "../src/providers/definition.ts";
import { builtIn, builtInNames } from "../src/providers/lookup.ts";
import { knock, stateOf } from "./hostile/attack.ts";
import {
  jwks,
  metadata,
  type Recorded,
  type Reply,
  signIdToken,
  startHostileServer,
} from "./support/hostile-server.ts";
import { program } from "./support/inside.ts";
import { remember } from "./support/issued.ts";
import { opened, storeAt } from "./support/sealed.ts";
import { type Run, sweep, tempHome } from "./support/spawn.ts";

vi.setConfig({ maxConcurrency: 4, testTimeout: 60_000 });
afterAll(sweep);

const ID = "client-id_of.the~tests";
/** Has what servers encode in different ways. */
const SECRET = "client-secret_of.the-tests";
const CODE = "authorization-code-of-the-tests";
const ACCESS = ["access-token-of-the-code", "access-token-of-the-refresh"];
const REFRESH = ["refresh-token-of-the-code", "refresh-token-of-the-refresh"];
remember(SECRET, CODE, ...ACCESS, ...REFRESH);

type Answer = Record<string, unknown>;

interface Row {
  /** What the server does. */
  does: string;
  /** Of the catalogue; else one that is only known by its address. */
  provider?: string;
  /** Where that is documented, if it is not in RFC 6749. */
  source?: string;
  flow?: Grant;
  scope?: string;
  /** A client without a secret. */
  isPublic?: true;
  /** What the token endpoint answers, one after the other; each is laid over a plain answer. */
  code: Reply | Answer;
  refresh?: Reply | Answer;
  /** Before the last answer of the code. */
  before?: Reply[];
  /** Of the whole run. */
  also?: (seen: Seen) => void;
  /** What is between the server's address and its own issuer, and what is asked for. */
  path?: string;
  slash?: { asked?: string; named?: string };
}

interface Seen {
  auth: URLSearchParams;
  /** To the token endpoint. */
  sent: Recorded[];
  requests: Recorded[];
  /** As it was stored after the login, and after the refresh. */
  records: ReturnType<typeof opened>[];
  login: Run;
}

const isReply = (answer: Reply | Answer): answer is Reply =>
  ["status", "json", "form", "text", "bytes"].some((name) => name in answer);

const plain = (which: 0 | 1, more: Answer): Reply => {
  const all = { access_token: ACCESS[which], token_type: "Bearer", expires_in: 3600, refresh_token: REFRESH[which] };
  return { json: { ...all, ...more } };
};
const answerOf = (which: 0 | 1, answer: Reply | Answer = {}) => (isReply(answer) ? answer : plain(which, answer));

async function run(row: Row): Promise<void> {
  const { provider = "acme", flow = "authorization_code", path = "", slash = {}, before = [] } = row;
  const tokenPath = `${path}/token`;
  const answers = [...before, answerOf(0, row.code)];
  const refreshes = [answerOf(1, row.refresh)];
  const isRefresh = (body: string) => new URLSearchParams(body).get("grant_type") === "refresh_token";
  let nonce: string | null = null;
  const server = await startHostileServer((url) => ({
    [`GET ${path}/.well-known/openid-configuration`]: {
      json: metadata(`${url}${path}`, { issuer: `${url}${path}${slash.named ?? ""}` }),
    },
    [`GET ${path}/jwks`]: { json: jwks() },
    [`POST ${path}/device`]: {
      json: { device_code: CODE, user_code: "WDJB-MJHT", verification_uri: `${url}/go`, expires_in: 600, interval: 1 },
    },
    [`POST ${tokenPath}`]: (_req, _res, body) => {
      const next = (isRefresh(body) ? refreshes : answers).shift() ?? { status: 500, text: "not in the script" };
      return withIdToken(next, nonce);
    },
  }));
  const home = tempHome();
  const env = { CLIENT_SECRET: SECRET };
  try {
    if (row.provider) await move(row.provider, server.url, home);
    const running = program(
      [
        ...["login", provider, "--client-id", ID, "--flow", flow, "--redirect-uri", "http://127.0.0.1/callback"],
        ...(row.provider ? [] : ["--issuer", `${server.url}${path}${slash.asked ?? ""}`]),
        ...(row.isPublic ? [] : ["--client-secret-from", "env:CLIENT_SECRET"]),
        ...(row.scope ? ["--scope", row.scope] : []),
      ],
      { home, env },
    );
    let auth = new URLSearchParams();
    if (flow === "authorization_code") {
      const challenge = await running.next("auth_url");
      auth = new URL(challenge.auth_url as string).searchParams;
      nonce = auth.get("nonce");
      await knock(challenge, { code: CODE, state: stateOf(challenge) });
    }
    const login = await running.done;
    expect(login.code, login.stderr).toBe(0);
    const records = [opened(home, "connection", `default@${provider}`)];

    expect(await token(provider, home)).toMatchObject({
      access_token: ACCESS[0],
      token_type: "bearer",
      refreshed: false,
    });
    if (row.refresh) {
      expect(await token(provider, home, "--refresh")).toMatchObject({ access_token: ACCESS[1], refreshed: true });
      expect(await token(provider, home)).toMatchObject({ access_token: ACCESS[1], refreshed: false });
      records.push(opened(home, "connection", `default@${provider}`));
      expect(refreshes).toEqual([]);
    }
    expect(answers).toEqual([]);
    const sent = server.requests.filter(({ path }) => path === tokenPath);
    row.also?.({ auth, sent, requests: server.requests, records, login });
  } finally {
    await server.close();
  }
}

async function token(provider: string, home: string, ...more: string[]) {
  const { code, stderr, events } = await program(["token", provider, ...more], { home }).done;
  expect(code, stderr).toBe(0);
  return events.at(-1)?.data;
}

/** The catalogue's definition as it is, but for the addresses. */
async function move(provider: string, url: string, home: string): Promise<void> {
  const { variables: _, api_key: __, client_registration: ___, ...rest } = builtIn(provider) as Definition;
  const { issuer, account, api } = rest;
  const names = ["authorization", "token", "device_authorization", "userinfo", "revocation"] as const;
  const at = { device_authorization: "device" } as Record<string, string>;
  const endpoints = Object.fromEntries(names.map((name) => [`${name}_endpoint`, `${url}/${at[name] ?? name}`]));
  const definition: Definition = {
    ...rest,
    ...(issuer && { discovery: false }),
    ...(account && { account: { ...account, endpoint: `${url}/account` } }),
    api: { ...api, hosts: [new URL(url).host] },
    endpoints: { ...endpoints, jwks_uri: `${url}/jwks` },
  };
  mkdirSync(join(home, "definitions"), { recursive: true, mode: 0o700 });
  writeFileSync(join(home, "definitions", `${provider}.json`), JSON.stringify(definition), { mode: 0o600 });
}

const withIdToken = (reply: Reply, nonce: string | null): Reply => {
  const { id_token: claims, ...json } = (reply.json ?? {}) as Answer;
  if (!claims) return reply;
  const now = Math.floor(Date.now() / 1000);
  const own = { sub: "782bbtaQ", aud: ID, iat: now, exp: now + 3600, ...(nonce && { nonce }) };
  return { ...reply, json: { ...json, id_token: signIdToken({ ...own, ...(claims as object) }) } };
};

/** What a request showed as HTTP Basic, not decoded further. */
const basicOf = ({ headers }: Recorded) =>
  Buffer.from(headers.authorization?.replace(/^Basic /, "") ?? "", "base64").toString();
const form = (fields: Record<string, string>): Reply => ({ form: fields });
const left = ({ expires_at }: ReturnType<typeof opened>) => (Date.parse(expires_at) - Date.now()) / 1000;

const everybody: Row[] = [
  {
    does: "answers in form encoding (GitHub, unless asked for JSON)",
    code: form({
      access_token: ACCESS[0] as string,
      token_type: "bearer",
      scope: "repo,gist",
      refresh_token: REFRESH[0] as string,
    }),
    refresh: form({ access_token: ACCESS[1] as string, token_type: "bearer", expires_in: "28800" }),
    also: ({ records: [login, refreshed] }) => {
      expect(login).toMatchObject({ scope: "repo gist", secrets: { refresh_token: REFRESH[0] } });
      expect(left(refreshed as never)).toBeGreaterThan(28_000);
    },
  },
  {
    does: "says no end (GitHub's classic apps)",
    code: { expires_in: undefined },
    refresh: { expires_in: undefined },
    also: ({ records }) => {
      for (const record of records) expect(record).not.toHaveProperty("expires_at");
    },
  },
  {
    does: "says the end as a string (Naver)",
    code: { expires_in: "3600" },
    refresh: { expires_in: "7200" },
    also: ({ records: [login, refreshed] }) => {
      expect(left(login as never)).toBeGreaterThan(3500);
      expect(left(refreshed as never)).toBeGreaterThan(7100);
    },
  },
  { does: "writes token_type in lower case", code: { token_type: "bearer" }, refresh: { token_type: "bearer" } },
  { does: "writes token_type in capitals", code: { token_type: "BEARER" }, refresh: { token_type: "BeArEr" } },
  {
    does: "never replaces the refresh token",
    code: {},
    refresh: { refresh_token: undefined },
    also: ({ sent, records }) => {
      expect(sent.at(-1)?.form.get("refresh_token")).toBe(REFRESH[0]);
      expect(records.at(-1)?.secrets).toMatchObject({ refresh_token: REFRESH[0] });
    },
  },
  { does: "has a path in its issuer", path: "/tenant/v2", code: {}, refresh: {} },
  { does: "ends its issuer in a slash, which nobody typed", slash: { named: "/" }, code: {}, refresh: {} },
  { does: "ends its issuer in no slash, though one was typed", slash: { asked: "/" }, code: {}, refresh: {} },
  { does: "ends its issuer in a slash behind a path", path: "/tenant", slash: { named: "/" }, code: {}, refresh: {} },
  {
    does: "says that it has to wait under HTTP 200 (GitHub)",
    flow: "device_code",
    before: [{ json: { error: "authorization_pending" } }],
    code: {},
    refresh: {},
  },
  {
    does: "sends scopes as a list (Twitch)",
    code: { scope: ["chat:read", "chat:edit"] },
    refresh: { scope: ["chat:read"] },
    also: ({ records }) => expect(records.map(({ scope }) => scope)).toEqual(["chat:read chat:edit", "chat:read"]),
  },
  {
    does: "decodes nothing of HTTP Basic (Notion, Zoom, Airtable, X)",
    source: "https://github.com/panva/oauth4webapi/issues/148",
    code: {},
    refresh: {},
    also: ({ sent }) => {
      for (const request of sent) expect(basicOf(request)).toBe(`${ID.replace("~", "%7E")}:${SECRET}`);
    },
  },
];

/** By the name in the definition. */
const named: Record<(typeof quirks)[number], Row[]> = {
  issuer_per_tenant: [
    {
      does: "names the tenant in the ID token",
      provider: "microsoft",
      scope: "openid",
      code: { id_token: tenant("9188040d-6c67-4c5b-b112-36a304b66dad") },
      refresh: { id_token: undefined },
    },
  ],
  no_nonce: [
    {
      does: "leaves the nonce out of the ID token, and writes commas where it wants spaces",
      provider: "linkedin",
      source: "https://github.com/linkedin-developers/linkedin-api-js-client/issues/34",
      code: { scope: "email,openid,profile", id_token: { iss: "https://www.linkedin.com/oauth", nonce: undefined } },
      also: ({ auth, records }) => {
        expect(auth.has("nonce")).toBe(false);
        expect(auth.get("scope")).toBe("openid profile email");
        expect(records[0]).toMatchObject({ scope: "email openid profile", subject: "782bbtaQ" });
      },
    },
  ],
  no_pkce: [
    {
      does: "takes no code_verifier beside a secret",
      provider: "linkedin",
      source: "https://github.com/UsefulSoftwareCo/executor/issues/2087",
      code: { id_token: { iss: "https://www.linkedin.com/oauth" } },
      also: ({ auth, sent }) => {
        expect([...auth.keys()].filter((name) => name.startsWith("code_"))).toEqual([]);
        expect(sent[0]?.form.has("code_verifier")).toBe(false);
      },
    },
  ],
  basic_without_secret: [
    {
      does: "wants HTTP Basic with an empty password of an installed app",
      provider: "reddit",
      source: "https://github.com/reddit-archive/reddit/wiki/OAuth2",
      isPublic: true,
      code: {},
      refresh: { refresh_token: undefined },
      also: ({ sent }) => {
        for (const request of sent) expect(basicOf(request)).toBe(`${ID.replace("~", "%7E")}:`);
        expect(sent.length).toBe(2);
      },
    },
  ],
  no_token_type: [
    {
      does: "says neither how the token is used nor when it ends",
      provider: "mailchimp",
      source: "https://mailchimp.com/developer/marketing/guides/access-user-data-oauth-2/",
      code: { json: { access_token: ACCESS[0], expires_in: 0, scope: null } },
      also: ({ records }) => expect(records[0]).not.toHaveProperty("expires_at"),
    },
    {
      does: "says not how the token is used",
      provider: "shopify",
      source: "https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/client-credentials-grant",
      flow: "client_credentials",
      scope: "read_products write_orders",
      code: { json: { access_token: ACCESS[0], scope: "read_products,write_orders", expires_in: 86_399 } },
      also: ({ sent, records }) => {
        expect(sent[0]?.form.get("scope")).toBe("read_products,write_orders");
        expect(records[0]).toMatchObject({ scope: "read_products write_orders" });
      },
    },
  ],
  token_in_authed_user: [
    {
      does: "has the token of a person in authed_user",
      provider: "slack",
      source: "https://docs.slack.dev/reference/methods/oauth.v2.access",
      scope: "users:read chat:write",
      code: {
        json: {
          ok: true,
          app_id: "A0KRD7HC3",
          authed_user: {
            id: "U1234",
            scope: "chat:write,users:read",
            access_token: ACCESS[0],
            token_type: "user",
            refresh_token: REFRESH[0],
            expires_in: 43_200,
          },
          team: { id: "T9TK3CUKW", name: "Slack Pickleball Team" },
          enterprise: null,
        },
      },
      refresh: { ok: true, token_type: "user" },
      also: ({ auth, records }) => {
        expect(auth.get("scope")).toBe("users:read,chat:write");
        expect(records[0]).toMatchObject({ scope: "chat:write users:read", secrets: { refresh_token: REFRESH[0] } });
        expect(left(records[0] as never)).toBeGreaterThan(43_000);
      },
    },
  ],
  commas_between_scopes: ["strava", "todoist", "zoho", "pinterest", "linear", "slack", "shopify"].map(
    (provider): Row => ({
      does: "wants commas between scopes",
      provider,
      scope: "one two",
      code: { scope: "one,two" },
      also: ({ auth, records }) => {
        expect(auth.get("scope")).toBe("one,two");
        expect(records[0]).toMatchObject({ scope: "one two", requested_scope: "one two" });
      },
    }),
  ),
  scopes_parameter: [
    {
      does: "calls the scope by another name",
      provider: "twitch",
      source: "https://dev.twitch.tv/docs/authentication/getting-tokens-oauth/#device-code-grant-flow",
      flow: "device_code",
      isPublic: true,
      scope: "chat:read chat:edit",
      code: { scope: ["chat:read", "chat:edit"], token_type: "bearer" },
      refresh: { scope: ["chat:read", "chat:edit"], token_type: "bearer" },
      also: ({ requests }) => {
        const device = requests.find(({ path }) => path === "/device");
        expect(device?.form.get("scopes")).toBe("chat:read chat:edit");
      },
    },
  ],
  error_in_message: [
    {
      does: "says in message that it has to wait",
      provider: "twitch",
      source: "https://dev.twitch.tv/docs/authentication/getting-tokens-oauth/#device-code-grant-flow",
      flow: "device_code",
      isPublic: true,
      scope: "chat:read",
      before: [{ status: 400, json: { status: 400, message: "authorization_pending" } }],
      code: {},
    },
  ],
};

function tenant(tid: string) {
  return { tid, iss: `https://login.microsoftonline.com/${tid}/v2.0` };
}

describe("put up with from everybody: a server that", () => {
  test.concurrent.each(everybody)("$does", run);
});

describe.each(Object.entries(named))("%s: a server that", (quirk, rows) => {
  test.concurrent.each(rows)("$does ($provider)", run);

  test("stands in the definitions that these rows are of, and in no others", () => {
    const having = builtInNames().filter((name) => builtIn(name)?.quirks?.includes(quirk as never));
    expect(having).toEqual([...new Set(rows.map(({ provider }) => provider))].sort());
    const told = readFileSync(new URL("../docs/quirks.md", import.meta.url), "utf8");
    expect(told).toMatch(new RegExp(`^\\| \`${quirk}\` \\| .* \\| ${having.join(", ")} \\|$`, "m"));
  });
});

test("a client without a secret keeps its PKCE, whatever the definition says", async () => {
  const also = ({ auth, sent }: Seen) => {
    expect(auth.get("code_challenge_method")).toBe("S256");
    expect(sent[0]?.form.has("code_verifier")).toBe(true);
  };
  const code = { id_token: { iss: "https://www.linkedin.com/oauth" } };
  await run({ does: "has no secret", provider: "linkedin", isPublic: true, code, also });
});

describe("an error that is none of RFC 6749 costs neither the refresh token nor a token that is still good", () => {
  const HTML = { headers: { "content-type": "text/html" }, text: "<html><h1>Bad Request</h1></html>" };
  const errors: [string, Reply][] = [
    ["400 with an empty body", { status: 400 }],
    ["401 with an empty body", { status: 401 }],
    ["400 in HTML", { status: 400, ...HTML }],
    ["403 in HTML", { status: 403, ...HTML }],
    ["200 in HTML", { status: 200, ...HTML }],
  ];
  test.concurrent.each(errors)("%s", async (_, error) => {
    await withCredential([error, plain(1, {})], async (home) => {
      const { stdout, stderr, events } = await program(["token", "acme", "--refresh"], { home }).done;
      expect(events.at(-1)?.error?.code).toBe("provider");
      expect(`${stdout}${stderr}`).not.toContain("<h1>");
      expect(await token("acme", home)).toMatchObject({ access_token: ACCESS[0] });
      expect(await token("acme", home, "--refresh")).toMatchObject({ access_token: ACCESS[1] });
    });
  });

  test("502 in HTML, which passes: it is asked again", async () => {
    await withCredential([{ status: 502, ...HTML }, plain(1, {})], async (home) => {
      expect(await token("acme", home, "--refresh")).toMatchObject({ access_token: ACCESS[1] });
    });
  });
});

describe("a refresh token is dead, in whatever words", () => {
  const words: [string, Reply][] = [
    ["GitHub's, under HTTP 200", { json: { error: "bad_refresh_token", error_description: "It is incorrect." } }],
    ["Slack's, under HTTP 200", { json: { ok: false, error: "invalid_refresh_token" } }],
    ["Google's", { status: 400, json: { error: "invalid_grant", error_description: "Token has been revoked." } }],
  ];
  test.concurrent.each(words)("%s", async (_, answer) => {
    await withCredential([answer], async (home) => {
      const { code, events } = await program(["token", "acme", "--refresh"], { home }).done;
      expect({ code, error: events.at(-1)?.error?.code }).toEqual({ code: 4, error: "auth_expired" });
    });
  });

  test("Twitch's, which is said in a message", async () => {
    const message = { status: 400, json: { error: "Bad Request", status: 400, message: "Invalid refresh token" } };
    await withCredential(
      [message],
      async (home) => {
        const { code, events } = await program(["token", "twitch", "--refresh"], { home }).done;
        expect({ code, error: events.at(-1)?.error?.code }).toEqual({ code: 4, error: "auth_expired" });
      },
      { provider: "twitch", quirks: builtIn("twitch")?.quirks },
    );
  });
});

/** A home that is signed in, at a server whose token endpoint answers so, one after the other. */
async function withCredential(
  script: Reply[],
  body: (home: string) => Promise<void>,
  more: { provider?: string; quirks?: Definition["quirks"] } = {},
): Promise<void> {
  const server = await startHostileServer({ "POST /token": script });
  const home = tempHome();
  try {
    const store = storeAt(home);
    await store.prepare();
    const now = new Date().toISOString();
    await store.keep({
      v: 1,
      provider: "acme",
      connection: "default",
      flow: "authorization_code",
      server: { issuer: server.url, token_endpoint: `${server.url}/token` },
      client: { client_id: ID, token_endpoint_auth_method: "none" },
      token_type: "bearer",
      created_at: now,
      updated_at: now,
      expires_at: new Date(Date.now() + 3600_000).toISOString(),
      refreshable: true,
      ...more,
      secrets: { access_token: ACCESS[0], refresh_token: REFRESH[0] },
    });
    await body(home);
    expect(server.unused()).toEqual([]);
  } finally {
    await server.close();
  }
}
