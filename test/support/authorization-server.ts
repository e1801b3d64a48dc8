/**
 * A real authorization server (oidc-provider) on loopback, for the tests and for the demo. It prints nothing, reaches no
 * network, remembers everything it issued and every request it got.
 */
import { generateKeyPair, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import type Provider from "oidc-provider";
import type { Configuration, JWK, KoaContextWithOIDC } from "oidc-provider";
import { devicePages, interactions, logoutPages, renderError, titles } from "./authorization-server-pages.ts";
import { RecordStore, type ServerRecords } from "./authorization-server-records.ts";
import { remember } from "./issued.ts";
import { describe, type Person, visitDevicePages } from "./person.ts";

export type { ServerRecord, ServerRecords } from "./authorization-server-records.ts";

const DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code";
const HOST = "127.0.0.1";

const clients = {
  /** Public: authorization_code, device_code, refresh_token. Redirects to /callback on any loopback port. */
  native: "authline-demo",
  /** client_secret_basic, with every grant. Its secret is a different string once form-encoded (RFC 6749 §2.3.1). */
  confidential: { id: "authline-confidential", secret: "a secret +%:/&=?~ of many signs" },
  /** client_secret_post, client_credentials only. */
  post: { id: "authline-post", secret: "posted-secret" },
} as const;

/** One request that was answered, in the order of the answers. */
export interface RecordedRequest {
  readonly method: string;
  /** Relative to the issuer: `/token`, `/device/auth`, `/.well-known/openid-configuration` … */
  readonly path: string;
  readonly status: number;
  /** When it arrived, in milliseconds as `Date.now()` has them. */
  readonly time: number;
  readonly grant_type?: string;
  /** How the client showed who it is, never with what. */
  readonly auth: "basic" | "post" | "bearer" | "dpop" | "jwt" | "none";
  /** It came with a DPoP proof. */
  readonly proof?: true;
  /** The OAuth error code of the answer. */
  readonly error?: string;
}

export interface AuthorizationServer {
  /** `http://127.0.0.1:PORT`, with the issuerPath behind it. */
  readonly issuer: string;
  readonly clients: typeof clients;
  /** Grows as requests are answered. */
  readonly requests: readonly RecordedRequest[];
  /** A snapshot of what the server issued, dead or alive. */
  records(): ServerRecords;
  /** Does the server itself take this access token? */
  isActive(accessToken: string): Promise<boolean>;
  /** Would the server itself still redeem this refresh token? */
  isRefreshTokenActive(refreshToken: string): Promise<boolean>;
  /** Goes through the device pages as a person would, and fails unless the device is connected in the end. */
  approveDevice(userCode: string, who?: Person): Promise<void>;
  denyDevice(userCode: string): Promise<void>;
  /** Every access token issued up to now is expired at the server; whoever holds one is not told. */
  expireAccessTokens(): void;
  close(): Promise<void>;
}

export interface AuthorizationServerOptions {
  /** Seconds, 3600 unless said otherwise. */
  readonly accessTokenTtl?: number;
  /** Seconds, 600 unless said otherwise. */
  readonly deviceCodeTtl?: number;
  /** Seconds. Without it the device authorization response has no `interval` (RFC 8628 §3.2: then it is 5). */
  readonly interval?: number;
  /** Default true: a refresh token works once, and its second use revokes the whole family. */
  readonly rotation?: boolean;
  /** Default: any free port. */
  readonly port?: number;
  /** A path in the issuer, such as `/tenant`. */
  readonly issuerPath?: string;
  /** Default false: a client that registered itself (RFC 7591) can read and delete itself (RFC 7592). */
  readonly registrationManagement?: boolean;
  /** Seconds that a pushed request is good for, where pushed ones are on: else the 60 that oidc-provider has. */
  readonly requestUriTtl?: number;
  /** How whoever signs in does it, as the ID token says. */
  readonly acr?: string;
  /** What the provider is to learn besides: grants of its own, say. */
  readonly extend?: (provider: Provider) => void;
  /** The last word on the configuration. */
  readonly configure?: (configuration: Configuration) => Configuration;
}

type Middleware = Parameters<Provider["use"]>[0];
type Context = Parameters<Middleware>[0];

export async function startAuthorizationServer(options: AuthorizationServerOptions = {}): Promise<AuthorizationServer> {
  const { issuerPath = "", configure = (unchanged) => unchanged } = options;
  const ProviderClass = await importProvider();

  // The issuer must be the very URL that clients use, so the port comes first and the provider after it.
  const server = createServer();
  server.listen(options.port ?? 0, HOST);
  await once(server, "listening");
  const issuer = `http://${HOST}:${(server.address() as AddressInfo).port}${issuerPath}`;

  const store = new RecordStore();
  const requests: RecordedRequest[] = [];
  remember(clients.confidential.secret, clients.post.secret);
  const provider = new ProviderClass(issuer, configure(await configuration(issuer, store, options)));
  provider.silent = true;
  options.extend?.(provider);
  provider.use(record(requests));
  if (options.interval !== undefined) provider.use(addInterval(options.interval));
  if (options.requestUriTtl !== undefined) provider.use(shorten(options.requestUriTtl, store));
  provider.use(interactions(provider, options.acr));
  serve(server, provider, issuerPath);

  const device = async (userCode: string, expected: string, who?: Person) => {
    const end = await visitDevicePages(`${issuer}/device?user_code=${encodeURIComponent(userCode)}`, who);
    if (end.title !== expected) throw new Error(`the device pages ended at ${describe(end)}`);
  };
  const grantLives = async (grantId: string | undefined) =>
    grantId === undefined || (await provider.Grant.find(grantId)) !== undefined;

  return {
    issuer,
    clients,
    requests,
    records: () => store.records(),
    isActive: async (accessToken) => {
      const user = await provider.AccessToken.find(accessToken);
      if (user) return user.isValid && (await grantLives(user.grantId));
      return (await provider.ClientCredentials.find(accessToken))?.isValid ?? false;
    },
    isRefreshTokenActive: async (refreshToken) => {
      const token = await provider.RefreshToken.find(refreshToken);
      if (!token?.isValid || token.consumed) return false;
      return grantLives(token.grantId);
    },
    approveDevice: (userCode, who) => device(userCode, titles.deviceDone, who),
    denyDevice: (userCode) => device(userCode, titles.denied, { decision: "deny" }),
    expireAccessTokens: () => store.expireAccessTokens(),
    close: () => close(server),
  };
}

async function configuration(
  issuer: string,
  store: RecordStore,
  {
    accessTokenTtl = 3600,
    deviceCodeTtl = 600,
    rotation = true,
    registrationManagement = false,
  }: AuthorizationServerOptions,
): Promise<Configuration> {
  const day = 24 * 60 * 60;
  const loopback = [`http://${HOST}/callback`, "http://localhost/callback"];
  const grants = ["authorization_code", "refresh_token", DEVICE_GRANT];
  return {
    adapter: store.adapter,
    jwks: { keys: [await signingKey()] },
    cookies: { keys: [randomBytes(32).toString("base64url")] },
    // An expired token is refused at once: a test cannot wait for the 15 seconds of the default.
    clockTolerance: 0,
    clients: [
      {
        client_id: clients.native,
        client_name: "authline demo",
        application_type: "native",
        token_endpoint_auth_method: "none",
        grant_types: grants,
        redirect_uris: loopback,
      },
      {
        client_id: clients.confidential.id,
        client_secret: clients.confidential.secret,
        application_type: "native",
        token_endpoint_auth_method: "client_secret_basic",
        grant_types: [...grants, "client_credentials"],
        redirect_uris: loopback,
      },
      {
        client_id: clients.post.id,
        client_secret: clients.post.secret,
        token_endpoint_auth_method: "client_secret_post",
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
      },
    ],
    scopes: ["openid", "offline_access", "profile", "email", "api:read", "api:write"],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "preferred_username"] },
    // Claims of a granted scope stand in the ID token too, not only at the userinfo endpoint.
    conformIdTokenClaims: false,
    findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => account(sub) }),
    pkce: { required: () => true },
    rotateRefreshToken: rotation,
    // offline_access is dropped from the scope unless the request says prompt=consent, which few clients know: what a person
    // starts on their own device gets a refresh token anyway.
    issueRefreshToken: async (_ctx, client, { scopes }) =>
      client.grantTypeAllowed("refresh_token") &&
      (scopes.has("offline_access") || client.applicationType === "native" || client.grantTypeAllowed(DEVICE_GRANT)),
    expiresWithSession: async () => false,
    interactions: { url: (_ctx, { uid }) => `${issuer}/interaction/${uid}` },
    clientBasedCORS: () => false,
    renderError,
    features: {
      devInteractions: { enabled: false },
      deviceFlow: { enabled: true, ...devicePages },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId },
      revocation: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId },
      // What most servers do not have; a test of it turns it on.
      pushedAuthorizationRequests: { enabled: false },
      registration: { enabled: true, initialAccessToken: false },
      registrationManagement: { enabled: registrationManagement, rotateRegistrationAccessToken: false },
      rpInitiatedLogout: { enabled: true, ...logoutPages },
      userinfo: { enabled: true },
    },
    ttl: {
      AccessToken: accessTokenTtl,
      ClientCredentials: accessTokenTtl,
      AuthorizationCode: 60,
      DeviceCode: deviceCodeTtl,
      IdToken: 3600,
      Interaction: 3600,
      RefreshToken: 14 * day,
      Session: 14 * day,
      Grant: 14 * day,
    },
  };
}

/** Whoever signs in has an account: `alice` is Alice Example, alice@example.com. */
function account(sub: string) {
  return {
    sub,
    preferred_username: sub,
    name: `${sub.charAt(0).toUpperCase()}${sub.slice(1)} Example`,
    email: `${sub}@example.com`,
    email_verified: true,
  };
}

let key: Promise<JWK> | undefined;

/** One for all: to find its primes takes longer than a sign-in. */
function signingKey(): Promise<JWK> {
  key ??= promisify(generateKeyPair)("rsa", { modulusLength: 2048 }).then(({ privateKey }) => ({
    ...(privateKey.export({ format: "jwk" }) as JWK),
    use: "sig",
    alg: "RS256",
  }));
  return key;
}

/** oidc-provider greets some versions of Node with a warning as soon as it is imported. */
async function importProvider(): Promise<typeof Provider> {
  const { info, warn } = console;
  console.info = console.warn = () => {};
  try {
    return (await import("oidc-provider")).default;
  } finally {
    Object.assign(console, { info, warn });
  }
}

function record(requests: RecordedRequest[]): Middleware {
  return async (ctx, next) => {
    const { method, path } = ctx;
    const time = Date.now();
    try {
      await next();
    } finally {
      const { client_secret, client_assertion, grant_type, code_verifier } =
        (ctx as unknown as Partial<KoaContextWithOIDC>).oidc?.body ?? {};
      const { error, id_token } = (ctx.body ?? {}) as { error?: unknown; id_token?: unknown };
      remember(code_verifier, id_token, client_assertion);
      requests.push({
        method,
        path,
        status: ctx.status,
        time,
        auth: client_assertion === undefined ? authStyle(ctx.get("authorization"), client_secret) : "jwt",
        ...(ctx.get("dpop") !== "" && { proof: true }),
        ...(typeof grant_type === "string" && { grant_type }),
        ...(typeof error === "string" && { error }),
      });
    }
  };
}

function authStyle(header: string, secret: unknown): RecordedRequest["auth"] {
  if (/^basic /i.test(header)) return "basic";
  if (/^dpop /i.test(header)) return "dpop";
  if (/^bearer /i.test(header)) return "bearer";
  return secret === undefined ? "none" : "post";
}

function addInterval(interval: number): Middleware {
  return async (ctx: Context, next) => {
    await next();
    if (["/device/auth", "/backchannel"].includes(ctx.path) && ctx.status === 200)
      Object.assign(ctx.body as object, { interval });
  };
}

/** What oidc-provider has no setting for. */
function shorten(expires_in: number, store: RecordStore): Middleware {
  return async (ctx: Context, next) => {
    await next();
    if (ctx.path !== "/request" || ctx.status !== 201) return;
    store.expirePushedRequests(expires_in);
    Object.assign(ctx.body as object, { expires_in });
  };
}

/** Connects the two; under an issuer path, as a framework that mounts the provider there would. */
function serve(server: Server, provider: Provider, issuerPath: string): void {
  const handle = provider.callback();
  server.on("request", (request, response) => {
    if (issuerPath === "") return handle(request, response);
    const metadata = "/.well-known/oauth-authorization-server";
    // RFC 8414 §3.1 puts the well-known part before the issuer's path, OpenID Connect behind it.
    const url = request.url === `${metadata}${issuerPath}` ? `${issuerPath}${metadata}` : (request.url ?? "/");
    if (!url.startsWith(`${issuerPath}/`)) return response.writeHead(404).end();
    // The name under which oidc-provider looks for the whole path, and learns where it is mounted.
    Object.assign(request, { originalUrl: url, url: url.slice(issuerPath.length) });
    return handle(request, response);
  });
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}
