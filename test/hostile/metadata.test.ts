// Protected: what a server says about itself is believed only as far as it is what it must be. Wrong issuers, endpoints that
// are no https URLs, documents that are no documents: each ends the login before anything is sent anywhere, nothing opened.

import { afterAll, describe, expect, test } from "vitest";
import { type Routes, raw } from "../support/hostile-server.ts";
import { sweep } from "../support/spawn.ts";
import { type Attack, document, judge, login, POISON, server, stored, suffer } from "./attack.ts";

afterAll(sweep);

const OIDC = "GET /.well-known/openid-configuration";
const OAUTH = "GET /.well-known/oauth-authorization-server";
const at = (reply: Routes[string]): Routes => ({ [OIDC]: reply });
const deep = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;
const json = (body: string) => ({ headers: { "content-type": "application/json" }, bytes: Buffer.from(body) });

/** Nobody but the metadata was asked, and nobody was sent anywhere. */
const nothingAsked: Attack["also"] = (run, { requests }) => {
  expect(requests.filter(({ path }) => !path.includes("/.well-known/")).map(({ path }) => path)).toEqual([]);
  expect(run.events.filter(({ phase }) => phase === "auth_url" || phase === "device_code")).toEqual([]);
};

describe.concurrent("the issuer in the metadata", () => {
  const rows: [issuer: unknown, Partial<Attack>?][] = [
    ["https://accounts.google.com", { says: /names another issuer: https:\/\/accounts\.google\.com/ }],
    ["not a URL"],
    ["javascript:alert(1)"],
    [POISON, { hidden: ["\u001b", "\u202e"] }],
    [undefined],
    [""],
    [5],
    [null],
    [["https://accounts.google.com"]],
    [{ toString: null, valueOf: null }],
  ];
  test.each(rows)("%j ends it", (issuer, more) =>
    suffer({ does: "lies", metadata: { issuer }, ends: "provider", also: nothingAsked, ...more }),
  );

  // The URL parser drops these, so that an equal URL is not an equal string.
  test.each(["\u001b", "\n", "\t", " "])("with %j around it is another issuer", (character) =>
    suffer({
      does: "hides a character",
      metadata: (url) => ({ issuer: `${character}${url}${character}` }),
      ends: "provider",
      also: nothingAsked,
    }),
  );
});

describe.concurrent("the document", () => {
  const rows: Attack[] = [
    { does: "is text", routes: at({ text: "hello" }), ends: "provider" },
    {
      does: "is HTML",
      routes: at({ ...json("<html>x</html>"), headers: { "content-type": "text/html" } }),
      ends: "provider",
      hidden: ["<html"],
    },
    { does: "is not the JSON it says", routes: at(json("{")), ends: "provider" },
    { does: "is empty", routes: at(json("")), ends: "provider" },
    { does: "is an array", routes: at({ json: [document("https://example.com")] }), ends: "provider" },
    { does: "is null", routes: at({ json: null }), ends: "provider" },
    { does: "is a string", routes: at({ json: "metadata" }), ends: "provider" },
    { does: "is an empty object", routes: at({ json: {} }), ends: "provider" },
    { does: "is nested 200,000 deep", routes: at(json(deep(200_000))), ends: "provider" },
    {
      does: "hides a tower beside an error",
      routes: at(json(`{"error":"x","tower":${deep(200_000)}}`)),
      ends: "provider",
    },
    { does: "is two megabytes", routes: at({ json: { padding: "x".repeat(2 << 20) } }), ends: "provider" },
    { does: "is an error", routes: at({ json: { error: "nope", error_description: POISON } }), ends: "provider" },
    { does: "is without content", routes: at({ status: 204 }), ends: "provider" },
    {
      does: "is forbidden",
      routes: at({ status: 403, text: "<html>no</html>" }),
      ends: "provider",
      hidden: ["<html"],
    },
    {
      does: "has a status that does not exist",
      routes: at(raw("HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n")),
      ends: "provider",
    },
    {
      does: "has a status text with an escape",
      routes: at(raw("HTTP/1.1 403 \u001b[31mX\r\ncontent-length: 0\r\n\r\n")),
      ends: "provider",
    },
    { does: "is not HTTP", routes: at(raw("SSH-2.0-OpenSSH_9.6\r\n")), ends: "network" },
    { does: "is nowhere", routes: at({ status: 404 }), ends: "config", says: /publishes no metadata/ },
  ];
  test.each(rows)("$does: $ends", (row) => suffer({ also: nothingAsked, options: { timeoutMs: 30_000 }, ...row }));

  test("is found under the RFC 8414 name where the OpenID one is missing", () =>
    suffer({
      does: "is plain OAuth",
      routes: (url) => ({ [OIDC]: { status: 404 }, [OAUTH]: { json: document(url) } }),
      ends: "success",
    }));

  test.each([
    ["OpenID", "GET /tenant/.well-known/openid-configuration"],
    ["RFC 8414", "GET /.well-known/oauth-authorization-server/tenant"],
  ])("of an issuer with a path is found where %s has it", (_, route) =>
    suffer({
      does: "has tenants",
      issuer: "/tenant",
      routes: (url) => ({ [route]: { json: document(`${url}/tenant`, { token_endpoint: `${url}/token` }) } }),
      ends: "success",
    }),
  );

  test("of an issuer with a path must not name the issuer without it", () =>
    suffer({
      does: "answers for its parent",
      issuer: "/tenant",
      routes: (url) => ({ "GET /tenant/.well-known/openid-configuration": { json: document(url) } }),
      ends: "provider",
      also: nothingAsked,
    }));

  test.each([
    ["", "/"],
    ["/", ""],
  ])("of the issuer with %j at its end may name it with %j", (given, named) =>
    suffer({
      does: "adds or drops a slash",
      issuer: given,
      metadata: (url) => ({ issuer: url + named }),
      ends: "success",
    }),
  );

  test("is asked for again when the server has a bad moment", () =>
    suffer({
      does: "stumbles",
      routes: (url) => at([{ status: 503 }, { json: document(url) }]),
      ends: "success",
      also: ({ events }) =>
        expect(events.filter(({ state }) => state === "retrying")).toMatchObject([{ step: "discover", attempt: 1 }]),
    }));

  test("is asked for three times and no more", () =>
    suffer({
      does: "stays down",
      routes: at([{ status: 502, text: "<html>bad gateway" }, { status: 503 }, { status: 500 }]),
      ends: "provider",
      hidden: ["<html"],
      also: (run, hostile) => {
        expect(run.events.at(-1)?.error).toMatchObject({ http_status: 500, retryable: true });
        expect(hostile.requests).toHaveLength(3);
      },
    }));
});

describe.concurrent("an endpoint", () => {
  const WRONG: unknown[] = [
    "javascript:alert(1)",
    "file:///etc/passwd",
    "data:text/html,x",
    "ms-msdt:/id",
    "http://example.com/token",
    "http://127.0.0.1.example.com/token",
    "http://localhost.example.com/token",
    "http://[::ffff:127.0.0.1]/token",
    "/token",
    "//example.com/token",
    "| touch owned",
    "$(touch owned)",
    POISON,
    "",
    5,
    ["https://example.com/token"],
    { href: "https://example.com/token" },
    { toString: null, valueOf: null },
  ];
  const rows = [
    ...WRONG.map((value) => ["authorization_endpoint", value]),
    ...WRONG.map((value) => ["token_endpoint", value]),
    ["device_authorization_endpoint", "file:///etc/passwd"],
    ["revocation_endpoint", "http://example.com/revoke"],
    ["userinfo_endpoint", "javascript:alert(1)"],
    ["jwks_uri", "http://example.com/jwks"],
  ] as [string, unknown][];

  test.each(rows)("%s: %j is refused", (field, value) =>
    suffer({
      does: "lies",
      flow: "authorization_code",
      metadata: { [field]: value },
      ends: "provider",
      says: new RegExp(field),
      also: nothingAsked,
    }),
  );

  // A password field makes https://accounts.google.com@evil.example look like what it is not; fetch refuses it anyway.
  test.each(["authorization_endpoint", "token_endpoint"])("%s with a user name in it is refused", (field) =>
    suffer({
      does: "imitates",
      flow: "authorization_code",
      metadata: { [field]: "https://accounts.google.com@example.com/" },
      ends: "provider",
      also: nothingAsked,
    }),
  );

  test.each([
    ["authorization_code", "authorization_endpoint"],
    ["authorization_code", "token_endpoint"],
    ["device_code", "device_authorization_endpoint"],
    ["client_credentials", "token_endpoint"],
  ] as const)("for %s that is missing (%s) is said to be", (flow, field) =>
    suffer({ does: "is incomplete", flow, metadata: { [field]: undefined }, ends: "config", also: nothingAsked }),
  );
});

describe.concurrent("a list that is not one", () => {
  const LISTS = [
    "grant_types_supported",
    "token_endpoint_auth_methods_supported",
    "id_token_signing_alg_values_supported",
  ];
  const WRONG: unknown[] = [5, true, {}, [5], [{ toString: null }]];
  test.each(LISTS.flatMap((field) => WRONG.map((value) => [field, value] as const)))(
    "%s: %j ends in a clear event, and a record that cannot be read is never left",
    async (field, value) => {
      const hostile = await server({}, { [field]: value });
      try {
        const run = await login(hostile.url, ["--flow", "client_credentials"]).done;
        const { status, error } = run.events.at(-1) ?? {};
        expect(["success", "provider", "config"]).toContain(error?.code ?? status);
        await judge(run, (error?.code ?? status) as "provider");
        if (status === "success") expect(stored(run.home)).toHaveLength(2);
      } finally {
        await hostile.close();
      }
    },
  );
});
