import { Failure } from "../protocol/failure.ts";
import { builtIn, noSuchProvider } from "../providers/lookup.ts";
import { command, provider } from "./command.ts";

export const providerRemove = command({
  positionals: { provider },
  options: {},
  examples: ["authline provider remove acme"],
  ends: ["not_found", "store", "locked", "config"],

  async *flow({ provider }, ctx) {
    const isBuiltIn = builtIn(provider) !== undefined;
    const isLearned = ctx.store.taught().includes(provider);
    if (!ctx.definitions.names().includes(provider) || !(await ctx.definitions.remove(provider))) {
      if (isBuiltIn || isLearned) throw notYours(provider, isBuiltIn);
      throw await noSuchProvider(provider, ctx);
    }
    const source = isBuiltIn ? ("built_in" as const) : isLearned ? ("learned" as const) : undefined;
    const after = {
      built_in: "The built-in one is used again.",
      learned: "What a login taught of it is still known.",
      none: "Its connections are kept.",
    };
    return {
      message: `Your definition of ${provider} is removed. ${after[source ?? "none"]}`,
      data: { name: provider, ...(source && { source }) },
    };
  },
});

const notYours = (name: string, isBuiltIn: boolean) =>
  isBuiltIn
    ? new Failure("not_found", `${name} is built in: there is no definition of yours to remove.`, {
        hint: `To use another one instead: authline provider edit ${name}`,
      })
    : new Failure("not_found", `${name} is known from a login: there is no definition of yours to remove.`, {
        hint: `A login with another --issuer takes its place. To sign out: authline logout ${name}`,
      });
