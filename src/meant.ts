/** Which credential a command is about: by what name, and whether it is the store's or the environment's. */
import { standardOf } from "./actions.ts";
import type { Context } from "./context.ts";
import { tokenInEnv, tokenVariable } from "./providers/environment.ts";
import { covers, isAddress, nameOf } from "./providers/resource.ts";
import type { Connection } from "./store/record.ts";

export interface Meant {
  /** A name, or the address of a protected resource. */
  target: string;
  provider: string;
  connection: string;
  /** The connection that is meant where none is named. */
  standard: string;
}

/** `given`: the token that the environment has for it, which goes before what is stored. */
export async function meant(
  target: string,
  connection: string | undefined,
  ctx: Context,
): Promise<Meant & { given: ReturnType<typeof tokenInEnv> }> {
  const provider = nameOf(target);
  const isGiven = Boolean(ctx.env(tokenVariable(provider))?.trim()); // whichever the default is, and whether it can be read
  const standard = await standardOf(provider, connection === undefined && !isGiven, ctx);
  const named = { target, provider, connection: connection ?? (standard || "default"), standard };
  return {
    ...named,
    given: tokenInEnv(provider, named.connection, connection === undefined || connection === standard, ctx),
  };
}

/** A name may also have been given to something else than this address: what is kept for that is not for it. */
export async function storedFor(
  { target, provider, connection }: Omit<Meant, "standard">,
  ctx: Context,
): Promise<Connection | undefined> {
  const stored = await ctx.store.connection(provider, connection);
  return isAddress(target) && !covers(stored?.extras?.resource, target) ? undefined : stored;
}
