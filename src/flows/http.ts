/**
 * The one way out to a server.
 *
 * Rules: https, or http to this machine's loopback; a deadline for the whole answer; a bounded body; redirects are not
 * followed (a token request must not be led elsewhere); what a server says in an unusual way is turned into what the
 * RFC says, once, here.
 */
import type { Context } from "../context.ts";
import { Failure } from "../protocol/failure.ts";
import { isSecureUrl } from "../providers/url.ts";

const TIMEOUT_SECONDS = 30;
/** For what is a courtesy to the server, and is waited for by somebody who wants to be gone. */
export const PARTING_SECONDS = 10;
const MAX_BODY = 1024 * 1024;

/** A fetch for oauth4webapi, whose every refusal is a Failure that names the host. */
export function guardedFetch(ctx: Pick<Context, "fetch" | "signal">, seconds = TIMEOUT_SECONDS) {
  return async (url: string, init: object): Promise<Response> => {
    if (!isSecureUrl(url)) {
      throw new Failure("provider", `Refused to talk to ${originOf(url)}: it is not https.`, {
        hint: "Plain http is accepted on this machine's loopback only.",
        reason: "not_sent",
      });
    }
    const timeout = AbortSignal.timeout(seconds * 1000);
    const signal = AbortSignal.any([ctx.signal, timeout]);
    const host = new URL(url).host;
    try {
      const response = await ctx.fetch(url, { ...init, redirect: "manual", signal });
      return refuseFaults(await readWhole(response, host), url);
    } catch (error) {
      ctx.signal.throwIfAborted();
      if (error instanceof Failure) throw error;
      if (error instanceof TypeError && (error.cause as Error | undefined)?.message === "bad port") {
        throw new Failure("config", `${host} cannot be asked: its port is one that no web client uses.`, {
          cause: error,
          reason: "not_sent",
        });
      }
      const reason = timeout.aborted ? "timeout" : reasonOf(error);
      const why = timeout.aborted ? `no answer within ${seconds} s` : reason;
      const isGarbled = /^(HPE|Z|ERR__ERROR)_/.test(why);
      throw new Failure(
        "network",
        isGarbled ? `${host} does not speak HTTP (${why}).` : `Could not reach ${host} (${why}).`,
        {
          cause: error,
          reason,
          hint: "Check the address and your connection, then run the command again.",
        },
      );
    }
  };
}

function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : "an address that is not a URL";
}

/** fetch says only "fetch failed"; the reason is deeper down. Codes only: messages may quote what was sent. */
function reasonOf(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (typeof code === "string" && code !== "") return code;
    if (cause instanceof AggregateError && cause.errors.length > 0) return reasonOf(cause.errors[0]);
  }
  return error instanceof Error ? error.name : "unknown reason";
}

/** The answer with its body in memory, but never more than MAX_BODY of it. */
async function readWhole(response: Response, host: string): Promise<Response> {
  const { status, headers } = response;
  if (status < 200 || status > 599)
    throw new Failure("provider", `${host} answered HTTP ${status}, which is no status.`);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_BODY) {
      throw new Failure("provider", `${host} answered with more than ${MAX_BODY / 1024 / 1024} MiB.`, {
        http_status: status,
      });
    }
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  if ([204, 205, 304].includes(status)) return new Response(null, { status, headers });
  return normalise(body.toString("utf8"), status, headers);
}

/**
 * - An OAuth answer in form encoding becomes JSON (GitHub, unless asked).
 * - An error under HTTP 200 becomes HTTP 400 (GitHub; Slack with `"ok":false`). Source: RFC 6749 §5.2.
 * - A dead refresh token is `invalid_grant`, also where it is called otherwise (GitHub, Slack): a credential ends by that word.
 * - Where the error is described by `message`, that is its description (RFC 6749 §5.2 has no other word for it).
 * - A challenge beside an OAuth error is dropped, because the error says more.
 * - A member that is null is not there; nor is an `interval` of 0; one that is a string becomes a number.
 * - An access token that lives for 0 seconds has no end (Mailchimp): one that was out when it came would be none.
 * - A `scope` that is a list becomes a string (Twitch).
 */
const DEAD: ReadonlySet<unknown> = new Set(["bad_refresh_token", "invalid_refresh_token"]);

function normalise(text: string, status: number, headers: Headers): Response {
  const answer = parse(text, headers.get("content-type") ?? "");
  if (!answer) return new Response(text, { status, headers });

  for (const [name, value] of Object.entries(answer)) if (value === null) delete answer[name];
  const { message, error_description = message, interval, scope, access_token } = answer;
  const error = DEAD.has(answer["error"]) ? "invalid_grant" : answer["error"];
  if (typeof interval === "string" && /^\d{1,9}$/.test(interval)) answer["interval"] = Number(interval);
  if (answer["interval"] === 0) delete answer["interval"];
  if (access_token !== undefined && /^0$/.test(String(answer["expires_in"]))) delete answer["expires_in"];
  if (Array.isArray(scope) && scope.every((each) => typeof each === "string")) answer["scope"] = scope.join(" ");
  const failed = typeof error === "string" && access_token === undefined;
  const clean = new Headers(headers);
  clean.set("content-type", "application/json");
  for (const name of ["content-length", "content-encoding"]) clean.delete(name);
  if (failed) clean.delete("www-authenticate");
  return new Response(JSON.stringify(failed ? { error, error_description } : answer), {
    status: failed && status === 200 ? 400 : status,
    headers: clean,
  });
}

function parse(text: string, type: string): Record<string, unknown> | undefined {
  if (/^application\/x-www-form-urlencoded\b/i.test(type)) return Object.fromEntries(new URLSearchParams(text));
  if (!/\bjson\b/i.test(type)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    JSON.stringify(value); // what nests too deep to be written again is not an answer
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** What no caller has a use for: redirects, refusals for load, and servers that are down. */
async function refuseFaults(response: Response, url: string): Promise<Response> {
  const { status } = response;
  const { host, origin, pathname } = new URL(url);
  if (status >= 300 && status < 400) {
    const place = `${origin}${pathname}`.slice(0, 200);
    throw new Failure("provider", `${place} answered with a redirect, which is not followed here.`, {
      http_status: status,
    });
  }
  if (status !== 429 && status < 500) return response;
  const retry_after = secondsOf(response.headers.get("retry-after"));
  const details = { http_status: status, retryable: true, ...(retry_after !== undefined && { retry_after }) };
  if (status === 429) throw new Failure("rate_limited", `${host} asks to be left alone for a while.`, details);
  throw new Failure("provider", `${host} is in trouble (HTTP ${status}).`, details);
}

/** RFC 9110 §10.2.3: seconds or a date. */
function secondsOf(value: string | null): number | undefined {
  if (value === null) return undefined;
  if (/^\d{1,9}$/.test(value.trim())) return Number(value);
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, Math.round((at - Date.now()) / 1000));
}
