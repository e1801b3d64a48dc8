/** What the flags of `login` may say. Each check throws a Failure `usage`. */
import { challengeIn } from "../flows/challenge.ts";
import { Failure } from "../protocol/failure.ts";
import { isRedirectUri, isSecureUrl, REDIRECT_URI } from "../providers/url.ts";
import { duration, text } from "./command.ts";

const usage = (message: string, hint: string) => new Failure("usage", message, { hint });

function checkSetting(raw: string, name: string): void {
  if (/^[a-z_]+=./s.test(raw)) return;
  throw usage(`${name} cannot be "${raw}".`, "Write a variable and its value, such as domain=acme.example.com.");
}

/** What stands for the variables of a definition. */
export const setOption = {
  ...text("a variable of the definition, such as domain=acme.okta.com; remembered", "NAME=VALUE", checkSetting),
  repeatable: true,
} as const;

/** RFC 6749 §3.3. */
export function checkScope(raw: string, name: string): void {
  if (/^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/.test(raw) && raw.length <= 2000) return;
  throw usage(
    `${name} is not a list of scopes.`,
    'Write them between quotes with single spaces: --scope "openid email".',
  );
}

/** RFC 6750 §3. */
export function checkChallenge(raw: string, name: string): void {
  if (raw.length <= 4000 && challengeIn(raw)) return;
  throw usage(
    `${name} is not a challenge that OAuth can answer.`,
    `It is the value of the WWW-Authenticate header: 'Bearer resource_metadata="https://…", scope="…"'`,
  );
}

export function checkClientId(raw: string, name: string): void {
  if (/^[\x20-\x7e]{1,300}$/.test(raw)) return;
  throw usage(`${name} is not a client ID.`, "It is one printable word, as the provider shows it.");
}

export function checkIssuer(raw: string, name: string): void {
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

/** draft-ietf-oauth-client-id-metadata-document §3: https, with a path, and nothing that could be written in two ways. */
export function checkMetadataUrl(raw: string, name: string): void {
  const url = URL.canParse(raw) ? new URL(raw) : undefined;
  const isPlain = url?.href === raw && !url.hash && !url.username && url.pathname !== "/" && raw.length <= 500;
  if (isPlain && isSecureUrl(raw)) return;
  throw usage(
    `${name} cannot be "${raw}".`,
    "It is the https address of a document, with a path: it is the client ID.",
  );
}

export function checkRedirectUri(raw: string, name: string): void {
  if (isRedirectUri(raw)) return;
  throw usage(
    `${name} is not an address that authline can listen on.`,
    `It is one on this machine's loopback, such as ${REDIRECT_URI}.`,
  );
}

/** RFC 7515 §4.1.4: any text; here one printable word. */
export const checkKeyId = (raw: string, name: string) => mustBeWord(raw, name, "a key's ID");
export const checkHint = (raw: string, name: string) => mustBeWord(raw, name, "somebody's name");

function mustBeWord(raw: string, name: string, what: string): void {
  if (/^[^\p{C}]{1,300}$/u.test(raw)) return;
  throw usage(`${name} is not ${what}.`, "It is printable, and 300 characters at the most.");
}

/** OIDC Core §3.1.2.1. */
export const PROMPTS = ["none", "login", "consent", "select_account"] as const;

export function checkPrompt(raw: string, name: string): void {
  const words = raw.split(" ");
  const isAlone = words.length === 1 || !words.includes("none");
  if (isAlone && words.every((word) => PROMPTS.some((prompt) => prompt === word))) return;
  throw usage(`${name} cannot be "${raw}".`, `It is one or more of ${PROMPTS.join(", ")}; none stands alone.`);
}

/** What it says is read when it is needed: a file may hold it. */
export function checkDetails(raw: string, name: string): void {
  if (/^(@.|\s*\[)/s.test(raw)) return;
  throw usage(`${name} is neither a JSON array nor a file.`, 'Write \'[{"type":"…"}]\', or @ and the path of a file.');
}

const { default: _, ...age } = duration("how long ago you may have signed in to the server", "0s", { least: 0 });
export const maxAge = age;
