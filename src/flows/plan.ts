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
  browser: GrantRequest["browser"];
  "redirect-uri": string | undefined;
  timeout: number;
}

export interface Plan {
  provider: string;
  connection: string;
  flow: "auto" | GrantName;
  definition: Definition;
  client: { client_id: string; client_secret?: string };
  /** Undefined: what the server's metadata suggest. */
  scope: string | undefined;
  redirectUri: string;
  browser: GrantRequest["browser"];
  deadline: Date;
  /** What is to be remembered of the provider when the login has succeeded. */
  taught: LearnedView["definition"];
  extras: Extras;
}

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
  return {
    provider,
    connection,
    flow,
    definition,
    client: await givenClient(asked, naming(provider, connection, standard), definition, known, ctx),
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
}

/** The client that was given now, or in the environment, or to the last login of this provider. */
async function givenClient(
  args: Asked,
  whose: string[],
  definition: Definition,
  known: LearnedView | undefined,
  ctx: Context,
) {
  const client_id = args["client-id"] ?? clientInEnv(args.provider, ctx).client_id ?? known?.client?.client_id;
  if (client_id === undefined) {
    const where = definition.client_registration;
    throw new Failure("config", `A client ID is needed to sign in to ${definition.display_name}.`, {
      hint: where
        ? `Create one at ${where} and give it with --client-id.`
        : "Give the one that it registered for you with --client-id.",
      next_actions: [
        {
          id: "login",
          argv: ["authline", "login", ...whose, "--client-id", "{client_id}"],
          description: `Sign in to ${args.provider} with your client.`,
        },
      ],
    });
  }
  const source = args["client-secret-from"];
  if (source !== undefined) {
    return { client_id, client_secret: await readSecret(source, "--client-secret-from", ctx) };
  }
  const isKnown = client_id === known?.client?.client_id;
  const client_secret =
    secretInEnv(args.provider, client_id, ctx) ?? (isKnown ? await ctx.store.clientSecret(args.provider) : undefined);
  return defined({ client_id, client_secret });
}
