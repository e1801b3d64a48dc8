/**
 * Tokens that are of use only to whoever has the key that they are bound to. Source: RFC 9449.
 *
 * Rules: one key a credential, made at its login and gone with it; it leaves the store for nobody. oauth4webapi keeps the
 * nonces, for each server its own (§8); `asking` in faults.ts tries once more with a new one.
 */
import * as oauth from "oauth4webapi";
import { Failure } from "../protocol/failure.ts";
import type { Definition } from "../providers/definition.ts";
import type { AuthorizationServer } from "./server.ts";

/** The one of all examples in RFC 9449. */
const ALG = "ES256";
const EC = { name: "ECDSA", namedCurve: "P-256" };

/** A private JWK, as it is kept. */
export async function newKey(): Promise<string> {
  const { privateKey } = await oauth.generateKeyPair(ALG, { extractable: true });
  const { kty, crv, x, y, d } = await crypto.subtle.exportKey("jwk", privateKey);
  return JSON.stringify({ kty, crv, x, y, d });
}

/** What makes the proofs of requests; with `nonce` that one stands in them. */
export async function proofsBy(key: string, nonce?: string): Promise<oauth.DPoPHandle> {
  const { d, ...open } = JSON.parse(key);
  const [privateKey, publicKey] = await Promise.all([
    crypto.subtle.importKey("jwk", { ...open, d }, EC, false, ["sign"]),
    crypto.subtle.importKey("jwk", open, EC, true, ["verify"]),
  ]);
  const withNonce: oauth.ModifyAssertionFunction = (_, payload) => {
    payload["nonce"] = nonce;
  };
  return oauth.DPoP({}, { privateKey, publicKey }, nonce === undefined ? {} : { [oauth.modifyAssertion]: withNonce });
}

/** Where the credential is bound to none: undefined. */
export const proofsOf = async (key: string | undefined) => (key === undefined ? undefined : proofsBy(key));

export interface ProofRequest {
  key: string;
  access_token: string;
  method: string;
  url: URL;
  /** As the resource server has asked for (§9). */
  nonce?: string | undefined;
}

/** The headers that one request to a resource server needs (§7.1). Nothing is sent. */
export async function headersFor({ key, access_token, method, url, nonce }: ProofRequest) {
  let headers: Record<string, string> = {};
  await oauth.protectedResourceRequest(access_token, method, url, undefined, undefined, {
    DPoP: await proofsBy(key, nonce),
    [oauth.allowInsecureRequests]: true,
    [oauth.customFetch]: async (_, request) => {
      headers = request.headers;
      return new Response();
    },
  });
  const { authorization = "", dpop = "" } = headers;
  return { authorization, dpop };
}

/**
 * Before anybody is asked: a server that does not know of proofs gives a token that is bound to nothing, which is refused
 * when somebody has approved it. One that publishes no metadata, or whose definition says it, is taken at its word.
 */
export function mustTakeProofs(as: AuthorizationServer, definition: Definition): void {
  const { dpop_signing_alg_values_supported: supported } = as;
  const { issuer, discovery = true, display_name, dpop_bound_access_tokens } = definition;
  if (supported ? supported.includes(ALG) : dpop_bound_access_tokens || !issuer || !discovery) return;
  throw new Failure("config", `${display_name} cannot bind tokens to a key (DPoP).`, {
    hint: supported
      ? `It takes proofs by ${supported.join(", ")}; authline makes them by ${ALG}.`
      : "Its metadata does not say that it takes proofs. Sign in without --dpop.",
  });
}
