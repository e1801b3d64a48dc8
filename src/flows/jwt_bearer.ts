/**
 * Somebody else's word for it: an assertion that the server trusts is exchanged for a token. Sources: RFC 7523 §2.1 and §3,
 * RFC 7521 §4.1.
 *
 * Rules: an assertion that was given is sent once, and not kept: a source that would have to be read again later, in another
 * surrounding and by whoever asks for a token, is a command that somebody could plant in the store. A key is kept, sealed,
 * and signs a new assertion each time.
 */
import * as oauth from "oauth4webapi";
import { text } from "../commands/command.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { authentication } from "./client.ts";
import type { Asking } from "./extras.ts";
import { asking } from "./faults.ts";
import { type Grant, type GrantRequest, offersGrant } from "./grant.ts";
import { inputsIn, oneOf } from "./inputs.ts";
import { claimsIn, hasExpired, objectIn, signed, signingKeyIn } from "./jwt.ts";
import { checkSource } from "./secret.ts";
import { type AuthorizationServer, atTokenEndpoint } from "./server.ts";
import { type Tokens, tokensFrom } from "./tokens.ts";

export const JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/** It is sent at once. Seconds. */
const LIFETIME = 300;

export const jwtBearer: Grant = {
  title: "assertion",
  attended: false,
  flags: {
    "assertion-from": text("where the assertion is, a JWT that the server trusts", "SOURCE", checkSource),
    "signing-key-from": text(
      "where the key is to sign one with: PEM, JWK, or the key file of a Google service account",
      "SOURCE",
      checkSource,
    ),
    "key-id": text("what the server calls that key", "KEY_ID"),
    "assertion-issuer": text("who vouches, its iss; else the client", "ISSUER"),
    subject: text("who for, its sub; else its iss", "SUBJECT"),
    audience: text("whom it is meant for, its aud; else the server", "AUDIENCE"),
  },
  examples: [
    "authline login acme --flow jwt_bearer --assertion-from file:assertion.jwt",
    "authline login acme --flow jwt_bearer --signing-key-from file:key.pem --key-id 2026-03 --subject alice@acme.example",
    "authline login acme --flow jwt_bearer --signing-key-from file:key.pem --assertion-issuer robot --audience acme",
    "authline login google --flow jwt_bearer --signing-key-from file:service-account.json",
  ],
  clientId: ({ secret }) => serviceAccountIn(secret["signing-key"])?.client_email,
  lacks: (as) => (as.token_endpoint && offersGrant(as, JWT_BEARER) ? undefined : "does not take assertions (RFC 7523)"),

  async *open(request, ctx) {
    const assertion = assertionFor(request, ctx); // whatever is wrong with it is told before anything is sent
    return {
      async *tokens(inner) {
        yield progress("exchange", "started", `Showing ${request.definition.display_name} the assertion.`);
        return await redeem(request, assertion, inner);
      },
      close: async () => {},
    };
  },

  isRenewable: ({ secret }) => "signing-key" in secret,
  async *renew(connection, parties, ctx) {
    const { requested_scope: scope, extras, token_params } = connection;
    const request = { ...parties, scope, extras, token_params, inputs: inputsIn(connection) };
    return await redeem(request, assertionFor(request, ctx), ctx);
  },
};

type Request = Pick<GrantRequest, "as" | "client" | "scope" | "inputs"> & Asking;

function assertionFor(request: Request, ctx: Context): string {
  const { inputs } = request;
  const which = oneOf(inputs, "The assertion", {
    assertion: "--assertion-from",
    "signing-key": "--signing-key-from",
  });
  if (which === "signing-key") return signedFor(request, ctx);
  const assertion = inputs.secret["assertion"]?.trim() ?? "";
  if (!claimsIn(assertion)) throw new Failure("config", "--assertion-from holds no JWT.");
  if (hasExpired(assertion, ctx.now())) {
    throw new Failure("config", "The assertion has expired.", { hint: "Give a new one with --assertion-from." });
  }
  return assertion;
}

/** RFC 7523 §3. */
function signedFor({ as, client, scope, inputs: { said, secret } }: Request, ctx: Context): string {
  const text = secret["signing-key"] ?? "";
  const account = serviceAccountIn(text);
  const { kid, ...key } = signingKeyIn(account?.private_key ?? text, "--signing-key-from");
  const iss = said["assertion-issuer"] ?? account?.client_email ?? client.client_id;
  const iat = Math.floor(ctx.now().getTime() / 1000);
  const claims = {
    iss,
    sub: said["subject"] ?? iss,
    aud: audienceOf(as, account, said["audience"]),
    iat,
    exp: iat + LIFETIME,
    jti: ctx.random(),
    ...(account && defined({ scope })),
  };
  return signed({ ...key, ...defined({ kid: said["key-id"] ?? account?.private_key_id ?? kid }) }, claims);
}

/** The issuer, which cannot be mistaken for another server's (RFC 7521 §8.1); Google wants its token endpoint. */
function audienceOf(
  { issuer, token_endpoint }: AuthorizationServer,
  account: ServiceAccount | undefined,
  said?: string,
) {
  if (!account) return said ?? issuer;
  if (account.token_uri === undefined || account.token_uri === token_endpoint) return said ?? token_endpoint ?? issuer;
  throw new Failure("config", `The service account belongs to another server, that of ${account.token_uri}.`, {
    hint: "Nothing was sent. Name its provider.",
  });
}

interface ServiceAccount {
  client_email: string;
  private_key: string;
  private_key_id?: string;
  token_uri?: string;
}

/** The file that Google gives out: https://developers.google.com/identity/protocols/oauth2/service-account */
function serviceAccountIn(text = ""): ServiceAccount | undefined {
  const account = objectIn(text);
  return account?.["type"] === "service_account" &&
    ["client_email", "private_key"].every((name) => typeof account[name] === "string")
    ? (account as unknown as ServiceAccount)
    : undefined;
}

async function redeem(request: Request, assertion: string, ctx: Context): Promise<Tokens> {
  const account = serviceAccountIn(request.inputs.secret["signing-key"]);
  // Its scope stands in the assertion; and no client is named where the assertion alone says who asks (RFC 7523 §2.1).
  const isWordEnough = account !== undefined && account.client_email === request.client.client_id;
  const { refresh_token, ...tokens } = await present(assertion, request, isWordEnough, ctx);
  return jwtBearer.isRenewable?.(request.inputs) ? tokens : { ...tokens, ...defined({ refresh_token }) };
}

/** `anonymous`: without a word on who the client is. */
export const present = (
  assertion: string,
  { as, client, scope, ...extra }: Omit<Request, "inputs">,
  anonymous: boolean,
  ctx: Context,
): Promise<Tokens> =>
  asking("The token endpoint", async () => {
    const { additionalParameters, ...options } = atTokenEndpoint({ ...extra, as }, ctx);
    const parameters = {
      ...additionalParameters,
      assertion,
      ...(!anonymous && defined({ scope })),
    };
    const proof = anonymous ? () => {} : authentication(client);
    const response = await oauth.genericTokenEndpointRequest(as, client, proof, JWT_BEARER, parameters, options);
    const answer = await oauth.processGenericTokenEndpointResponse(as, client, response);
    return tokensFrom(answer, response, { as, scope, dpop: extra.dpop }, ctx);
  });
