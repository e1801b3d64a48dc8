/** JSON Web Tokens that authline signs itself, and what can be read of those that it is given. Sources: RFC 7515, RFC 7519. */
import { constants, createPrivateKey, type KeyObject, sign } from "node:crypto";
import { defined } from "../defined.ts";
import { Failure } from "../protocol/failure.ts";

export interface SigningKey {
  alg: string;
  kid?: string;
  /** Signs what stands before the second dot; in base64url. */
  sign(input: string): string;
}

/** How OpenSSL is told to do what RFC 7518 §3.1 and RFC 8037 §3.1 call by these names. */
const ALGORITHMS: Record<string, { hash: string | null; padding?: number; saltLength?: number }> = {
  RS256: { hash: "sha256" },
  RS384: { hash: "sha384" },
  RS512: { hash: "sha512" },
  PS256: { hash: "sha256", padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 },
  PS384: { hash: "sha384", padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 },
  PS512: { hash: "sha512", padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 64 },
  ES256: { hash: "sha256" },
  ES384: { hash: "sha384" },
  ES512: { hash: "sha512" },
  EdDSA: { hash: null },
};

/** What a key can do, the commonest first; by its type, and its curve where it has one. */
const ABLE: Record<string, string[]> = {
  rsa: ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  "rsa-pss": ["PS256", "PS384", "PS512"],
  "ec prime256v1": ["ES256"],
  "ec secp384r1": ["ES384"],
  "ec secp521r1": ["ES512"],
  ed25519: ["EdDSA"],
};

const LEAST_BITS = 2048;

/**
 * A private key as PEM or as a JWK (RFC 7517), whose `alg` and `kid` are heeded. Throws `config`, and never quotes the key.
 * `flag`: where it came from.
 */
export function signingKeyIn(text: string, flag: string): SigningKey {
  const jwk = objectIn(text);
  const key = keyIn(jwk, text, flag);
  const { asymmetricKeyType: type = "", asymmetricKeyDetails: details } = key;
  // RFC 7518 §3.3 and §3.5; the longest hashes would not even fit into a short one.
  if ((details?.modulusLength ?? LEAST_BITS) < LEAST_BITS) throw unfit(flag, `it has fewer than ${LEAST_BITS} bits`);
  const able = ABLE[[type, details?.namedCurve].filter(Boolean).join(" ")] ?? [];
  const alg = typeof jwk?.["alg"] === "string" ? jwk["alg"] : able[0];
  const how = alg !== undefined && able.includes(alg) ? ALGORITHMS[alg] : undefined;
  if (alg === undefined || !how) throw unfit(flag, `it is a key of the type ${type}, which signs no JWT in that way`);
  const { hash, ...padding } = how;
  const kid = jwk?.["kid"];
  return {
    alg,
    ...defined({ kid: typeof kid === "string" ? kid : undefined }),
    // r and s side by side, as RFC 7518 §3.4 has them.
    sign: (input) =>
      sign(hash, Buffer.from(input), { key, ...padding, dsaEncoding: "ieee-p1363" }).toString("base64url"),
  };
}

function keyIn(jwk: Record<string, unknown> | undefined, text: string, flag: string): KeyObject {
  try {
    return createPrivateKey(jwk ? { key: jwk, format: "jwk" } : text);
  } catch {
    throw unfit(flag, "it is neither a PEM file without a passphrase nor a JWK"); // OpenSSL's own words are left out
  }
}

const unfit = (flag: string, why: string) =>
  new Failure("config", `${flag} holds no private key that can be used: ${why}.`, {
    hint: `RSA (${LEAST_BITS} bits at least), EC (P-256, P-384, P-521) and Ed25519 keys will do.`,
  });

/** The JSON object that a text is; undefined where it is none. */
export function objectIn(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

/** In the compact form (RFC 7515 §7.1). */
export function signed({ alg, kid, sign }: SigningKey, claims: Record<string, unknown>): string {
  const header = { alg, typ: "JWT", ...defined({ kid }) };
  const input = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${input}.${sign(input)}`;
}

/** What it says, unchecked: only whoever it is for can do that. Undefined where it is no JWT. */
export function claimsIn(jwt: string): Record<string, unknown> | undefined {
  const [header, claims, signature, more] = jwt.split(".");
  if (header === undefined || claims === undefined || signature === undefined || more !== undefined) return undefined;
  return objectIn(Buffer.from(claims, "base64url").toString("utf8"));
}

/** Whether it has run out, as far as it says so itself (RFC 7519 §4.1.4). */
export function hasExpired(jwt: string, now: Date): boolean {
  const exp = claimsIn(jwt)?.["exp"];
  return typeof exp === "number" && exp * 1000 <= now.getTime();
}

/** Whether it is for this one (RFC 7519 §4.1.3). */
export function isFor(claims: Record<string, unknown>, audience: string): boolean {
  const { aud } = claims as { aud?: unknown };
  return Array.isArray(aud) ? aud.includes(audience) : aud === audience;
}
