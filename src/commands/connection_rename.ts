/**
 * A credential under another name. The name is sealed in with the secrets, so the record is written anew and then deleted
 * under the old one.
 *
 * Rule: at worst both are there, never neither. The new one says which one it was; a second run sees by that, and by when
 * the credential was first obtained, that both are the same, and finishes. What was got in exchange for it, and is renewed from
 * it, is told the new name before the old one is gone.
 */
import { loginAction } from "../actions.ts";
import type { Context } from "../context.ts";
import { type Outcome, progress } from "../flow.ts";
import { holdOf } from "../flows/hold.ts";
import { comesOf } from "../flows/subject.ts";
import { Failure } from "../protocol/failure.ts";
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
    const locks: Lock[] = [];
    try {
      const takers = await takersOf({ provider, from, to }, ctx);
      // Always in the same order, which is that of a refresh too: else two could wait for each other.
      const own = [from, to].sort().map((connection) => ({ provider, connection }));
      for (const each of [...takers, ...own]) locks.push(yield* holdOf(each, ctx));
      await ctx.store.standard(provider); // one that cannot be read could not be moved along: before anything is copied
      const record = await ctx.store.connection(provider, from);
      const there = await ctx.store.glance(provider, to);
      if (!record && there?.renamed_from === from) return renamed(there, await ctx.store.standard(provider)); // by a run before
      if (!record) throw await noSuch(provider, from, ctx);
      if (there && !isCopy(there, record)) throw taken(provider, to);
      if (!there || there.updated_at <= record.updated_at) await copy(record, to, ctx);
      await ctx.store.setStandard(provider, to, from);
      for (const each of takers) await lead(each, { provider, from, to }, ctx);
      const now = await ctx.store.glance(provider, from);
      // A login does not wait for its turn for ever (keep.ts): what it has put there is not what was copied.
      if (now?.updated_at === record.updated_at) await ctx.store.remove(provider, from);
      yield progress("store", "done", `The credential of ${from}@${provider} is called ${to}@${provider} now.`);
      return renamed({ ...record, connection: to }, await ctx.store.standard(provider));
    } finally {
      for (const lock of locks) lock.release();
    }

    function renamed(record: ConnectionView, standard: string): Outcome<"connection"> {
      return {
        message: `${from}@${provider} is called ${to} now.`,
        data: { ...viewOf(record, standard, ctx), renamed_from: from },
        next_actions: [(record.revoked ? loginAction : tokenAction)(provider, to, standard)],
      };
    }
  },
});

/** That the answer to a refresh may be lost is known first: without its record that says nothing yet. */
async function copy(record: Connection, to: string, ctx: Context): Promise<void> {
  const begun = await ctx.store.interrupted(record);
  if (begun) await ctx.store.begin({ ...begun, connection: to });
  await ctx.store.keep({ ...record, connection: to, renamed_from: record.connection });
}

interface Rename {
  provider: string;
  from: string;
  to: string;
}

/** The connections that were got in exchange for it. */
async function takersOf({ provider, from, to }: Rename, ctx: Context): Promise<ConnectionView[]> {
  const isOwn = (each: ConnectionView) => each.provider === provider && [from, to].includes(each.connection);
  return (await ctx.store.connections()).flatMap((each) =>
    "problem" in each || isOwn(each) || comesOf(each) !== `${provider}/${from}` ? [] : [each],
  );
}

async function lead(taker: ConnectionView, { provider, from, to }: Rename, ctx: Context): Promise<void> {
  const record = await ctx.store.connection(taker.provider, taker.connection);
  if (!record || comesOf(record) !== `${provider}/${from}`) return; // signed in anew since
  await ctx.store.keep({ ...record, inputs: { ...record.inputs, subject: `${provider}/${to}` } });
}

const taken = (provider: string, to: string) =>
  new Failure("usage", `${provider} has a connection "${to}" already.`, {
    hint: `Take another name, or remove that one first: authline connection remove ${provider} ${to}`,
  });
