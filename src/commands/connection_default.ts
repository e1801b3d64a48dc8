import { loginAction } from "../actions.ts";
import { progress } from "../flow.ts";
import { holdOf } from "../flows/hold.ts";
import { command, connectionName, provider } from "./command.ts";
import { find, noSuch, tokenAction, viewOf } from "./connection.ts";

export const connectionDefault = command({
  positionals: { provider, name: connectionName("which connection is meant where none is named") },
  options: {},
  examples: ["authline connection default github work"],
  ends: ["not_found", "store", "locked"],

  async *flow({ provider, name }, ctx) {
    const lock = yield* holdOf({ provider, connection: name }, ctx); // it may be renamed just now
    try {
      const record = await find(provider, name, ctx);
      // `default` is what it is called where nobody has chosen.
      if (!record && name !== "default") throw await noSuch(provider, name, ctx);
      await ctx.store.setStandard(provider, name);
      yield progress("store", "done", `Where no connection of ${provider} is named, ${name} is meant.`);
      return {
        message: `The default connection of ${provider} is ${name}.`,
        data: record
          ? viewOf(record, name, ctx)
          : { provider, connection: name, default: true, record_status: "absent" },
        next_actions: [record ? tokenAction(provider, name, name) : loginAction(provider, name, name)],
      };
    } finally {
      lock.release();
    }
  },
});
