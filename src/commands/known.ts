/** The providers that are known by name. */
import type { Context } from "../context.ts";

/** Throws `not_found`. Loaded only where it is asked: what is stored needs no definition. */
export async function mustBeKnown(provider: string, ctx: Context): Promise<void> {
  const { mustBeKnown } = await import("../providers/lookup.ts");
  await mustBeKnown(provider, ctx);
}
