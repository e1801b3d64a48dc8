/** Who signed in, where no ID token says it: one request to the provider's own account endpoint. */
import type { Context } from "../context.ts";
import { type Definition, headerOf } from "../providers/definition.ts";
import { headersFor } from "./dpop.ts";
import { guardedFetch } from "./http.ts";
import type { Tokens } from "./tokens.ts";

/** Undefined when it cannot be found out: a name for the account is a comfort, not a condition. */
export async function accountName(
  definition: Definition,
  { account, access_token, dpop_key: key }: Tokens & { dpop_key: string | undefined },
  ctx: Context,
): Promise<string | undefined> {
  if (account !== undefined || !definition.account) return account;
  const { name, prefix } = headerOf(definition.api?.header);
  const { endpoint, method = "GET" } = definition.account;
  try {
    const headers =
      key === undefined
        ? { [name]: `${prefix}${access_token}` }
        : await headersFor({ key, access_token, method, url: new URL(endpoint) });
    const response = await lookUp(definition.account, headers, ctx);
    return response.ok ? nameIn(await response.json(), definition.account.field) : undefined;
  } catch {
    ctx.signal.throwIfAborted();
    return undefined;
  }
}

type Lookup = NonNullable<Definition["account"]>;

/** Makes the request of a definition, with the header that has the credential. */
export function lookUp(
  { endpoint, method = "GET", headers, body }: Lookup,
  credential: Record<string, string>,
  ctx: Pick<Context, "fetch" | "signal">,
): Promise<Response> {
  const sent = { accept: "application/json", "user-agent": "authline", ...headers, ...credential };
  const type = body === undefined ? {} : { "content-type": "application/json" };
  return guardedFetch(ctx)(endpoint, { method, headers: { ...type, ...sent }, ...(body !== undefined && { body }) });
}

/** The value at the end of a dotted path, where it is one that names somebody. */
export function nameIn(answer: unknown, field: string | undefined): string | undefined {
  let value = answer;
  for (const key of field?.split(".") ?? []) {
    const isObject = typeof value === "object" && value !== null && Object.hasOwn(value, key);
    value = isObject ? (value as Record<string, unknown>)[key] : undefined;
  }
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value !== "" ? value : undefined;
}
