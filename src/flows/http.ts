/**
 * The one way out to a server.
 *
 * Rules: https, or http to this machine's loopback; a deadline for the whole answer; a bounded body; redirects are not
 * followed (a token request must not be led elsewhere); what a server says in an unusual way is turned into what the
 * RFC says, once, here.
 */
import type { Context } from "../context.ts";
import { Failure } from "../protocol/failure.ts";
import { isSecureUrl } from "../providers/definition.ts";

const TIMEOUT_SECONDS = 30;
const MAX_BODY = 1024 * 1024;

/** A fetch for oauth4webapi, whose every refusal is a Failure that names the host. */
export function guardedFetch(ctx: Pick<Context, "fetch" | "signal">) {
  return async (url: string, init: object): Promise<Response> => {
    if (!isSecureUrl(url)) {
      throw new Failure("provider", `Refused to talk to ${originOf(url)}: it is not https.`, {
        hint: "Plain http is accepted on this machine's loopback only.",
      });
    }
    const timeout = AbortSignal.timeout(TIMEOUT_SECONDS * 1000);
    const signal = AbortSignal.any([ctx.signal, timeout]);
    const host = new URL(url).host;
    try {
      const response = await ctx.fetch(url, { ...init, redirect: "manual", signal });
      return refuseFaults(await readWhole(response, host), host);
    } catch (error) {
      ctx.signal.throwIfAborted();
      if (error instanceof Failure) throw error;
      const why = timeout.aborted ? `no answer within ${TIMEOUT_SECONDS} s` : reasonOf(error);
      throw new Failure("network", `Could not reach ${host} (${why}).`, {
        cause: error,
        hint: "Check the address and your connection, then run the command again.",
      });
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

/** The answer with its body in memory, whitespace and all, but never more than MAX_BODY of it. */
async function readWhole(response: Response, host: string): Promise<Response> {
  const { status, statusText, headers } = response;
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
  return normalise(body.length > 0 ? body.toString("utf8") : null, { status, statusText, headers });
}

interface Answer {
  status: number;
  statusText: string;
  headers: Headers;
}

/**
 * - An OAuth answer in form encoding becomes JSON (GitHub, unless asked).
 * - An error under HTTP 200 becomes HTTP 400 (GitHub; Slack with `"ok":false`). Source: RFC 6749 §5.2.
 * - A challenge beside an OAuth error is dropped, because the error says more.
 * - A whole number sent as a string (`interval`; `expires_in` is understood as it is) becomes a number.
 */
function normalise(text: string | null, { status, statusText, headers }: Answer): Response {
  // 101, 204, 205 and 304 may not carry a body, and 1xx cannot be constructed.
  const bodiless = [204, 205, 304].includes(status);
  const plain = () => new Response(bodiless ? null : text, { status, statusText, headers });
  const body = text === null ? undefined : parse(text, headers.get("content-type") ?? "");
  if (!body) return plain();

  let changed = body.form;
  const answer = body.value;
  const { interval } = answer;
  if (typeof interval === "string" && /^\d{1,9}$/.test(interval)) {
    answer["interval"] = Number(interval);
    changed = true;
  }
  const failed = typeof answer["error"] === "string" && answer["access_token"] === undefined;
  if (!failed && !changed) return plain();
  const clean = new Headers(headers);
  clean.set("content-type", "application/json");
  clean.delete("content-length");
  clean.delete("content-encoding");
  if (failed) clean.delete("www-authenticate");
  return new Response(JSON.stringify(answer), { status: failed && status === 200 ? 400 : status, headers: clean });
}

function parse(text: string, type: string): { value: Record<string, unknown>; form: boolean } | undefined {
  if (/^application\/x-www-form-urlencoded\b/i.test(type)) {
    return { value: Object.fromEntries(new URLSearchParams(text)), form: true };
  }
  if (!/\bjson\b/i.test(type)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? { value: value as Record<string, unknown>, form: false } : undefined;
  } catch {
    return undefined;
  }
}

/** What no caller has a use for: redirects, refusals for load, and servers that are down. */
async function refuseFaults(response: Response, host: string): Promise<Response> {
  const { status } = response;
  if (status >= 300 && status < 400) {
    throw new Failure("provider", `${host} answered with a redirect, which is not followed here.`, {
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
