import type { Context } from "../context.ts";
import { rekey } from "../flows/rekey.ts";
import { checkSource, readSecret, SOURCES } from "../flows/secret.ts";
import { asFailure, Failure, type NextAction, type Warning } from "../protocol/failure.ts";
import { KEY_FORM, keySources, PLACES } from "../store/key_places.ts";
import type { KeyEntry } from "../store/keys.ts";
import { choice, command, text } from "./command.ts";

const { default: _, ...to } = choice("where to keep it; else where the key is now", keySources, "file", "PLACE");

export const storeRekey = command({
  positionals: {},
  options: {
    to,
    "key-from": text(`the new key, with --to env (${SOURCES}); else AUTHLINE_KEY`, "SOURCE", checkSource),
  },
  examples: [
    "authline store rekey",
    "authline store rekey --to keyring",
    "authline store rekey --to env --key-from file:new.key",
  ],
  ends: ["not_found", "store", "locked", "config"],

  async *flow({ to, "key-from": source }, ctx) {
    if (source !== undefined && (to ?? placeOf(ctx)) !== "env") {
      throw new Failure("usage", "--key-from goes with --to env only: a key in another place is made by authline.", {
        hint: `Add --to env, or leave --key-from out. A key is ${KEY_FORM}.`,
      });
    }
    const given = source === undefined ? undefined : await readSecret(source, "--key-from", ctx);
    try {
      const { key, resealed, left, warnings } = yield* rekey({ to, given }, ctx);
      const { id, created_at } = key;
      return {
        message: `Everything ${left > 0 ? "that can be opened " : ""}is sealed with a new key, kept in ${PLACES[key.source]}.`,
        data: { key: { source: key.source, id, created_at }, resealed, left },
        warnings: [...warnings, ...inEnvironment(key, ctx)],
      };
    } catch (error) {
      const { code, message, details } = asFailure(error);
      throw code === "locked" ? new Failure(code, message, { ...details, next_actions: [again(to, source)] }) : error;
    }
  },
});

const placeOf = ({ keys }: Context) => {
  const list = keys.list();
  return list?.keys.find(({ id }) => id === list.current)?.source;
};

/** What has to be changed where authline cannot change it. */
function inEnvironment({ id, source }: KeyEntry, { keys }: Context): Warning[] {
  const set = keys.inEnv();
  if (source === "env" && set !== id) {
    return [{ code: "key_not_set", message: "Set AUTHLINE_KEY to the new key: without it nothing can be opened." }];
  }
  if (source !== "env" && set !== undefined) {
    return [{ code: "key_still_set", message: "AUTHLINE_KEY is not the key any more: unset it." }];
  }
  return [];
}

function again(to: string | undefined, source: string | undefined): NextAction {
  const from = source?.startsWith("cmd:") ? "cmd:{command}" : source; // it may hold a secret of its own
  const options = { to, "key-from": from };
  const given = Object.entries(options).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, value]));
  return { id: "rekey", argv: ["authline", "store", "rekey", ...given], description: "Go on with the new key." };
}
