/**
 * From a protected resource to the server whose tokens it takes: what the MCP authorization specification asks of a client,
 * from 2026-07-28 back to 2025-03-26. Source: RFC 9728, RFC 8414, RFC 8707.
 *
 * Rules: metadata are believed only of the very resource that was asked, or of one above it in its own well-known place (RFC
 * 9728 §3.3); nothing leads from the network to this machine's loopback or to http; nothing is followed further than from the
 * resource to its metadata to an authorization server, so that nothing can lead in circles; a client and a scope that belong to
 * another issuer are not told to this one.
 */
import * as z from "zod/mini";
import { naming, standardOf } from "../actions.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { type Flow, progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { lazily } from "../protocol/shapes.ts";
import type { Definition } from "../providers/definition.ts";
import { atIssuer } from "../providers/lookup.ts";
import { covers, isSameAddress } from "../providers/resource.ts";
import { isSameIssuer } from "../providers/server.ts";
import { isSecureUrl, mayLead } from "../providers/url.ts";
import { type Challenge, challengeIn, isScope, type Protected, union } from "./challenge.ts";
import type { PlannedClient } from "./client.ts";
import { guardedFetch } from "./http.ts";
import { grantFlows } from "./index.ts";
import type { Plan } from "./plan.ts";
import {
  type AuthorizationServer,
  authorizationServer,
  http,
  isRefused,
  isUnpublished,
  patiently,
  wellKnown,
} from "./server.ts";

interface Located {
  plan: Plan;
  as: AuthorizationServer;
}

/** The same plan with all that the resource and its authorization server say. Throws `provider` and `config`. */
export async function* locate(plan: Plan, wanted: Protected, ctx: Context): Flow<Located> {
  const { address, held } = wanted;
  yield progress("discover", "started", `Asking ${new URL(address).host} whose tokens it takes.`);
  const answer: Answer = wanted.challenge ? { challenge: wanted.challenge } : yield* ask(address, ctx);
  const metadata = yield* metadataOf(address, answer.challenge, ctx);
  if (!metadata) mustBeAsking(address, answer);
  const { definition, as } = yield* serverOf(plan, wanted, metadata, ctx);
  const resource = metadata?.resource ?? address;
  const part = isSameAddress(resource, address) ? "" : ` The token is for ${resource}, which it is a part of.`;
  yield progress("discover", "done", `${address} takes tokens of ${as.issuer}.${part}`);
  yield* vet({ ...plan, definition }, as);
  const isForeign = wanted.client_of !== undefined && wanted.client_of !== as.issuer;
  if (plan.client && isForeign && !isOpenToAnybody(plan, as)) {
    const whose = naming(address, plan.connection, await standardOf(plan.provider, false, ctx));
    throw foreignClient(plan.client, whose, wanted, as);
  }

  const before = held?.issuer === as.issuer ? held.scope : undefined;
  const scope = plan.scope ?? (await selected(before ?? definition.scope, answer.challenge, metadata, plan, as));
  const taught: Plan["taught"] = { ...withoutServer(plan.taught), ...defined(serverIn(definition)) };
  return {
    as,
    plan: {
      ...plan,
      definition,
      client: isForeign ? undefined : plan.client,
      scope,
      protected: undefined,
      extras: { ...plan.extras, resource },
      taught,
    },
  };
}

// --- what the resource says ------------------------------------------------------------------------------------------

interface Answer {
  /** Absent: it was not asked, because it has answered somebody else. */
  status?: number;
  challenge?: Challenge | undefined;
  /** It wants something that OAuth cannot give. */
  other?: string;
}

/** A server without a stream to offer refuses GET before it looks who asks; this one every MCP server takes. */
const INITIALIZE = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-03-26", capabilities: {}, clientInfo: { name: "authline", version: "1" } },
});
const PROBES: { method: string; body?: string }[] = [{ method: "GET" }, { method: "POST", body: INITIALIZE }];

/** Without a token, as the specification says, and without a look at what else is answered. */
async function* ask(address: string, ctx: Context): Flow<Answer> {
  const headers = { ...http(ctx).headers, accept: "application/json, text/event-stream" };
  let status = 0;
  for (const { method, body } of PROBES) {
    const init = { method, ...(body && { body }), headers: { ...headers, ...(body && JSON_BODY) } };
    const response = yield* patiently(() => guardedFetch(headOf(ctx))(address, init), ctx);
    status = response.status;
    const field = response.headers.get("www-authenticate");
    if (status === 401 || (status === 403 && field !== null)) return { status, ...asked(field) };
    if (status !== 405) break;
  }
  return { status };
}

const JSON_BODY = { "content-type": "application/json" };

function asked(field: string | null): Pick<Answer, "challenge" | "other"> {
  const challenge = field === null ? {} : challengeIn(field);
  if (challenge) return { challenge };
  const scheme = field?.match(/^[A-Za-z0-9-]{1,40}(?=[ ,]|$)/)?.[0];
  return scheme ? { other: scheme } : { challenge: {} }; // what cannot be read says no more than the 401 itself
}

/** The body is not waited for: a stream of events has no end. */
const headOf = ({ fetch, signal }: Context): Pick<Context, "fetch" | "signal"> => ({
  signal,
  async fetch(...call) {
    const { status, headers, body } = await fetch(...call);
    await body?.cancel();
    return new Response(null, { status, headers });
  },
});

/** To have signed in to what asks nobody to would be no success. */
function mustBeAsking(address: string, { status, challenge, other }: Answer): void {
  if (challenge) return;
  const what = other ? `asks for ${other}, which is not OAuth` : "does not ask for authorization";
  throw new Failure(
    "config",
    `${address} ${what} (HTTP ${status}), and publishes no metadata of a protected resource.`,
    {
      ...defined({ http_status: status }),
      hint: other
        ? "Give it what it asks for by other means."
        : "Check the address. If it is right, it can be used without a token, or does not say how to get one.",
    },
  );
}

// --- its metadata ----------------------------------------------------------------------------------------------------

/** RFC 9728 §2, as far as it is used. */
const Metadata = lazily(() =>
  z.object({
    resource: z.string(),
    authorization_servers: z.optional(z.array(z.string())),
    scopes_supported: z.optional(z.array(z.string())),
  }),
);
type Metadata = z.infer<ReturnType<typeof Metadata>>;

const WELL_KNOWN = "oauth-protected-resource";

/** Where the challenge says, else at the resource's own path, else at the root; undefined where there are none. */
async function* metadataOf(
  address: string,
  challenge: Challenge | undefined,
  ctx: Context,
): Flow<Metadata | undefined> {
  const url = new URL(address);
  const named = challenge?.resource_metadata;
  if (named !== undefined && !mayLead(address, named)) {
    throw fault(`${address} says that its metadata are at ${brief(named)}, which ${isNoPlace(address, named)}.`);
  }
  const guessed = [wellKnown(WELL_KNOWN, url), wellKnown(WELL_KNOWN, new URL(url.origin))];
  const { headers } = http(ctx);
  for (const place of new Set(named === undefined ? guessed : [named, ...guessed])) {
    const init = { headers: { ...headers, accept: "application/json" } };
    const response = yield* patiently(() => guardedFetch(ctx)(place, init), ctx);
    if (isRefused(response.status)) continue;
    const parsed = Metadata().safeParse(response.status === 200 ? await response.json().catch(() => undefined) : null);
    if (!parsed.success) {
      throw fault(`What ${brief(place)} answers (HTTP ${response.status}) are no metadata of a protected resource.`);
    }
    mustBeOf(address, parsed.data.resource, place);
    return parsed.data;
  }
  return undefined;
}

/**
 * RFC 9728 §3.3 wants the same resource. One above it will do where its own well-known place says so, which is the case that
 * the MCP specification adds with the root: whoever writes there speaks for all that lies below.
 */
function mustBeOf(address: string, resource: string, place: string): void {
  if (isSameAddress(resource, address)) return;
  if (covers(resource, address) && place === wellKnown(WELL_KNOWN, new URL(resource))) return;
  throw fault(`The metadata at ${brief(place)} are of another resource than ${address}: ${brief(resource)}`, {
    hint: "If that is the one you mean, sign in by that address; if not, do not trust this server.",
  });
}

// --- its authorization server ----------------------------------------------------------------------------------------

/** Of a list that a stranger has written. */
const MOST = 8;

/** The first that works of those that the resource names. */
async function* serverOf(
  plan: Plan,
  { address, issuer: chosen }: Protected,
  metadata: Metadata | undefined,
  ctx: Context,
): Flow<{ definition: Definition; as: AuthorizationServer }> {
  const base = { ...withoutServer(plan.definition), ...defined({ issuer: plan.definition.issuer }) } as Definition;
  const issuers = metadata ? listed(address, metadata, chosen) : [chosen ?? new URL(address).origin];
  for (const [index, issuer] of issuers.entries()) {
    const definition = atIssuer(base, issuer);
    try {
      if (!mayLead(address, issuer) || /[?#]/.test(issuer)) {
        throw fault(`${address} names an authorization server, ${brief(issuer)}, which ${isNoPlace(address, issuer)}.`);
      }
      return { definition, as: yield* authorizationServer(definition, ctx) };
    } catch (error) {
      ctx.signal.throwIfAborted();
      if (!metadata && chosen === undefined && isUnpublished(error)) return yield* byDefault(definition, issuer, ctx);
      if (!(error instanceof Failure) || index === issuers.length - 1) throw error;
      yield progress("discover", "failed", `${error.message} Trying the next one.`, { reason: error.code });
    }
  }
  throw new Failure("internal", "There was no authorization server to ask.");
}

function listed(address: string, { authorization_servers: all = [] }: Metadata, chosen: string | undefined): string[] {
  if (chosen !== undefined) {
    if (all.length === 0 || all.some((one) => isSameIssuer(one, chosen))) return [chosen];
    throw new Failure("config", `${address} does not say that it takes tokens of ${chosen}.`, {
      hint: `It names ${all.slice(0, MOST).map(brief).join(", ")}.`,
    });
  }
  if (all.length > 0) return all.slice(0, MOST);
  throw fault(`The metadata of ${address} name no authorization server.`, {
    hint: "If you know which one it is, name it with --issuer.",
  });
}

/** MCP authorization 2025-03-26 §2.3.3: where nothing is published, the endpoints have these addresses. */
async function* byDefault(definition: Definition, origin: string, ctx: Context) {
  const endpoints = {
    authorization_endpoint: `${origin}/authorize`,
    token_endpoint: `${origin}/token`,
    registration_endpoint: `${origin}/register`,
  };
  yield progress(
    "discover",
    "skipped",
    `${origin} publishes no metadata of any kind: its default addresses are used.`,
    {
      reason: "no_metadata",
    },
  );
  const silent = { ...definition, endpoints, discovery: false };
  return { definition: silent, as: yield* authorizationServer(silent, ctx) };
}

/** What an authorization server of a resource must be, each time that it is asked. */
export async function* vet(plan: Plan, as: AuthorizationServer): Flow<void> {
  yield* lookAtEndpoints(as);
  mustHavePkce(plan, as);
}

/** RFC 8414 §2 lets them be anywhere; somebody may want to know where they are. Nowhere they may be is on our loopback. */
async function* lookAtEndpoints(as: AuthorizationServer): Flow<void> {
  const elsewhere: string[] = [];
  for (const [name, value] of Object.entries(as)) {
    if (!/_endpoint$|^jwks_uri$/.test(name) || typeof value !== "string") continue;
    if (!mayLead(as.issuer, value)) {
      throw fault(
        `The metadata of ${as.issuer} cannot be trusted: ${name} ${isNoPlace(as.issuer, value)}: ${brief(value)}`,
      );
    }
    if (new URL(value).origin !== new URL(as.issuer).origin) elsewhere.push(`${name} ${brief(value)}`);
  }
  if (elsewhere.length === 0) return;
  yield progress("discover", "done", `${as.issuer} has endpoints on other origins: ${elsewhere.join(", ")}`, {
    reason: "other_origin",
  });
}

/** MCP authorization, security considerations: without it a client must refuse to proceed. */
function mustHavePkce({ flow, definition: { discovery } }: Plan, as: AuthorizationServer): void {
  const isAsked = (flow === "auto" || flow === "authorization_code") && as.authorization_endpoint !== undefined;
  const methods = as.code_challenge_methods_supported;
  if (!isAsked || discovery === false || methods?.includes("S256")) return;
  const what = methods === undefined ? "is missing" : "does not list S256";
  throw fault(
    `${as.issuer} does not say that it supports PKCE: code_challenge_methods_supported ${what} in its metadata.`,
    {
      hint: "An authorization code would not be safe there: nobody was sent to it. Another --flow may be possible.",
    },
  );
}

/** It takes a client that nobody was given (registration.ts). */
const isOpenToAnybody = ({ clientMetadataUrl }: Plan, as: AuthorizationServer): boolean =>
  as.registration_endpoint !== undefined ||
  (clientMetadataUrl !== undefined && as["client_id_metadata_document_supported"] === true);

/** What is known of a client is known of it at its own server. Source: MCP authorization, authorization server binding. */
function foreignClient(
  { client_id }: PlannedClient,
  whose: string[],
  { address, client_of }: Protected,
  as: AuthorizationServer,
) {
  return new Failure("config", `${address} takes tokens of ${as.issuer} now, and no longer of ${client_of}.`, {
    hint: `The client ${client_id} belongs to the old one, and was not shown to the new one: give one of that with --client-id, and its secret if it has one.`,
    next_actions: [
      {
        id: "login",
        argv: ["authline", "login", ...whose, "--client-id", "{client_id}"],
        description: `Sign in to ${address} with a client of the new server.`,
      },
    ],
  });
}

// --- what is asked for -----------------------------------------------------------------------------------------------

/**
 * What the challenge says, else what the metadata list, else nothing; what is held already is not given up for it (MCP
 * authorization, scope selection and step-up). To stay signed in is asked for where the server has a word for that.
 */
async function selected(
  held: string | undefined,
  challenge: Challenge | undefined,
  metadata: Metadata | undefined,
  { flow }: Plan,
  { scopes_supported = [] }: AuthorizationServer,
): Promise<string | undefined> {
  const supported = metadata?.scopes_supported?.join(" ") ?? "";
  const suggested = held === undefined && isScope(supported) ? supported : undefined;
  const wanted = union(held, challenge?.scope ?? suggested);
  const isAttended = flow === "auto" || (await grantFlows[flow]()).attended;
  const stays = isAttended && wanted !== undefined && scopes_supported.includes("offline_access");
  return union(wanted, stays ? "offline_access" : undefined);
}

// --- words -----------------------------------------------------------------------------------------------------------

const isNoPlace = (from: string, to: string) =>
  !isSecureUrl(to) ? "is not an https address" : mayLead(from, to) ? "is not an issuer" : "is on this machine";

const brief = (text: string) => text.slice(0, 200);

const fault = (message: string, details: { hint?: string } = {}) =>
  new Failure("provider", message, { hint: "Nothing was sent there and nobody was asked.", ...details });

const serverIn = ({ issuer, endpoints, discovery }: Definition) => ({ issuer, endpoints, discovery });

/** What was known of a server is to be found out anew. */
const withoutServer = <D extends Plan["taught"]>({ issuer: _, endpoints: __, discovery: ___, ...rest }: D) => rest;
