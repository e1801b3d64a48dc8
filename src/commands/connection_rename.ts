/**
 * A credential under another name. The name is sealed in with the secrets, so the record is written anew and then deleted
 * under the old one.
 *
 * Rule: at worst both are there, never neither. The new one says which one it was; a second run sees by that, and by when
 * the credential was first obtained, that both are the same, and finishes. What was got in exchange for it, and is renewed from
 * it, is told the new name in the end, when no lock is held that a refresh of it could wait for.
 */
import { loginAction } from "../actions.ts";
import type { Context } from "../context.ts";
import { type Flow, progress } from "../flow.ts";
import { holdOf } from "../flows/hold.ts";
import { comesOf } from "../flows/subject.ts";
import { Failure, type Warning } from "../protocol/failure.ts";
import type { Lock } from "../store/lock.ts";
import { type Connection, type ConnectionView, isCopy } from "../store/record.ts";
import { command, connectionName, provider } from "./command.ts";
import { noSuch, tokenAction, viewOf } from "./connection.ts";

export const connectionRename = command({
  positionals: { provider, from: connectionName("what it is called"), to: connectionName("what it shall be called") },
  options: {},
  examples: ["authline connection rename github default work"],
  ends: ["not_found", "store", "locked", "config"],

  async *flow({ provider, from, to }, ctx) {
    if (from === to) throw new Failure("usage", "It is called so already.", { hint: "Give another name." });
    const record = yield* moved({ provider, from, to }, ctx);
    const warnings = yield* leadTakers({ provider, from, to }, ctx);
    const standard = await ctx.store.standard(provider);
    return {
      message: `${from}@${provider} is called ${to} now.`,
      data: { ...viewOf(record, standard, ctx), renamed_from: from },
      warnings,
      next_actions: [(record.revoked ? loginAction : tokenAction)(provider, to, standard)],
    };
  },
});

interface Rename {
  provider: string;
  from: string;
  to: string;
}

/** By this run, or one before. */
async function* moved({ provider, from, to }: Rename, ctx: Context): Flow<ConnectionView> {
  const locks: Lock[] = [];
  try {
    // Always in the same order: else two renames could wait for each other.
    for (const connection of [from, to].sort()) locks.push(yield* holdOf({ provider, connection }, ctx));
    await ctx.store.standard(provider); // one that cannot be read could not be moved along: before anything is copied
    const record = await ctx.store.connection(provider, from);
    const there = await ctx.store.glance(provider, to);
    if (!record && there?.renamed_from === from) return there;
    if (!record) throw await noSuch(provider, from, ctx);
    if (there && !isCopy(there, record)) throw taken(provider, to);
    if (!there || there.updated_at <= record.updated_at) await copy(record, to, ctx);
    await ctx.store.setStandard(provider, to, from);
    const now = await ctx.store.glance(provider, from);
    // A login does not wait for its turn for ever (keep.ts): what it has put there is not what was copied.
    if (now?.updated_at === record.updated_at) await ctx.store.remove(provider, from);
    yield progress("store", "done", `The credential of ${from}@${provider} is called ${to}@${provider} now.`);
    return { ...record, connection: to };
  } finally {
    for (const lock of locks) lock.release();
  }
}

/** That the answer to a refresh may be lost is known first: without its record that says nothing yet. */
async function copy(record: Connection, to: string, ctx: Context): Promise<void> {
  const begun = await ctx.store.interrupted(record);
  if (begun) await ctx.store.begin({ ...begun, connection: to });
  await ctx.store.keep({ ...record, connection: to, renamed_from: record.connection });
}

/**
 * The connections that were got in exchange for it are told the new name. A login that is under way just now may still store
 * the old one: whoever renews it looks for what that has become (flows/subject.ts).
 */
async function* leadTakers({ provider, from, to }: Rename, ctx: Context): Flow<Warning[]> {
  const isTaker = (view: ConnectionView | undefined) => view && comesOf(view) === `${provider}/${from}`;
  const subject = `${provider}/${to}`;
  const warnings: Warning[] = [];
  for (const who of ctx.store.names()) {
    const named = [who.provider, who.connection] as const;
    try {
      if (!isTaker(await ctx.store.glance(...named))) continue;
      const lock = yield* holdOf(who, ctx);
      try {
        const record = await ctx.store.connection(...named);
        if (record && isTaker(record)) await ctx.store.keep({ ...record, inputs: { ...record.inputs, subject } });
      } finally {
        lock.release();
      }
    } catch (error) {
      ctx.signal.throwIfAborted();
      if (!(error instanceof Failure)) throw error;
      const message = `If ${who.connection}@${who.provider} was got in exchange for it, it was not told the new name: ${error.message}`;
      warnings.push({ code: "unreadable", message });
    }
  }
  return warnings;
}

const taken = (provider: string, to: string) =>
  new Failure("usage", `${provider} has a connection "${to}" already.`, {
    hint: `Take another name, or remove that one first: authline connection remove ${provider} ${to}`,
  });
