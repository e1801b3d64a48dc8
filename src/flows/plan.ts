/** A login before anybody is asked anything: which provider, as which client, for what. Touches no network. */
import { naming, standardOf } from "../actions.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { Failure } from "../protocol/failure.ts";
import type { Definition, Grant as GrantName } from "../providers/definition.ts";
import { clientInEnv, secretInEnv } from "../providers/environment.ts";
import { definitionOf, findDefinition, isSameIssuer } from "../providers/lookup.ts";
import { REDIRECT_URI } from "../providers/url.ts";
import type { LearnedView } from "../store/record.ts";
import type { PlannedClient } from "./client.ts";
import type { Extras } from "./extras.ts";
import type { GrantRequest } from "./grant.ts";
import { readSecret } from "./secret.ts";

/** What the flags said. */
export interface Asked {
  provider: string;
  /** Undefined: the provider's default one. */
  connection: string | undefined;
  flow: "auto" | GrantName;
  scope: string | undefined;
  issuer: string | undefined;
  "client-id": string | undefined;
  "client-secret-from": string | undefined;
  "client-metadata-url": string | undefined;
  "software-statement-from": string | undefined;
  "registration-token-from": string | undefined;
  browser: GrantRequest["browser"];
  "redirect-uri": string | undefined;
  timeout: number;
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
  deadline: Date;
  /** What is to be remembered of the provider when the login has succeeded. */
  taught: LearnedView["definition"];
  extras: Extras;
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
const mayRegister = ({ issuer, discovery = true, endpoints, client_registration }: Definition): boolean =>
  endpoints?.registration_endpoint !== undefined ||
  (issuer !== undefined && discovery && client_registration === undefined);

export async function planOf(asked: Asked, ctx: Context): Promise<Plan> {
  const { provider, flow, issuer, browser, timeout } = asked;
  const standard = await standardOf(provider, asked.connection === undefined, ctx);
  const connection = asked.connection ?? standard;
  const learned = await ctx.store.learned(provider);
  const before = await ctx.store.glance(provider, connection);
  const definition = definitionOf(provider, learned, issuer);
  const same = isSameIssuer(definition.issuer, findDefinition(provider, learned)?.issuer);
  const known = same ? learned : undefined; // a client and its secret belong to their issuer
  const redirectUri = asked["redirect-uri"];
  const plan: Plan = {
    provider,
    connection,
    flow,
    definition,
    client: await givenClient(asked, known, ctx),
    clientMetadataUrl: asked["client-metadata-url"],
    registration: await registrationOf(asked, ctx),
    scope: asked.scope ?? (same ? before?.requested_scope : undefined) ?? definition.scope,
    redirectUri: redirectUri ?? definition.redirect_uri ?? REDIRECT_URI,
    browser,
    extras: (same ? before?.extras : undefined) ?? {},
    deadline: new Date(ctx.now().getTime() + timeout * 1000),
    taught: {
      ...known?.definition,
      ...defined({ scope: asked.scope, issuer, redirect_uri: redirectUri }),
    },
  };
  if (!plan.client && !plan.clientMetadataUrl && !mayRegister(definition)) throw await lacksClient(plan, ctx);
  return plan;
}

/** The client that was given now, or in the environment, or to the last login of this provider. */
async function givenClient(
  args: Asked,
  known: LearnedView | undefined,
  ctx: Context,
): Promise<PlannedClient | undefined> {
  const client_id = args["client-id"] ?? clientInEnv(args.provider, ctx).client_id ?? known?.client?.client_id;
  if (client_id === undefined) return undefined;
  const source = args["client-secret-from"];
  if (source !== undefined) {
    return { client_id, client_secret: await readSecret(source, "--client-secret-from", ctx) };
  }
  const isKnown = client_id === known?.client?.client_id;
  const client_secret =
    secretInEnv(args.provider, client_id, ctx) ?? (isKnown ? await ctx.store.clientSecret(args.provider) : undefined);
  return { client_id, ...defined({ client_secret }) };
}

/** What a registration is made with; a source that does not come with the call is not read again. */
async function registrationOf(asked: Asked, ctx: Context): Promise<Plan["registration"]> {
  const { "software-statement-from": statement, "registration-token-from": token } = asked;
  return defined({
    software_statement: statement && (await readSecret(statement, "--software-statement-from", ctx)),
    initial_access_token: token && (await readSecret(token, "--registration-token-from", ctx)),
  });
}
