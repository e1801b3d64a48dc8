/** A login before anybody is asked anything: which provider, as which client, for what. Touches no network. */
import { naming, standardOf } from "../actions.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { Failure } from "../protocol/failure.ts";
import type { Definition, Grant as GrantName } from "../providers/definition.ts";
import { clientInEnv, secretInEnv } from "../providers/environment.ts";
import { builtIn, definitionOf, findDefinition, isSameIssuer } from "../providers/lookup.ts";
import { covers, isAddress, nameOf } from "../providers/resource.ts";
import { REDIRECT_URI } from "../providers/url.ts";
import type { ConnectionView, LearnedView } from "../store/record.ts";
import { readDetails } from "./authorization_details.ts";
import { challengeIn, type Protected, union } from "./challenge.ts";
import type { PlannedClient } from "./client.ts";
import { type Extras, lasting } from "./extras.ts";
import type { Grant, GrantRequest } from "./grant.ts";
import { grantFlows } from "./index.ts";
import { type Inputs, inputsFor, repeatable } from "./inputs.ts";
import { readSecret } from "./secret.ts";

/** What the flags said. */
export interface Asked {
  /** A name, or the address of a protected resource. */
  provider: string;
  /** Undefined: the provider's default one. */
  connection: string | undefined;
  flow: "auto" | GrantName;
  scope: string | undefined;
  issuer: string | undefined;
  challenge: string | undefined;
  "client-id": string | undefined;
  "client-secret-from": string | undefined;
  "client-metadata-url": string | undefined;
  "software-statement-from": string | undefined;
  "registration-token-from": string | undefined;
  "client-key-from": string | undefined;
  "client-key-id": string | undefined;
  dpop: boolean;
  "authorization-details": string | undefined;
  "acr-values": string | undefined;
  "max-age": number | undefined;
  prompt: string | undefined;
  "login-hint": string | undefined;
  browser: GrantRequest["browser"];
  "redirect-uri": string | undefined;
  timeout: number;
  /** The flags of the grants, as they were given. */
  given?: Record<string, string>;
}

export interface Plan {
  provider: string;
  connection: string;
  flow: "auto" | GrantName;
  definition: Definition;
  /** Undefined: to be found out from the server, or registered with it. */
  client: PlannedClient | undefined;
  clientMetadataUrl: string | undefined;
  /** What a registration is to be made with. Source: RFC 7591 §2.3, §3. */
  registration: { software_statement?: string | undefined; initial_access_token?: string | undefined };
  /** Undefined: what the server's metadata suggest. */
  scope: string | undefined;
  redirectUri: string;
  browser: GrantRequest["browser"];
  begun: Date;
  deadline: Date;
  /** What is to be remembered of the provider when the login has succeeded. */
  taught: LearnedView["definition"];
  extras: Extras;
  /** The resource that has to be asked first; undefined: there is none, or it was. */
  protected?: Protected | undefined;
  step_up?: ConnectionView["step_up"];
  /** What the tokens will be bound to. */
  dpop_key?: string | undefined;
  inputs: Inputs;
}

/** Where no client is known and none can be had. */
export async function lacksClient({ provider, connection, definition }: Plan, ctx: Context): Promise<Failure> {
  const where = definition.client_registration;
  const whose = naming(provider, connection, await standardOf(provider, false, ctx));
  return new Failure("config", `A client ID is needed to sign in to ${definition.display_name}.`, {
    hint: where
      ? `Create one at ${where} and give it with --client-id.`
      : "Give the one that it registered for you with --client-id.",
    next_actions: [
      {
        id: "login",
        argv: ["authline", "login", ...whose, "--client-id", "{client_id}"],
        description: `Sign in to ${provider} with your client.`,
      },
    ],
  });
}

/** Where people create clients by hand, or nothing is published, there is nothing to ask the server for. */
const mayRegister = ({ resource, issuer, discovery = true, endpoints, client_registration }: Definition): boolean =>
  resource !== undefined ||
  endpoints?.registration_endpoint !== undefined ||
  (issuer !== undefined && discovery && client_registration === undefined);

export async function planOf(asked: Asked, ctx: Context): Promise<Plan> {
  const { issuer, browser, timeout } = asked;
  const provider = nameOf(asked.provider);
  const standard = await standardOf(provider, asked.connection === undefined, ctx);
  const connection = asked.connection ?? standard;
  const learned = knownAs(asked.provider, await ctx.store.learned(provider));
  const before = await ctx.store.glance(provider, connection);
  const definition = definitionOf(provider, learned, issuer);
  const same = isSameIssuer(definition.issuer, findDefinition(provider, learned)?.issuer);
  const known = same ? learned : undefined; // a client and its secret belong to their issuer
  const redirectUri = asked["redirect-uri"];
  const { given = {} } = asked;
  const last = same && Object.keys(given).length === 0 ? await repeatable(before, ctx) : undefined;
  const again = last && (asked.flow === "auto" || asked.flow === last.flow) ? last : undefined;
  const flow = again?.flow ?? asked.flow;
  const chosen = chosenIn({ flow, definition });
  const inputs = again?.inputs ?? (await inputsFor(chosen, given, ctx));
  const implied = again?.client ?? (chosen && clientIn(await grantFlows[chosen](), inputs));
  const { client, isKnown } = await givenClient(asked, known, implied, ctx);
  const resource = protectedOf(asked, definition, before, isKnown ? known : undefined);
  const extras = await extrasOf(asked, same ? before?.extras : undefined, definition, ctx);
  const begun = ctx.now();
  const plan: Plan = {
    provider,
    connection,
    flow,
    definition,
    client,
    clientMetadataUrl: asked["client-metadata-url"],
    registration: await registrationOf(asked, ctx),
    scope: asked.scope ?? (resource ? undefined : ((same ? before?.requested_scope : undefined) ?? definition.scope)),
    redirectUri: redirectUri ?? definition.redirect_uri ?? REDIRECT_URI,
    browser,
    inputs,
    extras,
    dpop_key: extras.dpop_bound_access_tokens ? await (await import("./dpop.ts")).newKey() : undefined,
    begun,
    deadline: new Date(begun.getTime() + timeout * 1000),
    taught: {
      ...known?.definition,
      ...(resource && { resource: resource.address, display_name: definition.display_name }),
      ...defined({ scope: asked.scope, issuer, redirect_uri: redirectUri }),
    },
    protected: resource,
    step_up: resource && stepUp(resource, before),
  };
  if (!plan.client && !plan.clientMetadataUrl && !mayRegister(definition)) throw await lacksClient(plan, ctx);
  return plan;
}

/** An address says what is to be known of it; what else has its name is not it. */
function knownAs(target: string, learned: LearnedView | undefined): LearnedView | undefined {
  if (!isAddress(target)) return learned;
  const provider = nameOf(target);
  const taken = builtIn(provider) ?? learned?.definition;
  if (taken && taken.resource !== target) {
    throw new Failure("config", `${target} would be called ${provider}, and that is another provider.`, {
      hint: "Forget that one first, or sign in to this one by its issuer under a name of your own.",
    });
  }
  const definition = { ...learned?.definition, name: provider, display_name: target, resource: target };
  return { v: 1, provider, ...learned, definition };
}

/** Undefined where the provider is no protected resource. Throws `usage`. */
function protectedOf(
  asked: Asked,
  { resource: address, display_name }: Definition,
  before: ConnectionView | undefined,
  known: LearnedView | undefined,
): Protected | undefined {
  const challenge = asked.challenge === undefined ? undefined : challengeIn(asked.challenge);
  if (address === undefined) {
    if (!challenge) return undefined;
    throw new Failure(
      "usage",
      `--challenge says nothing to ${display_name}: it is not known as a protected resource.`,
      {
        hint: "Sign in by the resource's address: authline login https://… --challenge 'Bearer …'",
      },
    );
  }
  const held = covers(before?.extras?.resource, address) ? before : undefined;
  return {
    address,
    ...defined({ challenge, issuer: asked.issuer, client_of: known && (known.definition.issuer ?? "nobody") }),
    ...(held && {
      held: { issuer: held.server?.issuer ?? "", ...defined({ scope: union(held.requested_scope, held.scope) }) },
    }),
  };
}

const MOST_STEPS = 3;

/** Whoever is refused again with what it has just been given would ask for ever. Source: MCP authorization, step-up. */
function stepUp({ address, challenge }: Protected, before: ConnectionView | undefined): Plan["step_up"] {
  if (challenge?.error !== "insufficient_scope") return undefined;
  const scope = challenge.scope?.split(" ").sort().join(" ") ?? "";
  const times = before?.step_up?.scope === scope ? before.step_up.times + 1 : 1;
  if (times <= MOST_STEPS) return { scope, times };
  throw new Failure(
    "provider",
    `${address} asks for the scope ${scope} again, which was signed in for ${MOST_STEPS} times.`,
    {
      reason: "step_up",
      hint: "To sign in once more would not help: the account may not have that right. Without --challenge the count begins anew.",
    },
  );
}

/** What is given now, over what the last login of this connection asked for. */
async function extrasOf(
  asked: Asked,
  before: Extras = {},
  { dpop_bound_access_tokens }: Definition,
  ctx: Context,
): Promise<Extras> {
  const details = asked["authorization-details"];
  return {
    ...lasting(before),
    ...defined({
      authorization_details:
        details === undefined ? undefined : await readDetails(details, "--authorization-details", ctx),
      dpop_bound_access_tokens: asked.dpop || dpop_bound_access_tokens || undefined,
      acr_values: asked["acr-values"],
      max_age: asked["max-age"],
      prompt: asked.prompt,
      login_hint: asked["login-hint"],
    }),
  };
}

/** The grant that is certain beforehand, if one is. */
export const chosenIn = ({ flow, definition }: Pick<Plan, "flow" | "definition">): GrantName | undefined =>
  flow === "auto" ? definition.grants?.[0] : flow;

function clientIn({ clientId }: Grant, inputs: Inputs): Plan["client"] | undefined {
  const client_id = clientId?.(inputs);
  return client_id === undefined ? undefined : { client_id };
}

/** The client that was given now, or in the environment, or to the last login of this provider, or that is implied. */
async function givenClient(
  args: Asked,
  known: LearnedView | undefined,
  implied: Plan["client"] | undefined,
  ctx: Context,
): Promise<{ client: PlannedClient | undefined; isKnown: boolean }> {
  const provider = nameOf(args.provider);
  const given = args["client-id"] ?? clientInEnv(provider, ctx).client_id ?? implied?.client_id;
  const client_id = given ?? known?.client?.client_id;
  if (client_id === undefined) return { client: undefined, isKnown: false };
  const { "client-secret-from": source, "client-key-from": keySource, "client-key-id": kid } = args;
  if (source !== undefined && keySource !== undefined) {
    throw new Failure("usage", "--client-secret-from and --client-key-from are both given.", {
      hint: "A client proves itself by one of them.",
    });
  }
  if (source !== undefined) {
    const client = { client_id, client_secret: await readSecret(source, "--client-secret-from", ctx) };
    return { client, isKnown: given === undefined };
  }
  if (keySource !== undefined) {
    const { readClientKey } = await import("./client_key.ts");
    const client_key = await readClientKey(keySource, { kid }, ctx);
    return { client: { client_id, client_key }, isKnown: given === undefined };
  }
  const inEnv = secretInEnv(provider, client_id, ctx);
  if (inEnv !== undefined) return { client: { client_id, client_secret: inEnv }, isKnown: given === undefined };
  if (client_id === implied?.client_id) return { client: implied, isKnown: false };
  if (client_id !== known?.client?.client_id) return { client: { client_id }, isKnown: given === undefined };
  const { store } = ctx;
  const [client_secret, client_key] = [await store.clientSecret(provider), await store.clientKey(provider)];
  const isKept = client_secret !== undefined || client_key !== undefined;
  return { client: { client_id, ...defined({ client_secret, client_key }) }, isKnown: given === undefined || isKept };
}

/** What a registration is made with; a source that does not come with the call is not read again. */
async function registrationOf(asked: Asked, ctx: Context): Promise<Plan["registration"]> {
  const { "software-statement-from": statement, "registration-token-from": token } = asked;
  return defined({
    software_statement: statement && (await readSecret(statement, "--software-statement-from", ctx)),
    initial_access_token: token && (await readSecret(token, "--registration-token-from", ctx)),
  });
}
