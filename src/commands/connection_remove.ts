import { loginAction, standardOf } from "../actions.ts";
import { progress } from "../flow.ts";
import { holdOf } from "../flows/hold.ts";
import { command, connectionName, provider } from "./command.ts";
import { find, noSuch } from "./connection.ts";

export const connectionRemove = command({
  positionals: { provider, name: connectionName("the connection") },
  options: {},
  examples: ["authline connection remove github work"],
  ends: ["not_found", "store", "locked"],

  async *flow({ provider, name }, ctx) {
    const lock = yield* holdOf({ provider, connection: name }, ctx); // a refresh under way would bring it back
    try {
      const record = await find(provider, name, ctx);
      if (!record) throw await noSuch(provider, name, ctx);
      const standard = await standardOf(provider, false, ctx);
      await ctx.store.remove(provider, name);
      yield progress("store", "done", `The credential of ${name}@${provider} is deleted from this machine.`);
      const isDead = "revoked" in record && record.revoked;
      return {
        message: `${name}@${provider} is forgotten.`,
        data: { provider, connection: name, default: name === standard, record_status: "absent" },
        warnings: isDead ? [] : [STILL_VALID],
        next_actions: [loginAction(provider, name, standard)],
      };
    } finally {
      lock.release();
    }
  },
});

const STILL_VALID = {
  code: "not_revoked",
  message:
    "Its tokens stay valid until they end, because the server was not asked: authline logout would have revoked them.",
};
