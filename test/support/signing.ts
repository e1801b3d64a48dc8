/** ID tokens for scripted servers: RS256, by keys that live as long as the test process. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";

interface Signer {
  kid: string;
  private: KeyObject;
  public: KeyObject;
}

const signers = new Map<string, Signer>();

function signer(name: string): Signer {
  let found = signers.get(name);
  if (!found) {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    // One kid for all: a token by another key must fail at its signature, not at finding the key.
    found = { kid: "the-key", private: privateKey, public: publicKey };
    signers.set(name, found);
  }
  return found;
}

const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A JWS in compact form (RFC 7515 §3.1). */
export function signed(claims: Record<string, unknown>, name = "the key"): string {
  const { kid, private: key } = signer(name);
  const content = `${base64url({ alg: "RS256", typ: "JWT", kid })}.${base64url(claims)}`;
  return `${content}.${sign("sha256", Buffer.from(content), key).toString("base64url")}`;
}

/** RFC 7517 §5. */
export function jwks(): { keys: object[] } {
  const { kid, public: key } = signer("the key");
  return { keys: [{ ...key.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" }] };
}
