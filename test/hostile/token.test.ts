// Protected: what the token endpoint answers. Real servers bend RFC 6749 in known ways, and those are understood; anything
// else ends in one clear event, with nothing stored and none of the answer shown but `error` and `error_description`.

import { afterAll, describe, expect, test } from "vitest";
import { type Route, raw, reset } from "../support/hostile-server.ts";
import { sweep } from "../support/spawn.ts";
import { type Attack, comesBack, type Ending, POISON, record, SECRET, suffer, tokens } from "./attack.ts";

afterAll(sweep);

type Row = [does: string, answer: Route, ends: Ending, more?: Partial<Attack>];

const HTML = "<html><body>Bad request \u001b[31m</body></html>";
const html = { headers: { "content-type": "text/html" }, text: HTML };
const error = (fields: object, status = 400) => ({ status, json: fields });
const { access_token, token_type } = tokens();
const bearer = (more: object) => ({ json: { access_token, token_type, ...more } });
const is = (fields: object): Partial<Attack> => ({
  also: ({ events }) => expect(events.at(-1)?.error).toMatchObject(fields),
});
const keeps = (fields: object): Partial<Attack> => ({ also: ({ home }) => expect(record(home)).toMatchObject(fields) });
const endless: Partial<Attack> = { also: ({ home }) => expect(record(home)).not.toHaveProperty("expires_at") };

const endsIn =
  (seconds: number): NonNullable<Attack["also"]> =>
  ({ home }) => {
    const left = (Date.parse(record(home)["expires_at"]) - Date.now()) / 1000;
    expect(left).toBeGreaterThan(seconds - 60);
    expect(left).toBeLessThanOrEqual(seconds);
  };

const suites: Record<string, Row[]> = {
  "an unusual answer is understood": [
    ["token_type in lower case", bearer({ token_type: "bearer" }), "success"],
    ["token_type in upper case", bearer({ token_type: "BEARER" }), "success"],
    [
      "form encoding",
      { form: { access_token, token_type, scope: "a b", expires_in: "3600" } },
      "success",
      { also: endsIn(3600) },
    ],
    ["no expires_in", bearer({}), "success", endless],
    ["expires_in as a string", bearer({ expires_in: "3600" }), "success", { also: endsIn(3600) }],
    ["expires_in of a fraction", bearer({ expires_in: 3599.5 }), "success", { also: endsIn(3600) }],
    ["expires_in of zero", bearer({ expires_in: 0 }), "success", endless],
    ["expires_in beyond all calendars", bearer({ expires_in: 1e300 }), "success", endless],
    ["expires_in as a huge string", bearer({ expires_in: "9".repeat(200) }), "success", endless],
    ["expires_in of null", bearer({ expires_in: null }), "success", endless],
    ["scope of null", bearer({ scope: null }), "success"],
    ["scope as a list", bearer({ scope: ["a", "b"] }), "success", keeps({ scope: "a b" })],
    ["scope between commas", bearer({ scope: "a,b, c" }), "success", keeps({ scope: "a b c" })],
    [
      "scope with a comma in it, as it was asked for",
      bearer({ scope: "rows:1,2 write" }),
      "success",
      { argv: ["--scope", "rows:1,2 write"], ...keeps({ scope: "rows:1,2 write" }) },
    ],
    ["refresh_token of null", bearer({ refresh_token: null }), "success"],
    [
      "less scope than was asked",
      bearer({ scope: "read" }),
      "success",
      { argv: ["--scope", "read write"], ...keeps({ scope: "read", requested_scope: "read write" }) },
    ],
    ["a token of 20 kB", bearer({ access_token: "x".repeat(20_000) }), "success", { hidden: [/x{40}/] }],
  ],
  "an answer that is none is refused": [
    ["no access_token", { json: { token_type } }, "provider"],
    ["an empty access_token", bearer({ access_token: "" }), "provider"],
    ["access_token as a number", bearer({ access_token: 5 }), "provider"],
    ["access_token as an object", bearer({ access_token: { value: SECRET.access } }), "provider"],
    [
      "access_token with a line break",
      bearer({ access_token: `${SECRET.access}\nX-Evil: 1` }),
      "provider",
      { says: /access_token has characters/ },
    ],
    ["access_token with an escape", bearer({ access_token: `${SECRET.access}\u001b[31m` }), "provider"],
    ["access_token with a NUL", bearer({ access_token: `${SECRET.access}\0` }), "provider"],
    ["access_token beyond ASCII", bearer({ access_token: "tökén" }), "provider"],
    ["no token_type", { json: { access_token } }, "provider", { says: /token_type/ }],
    ["token_type that nobody asked for", bearer({ token_type: "mac" }), "provider", { says: /token_type/ }],
    ["token_type of another proof", bearer({ token_type: "DPoP" }), "provider", { says: /token_type/ }],
    ["token_type with an escape", bearer({ token_type: POISON }), "provider"],
    ["expires_in below zero", bearer({ expires_in: -1 }), "provider", { says: /expires_in/ }],
    ["expires_in far below zero", bearer({ expires_in: "-99999999999999999999" }), "provider", { says: /expires_in/ }],
    ["expires_in that is no number", bearer({ expires_in: "soon" }), "provider", { says: /expires_in/ }],
    ["expires_in as a list", bearer({ expires_in: [] }), "provider", { says: /expires_in/ }],
    ["scope as a list of lists", bearer({ scope: [["a"], "b"] }), "provider", { says: /scope/ }],
    ["an array", { json: [tokens()] }, "provider"],
    ["null", { json: null }, "provider"],
    ["text", { text: `access_token=${access_token}` }, "provider"],
    [
      "broken JSON",
      { headers: { "content-type": "application/json" }, bytes: Buffer.from(`{"access_token":"${access_token}`) },
      "provider",
    ],
    ["nothing", { status: 200 }, "provider"],
    ["204", { status: 204 }, "provider"],
    ["HTML under 200", html, "provider", { hidden: ["<html"] }],
    ["201", { status: 201, json: tokens() }, "provider"],
    [
      "broken gzip",
      { headers: { "content-type": "application/json", "content-encoding": "gzip" }, bytes: Buffer.from("{}") },
      "network",
    ],
    ["not HTTP", raw("220 smtp.example.com ESMTP\r\n"), "network"],
    ["a reset", reset, "network"],
  ],
  "an error is told as the server means it": [
    [
      "invalid_client",
      error({ error: "invalid_client" }, 401),
      "provider",
      is({ oauth_error: "invalid_client", http_status: 401 }),
    ],
    [
      "invalid_scope under 200",
      error({ error: "invalid_scope" }, 200),
      "provider",
      is({ oauth_error: "invalid_scope" }),
    ],
    [
      "GitHub's",
      error({ error: "bad_verification_code", error_description: "It expired." }, 200),
      "provider",
      { says: /bad_verification_code.*It expired/ },
    ],
    [
      "GitHub's, form-encoded",
      { form: { error: "incorrect_client_credentials", error_description: "No." } },
      "provider",
      is({ oauth_error: "incorrect_client_credentials" }),
    ],
    [
      "one that is described in message",
      error({ error: "invalid_request", message: "No such thing." }),
      "provider",
      { says: /invalid_request.*No such thing/ },
    ],
    [
      "Slack's",
      { json: { ok: false, error: "bad_client_secret" } },
      "provider",
      is({ oauth_error: "bad_client_secret" }),
    ],
    ["Slack's without a reason", { json: { ok: false } }, "provider"],
    ["access_denied", error({ error: "access_denied" }), "denied"],
    [
      "a challenge",
      { status: 401, headers: { "www-authenticate": `Basic realm="${"x".repeat(50)}"` } },
      "provider",
      { says: /HTTP 401/ },
    ],
    ["a broken challenge", { status: 401, headers: { "www-authenticate": 'Basic realm="\\' } }, "provider"],
    ["400 without a word", { status: 400 }, "provider", { says: /HTTP 400/ }],
    ["400 in HTML", { status: 400, ...html }, "provider", { says: /HTTP 400/, hidden: ["<html", "Bad request"] }],
    [
      "418 in JSON without an error",
      error({ message: POISON }, 418),
      "provider",
      { says: /HTTP 418/, hidden: ["owned"] },
    ],
    ["error as an object", error({ error: { message: POISON } }), "provider", { hidden: ["owned"] }],
    ["error as an object under 200", error({ error: { message: POISON } }, 200), "provider", { hidden: ["owned"] }],
    ["an empty error", error({ error: "" }), "provider"],
    [
      "error_description as an object",
      error({ error: "invalid_request", error_description: { text: POISON } }),
      "provider",
      { says: /invalid_request/, hidden: ["owned"] },
    ],
    ["error_description as a number", error({ error: "invalid_request", error_description: 5 }), "provider"],
    ["error_description of null", error({ error: "invalid_request", error_description: null }), "provider"],
    [
      "error_description of 500 kB",
      error({ error: "invalid_request", error_description: "é".repeat(250_000) }),
      "provider",
    ],
    ["error of 500 kB", error({ error: '"\\'.repeat(250_000) }), "provider"],
    ["everything quoted", error({ error: '"\\'.repeat(500), error_description: '"\\'.repeat(5000) }), "provider"],
    [
      "escapes everywhere",
      error({ error: POISON, error_description: POISON, error_uri: "javascript:alert(1)" }),
      "provider",
      { hidden: ["javascript:"] },
    ],
    [
      "a tower beside the error",
      {
        status: 400,
        headers: { "content-type": "application/json" },
        text: `{"error":"invalid_request","tower":${"[".repeat(200_000)}${"]".repeat(200_000)}}`,
      },
      "provider",
      { says: /invalid_request/ },
    ],
    ["an error with the client's secret in it", error({ error: "invalid_client", echo: SECRET.client }), "provider"],
    ["an error beside a token", error({ error: "invalid_request", access_token, token_type }), "provider"],
    [
      "429",
      { status: 429, headers: { "retry-after": "17" } },
      "rate_limited",
      is({ retry_after: 17, retryable: true, http_status: 429 }),
    ],
    [
      "429 with a date",
      { status: 429, headers: { "retry-after": "Fri, 01 Jan 1999 00:00:00 GMT" } },
      "rate_limited",
      is({ retry_after: 0 }),
    ],
    ["429 with nonsense", { status: 429, headers: { "retry-after": "-5 later" } }, "rate_limited"],
    [
      "503",
      { status: 503, ...html, headers: { "retry-after": "9".repeat(30) } },
      "provider",
      { ...is({ retryable: true, http_status: 503 }), hidden: ["<html"] },
    ],
    ["600", raw("HTTP/1.1 600 X\r\ncontent-length: 0\r\n\r\n"), "provider"],
  ],
};

describe.each(Object.entries(suites))("%s", (_, rows) => {
  test.concurrent.each(rows)("%s", async (does, answer, ends, more = {}) => {
    await suffer({ does, ends, routes: { "POST /token": answer }, ...more });
  });
});

// Client credentials know no refresh token: it is looked at where there is one.
describe("a refresh token", () => {
  test.concurrent.each([
    ["a line break", `${SECRET.refresh}\n`],
    ["an escape", "\u001b[31m"],
    ["no text", ""],
    ["a number", 5],
  ])("of %s is refused, and the access token with it", async (does, refresh_token) => {
    await suffer({
      does,
      flow: "authorization_code",
      ends: "provider",
      says: /refresh_token/,
      routes: { "POST /token": bearer({ refresh_token }) },
      meanwhile: comesBack(),
    });
  });
});
