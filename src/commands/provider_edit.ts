import { Failure } from "../protocol/failure.ts";
import { definitionIn } from "../providers/check.ts";
import { builtIn, noSuchProvider } from "../providers/lookup.ts";
import { textOf } from "../store/definitions.ts";
import { command, provider } from "./command.ts";
import { nextFor, ownFacts, shown } from "./provider.ts";

export const providerEdit = command({
  positionals: { provider },
  options: {},
  examples: ["authline provider edit github"],
  ends: ["not_found", "store", "locked", "config", "failed"],

  async *flow({ provider: name }, ctx) {
    // One that cannot be used is here to be mended.
    const before = ctx.definitions.text(name) ?? (await builtInText(name));
    if (!ctx.browser.welcome) {
      throw new Failure("usage", "An editor needs a terminal, and there is none.", {
        hint: `Without one: authline provider show ${name} | jq .data.definition > FILE, change it, and authline provider add FILE --replace`,
      });
    }
    const draft = ctx.definitions.draft(name, before);
    const isWell = await ctx.edit(draft.path);
    ctx.signal.throwIfAborted();
    const after = draft.text();
    if (after === before) draft.clear();
    if (!isWell) {
      throw new Failure("failed", "The editor did not end well: nothing was changed.", {
        hint: after === before ? "Is VISUAL or EDITOR right?" : `What was written is in ${draft.path}`,
      });
    }
    const facts = () => ({ name, ...ownFacts(name, builtIn(name) !== undefined, ctx) });
    if (after === before) {
      const found = ctx.definitions.names().includes(name) ? facts() : await sourceOf();
      return { message: `The definition of ${name} is as it was.`, data: found };
    }
    try {
      const definition = definitionIn(after, "What you wrote");
      if (definition.name !== name) {
        throw new Failure("config", `What you wrote is the definition of ${definition.name}, by its name.`, {
          hint: `To give ${name} another name, add it anew.`,
        });
      }
      await ctx.definitions.write(definition, true);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      const { hint = "" } = error.details;
      throw new Failure(error.code, error.message, {
        ...error.details,
        hint: `${hint} Nothing was changed; your text is in ${draft.path}: mend it, and authline provider add ${draft.path} --replace`.trim(),
      });
    }
    draft.clear();
    return { message: `Your definition of ${name} is used from now on.`, data: facts(), next_actions: nextFor(name) };

    async function sourceOf() {
      const found = await shown(name, ctx);
      return { name, ...(found && { source: found.source }) };
    }

    async function builtInText(name: string): Promise<string> {
      const found = await shown(name, ctx);
      if (!found) throw await noSuchProvider(name, ctx);
      return textOf(found.definition);
    }
  },
});
