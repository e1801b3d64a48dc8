/** Who signed in, where no ID token says it: one request to the provider's own account endpoint. */
import type { Context } from "../context.ts";
import type { Definition } from "../providers/definition.ts";
import { guardedFetch } from "./http.ts";
import type { Tokens } from "./tokens.ts";

/** Undefined when it cannot be found out: a name for the account is a comfort, not a condition. */
export async function accountName(definition: Definition, tokens: Tokens, ctx: Context): Promise<string | undefined> {
  if (tokens.account !== undefined || !definition.account) return tokens.account;
  const { endpoint, field } = definition.account;
  try {
    const headers = {
      accept: "application/json",
      authorization: `Bearer ${tokens.access_token}`,
      "user-agent": "authline",
    };
    const response = await guardedFetch(ctx)(endpoint, { headers });
    const answer = (await response.json()) as Record<string, unknown>;
    const name = response.ok ? answer[field] : undefined;
    return typeof name === "string" && name !== "" ? name : undefined;
  } catch {
    ctx.signal.throwIfAborted();
    return undefined;
  }
}
