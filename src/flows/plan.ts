/** A login before anybody is asked anything: which provider, as which client, for what. Touches no network. */
import { naming } from "../actions.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { Failure } from "../protocol/failure.ts";
import { type Definition, type Grant as GrantName, REDIRECT_URI } from "../providers/definition.ts";
import { definitionOf, findDefinition, isSameIssuer } from "../providers/lookup.ts";
import type { Learned } from "../store/record.ts";
import type { GrantRequest } from "./grant.ts";
import { readSecret } from "./secret.ts";

/** What the flags said. */
export interface Asked {
  provider: string;
  connection: string;
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
  taught: Learned["definition"];
}

export async function planOf(asked: Asked, ctx: Context): Promise<Plan> {
  const { provider, connection, flow, issuer, browser, timeout } = asked;
  const learned = await ctx.store.learned(provider);
  const before = await ctx.store.connection(provider, connection);
  const definition = definitionOf(provider, learned, issuer);
  const same = isSameIssuer(definition.issuer, findDefinition(provider, learned)?.issuer);
  const known = same ? learned : undefined; // a client and its secret belong to their issuer
  const redirectUri = asked["redirect-uri"];
  return {
    provider,
    connection,
    flow,
    definition,
    client: await givenClient(asked, definition, known, ctx),
    scope: asked.scope ?? (same ? before?.requested_scope : undefined) ?? definition.scope,
    redirectUri: redirectUri ?? definition.redirect_uri ?? REDIRECT_URI,
    browser,
    deadline: new Date(ctx.now().getTime() + timeout * 1000),
    taught: {
      ...known?.definition,
      ...defined({ scope: asked.scope, issuer, redirect_uri: redirectUri }),
    },
  };
}

/** The client that was given now, or the one that the last login of this provider was given. */
async function givenClient(args: Asked, definition: Definition, known: Learned | undefined, ctx: Context) {
  const client_id = args["client-id"] ?? known?.client?.client_id;
  if (client_id === undefined) {
    const where = definition.client_registration;
    throw new Failure("config", `A client ID is needed to sign in to ${definition.display_name}.`, {
      hint: where
        ? `Create one at ${where} and give it with --client-id.`
        : "Give the one that it registered for you with --client-id.",
      next_actions: [
        {
          id: "login",
          argv: ["authline", "login", ...naming(args.provider, args.connection), "--client-id", "{client_id}"],
          description: `Sign in to ${args.provider} with your client.`,
        },
      ],
    });
  }
  const source = args["client-secret-from"];
  const remembered = client_id === known?.client?.client_id ? known.secrets.client_secret : undefined;
  const client_secret = source === undefined ? remembered : await readSecret(source, "--client-secret-from", ctx);
  return defined({ client_id, client_secret });
}
