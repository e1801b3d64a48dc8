/**
 * Whether a definition is true: what it says of a server, against what the server says of itself and where it answers.
 *
 * Rules: no credential and no client is ever sent; what the server leaves open (RFC 8414 lets it keep quiet about scopes) is
 * a warning, what it contradicts has failed; `subject` is the field of the definition that is spoken of.
 */
import type { Context } from "../context.ts";
import { guardedFetch } from "../flows/http.ts";
import { grantFlows } from "../flows/index.ts";
import { type AuthorizationServer, discover } from "../flows/server.ts";
import { Failure } from "../protocol/failure.ts";
import type { Definition, Grant } from "../providers/definition.ts";
import { isUnder } from "../providers/template.ts";
import { isLoopback, isSecureUrl } from "../providers/url.ts";
import { counted, type Finding, failed, listed, ok, skipped, warning } from "./check.ts";

/** What a definition claims, and what came of asking. */
export interface Claims {
  definition: Definition;
  /** As the server publishes it, unchecked; undefined where nothing is to be had. */
  published: Record<string, unknown> | undefined;
  /** Why not. */
  problem: Finding | undefined;
  /** Nobody answered at all: that says nothing of the definition. */
  silence?: Failure;
}

type Asking = Pick<Context, "fetch" | "signal">;
type ProviderCheck = { check: string; run(claims: Claims, ctx: Asking): Finding[] | Promise<Finding[]> };

const DEADLINE_SECONDS = 10;

export async function claimsOf(definition: Definition, ctx: Asking): Promise<Claims> {
  const { issuer, discovery = true } = definition;
  const claims = { definition, published: undefined, problem: undefined };
  if (issuer === undefined) return { ...claims, problem: skipped("No issuer is named: there is nothing to discover.") };
  try {
    const timeout = AbortSignal.timeout(DEADLINE_SECONDS * 1000);
    const published = await discover(issuer, { fetch: ctx.fetch, signal: AbortSignal.any([ctx.signal, timeout]) });
    return { ...claims, published: published as Record<string, unknown> };
  } catch (error) {
    ctx.signal.throwIfAborted();
    const message =
      error instanceof Failure ? error.message : `${issuer} does not answer within ${DEADLINE_SECONDS} s.`;
    const problem = discovery ? failed(message) : skipped(`Its metadata is not used, and cannot be: ${message}`);
    const silence = error instanceof Failure ? error : new Failure("network", message, { retryable: true });
    return {
      ...claims,
      problem: { ...problem, subject: "issuer" },
      ...(discovery && silence.code === "network" && { silence }),
    };
  }
}

const ENDPOINTS = [
  "authorization_endpoint",
  "token_endpoint",
  "device_authorization_endpoint",
  "registration_endpoint",
  "revocation_endpoint",
  "introspection_endpoint",
  "pushed_authorization_request_endpoint",
  "backchannel_authentication_endpoint",
  "userinfo_endpoint",
  "end_session_endpoint",
  "jwks_uri",
] as const;
type Endpoint = (typeof ENDPOINTS)[number];

/** Those that a form is sent to: an empty one tells whether somebody is there, and asks for nothing. */
const BY_POST: ReadonlySet<Endpoint> = new Set([
  "token_endpoint",
  "device_authorization_endpoint",
  "revocation_endpoint",
  "introspection_endpoint",
  "pushed_authorization_request_endpoint",
  "backchannel_authentication_endpoint",
]);

const textAt = (from: Record<string, unknown> | undefined, name: string) => {
  const value = from?.[name];
  return typeof value === "string" ? value : undefined;
};
const wordsAt = (from: Record<string, unknown> | undefined, name: string) => {
  const value = from?.[name];
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : undefined;
};

/** The server as a login would use it: the metadata first. */
const serverIn = ({ definition: { issuer = "", endpoints }, published }: Claims) =>
  ({ issuer, ...endpoints, ...published }) as AuthorizationServer & Record<string, unknown>;

const NOTHING_TO_COMPARE = [skipped("Nothing is published to compare it with.")];

function issuer({ definition, published, problem }: Claims): Finding[] {
  if (problem) return [problem];
  const subject = "issuer";
  const named = textAt(published, "issuer");
  if (named !== definition.issuer) {
    return [warning(`The metadata writes it ${named}, and ID tokens are compared to the letter.`, { subject })];
  }
  return [ok(`${named} is who it is said to be.`, { subject })];
}

function https({ definition, published }: Claims): Finding[] {
  const open = ENDPOINTS.flatMap((name) => {
    const address = textAt(published, name);
    if (address === undefined || isSecureUrl(address)) return [];
    return failed(`The metadata sends people or secrets to ${address}, which is no https address.`, { subject: name });
  });
  if (open.length > 0) return open;
  const plain = Object.values({ issuer: definition.issuer, ...definition.endpoints }).some((each) =>
    each?.startsWith("http:"),
  );
  return [ok(plain ? "All that is not https stays on this machine." : "Every address is https.")];
}

async function endpoints(claims: Claims, ctx: Asking): Promise<Finding[]> {
  const { definition, published } = claims;
  const there = serverIn(claims);
  const asked = ENDPOINTS.filter((name) => name !== "jwks_uri" && textAt(there, name) !== undefined);
  const answers = new Map(
    await Promise.all(asked.map(async (name) => [name, await answerOf(name, String(there[name]), ctx)] as const)),
  );
  const found = ENDPOINTS.flatMap((name): Finding[] => {
    const claimed = definition.endpoints?.[name];
    const offered = textAt(published, name);
    const subject = claimed === undefined ? name : `endpoints.${name}`;
    const answer = answers.get(name);
    if (claimed !== undefined && offered !== undefined && claimed !== offered) {
      return [failed(`${name} is said to be ${claimed}, and is ${offered}.`, { subject })];
    }
    if (claimed !== undefined && published && offered === undefined && name !== "jwks_uri") {
      if (answer !== undefined) return [failed(`${name} is claimed, and not offered: ${answer}`, { subject })];
      return [warning(`${name} is not in the metadata, though somebody answers at ${claimed}.`, { subject })];
    }
    return answer === undefined ? [] : [failed(`${name} leads nowhere: ${answer}`, { subject })];
  });
  const reached = asked.filter((name) => answers.get(name) === undefined);
  return [...found, ...(reached.length > 0 ? [ok(`There is an answer at ${listed(reached)}.`)] : [])];
}

/** Undefined where somebody answers; else what came in place of that. */
async function answerOf(name: Endpoint, address: string, ctx: Asking): Promise<string | undefined> {
  const form = { "content-type": "application/x-www-form-urlencoded" };
  const init = BY_POST.has(name) ? { method: "POST", headers: form, body: "" } : {};
  const status = await statusOf(address, init, ctx);
  if (typeof status === "string") return status;
  const isGone = (status === 404 || status === 410) && name !== "registration_endpoint"; // it need not know GET
  return isGone ? `${address} answers HTTP ${status}.` : undefined;
}

/** The status, or why there is none. Whatever is refused for a reason of HTTP is an answer. */
async function statusOf(address: string, init: object, ctx: Asking): Promise<number | string> {
  try {
    return (await guardedFetch(ctx, DEADLINE_SECONDS)(address, init)).status;
  } catch (error) {
    ctx.signal.throwIfAborted();
    if (!(error instanceof Failure)) throw error;
    return error.details.http_status ?? error.message;
  }
}

async function keys(claims: Claims, ctx: Asking): Promise<Finding[]> {
  const subject = claims.definition.endpoints?.jwks_uri === undefined ? "jwks_uri" : "endpoints.jwks_uri";
  const address = textAt(serverIn(claims), "jwks_uri");
  if (address === undefined) return [skipped("None are named: its ID tokens cannot be checked.", { subject })];
  try {
    const answer: unknown = await (await guardedFetch(ctx, DEADLINE_SECONDS)(address, {})).json();
    const keys = (answer as { keys?: unknown } | null)?.keys;
    if (Array.isArray(keys) && keys.length > 0)
      return [ok(`${counted(keys.length, "key")} to check ID tokens with.`, { subject })];
  } catch (error) {
    ctx.signal.throwIfAborted();
    if (error instanceof Failure) return [failed(error.message, { subject })];
  }
  return [failed(`There are no keys at ${address}.`, { subject })];
}

async function grants(claims: Claims): Promise<Finding[]> {
  const { definition, published, problem } = claims;
  if (definition.grants === undefined) return [skipped("None are claimed: what the server publishes is used.")];
  if (problem?.state === "failed") return NOTHING_TO_COMPARE; // most of what they need would be in it
  const as = serverIn(claims);
  const able: Grant[] = [];
  const wrong: Finding[] = [];
  for (const grant of definition.grants ?? []) {
    const lack = (await grantFlows[grant]()).lacks(as);
    if (lack === undefined) able.push(grant);
    else wrong.push(failed(`${grant} is claimed, and the server ${lack}.`, { subject: "grants" }));
  }
  const types = wordsAt(published, "grant_types_supported");
  const others = types && types.length > 0 ? ` It publishes ${listed(types)}.` : "";
  return [...wrong, ...(able.length > 0 ? [ok(`${listed(able)} can be used.${others}`, { subject: "grants" })] : [])];
}

function client({ definition: { token_endpoint_auth_method: claimed }, published }: Claims): Finding[] {
  const subject = "token_endpoint_auth_method";
  if (claimed === undefined) return [skipped("No method is claimed: what the server publishes is used.", { subject })];
  if (!published) return NOTHING_TO_COMPARE;
  const methods = wordsAt(published, "token_endpoint_auth_methods_supported");
  if (methods?.includes(claimed)) return [ok(`Clients may come with ${claimed}.`, { subject })];
  if (methods) return [failed(`${claimed} is claimed, and the server takes ${listed(methods)}.`, { subject })];
  if (claimed === "client_secret_basic")
    return [ok("It is what servers take that say nothing (RFC 8414 §2).", { subject })];
  return [warning(`The server does not say that it takes ${claimed}.`, { subject })];
}

function scopes({ definition, published }: Claims): Finding[] {
  const { scope = "", scopes = {} } = definition;
  const supported = wordsAt(published, "scopes_supported");
  if (!supported) return [skipped("The server does not say which it has.")];
  const unknown = (all: readonly string[]) => [...new Set(all)].filter((each) => each && !supported.includes(each));
  const asked = unknown(scope.split(" "));
  const explained = unknown(Object.keys(scopes));
  const quiet = "is not among those that the server publishes, which need not be all (RFC 8414 §2)";
  const found = [
    ...asked.map((each) => warning(`${each} is asked for, and ${quiet}.`, { subject: "scope" })),
    ...explained
      .filter((each) => !asked.includes(each))
      .map((each) => warning(`${each} ${quiet}.`, { subject: "scopes" })),
  ];
  return found.length > 0 ? found : [ok("The server has all that are named.")];
}

function pkce({ definition: { grants }, published }: Claims): Finding[] {
  if (grants && !grants.includes("authorization_code")) return [skipped("No code is asked for.")];
  if (!published) return NOTHING_TO_COMPARE;
  const methods = wordsAt(published, "code_challenge_methods_supported");
  if (methods?.includes("S256")) return [ok("The server knows S256 (RFC 7636).")];
  if (methods) return [failed(`S256 is always sent, and the server knows ${listed(methods) || "no method"}.`)];
  return [warning("The server does not say that it knows S256, which is always sent (RFC 8414 §2).")];
}

function redirect({ definition: { redirect_uri } }: Claims): Finding[] {
  const subject = "redirect_uri";
  if (redirect_uri === undefined) return [ok("Any port of this machine, as RFC 8252 §7.3 has it.", { subject })];
  const { protocol, hostname, search, hash } = new URL(redirect_uri);
  if (protocol === "http:" && isLoopback(hostname) && search === "" && hash === "") {
    return [ok(`${redirect_uri} leads back to this machine.`, { subject })];
  }
  return [failed(`${redirect_uri} is nothing that authline can listen on.`, { subject })];
}

async function api({ definition }: Claims, ctx: Asking): Promise<Finding[]> {
  const { account, api, api_key } = definition;
  const lookups = Object.entries({ "account.endpoint": account, "api_key.verify.endpoint": api_key?.verify });
  const found = await Promise.all(
    lookups.map(async ([subject, lookup]): Promise<Finding[]> => {
      if (!lookup) return [];
      const { endpoint, method = "GET" } = lookup;
      if (api && !isUnder(endpoint, api.hosts)) return [failed(`${endpoint} is on none of api.hosts.`, { subject })];
      const status = await statusOf(endpoint, { method }, ctx);
      if (typeof status === "string") return [failed(status, { subject })];
      if (status === 404) return [warning(`${endpoint} answers HTTP 404 to whoever shows no credential.`, { subject })];
      return [ok(`Somebody answers at ${endpoint}.`, { subject })];
    }),
  );
  const all = found.flat();
  return all.length > 0 ? all : [skipped("No request of its API is named.")];
}

/** Not used unless it is claimed, where the metadata are not. */
function offered({ definition, published }: Claims): Finding[] {
  if (!published) return NOTHING_TO_COMPARE;
  const more = ENDPOINTS.filter((name) => textAt(published, name) !== undefined && !definition.endpoints?.[name]);
  if (more.length === 0) return [ok("All that the server publishes is in the definition.")];
  const used = definition.discovery === false ? "the definition does not have it" : "it is used as it is published";
  return [ok(`The server also offers ${listed(more)}: ${used}.`)];
}

export const providerChecks: readonly ProviderCheck[] = [
  { check: "issuer", run: issuer },
  { check: "https", run: https },
  { check: "endpoints", run: endpoints },
  { check: "keys", run: keys },
  { check: "grants", run: grants },
  { check: "client", run: client },
  { check: "scopes", run: scopes },
  { check: "pkce", run: pkce },
  { check: "redirect", run: redirect },
  { check: "api", run: api },
  { check: "offered", run: offered },
];
