/**
 * The redirect: authorization code with PKCE. Source: RFC 6749 §4.1, RFC 7636, RFC 8252, RFC 9207, OIDC Core §3.1.
 *
 * Rules: the listener is bound before anybody is told of it; `state` is looked at before anything else in a callback;
 * a callback that is not ours never ends the login.
 */
import { timingSafeEqual } from "node:crypto";
import * as oauth from "oauth4webapi";
import * as z from "zod/mini";
import { sessionActions } from "../actions.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { type Flow, progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { lazily } from "../protocol/shapes.ts";
import { authentication } from "./client.ts";
import { authorizationParameters } from "./extras.ts";
import { asking } from "./faults.ts";
import { answerLost, type Door, type Grant, type GrantRequest, offersGrant, type Saved } from "./grant.ts";
import type { Callback, Listener, Stray } from "./listener.ts";
import { push } from "./par.ts";
import { goesWithout, inItsWords } from "./quirks.ts";
import { type AuthorizationServer, atTokenEndpoint } from "./server.ts";
import { tokensFrom } from "./tokens.ts";
import { heartbeat, secondsUntil, waitFor } from "./wait.ts";

/** What must be remembered between the request and its answer. */
const Pending = lazily(() =>
  z.object({
    state: z.string(),
    nonce: z.optional(z.string()),
    code_verifier: z.string(),
    redirect_uri: z.string(),
    issuer: z.string(),
    /** The server says its name in every answer (RFC 9207 §3). */
    names_itself: z.boolean(),
    /** RFC 3339: when the address that somebody was told runs out (RFC 9126 §2.2); absent: not before the sign-in does. */
    address_until: z.optional(z.string()),
    /** The code has been sent to the token endpoint, where it is good for one time. */
    redeemed: z.optional(z.literal(true)),
  }),
);
type Pending = z.infer<ReturnType<typeof Pending>>;

export const authorizationCode: Grant = {
  title: "redirect",
  attended: true,
  lacks: (as) =>
    as.authorization_endpoint && as.token_endpoint && offersGrant(as, "authorization_code")
      ? undefined
      : "has no authorization endpoint",

  async *open(request, ctx, saved) {
    const earlier = saved && Pending().parse(saved);
    if (earlier?.redeemed) throw answerLost();
    if (earlier && earlier.issuer !== request.as.issuer) throw anotherIssuer(earlier, request);
    const { display_name: displayName } = request.definition;
    const listener = await ctx.listen(earlier?.redirect_uri ?? request.redirectUri, { displayName });
    try {
      const pending = earlier ?? begin(request, listener, ctx);
      if (!earlier) await request.save("authorization_code", pending);
      const isTold = request.announced && secondsLeft(pending, ctx) > 0;
      return door(listener, isTold ? pending : yield* challenge(request, pending, ctx), request);
    } catch (error) {
      await listener.close();
      throw error;
    }
  },
};

function begin({ scope, as }: GrantRequest, { redirectUri }: Listener, ctx: Context): Pending {
  return {
    issuer: as.issuer,
    names_itself: as.authorization_response_iss_parameter_supported === true,
    state: ctx.random(),
    ...defined({ nonce: isOpenId(scope) && !goesWithout(as, "nonce") ? ctx.random() : undefined }),
    code_verifier: ctx.random(),
    redirect_uri: redirectUri,
  };
}

function door(listener: Listener, pending: Pending, request: GrantRequest): Door {
  let callback: Callback | undefined;
  return {
    async *tokens(ctx) {
      const arrived = yield* awaitCallback(listener, pending, request, ctx);
      callback = arrived;
      if (arrived.url.searchParams.get("iss") === "") throw nameless(); // oauth4webapi takes that for none
      const parameters = await asking("The callback", async () =>
        oauth.validateAuthResponse(asAsked(request, pending), request.client, arrived.url, pending.state),
      );
      if (!parameters.get("code")) throw new Failure("provider", "The callback has neither a code nor an error.");
      yield progress("exchange", "started", "Exchanging the authorization code for tokens.");
      await request.save("authorization_code", { ...pending, redeemed: true });
      return await exchange(request, pending, parameters, ctx);
    },
    offer: (address) => misfit(address, pending) ?? listener.offer(address),
    async close(ending = "failed") {
      await callback?.answer(ending);
      callback = undefined;
      await listener.close();
    },
  };
}

/**
 * What counts is who the server was when it was asked, and whether it said that it names itself in every answer: `iss` is
 * compared with that, character by character and before anything else of an answer, an error too. Source: RFC 9207 §2.4.
 */
const asAsked = ({ as }: GrantRequest, { issuer, names_itself }: Pending) => ({
  ...as,
  issuer,
  authorization_response_iss_parameter_supported: names_itself,
});

const nameless = () => new Failure("provider", "The callback broke the protocol: its iss is empty.");

const anotherIssuer = ({ issuer }: Pending, { as }: GrantRequest) =>
  new Failure("provider", `Somebody was asked to sign in at ${issuer}, which calls itself ${as.issuer} now.`, {
    hint: "The code is sent to neither. Sign in again.",
  });

/** Why an address that a browser ended at is no answer to what was asked; undefined where it is one. */
export function misfit(address: URL, saved: Saved): Stray | undefined {
  const { redirect_uri, state, issuer, names_itself } = Pending().parse(saved);
  const expected = new URL(redirect_uri);
  if (address.protocol !== expected.protocol || address.host !== expected.host) return "wrong_host";
  if (address.pathname !== expected.pathname) return "wrong_path";
  if (!isOurs(address, state)) return "wrong_state";
  const iss = address.searchParams.get("iss");
  return iss === issuer || (iss === null && !names_itself) ? undefined : "wrong_issuer";
}

/** Always for a client without a secret: nothing else binds the code to it (RFC 7636 §1). */
const usesPkce = (as: GrantRequest["as"], { client_secret }: GrantRequest["client"]) =>
  client_secret === undefined || !goesWithout(as, "pkce");

const isOpenId = (scope: string | undefined) => scope?.split(" ").includes("openid") ?? false;

/** Beyond this the address stands in its own field only: twice would not fit a line. */
const LONG_URL = 1500;

/** Until the address runs out: Infinity where it does not. */
const secondsLeft = ({ address_until }: Pending, ctx: Context) =>
  address_until === undefined ? Number.POSITIVE_INFINITY : secondsUntil(new Date(address_until), ctx);

/** Tells somebody where to go; `again`, because the last address has run out. */
async function* challenge(request: GrantRequest, pending: Pending, ctx: Context, again = false): Flow<Pending> {
  const { provider, connection, definition, browser, deadline, as, client } = request;
  const parameters = await authorizationRequest(request, pending);
  const pushed = yield* push(request, parameters, ctx);
  const { client_id } = client;
  const auth_url = addressOf(as, pushed ? { client_id, request_uri: pushed.request_uri } : parameters);
  if (auth_url.length > 3000) {
    throw new Failure("usage", `The authorization request is too long (${auth_url.length} characters).`, {
      hint: "Ask for fewer scopes with --scope.",
    });
  }
  const runsOut = pushed && Date.parse(pushed.expires_at) < deadline.getTime() ? pushed.expires_at : undefined;
  const until = runsOut === undefined ? deadline : new Date(runsOut);
  const { address_until: _, ...rest } = pending;
  const told = { ...rest, ...defined({ address_until: runsOut }) };
  if (runsOut !== undefined) await request.save("authorization_code", told);
  const welcome = browser === "always" || (browser === "auto" && ctx.browser.welcome && ctx.browser.reachesThisHost);
  const browser_opened = welcome && !again && (await ctx.browser.open(auth_url)); // they may be at it in the first one
  const what = browser_opened
    ? `Your browser was opened to sign in to ${definition.display_name}; if you do not see it, open`
    : `${again ? "The last address has run out. " : ""}Open this address to sign in to ${definition.display_name}:`;
  yield {
    phase: "auth_url",
    message: `${what} ${auth_url.length > LONG_URL ? "the address in auth_url." : auth_url}`,
    provider,
    connection,
    auth_url,
    redirect_uri: pending.redirect_uri,
    reach: "this_host",
    expires_at: until.toISOString(),
    expires_in: Math.max(0, Math.round(secondsUntil(until, ctx))),
    browser_opened,
    next_actions: sessionActions(request.session_id, "callback"),
  };
  return browser_opened ? rest : told; // what a browser has opened is in use: nobody needs another
}

async function authorizationRequest(
  { as, client, scope, definition, extras, dpop }: GrantRequest,
  pending: Pending,
): Promise<Record<string, string>> {
  return defined({
    ...definition.authorization_params,
    ...authorizationParameters(extras),
    response_type: "code",
    client_id: client.client_id,
    redirect_uri: pending.redirect_uri,
    scope,
    state: pending.state,
    nonce: pending.nonce,
    ...(usesPkce(as, client) && {
      code_challenge: await oauth.calculatePKCECodeChallenge(pending.code_verifier),
      code_challenge_method: "S256",
    }),
    dpop_jkt: await dpop?.calculateThumbprint(), // RFC 9449 §10
  }) as Record<string, string>;
}

function addressOf(as: AuthorizationServer, parameters: Record<string, string>): string {
  const url = new URL(as.authorization_endpoint as string);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  inItsWords(as, url.searchParams);
  url.hash = "";
  return url.href;
}

const STRAYS: Record<Stray, string> = {
  wrong_host: "for another host",
  wrong_path: "for another path",
  wrong_method: "with another method than GET",
  wrong_state: "that does not belong to this login",
  wrong_issuer: "that comes from another server",
};

/** Strays beyond these are refused and not told: a page that knocks in a loop must not flood the stream. */
const MAX_STRAYS = 20;

/** A new address at most every so many seconds, however soon they run out (RFC 9126 §2.2: 5 s is short). */
const RENEWAL = 5;

/**
 * The first callback that carries our `state`. Everything else is refused, told, and waited past. Whoever has opened the address
 * in time may be at it for long; for whoever has not there is a new one as soon as it runs out.
 */
async function* awaitCallback(
  listener: Listener,
  pending: Pending,
  request: GrantRequest,
  ctx: Context,
): Flow<Callback> {
  const { deadline } = request;
  const heart = heartbeat(deadline, ctx);
  let told = pending;
  let arrival: ReturnType<Listener["next"]> | undefined;
  for (let strays = 0; ; ) {
    arrival ??= listener.next(ctx.signal);
    arrival.catch(() => {}); // told where it is waited for
    const arrived = yield* waitFor(beforeItRunsOut(arrival, told, ctx), deadline, ctx, heart);
    if (arrived === "run_out") {
      told = yield* renewed(request, told, ctx);
      heart.beat();
      continue;
    }
    arrival = undefined;
    if (!arrived) {
      throw new Failure("timeout", "Nobody signed in before the time was up.", {
        hint: "Run the command again; --timeout sets how long it waits.",
      });
    }
    if ("callback" in arrived && isOurs(arrived.callback.url, pending.state)) return arrived.callback;
    const stray = "stray" in arrived ? arrived.stray : "wrong_state";
    if ("callback" in arrived) void arrived.callback.refuse();
    if (++strays > MAX_STRAYS) continue;
    heart.beat();
    yield progress("await_user", "waiting", `Refused a request ${STRAYS[stray]}; still waiting for you.`, {
      reason: stray,
    });
  }
}

async function beforeItRunsOut<T>(arrival: Promise<T>, told: Pending, ctx: Context): Promise<T | "run_out"> {
  if (told.address_until === undefined) return arrival;
  const over = new AbortController();
  const until = AbortSignal.any([ctx.signal, over.signal]);
  const runsOut = ctx.sleep(Math.max(RENEWAL, secondsLeft(told, ctx)), until).then(() => "run_out" as const);
  try {
    return await Promise.race([arrival, runsOut]);
  } finally {
    over.abort("arrived");
  }
}

/** That it cannot be had ends nothing: somebody may be signing in. */
async function* renewed(request: GrantRequest, told: Pending, ctx: Context): Flow<Pending> {
  try {
    return yield* challenge(request, told, ctx, true);
  } catch (error) {
    if (!(error instanceof Failure) || ctx.signal.aborted) throw error;
    yield progress("authorize", "failed", `The address has run out, and there is no new one: ${error.message}`, {
      reason: "address_expired",
    });
    const { address_until: _, ...rest } = told;
    return rest;
  }
}

function isOurs(url: URL, state: string): boolean {
  const [sent, ...more] = url.searchParams.getAll("state").map((value) => Buffer.from(value));
  const expected = Buffer.from(state);
  return sent !== undefined && more.length === 0 && sent.length === expected.length && timingSafeEqual(sent, expected);
}

async function exchange(request: GrantRequest, pending: Pending, parameters: URLSearchParams, ctx: Context) {
  const { as, client, scope } = request;
  const { redirect_uri, code_verifier, nonce } = pending;
  return asking("The token endpoint", async () => {
    const auth = authentication(client);
    const response = await oauth.authorizationCodeGrantRequest(
      as,
      client,
      auth,
      parameters,
      redirect_uri,
      usesPkce(as, client) ? code_verifier : oauth.nopkce,
      atTokenEndpoint(request, ctx),
    );
    const answer = await oauth.processAuthorizationCodeResponse(as, client, response, {
      ...(nonce !== undefined && { expectedNonce: nonce }),
      requireIdToken: isOpenId(scope),
    });
    return tokensFrom(answer, response, request, ctx);
  });
}
