/**
 * Authenticated encryption of what is secret in a record: AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce.
 *
 * Rule: all of the record that stands in the clear is associated data, its kind and name first. A secret can neither be
 * moved to another record nor be kept while something beside it, such as the server that it is sent to, is changed.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";

export interface Key {
  /** Names the key and tells nothing of it. */
  id: string;
  bytes: Buffer;
}

export const KEY_BYTES = 32;
const [NONCE_BYTES, TAG_BYTES] = [12, 16];
const ALGORITHM = "aes-256-gcm";

export const newKey = (): Key => keyOf(randomBytes(KEY_BYTES));

export function keyOf(bytes: Buffer): Key {
  const id = createHash("sha256").update("authline key\n").update(bytes).digest("hex").slice(0, 16);
  return { id, bytes };
}

/** `1.<key id>.<nonce, text and tag in base64url>`. */
export function seal(text: string, about: string, { id, bytes }: Key): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, bytes, nonce).setAAD(Buffer.from(about));
  const sealed = Buffer.concat([nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
  return `1.${id}.${sealed.toString("base64url")}`;
}

const SEALED = /^1\.([0-9a-f]{16})\.([A-Za-z0-9_-]+)$/;

/** Undefined where it is not sealed at all, or by a newer authline. */
export const keyIdIn = (sealed: string): string | undefined => SEALED.exec(sealed)?.[1];

/** Throws where the key is another one, or a bit of the text or of `about` is not what it was. */
export function unseal(sealed: string, about: string, { bytes }: Key): string {
  const raw = Buffer.from(SEALED.exec(sealed)?.[2] ?? "", "base64url");
  const decipher = createDecipheriv(ALGORITHM, bytes, raw.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(about)).setAuthTag(raw.subarray(-TAG_BYTES));
  return decipher.update(raw.subarray(NONCE_BYTES, -TAG_BYTES), undefined, "utf8") + decipher.final("utf8");
}
