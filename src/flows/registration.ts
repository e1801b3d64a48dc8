/**
 * Which client to sign in as, where nobody gave one: the address of a metadata document, or a client that authline registers.
 * Source: draft-ietf-oauth-client-id-metadata-document, RFC 7591, RFC 7592, OIDC Dynamic Client Registration 1.0.
 *
 * Rules: what was given comes first, then the document, then a registration; a registered client belongs to its issuer, and
 * every provider of that issuer comes as the same one; it is on disk before anybody is told of it.
 */
import * as oauth from "oauth4webapi";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { type Flow, progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { isSecureUrl } from "../providers/url.ts";
import type { AuthMethod, Registered } from "../store/record.ts";
import type { PlannedClient } from "./client.ts";
import { documentAt } from "./client_metadata.ts";
import { asking } from "./faults.ts";
import { lacksClient } from "./given_client.ts";
import { offersGrant } from "./grant.ts";
import { lookUntil } from "./hold.ts";
import { guardedFetch, PARTING_SECONDS } from "./http.ts";
import { grantFlows } from "./index.ts";
import type { Plan } from "./plan.ts";
import { type AuthorizationServer, http } from "./server.ts";

/** Who we come as, and where the browser comes back to. */
export interface Identity {
  client: PlannedClient;
  redirectUri: string;
}

/** Throws a Failure `config` where there is no client and none can be had. */
export async function* identify(plan: Plan, as: AuthorizationServer, ctx: Context): Flow<Identity> {
  const { client, redirectUri, clientMetadataUrl, flow } = plan;
  if (client) return { client, redirectUri };
  // What asks nobody proves itself by a secret, which somebody has to be given.
  if (flow !== "auto" && !(await grantFlows[flow]()).attended) throw await lacksClient(plan, ctx);
  if (clientMetadataUrl !== undefined) {
    if (as["client_id_metadata_document_supported"]) {
      return { client: { client_id: clientMetadataUrl }, redirectUri: await documentAt(clientMetadataUrl, plan, ctx) };
    }
    yield progress("register", "skipped", `${as.issuer} does not take the address of a document for a client ID.`);
  }
  if (!as.registration_endpoint) throw await lacksClient(plan, ctx);
  return yield* registered(plan, as, ctx);
}

const PATIENCE = 30;

/** The client that is kept for the issuer, or a new one; one process at a time registers. */
async function* registered(plan: Plan, as: AuthorizationServer, ctx: Context): Flow<Identity> {
  const who = { provider: plan.provider, connection: plan.connection };
  const lock = yield* lookUntil(async () => ctx.store.registrationLock(as.issuer), who, ctx, PATIENCE);
  try {
    const kept = await ctx.store.registered(as.issuer);
    const fits = kept && !isOut(kept, ctx.now()) && (kept.token_endpoint ?? as.token_endpoint) === as.token_endpoint;
    const still = fits ? yield* stillThere(kept, ctx) : undefined;
    return identityOf(still ?? (yield* register(plan, as, ctx)), plan, ctx);
  } finally {
    lock.release();
  }
}

/** RFC 7591 §3.2.1: zero, and so none, means that the secret does not end. */
const isOut = ({ secret_expires_at }: Registered, now: Date) =>
  secret_expires_at !== undefined && Date.parse(secret_expires_at) <= now.getTime();

/** 403 is what a server says that lets no client read what is known of it. */
const GONE = [401, 404, 410];

/** Undefined where the server has said that it is gone; one that cannot be asked is taken to know it. Source: RFC 7592 §2.1. */
async function* stillThere(kept: Registered, ctx: Context): Flow<Registered | undefined> {
  const { registration_client_uri: uri, issuer } = kept;
  const { registration_access_token: token } = kept.secrets;
  if (uri === undefined || token === undefined) return kept;
  try {
    const headers = { accept: "application/json", authorization: `Bearer ${token}`, "user-agent": "authline" };
    const response = await guardedFetch(ctx, PARTING_SECONDS)(uri, { headers });
    if (GONE.includes(response.status)) {
      yield progress("register", "started", `${issuer} has forgotten the client that was registered there.`, {
        reason: "client_gone",
      });
      return undefined;
    }
    return kept;
  } catch {
    ctx.signal.throwIfAborted();
    return kept;
  }
}

/** The port that was registered where it is free: a few servers forget that RFC 8252 §7.3 lets any port match. */
async function identityOf({ secrets, ...kept }: Registered, plan: Plan, ctx: Context): Promise<Identity> {
  const { client_id, token_endpoint_auth_method, registration_client_uri, redirect_uri } = kept;
  const { client_secret, registration_access_token } = secrets;
  return {
    client: {
      client_id,
      token_endpoint_auth_method,
      origin: "registration",
      ...defined({ client_secret, registration_client_uri, registration_access_token }),
    },
    redirectUri: (await isFree(redirect_uri, plan, ctx)) ? redirect_uri : plan.redirectUri,
  };
}

async function isFree(redirectUri: string, plan: Plan, ctx: Context): Promise<boolean> {
  try {
    await bound(redirectUri, plan, ctx);
    return true;
  } catch {
    return false;
  }
}

/** With a port that is free at this moment, where none is named. */
async function bound(redirectUri: string, { definition }: Plan, ctx: Context): Promise<string> {
  const listener = await ctx.listen(redirectUri, { displayName: definition.display_name });
  await listener.close();
  return listener.redirectUri;
}

async function* register(plan: Plan, as: AuthorizationServer, ctx: Context): Flow<Registered> {
  const { host } = new URL(as.registration_endpoint as string);
  yield progress("register", "started", `Registering authline with ${host}.`);
  const redirect_uri = await bound(plan.redirectUri, plan, ctx);
  let answer: Answer;
  try {
    answer = await ask(complete(as, redirect_uri), plan, as, ctx);
  } catch (error) {
    // Some refuse a registration for a word in it that they could have left out (RFC 7591 §2).
    if (!(error instanceof Failure) || error.details.oauth_error !== "invalid_client_metadata") throw error;
    yield progress("register", "retrying", `${error.message} Asking for less.`, { reason: "invalid_client_metadata" });
    answer = await ask(modest(redirect_uri), plan, as, ctx);
  }
  const kept = keptOf(answer, as, redirect_uri, ctx);
  await ctx.store.keepRegistered(kept);
  yield progress("register", "done", `authline is registered with ${host}.`);
  return kept;
}

type Answer = oauth.OmitSymbolProperties<oauth.Client>;
type Metadata = Partial<Answer>;

const DEVICE = "urn:ietf:params:oauth:grant-type:device_code";

/** RFC 7591 §2; `application_type` is OpenID Connect's word for what may come back to any port of a loopback address. */
function complete(as: AuthorizationServer, redirect_uri: string): Metadata {
  const { token_endpoint_auth_methods_supported: methods = ["none"] } = as;
  const known = (["none", "client_secret_basic", "client_secret_post"] as const).find((each) => methods.includes(each));
  const device = as.device_authorization_endpoint && offersGrant(as, DEVICE) ? [DEVICE] : [];
  return {
    ...modest(redirect_uri),
    token_endpoint_auth_method: known ?? "none",
    grant_types: ["authorization_code", "refresh_token", ...device],
    response_types: ["code"],
    software_id: "authline",
  };
}

const modest = (redirect_uri: string): Metadata => ({
  client_name: "authline",
  application_type: "native",
  redirect_uris: [redirect_uri],
  token_endpoint_auth_method: "none",
  grant_types: ["authorization_code", "refresh_token"],
});

const ask = (metadata: Metadata, { registration = {} }: Plan, as: AuthorizationServer, ctx: Context): Promise<Answer> =>
  asking("The registration endpoint", async () => {
    const { software_statement, initial_access_token } = registration;
    const response = await oauth.dynamicClientRegistrationRequest(
      as,
      { ...metadata, ...defined({ software_statement }) },
      { ...http(ctx), ...(initial_access_token !== undefined && { initialAccessToken: initial_access_token }) },
    );
    return oauth.processDynamicClientRegistrationResponse(await eased(response));
  });

/** Some answer 200, and many leave out when the secret ends, which RFC 7591 §3.2.1 wants said. */
async function eased(response: Response): Promise<Response> {
  if (response.status !== 200 && response.status !== 201) return response;
  const answer: unknown = await response
    .clone()
    .json()
    .catch(() => undefined);
  if (typeof answer !== "object" || answer === null) return response;
  return Response.json({ client_secret_expires_at: 0, ...answer }, { status: 201 });
}

const METHODS: ReadonlySet<unknown> = new Set<AuthMethod>(["none", "client_secret_basic", "client_secret_post"]);

const isDate = (seconds: number) => !Number.isNaN(new Date(seconds * 1000).getTime());

/** What the server made of it, which may be other than what was asked for (RFC 7591 §3.2.1). */
function keptOf(answer: Answer, as: AuthorizationServer, redirect_uri: string, ctx: Context): Registered {
  const { issuer, token_endpoint, registration_endpoint: endpoint = issuer } = as;
  const { client_id, registration_client_uri, registration_access_token, redirect_uris = [redirect_uri] } = answer;
  const client_secret = typeof answer["client_secret"] === "string" ? answer["client_secret"] : undefined;
  const fallback = client_secret === undefined ? "none" : "client_secret_basic";
  const token_endpoint_auth_method = answer["token_endpoint_auth_method"] ?? fallback;
  const ends = Number(answer["client_secret_expires_at"] ?? 0);
  const uri = registration_client_uri === undefined ? undefined : String(registration_client_uri);
  const isTheirs = uri !== undefined && isSecureUrl(uri) && new URL(uri).origin === new URL(endpoint).origin;
  const broken =
    (!METHODS.has(token_endpoint_auth_method) && "token_endpoint_auth_method is none that authline knows") ||
    (token_endpoint_auth_method !== "none" && client_secret === undefined && "client_secret is missing") ||
    (!/^[\x20-\x7e]{1,1000}$/.test(client_id) && "client_id is none") ||
    (uri !== undefined && !isSecureUrl(uri) && "registration_client_uri is not an https address") ||
    (!isDate(ends) && "client_secret_expires_at is no time") ||
    (!(Array.isArray(redirect_uris) && redirect_uris.includes(redirect_uri)) && "redirect_uris are not what was asked");
  if (broken) throw new Failure("provider", `The registration endpoint of ${issuer} broke the protocol: ${broken}.`);
  return {
    v: 1,
    issuer,
    client_id,
    token_endpoint_auth_method: token_endpoint_auth_method as AuthMethod,
    redirect_uri,
    registered_at: ctx.now().toISOString(),
    ...defined({
      token_endpoint,
      // It is read, and deleted: at another address that would be somebody else's to say.
      registration_client_uri: isTheirs ? uri : undefined,
      secret_expires_at: ends > 0 ? new Date(ends * 1000).toISOString() : undefined,
    }),
    secrets: defined({
      client_secret,
      registration_access_token: typeof registration_access_token === "string" ? registration_access_token : undefined,
    }),
  };
}
