/** A login: what the server is, which ways in there are, the tokens of the first that opens, and that they are kept. */
import type { Context } from "../context.ts";
import { type Flow, type Outcome, progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { waitingForYou } from "../protocol/waiting.ts";
import type { Grant as GrantName } from "../providers/definition.ts";
import { authMethod, isClientGone, isPublic, type PlannedClient } from "./client.ts";
import { mustTakeProofs, proofsOf } from "./dpop.ts";
import { type Door, type Grant, type GrantRequest, isAnswerLost, type Saved } from "./grant.ts";
import { grantFlows } from "./index.ts";
import { keep } from "./keep.ts";
import type { Stray } from "./listener.ts";
import type { PageOutcome } from "./page.ts";
import type { Plan } from "./plan.ts";
import { firstOf, type Runner } from "./race.ts";
import { type Identity, identify } from "./registration.ts";
import { type AuthorizationServer, authorizationServer } from "./server.ts";
import type { Tokens } from "./tokens.ts";
import { secondsUntil } from "./wait.ts";

/** What ties a sign-in to the session that outlives its process. */
export interface Continuity {
  session_id: string;
  /** The ways in of which somebody was told. */
  announced: ReadonlySet<GrantName>;
  /** What earlier processes saved of each way in. */
  saved: Partial<Record<GrantName, Saved>>;
  save: GrantRequest["save"];
  /** Who we come as is remembered before anybody is told of it: what is begun as one client ends as that one. */
  identified(identity: Identity): Promise<void>;
  /** What a protected resource has said, which is not asked again: another answer would send elsewhere what was begun. */
  located(plan: Plan): Promise<void>;
  /** What other processes have to say, as it comes in: the address that a browser elsewhere ended at. Fails to cancel. */
  mail(ctx: Context): AsyncGenerator<string, void, void>;
}

interface Way {
  flow: GrantName;
  grant: Grant;
}

interface Opened extends Way {
  door: Door;
}

export async function* signIn(planned: Plan, ctx: Context, continuity?: Continuity): Flow<Outcome<"login">> {
  const { plan, as } = yield* inTime(planned, ctx, (inner) => located(planned, inner));
  if (planned.protected) await continuity?.located(plan);
  if (secondsUntil(plan.deadline, ctx) <= 0) throw tooLate(); // nobody is asked for what cannot be waited for
  const identity = yield* identify(plan, as, ctx);
  await continuity?.identified(identity);
  try {
    return yield* signInAs(identity, plan, as, ctx, continuity);
  } catch (error) {
    if (!isClientGone(error, identity.client)) throw error;
    await ctx.store.forgetRegistered(as.issuer, identity.client.client_id);
    const message = `${as.issuer} does not know the client any more that was registered there: registering again.`;
    yield progress("register", "retrying", message, { reason: "client_gone" });
    const another = yield* identify({ ...plan, client: undefined }, as, ctx);
    await continuity?.identified(another);
    const anew = continuity && { ...continuity, saved: {}, announced: new Set<GrantName>() };
    return yield* signInAs(another, plan, as, ctx, anew);
  }
}

async function* signInAs(
  { client, redirectUri }: Identity,
  plan: Plan,
  as: AuthorizationServer,
  ctx: Context,
  continuity: Continuity | undefined,
): Flow<Outcome<"login">> {
  const saved = continuity?.saved ?? {};
  if (plan.dpop_key !== undefined) mustTakeProofs(as, plan.definition);
  const dpop = await proofsOf(plan.dpop_key);
  const ways = await waysIn(plan, client, as, Object.keys(saved) as GrantName[], ctx);
  for (const { grant } of ways) mustSayWhen(plan, scopeOf(plan, grant, as));
  const request = ({ flow, grant }: Way): GrantRequest => ({
    ...plan,
    as,
    redirectUri,
    client: { ...client, token_endpoint_auth_method: authMethod(as, plan.definition, client) },
    scope: scopeOf(plan, grant, as),
    token_params: plan.definition.token_params,
    dpop,
    announced: continuity?.announced.has(flow) ?? false,
    session_id: continuity?.session_id,
    save: continuity?.save ?? (async () => {}),
  });

  const opened: Opened[] = [];
  let ending: PageOutcome = "failed";
  try {
    for (const [index, way] of ways.entries()) {
      const { flow, grant } = way;
      try {
        opened.push({ ...way, door: yield* grant.open(request(way), ctx, saved[flow]) });
      } catch (error) {
        const isLast = index === ways.length - 1 && opened.length === 0;
        if (!(error instanceof Failure) || ctx.signal.aborted || isLast || isAnswerLost(error)) throw error;
        yield closed(grant, error);
      }
    }
    if (continuity) yield progress("await_user", "started", waitingForYou());
    const beside = continuity
      ? [{ beside: true, run: (inner: Context) => delivery(continuity.mail(inner), opened) }]
      : [];
    const winner = yield* firstOf<Winner>([...opened.map(waiting), ...beside], ctx);
    const { opened: way, tokens } = winner;
    const kept = yield* keep({ request: request(way), ...way, tokens, plan, continuity }, ctx);
    ending = "signed_in"; // only now: what the page says must be true
    return kept;
  } catch (error) {
    if (error instanceof Failure && error.code === "denied") ending = "denied";
    throw error;
  } finally {
    await Promise.allSettled(opened.map(({ door }) => door.close(ending)));
  }
}

async function* located(plan: Plan, ctx: Context): Flow<{ plan: Plan; as: AuthorizationServer }> {
  if (plan.protected) {
    const { locate } = await import("./resource.ts");
    return yield* locate(plan, plan.protected, ctx);
  }
  const as = yield* authorizationServer(plan.definition, ctx);
  if (plan.definition.resource) yield* (await import("./resource.ts")).vet(plan, as);
  return { plan, as };
}

/** Whoever lists many servers, each of them silent, would keep us for longer than anybody wants to wait. */
async function* inTime<T>({ deadline }: Plan, ctx: Context, look: (inner: Context) => Flow<T>): Flow<T> {
  const over = new AbortController();
  const signal = AbortSignal.any([ctx.signal, over.signal]);
  const left = Math.min(Math.max(0, secondsUntil(deadline, ctx)), 86400); // a timer has an end (2^31 ms)
  const timer = setTimeout(() => over.abort(tooLate()), left * 1000);
  timer.unref(); // nothing to stay for: a process that has nothing else to wait for is to end, and to say so
  try {
    return yield* look({ ...ctx, signal });
  } finally {
    clearTimeout(timer);
  }
}

const tooLate = () =>
  new Failure("timeout", "The time was up before anybody could be asked.", {
    hint: "Run the command again; --timeout sets how long it waits.",
  });

/** The server does not let this client in this way; another may do. */
const NOT_FOR_US: ReadonlySet<string> = new Set(["unauthorized_client", "unsupported_grant_type", "invalid_client"]);

interface Winner {
  opened: Opened;
  tokens: Tokens;
}

const waiting = (opened: Opened): Runner<Winner> => ({
  async *run(ctx) {
    return { opened, tokens: yield* opened.door.tokens(ctx) };
  },
  async *lost(failure) {
    const { code, details } = failure;
    if (code !== "expired" && !NOT_FOR_US.has(details.oauth_error ?? "")) throw failure; // somebody answered, or cheats
    await opened.door.close("failed");
    yield closed(opened.grant, failure);
  },
});

const closed = ({ title }: Grant, { message, code }: Failure) =>
  progress("authorize", "failed", `The ${title} is no way in: ${message}`, { reason: code });

const REFUSED: Record<Stray | "no_address", string> = {
  no_address: "it is not a whole one, from http:// on",
  wrong_host: "it is for another host",
  wrong_path: "it is for another path",
  wrong_method: "it was not opened but sent",
  wrong_state: "it belongs to another login",
  wrong_issuer: "it comes from another server",
};

async function* delivery(mail: AsyncGenerator<string, void, void>, opened: Opened[]): Flow<never> {
  for await (const address of mail) {
    const door = opened.find((each) => each.door.offer)?.door;
    const stray = URL.canParse(address) ? door?.offer?.(new URL(address)) : "no_address";
    if (stray) {
      yield progress("await_user", "waiting", `The address that was handed in is refused: ${REFUSED[stray]}.`, {
        reason: stray,
      });
    }
  }
  throw new Failure("internal", "The mail has stopped coming in.");
}

const scopeOf = ({ scope, definition }: Plan, grant: Grant, as: AuthorizationServer) =>
  scope ?? (definition.resource ? undefined : modestScope(grant, as));

/** Before anybody is asked: it stands in the ID token, which is for whoever asks for it (OIDC Core §3.1.2.1). */
function mustSayWhen({ extras, definition }: Plan, scope = ""): void {
  if (extras.max_age === undefined || scope.split(" ").includes("openid")) return;
  throw new Failure("config", `${definition.display_name} will not say when you signed in: --max-age cannot be held.`, {
    hint: "That stands in an ID token: ask for one with openid in --scope.",
  });
}

/** Where nobody says what to ask for: who signs in, and to stay signed in, if the server has words for that. */
function modestScope(grant: Grant, { scopes_supported = [] }: AuthorizationServer): string | undefined {
  if (!grant.attended) return undefined;
  return ["openid", "offline_access"].filter((scope) => scopes_supported.includes(scope)).join(" ") || undefined;
}

/**
 * The one that was asked for; with `auto` every way that the server offers a person, in the definition's order, else the
 * redirect first, or the device code first where no browser can reach this host. What an earlier process has asked stays
 * as it is.
 */
async function waysIn(plan: Plan, client: PlannedClient, as: AuthorizationServer, begun: GrantName[], ctx: Context) {
  const { flow: asked, definition } = plan;
  const names = new Set([...begun, ...(asked === "auto" ? offered(plan, ctx) : [asked])]);
  const able: Way[] = [];
  const lacking: string[] = [];
  let wantsSecret = false;
  for (const flow of names) {
    const grant = await grantFlows[flow]();
    if (asked === "auto" && !grant.attended && able.length > 0) continue; // it would win before anybody could act
    const isSecretLess = asked === "auto" && definition.grants_needing_secret?.includes(flow) && isPublic(client);
    const lack = grant.lacks(as);
    if (lack !== undefined) lacking.push(`it ${lack}`);
    else if (!isSecretLess) able.push({ flow, grant });
    else {
      lacking.push(`it wants a client secret for ${flow}`);
      wantsSecret = true;
    }
  }
  if (able.length > 0) return able;
  throw new Failure("config", `${definition.display_name} cannot be signed in to this way: ${lacking.join(", ")}.`, {
    hint: wantsSecret ? "Say where the client's secret is, with --client-secret-from." : "Try another --flow.",
  });
}

function offered({ definition, browser }: Plan, ctx: Context): readonly GrantName[] {
  if (definition.grants) return definition.grants;
  const reachable = browser === "always" || ctx.browser.reachesThisHost;
  return reachable ? ["authorization_code", "device_code"] : ["device_code", "authorization_code"];
}
