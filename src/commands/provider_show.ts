import { noSuchProvider } from "../providers/lookup.ts";
import { command, provider } from "./command.ts";
import { shown } from "./provider.ts";

const SAID = { built_in: "is built in", user: "is a definition of yours", learned: "is known from a login" };

export const providerShow = command({
  positionals: { provider },
  options: {},
  examples: ["authline provider show github", "authline provider show github | jq .data.definition"],
  ends: ["not_found", "store", "config"],

  async *flow({ provider }, ctx) {
    const found = await shown(provider, ctx);
    if (!found) throw await noSuchProvider(provider, ctx);
    const instead = found.overrides ? ", used instead of the built-in one" : "";
    return { message: `${found.definition.display_name} ${SAID[found.source]}${instead}.`, data: found };
  },
});
