/** A login before anybody is asked anything: which provider, as which client, for what. Touches no network. */
import { standardOf } from "../actions.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import type { Definition, Grant as GrantName } from "../providers/definition.ts";
import { clientInEnv } from "../providers/environment.ts";
import { issuerOf, known as knownAs, noSuchProvider } from "../providers/lookup.ts";
import { isAddress, nameOf } from "../providers/resource.ts";
import { isSameIssuer } from "../providers/server.ts";
import { valuesIn } from "../providers/template.ts";
import { REDIRECT_URI } from "../providers/url.ts";
import type { ConnectionView, LearnedView } from "../store/record.ts";
import { readDetails } from "./authorization_details.ts";
import type { Protected } from "./challenge.ts";
import type { PlannedClient } from "./client.ts";
import { type Extras, lasting } from "./extras.ts";
import { clientIn, givenClient, lacksClient, mayRegister, registrationOf } from "./given_client.ts";
import type { GrantRequest } from "./grant.ts";
import { grantFlows } from "./index.ts";
import { type Inputs, inputsFor, repeatable } from "./inputs.ts";
import { protectedOf, stepUp } from "./target.ts";

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
  set?: string[] | undefined;
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

export async function planOf(asked: Asked, ctx: Context): Promise<Plan> {
  const { browser, timeout } = asked;
  const provider = nameOf(asked.provider);
  const standard = await standardOf(provider, asked.connection === undefined, ctx);
  const connection = asked.connection ?? standard;
  const before = await ctx.store.glance(provider, connection);
  const address = isAddress(asked.provider) ? asked.provider : undefined;
  const told = { address, set: valuesIn(asked.set ?? []) };
  const redirectUri = asked["redirect-uri"];
  const { given = {} } = asked;
  const last = Object.keys(given).length === 0 ? await repeatable(before, ctx) : undefined;
  const isMeant = last && (asked.flow === "auto" || asked.flow === last.flow);
  const base = asked.issuer === undefined ? await knownAs(provider, ctx, told) : undefined;
  const issuer = asked.issuer ?? (isMeant ? elsewhere(last.issuer, base?.definition) : undefined);
  const found = issuer === undefined ? base : await knownAs(provider, ctx, { ...told, issuer });
  if (!found) throw await noSuchProvider(provider, ctx);
  const { definition, learned: known, set } = found;
  const same = known !== undefined; // a client and its secret belong to their server
  const again = isMeant && isSameIssuer(last.issuer, issuerOf(definition)) ? last : undefined;
  const flow = again?.flow ?? asked.flow;
  const chosen = chosenIn({ flow, definition });
  const inputs = again?.inputs ?? (await inputsFor(chosen, given, ctx));
  const implied = again?.client ?? (chosen && clientIn(await grantFlows[chosen](), inputs));
  const { client, isKnown } = await givenClient(asked, known, implied, again !== undefined && !same, ctx);
  const isGiven = (asked["client-id"] ?? clientInEnv(provider, ctx).client_id) !== undefined;
  const isRepeated = again?.client && (client === again.client || !isGiven);
  const client_of = isRepeated ? before?.server?.issuer : isKnown && known && (known.definition.issuer ?? "nobody");
  const resource = protectedOf(asked, definition, before, client_of || undefined);
  const asBefore = same || again ? before : undefined;
  const extras = await extrasOf(asked, asBefore?.extras, definition, ctx);
  const begun = ctx.now();
  const plan: Plan = {
    provider,
    connection,
    flow,
    definition,
    client,
    clientMetadataUrl: asked["client-metadata-url"],
    registration: await registrationOf(asked, ctx),
    scope: asked.scope ?? (resource ? undefined : (asBefore?.requested_scope ?? definition.scope)),
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
      ...defined({ scope: asked.scope, issuer: asked.issuer, redirect_uri: redirectUri }),
      ...(Object.keys(set).length > 0 && { set }),
    },
    protected: resource,
    step_up: resource && stepUp(resource, before),
  };
  if (!plan.client && !plan.clientMetadataUrl && !mayRegister(definition)) throw await lacksClient(plan, ctx);
  return plan;
}

/** What is done again is done at the server that it was done at, whatever the provider's name has come to stand for since. */
const elsewhere = (issuer: string | undefined, { resource, ...base }: Partial<Definition> = {}): string | undefined =>
  resource === undefined && base.issuer !== undefined && !isSameIssuer(issuer, base.issuer) ? issuer : undefined;

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
