/**
 * Grants that oidc-provider leaves to whoever runs it, and CIBA: assertions are verified by the keys of those who are trusted,
 * subject tokens by the provider's own records, and what is issued are its own tokens.
 */
import { createPublicKey, type JsonWebKey, type KeyObject, verify } from "node:crypto";
import type Provider from "oidc-provider";
import type { Configuration, KoaContextWithOIDC } from "oidc-provider";
import type { AuthorizationServerOptions } from "./authorization-server.ts";
import { signIdToken } from "./hostile-server.ts";
import { remember } from "./issued.ts";
import { inWorld, type World } from "./sessions.ts";

export const JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer";
export const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
export const CIBA = "urn:openid:params:grant-type:ciba";
const TYPE = "urn:ietf:params:oauth:token-type:";

type Claims = Record<string, unknown> & { iss?: string; sub?: string; aud?: unknown; exp?: number; jti?: string };

/** One that waits for somebody on their own device. */
interface Waiting {
  id: string;
  accountId: string;
  scope: string;
  bindingMessage: string | undefined;
}

interface Asked {
  jti: string;
  accountId: string;
  scope?: string;
  params: { binding_message?: string };
}

export interface Grants {
  readonly options: AuthorizationServerOptions;
  /** Who is believed, by `iss`, and by which public key. */
  readonly trusted: Map<string, KeyObject>;
  /** The claims of every assertion that was believed. */
  readonly assertions: Claims[];
  /** The parameters of every exchange that was made. */
  readonly exchanges: Record<string, string | undefined>[];
  /** What the client of an ID-JAG is called at the server that it is for. */
  readonly clientAt: Map<string, string>;
  /** Spoils the claims of an ID-JAG, or what is said of the token that was issued. */
  spoil: { assertion?: Claims; answer?: Record<string, unknown> };
  readonly waiting: Waiting[];
  /** Whoever is asked approves at once. */
  approvesAll: boolean;
  approve(index?: number): Promise<void>;
  deny(index?: number): Promise<void>;
}

export function grants(more: AuthorizationServerOptions = {}): Grants {
  let provider: Provider;
  const used = new Set<string>();
  const here: Grants = {
    options: {
      ...more,
      extend(it) {
        provider = it;
        it.registerGrantType(JWT_BEARER, bearer, ["assertion", "scope", "resource"]);
        it.registerGrantType(TOKEN_EXCHANGE, exchange, [
          ...["subject_token", "subject_token_type", "actor_token", "actor_token_type"],
          ...["requested_token_type", "audience", "resource", "scope"],
        ]);
      },
      configure(configuration) {
        const own = more.configure?.(configuration) ?? configuration;
        const ttl = { BackchannelAuthenticationRequest: 600, ...own.ttl };
        return { ...own, ...withGrants(own), ttl, features: { ...own.features, ciba } };
      },
    },
    trusted: new Map(),
    assertions: [],
    exchanges: [],
    clientAt: new Map(),
    spoil: {},
    waiting: [],
    approvesAll: false,
    async approve(index = 0) {
      const { id, accountId, scope } = here.waiting[index] as Waiting;
      const request = await provider.BackchannelAuthenticationRequest.find(id);
      const grant = new provider.Grant({ clientId: request?.clientId, accountId });
      grant.addOIDCScope(scope);
      await grant.save();
      await provider.backchannelResult(id, grant, { authTime: Math.floor(Date.now() / 1000) });
    },
    async deny(index = 0) {
      const { errors } = await import("oidc-provider");
      await provider.backchannelResult((here.waiting[index] as Waiting).id, new errors.AccessDenied());
    },
  };

  const ciba = {
    enabled: true,
    deliveryModes: ["poll" as const],
    async triggerAuthenticationDevice(_: unknown, request: object) {
      const { jti: id, accountId, scope = "", params } = request as unknown as Asked;
      here.waiting.push({ id, accountId, scope, bindingMessage: params.binding_message });
      if (here.approvesAll) await here.approve(here.waiting.length - 1);
    },
    async validateBindingMessage(_: unknown, message?: string) {
      const { errors } = await import("oidc-provider");
      if (message?.includes("!")) throw new errors.InvalidBindingMessage("no exclamations here");
    },
    async validateRequestContext() {},
    async verifyUserCode() {},
    async processLoginHint(_: unknown, hint = "") {
      return hint.startsWith("nobody") ? undefined : hint.replace(/@.*/, "");
    },
    async processLoginHintToken(ctx: KoaContextWithOIDC, token = "") {
      return (await believed(ctx, token)).sub;
    },
  };

  async function refuse(what: "InvalidGrant" | "InvalidRequest", why: string): Promise<never> {
    const { errors } = await import("oidc-provider");
    throw new errors[what](why);
  }

  /** The claims of an assertion. Source: RFC 7523 §3. */
  async function believed(ctx: KoaContextWithOIDC, jwt: string): Promise<Claims> {
    remember(jwt);
    const claims = claimsOf(jwt);
    const key = here.trusted.get(String(claims.iss));
    if (!key) return refuse("InvalidGrant", "the issuer is not trusted");
    if (!isSignedBy(key, jwt)) return refuse("InvalidGrant", "the signature is wrong");
    const now = Date.now() / 1000;
    const { issuer } = ctx.oidc;
    if (![issuer, `${issuer}/token`].includes(String(claims.aud))) return refuse("InvalidGrant", "it is for another");
    if (claims.exp === undefined || claims.exp <= now || claims.exp > now + 3600) {
      return refuse("InvalidGrant", "it has expired");
    }
    if (claims.jti !== undefined && used.has(claims.jti)) return refuse("InvalidGrant", "it was used before");
    if (claims.jti !== undefined) used.add(claims.jti);
    here.assertions.push(claims);
    return claims;
  }

  async function bearer(ctx: KoaContextWithOIDC): Promise<void> {
    const { assertion, scope } = ctx.oidc.params as { assertion: string; scope?: string };
    const { sub = "", client_id } = await believed(ctx, assertion);
    if (client_id !== undefined && client_id !== ctx.oidc.client?.clientId) {
      await refuse("InvalidGrant", "it was given to another client");
    }
    ctx.body = await issue(ctx, sub, scope);
  }

  /** RFC 8693 §2. */
  async function exchange(ctx: KoaContextWithOIDC): Promise<void> {
    const params = ctx.oidc.params as Record<string, string | undefined>;
    const { subject_token = "", subject_token_type, actor_token, requested_token_type, audience, scope } = params;
    remember(subject_token, actor_token);
    const sub = await accountOf(ctx, subject_token, subject_token_type);
    if (sub === undefined) return refuse("InvalidRequest", "the subject token is not valid");
    const actor = actor_token && (await accountOf(ctx, actor_token, params["actor_token_type"]));
    if (actor_token && actor === undefined) return refuse("InvalidRequest", "the actor token is not valid");
    here.exchanges.push({ ...params, sub, actor });
    if (requested_token_type === `${TYPE}id-jag`) {
      const claims = { sub, aud: audience, client_id: here.clientAt.get(audience ?? ""), ...here.spoil.assertion };
      const access_token = ownJwt(ctx, { ...claims, ...(params["resource"] && { resource: params["resource"] }) });
      ctx.body = { access_token, issued_token_type: requested_token_type, token_type: "N_A", expires_in: 300 };
    } else if (requested_token_type === `${TYPE}jwt`) {
      const access_token = ownJwt(ctx, { sub, aud: audience });
      ctx.body = { access_token, issued_token_type: requested_token_type, token_type: "N_A", expires_in: 300 };
    } else {
      ctx.body = { ...(await issue(ctx, sub, scope)), issued_token_type: `${TYPE}access_token` };
    }
    Object.assign(ctx.body as object, here.spoil.answer);
  }

  async function accountOf(ctx: KoaContextWithOIDC, token: string, type = ""): Promise<string | undefined> {
    const find = {
      [`${TYPE}access_token`]: () => provider.AccessToken.find(token),
      [`${TYPE}refresh_token`]: () => provider.RefreshToken.find(token),
    }[type];
    if (type === `${TYPE}id_token`) return ownIdToken(ctx, token);
    if (!find) return (await believed(ctx, token).catch(() => undefined))?.sub;
    const found = await find();
    const lives = found?.isValid && (await provider.Grant.find(found.grantId ?? ""));
    return lives ? found.accountId : undefined;
  }

  async function ownIdToken({ oidc }: KoaContextWithOIDC, token: string): Promise<string | undefined> {
    const { iss, aud, exp = 0, sub } = claimsOf(token);
    const published = (await (await fetch(`${oidc.issuer}/jwks`)).json()) as { keys: JsonWebKey[] };
    const isOurs = published.keys.some((key) => isSignedBy(createPublicKey({ key, format: "jwk" }), token));
    const isGood = iss === oidc.issuer && aud === oidc.client?.clientId && exp > Date.now() / 1000;
    return isOurs && isGood ? sub : undefined;
  }

  async function issue(ctx: KoaContextWithOIDC, accountId: string, scope = "") {
    const { client } = ctx.oidc;
    if (!client) throw new Error("a client is known by now");
    const grant = new provider.Grant({ clientId: client.clientId, accountId });
    grant.addOIDCScope(scope);
    const grantId = await grant.save();
    const token = new provider.AccessToken({ accountId, client, grantId, scope, gty: "extension" } as never);
    return { access_token: await token.save(), token_type: "Bearer", expires_in: token.expiration, scope };
  }

  function ownJwt(ctx: KoaContextWithOIDC, claims: Claims): string {
    const now = Math.floor(Date.now() / 1000);
    const times = { iat: now, exp: now + 300, jti: `${now}-${Math.random()}` };
    const jwt = signIdToken({ iss: ctx.oidc.issuer, ...times, ...claims });
    remember(jwt);
    return jwt;
  }

  return here;
}

const claimsOf = (jwt: string): Claims => JSON.parse(String(Buffer.from(jwt.split(".")[1] ?? "", "base64url")));

function isSignedBy(key: KeyObject, jwt: string): boolean {
  const [head = "", body = "", signature = ""] = jwt.split(".");
  const hash = key.asymmetricKeyType === "ed25519" ? null : "sha256";
  const how = { key, dsaEncoding: "ieee-p1363" as const };
  return verify(hash, Buffer.from(`${head}.${body}`), how, Buffer.from(signature, "base64url"));
}

/** Every client that keeps a secret may use them. */
function withGrants({ clients = [] }: Configuration): Pick<Configuration, "clients"> {
  return {
    clients: clients.map((client) =>
      client.client_secret === undefined
        ? client
        : {
            ...client,
            grant_types: [...(client.grant_types ?? []), JWT_BEARER, TOKEN_EXCHANGE, CIBA],
            backchannel_token_delivery_mode: "poll" as const,
          },
    ),
  };
}

/** A test in a world of its own, whose server knows these grants. */
export const inWorldOfGrants =
  (body: (world: World, server: Grants) => Promise<unknown>, more?: AuthorizationServerOptions) => async () => {
    const server = grants(more);
    await inWorld((world) => body(world, server), server.options)();
  };

/** How the client that keeps a secret signs in, by one of them. */
export const asConfidential = ({ server }: World, flow: string, ...more: string[]): string[] => [
  ...["login", "acme", "--issuer", server.issuer, "--client-id", server.clients.confidential.id],
  ...["--client-secret-from", "env:ACME_SECRET", "--flow", flow, ...more],
];

export const secretOf = ({ server }: World) => ({ ACME_SECRET: server.clients.confidential.secret });
