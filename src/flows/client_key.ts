/**
 * A client that proves who it is by a key. Source: RFC 7523 §2.2, OIDC Core §9 (private_key_jwt), RFC 7517.
 *
 * Rule: the key is kept in one form, a private JWK with `kid` and `alg` where they were given, and is never quoted.
 */
import { createPrivateKey, type JsonWebKey } from "node:crypto";
import * as oauth from "oauth4webapi";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { Failure } from "../protocol/failure.ts";
import { readSecret } from "./secret.ts";
import type { AuthorizationServer } from "./server.ts";

interface Jwk extends JsonWebKey {
  kid?: string;
  alg?: string;
}

const RSA = { kty: "RSA", hash: "SHA-256" };
const ED25519 = { kty: "OKP", crv: "Ed25519", name: "Ed25519" };

/** By their names in a JWS header, the commonest first; what WebCrypto calls them. */
const ALGORITHMS: Record<string, { kty: string; crv?: string; name: string; hash?: string; namedCurve?: string }> = {
  RS256: { ...RSA, name: "RSASSA-PKCS1-v1_5" },
  PS256: { ...RSA, name: "RSA-PSS" },
  ES256: { kty: "EC", crv: "P-256", name: "ECDSA", namedCurve: "P-256" },
  EdDSA: ED25519,
  Ed25519: ED25519, // RFC 9864 §2.2
};

/** For a key, or for the one that it says. */
const algorithmsOf = ({ kty, crv, alg }: Jwk): string[] =>
  Object.entries(ALGORITHMS)
    .filter(
      ([name, fit]) => fit.kty === kty && (fit.crv === undefined || fit.crv === crv) && [undefined, name].includes(alg),
    )
    .map(([name]) => name);

/** PEM or JWK, from where the flag says it is; `kid` where the JWK has none. Throws `config`. */
export async function readClientKey(
  source: string,
  { kid }: { kid: string | undefined },
  ctx: Context,
): Promise<string> {
  const name = "--client-key-from";
  const text = await readSecret(source, name, ctx);
  const key = keyIn(text);
  if (!key) {
    throw new Failure("config", `${name}: that is no private key.`, {
      hint: "It is a private key in PEM, not encrypted, or a private JWK.",
    });
  }
  if (algorithmsOf(key).length === 0) {
    throw new Failure("config", `${name}: a key of this kind is not supported.`, {
      hint: `Supported are keys for ${Object.keys(ALGORITHMS).join(", ")}.`,
    });
  }
  return JSON.stringify({ ...key, ...defined({ kid: kid ?? key.kid }) });
}

function keyIn(text: string): Jwk | undefined {
  try {
    const given: Jwk | undefined = text.trimStart().startsWith("{") ? JSON.parse(text) : undefined;
    const key = createPrivateKey(given ? { key: given, format: "jwk" } : text);
    const { alg, kid } = given ?? {};
    return { ...key.export({ format: "jwk" }), ...defined({ alg, kid }) };
  } catch {
    return undefined; // its message may quote what it choked on
  }
}

export function privateKeyJwt(text: string): oauth.ClientAuth {
  const { alg: _, kid, ...material }: Jwk = JSON.parse(text);
  return async (as, client, body, headers) => {
    const alg = algorithmFor(JSON.parse(text), as);
    const { kty: __, crv: ___, ...algorithm } = ALGORITHMS[alg] as (typeof ALGORITHMS)[string];
    const key = await crypto.subtle.importKey("jwk", material, algorithm, false, ["sign"]);
    const authenticate = oauth.PrivateKeyJwt(
      { key, ...defined({ kid }) },
      {
        [oauth.modifyAssertion]: (header) => {
          header["alg"] = alg; // Ed25519 has two names
        },
      },
    );
    await authenticate(as, client, body, headers);
  };
}

/** The first that the server takes (RFC 8414 §2), where it says which. */
function algorithmFor(key: Jwk, as: AuthorizationServer): string {
  const able = algorithmsOf(key);
  const { token_endpoint_auth_signing_alg_values_supported: supported } = as;
  const alg = supported ? able.find((one) => supported.includes(one)) : able[0];
  if (alg !== undefined) return alg;
  throw new Failure("config", `${as.issuer} takes no signature that the client's key can make.`, {
    hint: `The key makes ${able.join(", ")}; the server takes ${supported?.join(", ")}.`,
  });
}
