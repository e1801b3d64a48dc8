import { loginAction, whose } from "../actions.ts";
import type { Context } from "../context.ts";
import { type Flow, progress } from "../flow.ts";
import type { Revocation } from "../flows/revoke.ts";
import { Failure, type Warning } from "../protocol/failure.ts";
import { anyConnection, command, flag, provider } from "./command.ts";

export const logout = command({
  positionals: { provider },
  options: { connection: anyConnection, all: flag("sign out of every connection of the provider") },
  examples: ["authline logout github", "authline logout github --all"],

  async *flow({ provider, connection, all }, ctx) {
    if (all && connection !== undefined) {
      throw new Failure("usage", "--all and --connection contradict each other.", { hint: "Give one of them." });
    }
    const names = all
      ? (await ctx.store.connections(provider)).map(({ connection }) => connection)
      : [connection ?? "default"];
    if (names.length === 0) await mustBeKnown(provider, ctx);
    const warnings: Warning[] = [];
    const connections = [];
    for (const name of names) connections.push(yield* signOut(provider, name, warnings, ctx));
    return {
      message: summary(provider, connections.length),
      warnings,
      data: { connections },
    };
  },
});

function summary(provider: string, count: number): string {
  if (count === 0) return `Nobody was signed in to ${provider}.`;
  return count === 1 ? `Signed out of ${provider}.` : `Signed out of ${count} connections of ${provider}.`;
}

async function* signOut(provider: string, name: string, warnings: Warning[], ctx: Context): Flow<SignedOut> {
  const { record, problem } = await readable(provider, name, ctx);
  if (problem) warnings.push({ code: "unreadable", message: `${problem.message} Its tokens could not be revoked.` });
  if (!record && !problem) {
    await mustBeKnown(provider, ctx);
    throw new Failure("not_found", `Nobody is signed in to ${whose(provider, name)}.`, {
      hint: "See what there is: authline status",
      next_actions: [loginAction(provider, name)],
    });
  }
  let revoked: Revocation[] = [];
  if (record) {
    const { revoke } = await import("../flows/revoke.ts");
    revoked = yield* revoke(record, ctx);
    for (const { token_type_hint, state } of revoked) {
      if (state === "done") continue;
      const message =
        state === "skipped"
          ? `The ${TOKEN_NAMES[token_type_hint]} stays valid until it ends: revoke it in your account at the provider.`
          : `The ${TOKEN_NAMES[token_type_hint]} may still be valid: revoke it in your account at the provider.`;
      warnings.push({ code: `revocation_${state}`, message });
    }
  }
  await ctx.store.remove(provider, name);
  yield progress("store", "done", `The credential of ${name}@${provider} is deleted from this machine.`);
  return {
    provider,
    connection: name,
    record_status: "absent",
    revoked: revoked.map(({ token_type_hint, state }) => ({ token_type_hint, state })),
  };
}

/** Throws `not_found`. */
async function mustBeKnown(provider: string, ctx: Context): Promise<void> {
  const { definitionOf } = await import("../providers/lookup.ts");
  definitionOf(provider, await ctx.store.learned(provider));
}

const TOKEN_NAMES = { refresh_token: "refresh token", access_token: "access token" };

interface SignedOut {
  provider: string;
  connection: string;
  record_status: "absent";
  revoked: Pick<Revocation, "token_type_hint" | "state">[];
}

/** A record that cannot be read can still be deleted. */
async function readable(provider: string, name: string, ctx: Context) {
  try {
    return { record: await ctx.store.connection(provider, name) };
  } catch (error) {
    if (error instanceof Failure && error.code === "store") return { problem: error };
    throw error;
  }
}
