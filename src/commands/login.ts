import type { Context } from "../context.ts";
import { type Flow, type Outcome, progress } from "../flow.ts";
import type { Client } from "../flows/client.ts";
import type { Grant, GrantRequest } from "../flows/grant.ts";
import type { AuthorizationServer } from "../flows/server.ts";
import type { Tokens } from "../flows/tokens.ts";
import { Failure, type NextAction, type Warning } from "../protocol/failure.ts";
import { type Definition, type Grant as GrantName, grants, isLoopback, isSecureUrl } from "../providers/definition.ts";
import type { Connection, Learned } from "../store/record.ts";
import { choice, command, connection, duration, loginAction, naming, provider, text, trySoon } from "./command.ts";
import { checkSource, readSecret, SOURCES } from "./secret.ts";

const REDIRECT_URI = "http://127.0.0.1/callback";

export const login = command({
  positionals: { provider },
  options: {
    connection,
    flow: choice("how to sign in", ["auto", ...grants], "auto", "FLOW"),
    scope: text("what to ask for, separated by spaces", "SCOPES", checkScope),
    issuer: text("the authorization server, if the provider is not a known one", "URL", checkIssuer),
    "client-id": text("the client that the provider registered for you", "ID", checkClientId),
    "client-secret-from": text(`where its secret is: ${SOURCES}`, "SOURCE", checkSource),
    browser: choice("whether to open one", ["auto", "always", "never"], "auto", "WHEN"),
    "redirect-uri": text(
      `the loopback address to return to; without a port takes a free one (${REDIRECT_URI})`,
      "URL",
      checkRedirectUri,
    ),
    timeout: duration("how long to wait for you", "10m", { least: 1 }),
  },
  examples: [
    "authline login github --client-id Iv1.0123456789abcdef",
    "authline login acme --issuer https://login.acme.example --client-id cli --flow device_code",
    "authline login acme --flow client_credentials --client-secret-from env:ACME_SECRET",
  ],

  async *flow(args, ctx) {
    try {
      return yield* signIn(args, ctx);
    } catch (error) {
      throw trySoon(error, again(args));
    }
  },
});

/** The same command once more: until a login has succeeded, the name alone is not enough. */
function again(args: Asked): NextAction {
  const { argv, ...action } = loginAction(args.provider, args.connection);
  const options = ["flow", "scope", "issuer", "client-id", "client-secret-from", "browser", "redirect-uri"] as const;
  const given = options.flatMap((name) => {
    const value = args[name];
    return value === undefined || value === "auto" ? [] : [`--${name}`, value];
  });
  return { ...action, argv: [...argv, ...given] };
}

/** What the flags said. */
interface Asked {
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

async function* signIn(args: Asked, ctx: Context): Flow<Outcome<"login">> {
  const { provider, connection: name } = args;
  const deadline = new Date(ctx.now().getTime() + args.timeout * 1000);
  const [{ definitionOf, findDefinition }, { authorizationServer }] = await Promise.all([
    import("../providers/lookup.ts"),
    import("../flows/server.ts"),
  ]);
  await ctx.store.prepare();
  const learned = await ctx.store.learned(provider);
  const before = await ctx.store.connection(provider, name);
  const definition = definitionOf(provider, learned, args.issuer);
  const same = definition.issuer === findDefinition(provider, learned)?.issuer;
  const known = same ? learned : undefined; // a client and its secret belong to their issuer
  const given = await givenClient(args, definition, known, ctx);

  const as = yield* authorizationServer(definition, ctx);
  const { authMethod } = await import("../flows/client.ts");
  const client: Client = { ...given, token_endpoint_auth_method: authMethod(as, definition, given.client_secret) };
  const { grant, flow } = await chooseGrant(args.flow, definition, as, args.browser, ctx);
  const asked = args.scope ?? (same ? before?.requested_scope : undefined) ?? definition.scope;
  const scope = asked ?? modestScope(flow, as);
  const redirectUri = args["redirect-uri"] ?? definition.redirect_uri ?? REDIRECT_URI;
  const request: GrantRequest = {
    provider,
    connection: name,
    definition,
    as,
    client,
    scope,
    redirectUri,
    browser: args.browser,
    deadline,
  };
  const { grants: _, ...taught } = known?.definition ?? {};
  const lesson: Learned = {
    v: 1,
    provider,
    definition: {
      ...taught,
      ...(args.scope !== undefined && { scope: args.scope }),
      ...(flow === "client_credentials" && { grants: [flow] }), // `auto` would never come upon it
      ...(args.issuer !== undefined && { issuer: args.issuer }),
      ...(args["redirect-uri"] !== undefined && { redirect_uri: redirectUri }),
    },
    client: { client_id: client.client_id },
    secrets: { ...(client.client_secret !== undefined && { client_secret: client.client_secret }) },
  };
  return yield* grant.obtain(request, ctx, (tokens) => keep({ request, flow, tokens, before, lesson }, ctx));
}

/** Where nobody says what to ask for: who signs in, and to stay signed in, if the server has words for that. */
function modestScope(flow: GrantName, { scopes_supported = [] }: AuthorizationServer): string | undefined {
  if (flow === "client_credentials") return undefined;
  return ["openid", "offline_access"].filter((scope) => scopes_supported.includes(scope)).join(" ") || undefined;
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
  return { client_id, ...(client_secret !== undefined && { client_secret }) };
}

/**
 * `auto` takes the first that the server can do, in the definition's order, else the redirect before the device code;
 * but the redirect gives way to the device code where no browser can reach this host.
 */
async function chooseGrant(
  asked: "auto" | GrantName,
  definition: Definition,
  as: AuthorizationServer,
  browser: GrantRequest["browser"],
  ctx: Context,
): Promise<{ flow: GrantName; grant: Grant }> {
  const { grantFlows } = await import("../flows/index.ts");
  const names = asked === "auto" ? (definition.grants ?? (["authorization_code", "device_code"] as const)) : [asked];
  const lacking: string[] = [];
  const able: { flow: GrantName; grant: Grant }[] = [];
  for (const flow of names) {
    const grant = await grantFlows[flow]();
    const lack = grant.lacks(as);
    if (lack === undefined) able.push({ flow, grant });
    else lacking.push(`it ${lack}`);
  }
  const reachable = browser === "always" || ctx.browser.reachesThisHost;
  const chosen = able.find(({ flow }) => reachable || flow !== "authorization_code") ?? able[0];
  if (chosen) return chosen;
  throw new Failure("config", `${definition.display_name} cannot be signed in to this way: ${lacking.join(", ")}.`, {
    hint: "Try another --flow.",
  });
}

interface Catch {
  request: GrantRequest;
  flow: GrantName;
  tokens: Tokens;
  before: Connection | undefined;
  lesson: Learned;
}

/** A login is a success once the stored credential was read back. */
async function* keep({ request, flow, tokens, before, lesson }: Catch, ctx: Context): Flow<Outcome<"login">> {
  const { provider, connection, definition, as, client, scope: requested_scope } = request;
  const { accountName } = await import("../flows/account.ts");
  const account = await accountName(definition, tokens, ctx);
  const now = ctx.now().toISOString();
  const { access_token, refresh_token, id_token, token_type, expires_at } = tokens;
  const scope = tokens.scope?.split(definition.scope_separator ?? " ").join(" ");
  const { client_id, token_endpoint_auth_method, client_secret } = client;
  await ctx.store.keep({
    v: 1,
    provider,
    connection,
    flow,
    server: as as Connection["server"],
    ...(definition.quirks && { quirks: definition.quirks }),
    client: { client_id, token_endpoint_auth_method },
    token_type,
    ...(scope !== undefined && { scope }),
    ...(requested_scope !== undefined && { requested_scope }),
    ...(account !== undefined && { account }),
    ...(tokens.subject !== undefined && { subject: tokens.subject }),
    ...(expires_at !== undefined && { expires_at }),
    created_at: before?.created_at ?? now,
    updated_at: now,
    refreshable: refresh_token !== undefined || flow === "client_credentials",
    secrets: {
      access_token,
      ...(refresh_token !== undefined && { refresh_token }),
      ...(id_token !== undefined && { id_token }),
      ...(client_secret !== undefined && { client_secret }),
    },
  });
  await ctx.store.learn(lesson);
  yield progress("store", "done", "The credential is stored.");
  return {
    message: `Signed in to ${definition.display_name}${account ? ` as ${account}` : ""}.`,
    warnings: narrowed(requested_scope, scope),
    data: {
      provider,
      connection,
      record_status: "connected",
      ...(scope !== undefined && { scope }),
      ...(expires_at !== undefined && { expires_at }),
      ...(account !== undefined && { account }),
    },
    next_actions: [
      {
        id: "token",
        argv: ["authline", "token", ...naming(provider, connection)],
        description: "Get the access token.",
      },
    ],
  };
}

/** What OpenID Connect asks for by scope and answers by claims and tokens: servers write these back as they like. */
const IDENTITY = new Set(["openid", "profile", "email", "address", "phone", "offline_access"]);

/** Some servers grant less than was asked, and say so only in passing (RFC 6749 §3.3). */
function narrowed(asked: string | undefined, granted: string | undefined): Warning[] {
  const has = new Set(granted?.split(" "));
  const missing = asked?.split(" ").filter((scope) => !has.has(scope) && !IDENTITY.has(scope)) ?? [];
  if (missing.length === 0) return [];
  return [{ code: "scope_narrowed", message: `Not granted: ${missing.join(" ")}.` }];
}

const usage = (message: string, hint: string) => new Failure("usage", message, { hint });

/** RFC 6749 §3.3. */
function checkScope(raw: string, name: string): void {
  if (/^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/.test(raw) && raw.length <= 2000) return;
  throw usage(
    `${name} is not a list of scopes.`,
    'Write them between quotes with single spaces: --scope "openid email".',
  );
}

function checkClientId(raw: string, name: string): void {
  if (/^[\x20-\x7e]{1,300}$/.test(raw)) return;
  throw usage(`${name} is not a client ID.`, "It is one printable word, as the provider shows it.");
}

function checkIssuer(raw: string, name: string): void {
  const url = URL.canParse(raw) ? new URL(raw) : undefined;
  if (
    url &&
    isSecureUrl(raw) &&
    /^[\x21-\x7e]+$/.test(raw) &&
    !url.search &&
    !url.hash &&
    !url.username &&
    !url.password &&
    raw.length <= 500
  )
    return;
  throw usage(
    `${name} cannot be "${raw}".`,
    "An issuer is an https address without a query, such as https://login.example.com; http will do on this machine only.",
  );
}

/** RFC 8252 §7.3: http, and this machine's loopback. */
function checkRedirectUri(raw: string, name: string): void {
  const url = URL.canParse(raw) ? new URL(raw) : undefined;
  const fits = url?.protocol === "http:" && isLoopback(url.hostname) && !url.search && !url.hash && !url.username;
  if (fits && raw.length <= 200 && url.port !== "0") return;
  throw usage(
    `${name} is not an address that authline can listen on.`,
    `It is one on this machine's loopback, such as ${REDIRECT_URI}.`,
  );
}
