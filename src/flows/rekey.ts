/**
 * Another key for everything that is sealed.
 *
 * Rules: the new key is listed before anything is sealed with it, and an old one for as long as anything may be sealed with
 * that; so whoever is killed, at any line, leaves nothing that no listed key opens, and the next run finishes. What is
 * written while this goes on is written under the lock of what is written: first all records that are there change their
 * key, then the old one is taken out of use, then whoever was writing at that moment comes to an end, then it is dropped.
 */
import type { Context } from "../context.ts";
import { type Flow, progress } from "../flow.ts";
import { Failure, type Warning } from "../protocol/failure.ts";
import { inWords } from "../protocol/waiting.ts";
import { type KeySource, PLACES } from "../store/key_places.ts";
import type { KeyEntry, KeyList } from "../store/keys.ts";
import type { Sealed } from "../store/shelf.ts";
import { HEARTBEAT_SECONDS } from "./wait.ts";

export interface Asked {
  /** Undefined: where the key is now. */
  to: KeySource | undefined;
  /** The new key, for `env`. */
  given: string | undefined;
}

export interface Rekeyed {
  key: KeyEntry;
  /** How many records have the new key by this. */
  resealed: number;
  /** How many could not be opened: for them the old key is kept. */
  left: number;
  warnings: Warning[];
}

export async function* rekey({ to, given }: Asked, ctx: Context): Flow<Rekeyed> {
  const lock = await ctx.keys.lock();
  try {
    const before = ctx.keys.list();
    if (!before) throw nothingSealed();
    const target = to ?? entryOf(before).source;
    const brought = target === "env" ? ctx.keys.bring(given) : undefined;
    await ctx.keys.goBack();
    await ctx.keys.check();
    if (before.keys.length > 1) {
      yield progress("store", "started", "An earlier change of the key was cut off: finishing it.");
      const finished = yield* finish(ctx);
      const isListed = brought === undefined || before.keys.some(({ id }) => id === brought);
      const isAsked = isListed && (to === undefined || to === finished.key.source);
      if (isAsked || finished.left > 0) return finished; // never three keys at a time
    }
    if (brought !== undefined && brought === ctx.keys.list()?.current) throw notNew();
    yield progress("store", "started", `The new key goes into ${PLACES[target]}.`);
    await ctx.keys.add(target, given);
    return yield* finish(ctx);
  } finally {
    lock.release();
  }
}

const entryOf = ({ current, keys }: KeyList) => keys.find(({ id }) => id === current) as KeyEntry;

const nothingSealed = () =>
  new Failure("not_found", "Nothing is sealed yet: there is no key to change.", {
    hint: "The first login makes one.",
  });

const notNew = () =>
  new Failure("config", "The key that is given is the one that is in use already.", {
    hint: "Give a new one with --key-from.",
  });

/** What `add` began. */
async function* finish(ctx: Context): Flow<Rekeyed> {
  const done: Done = { resealed: 0, unreadable: new Map() };
  yield* resealAll(done, ctx);
  if (done.unreadable.size === 0) {
    ctx.keys.retire();
    yield* othersEnd(ctx);
    yield* resealAll(done, ctx); // what they left
  }
  const { resealed, unreadable } = done;
  const problems = [...unreadable.values()].slice(0, SHOWN).map((message) => ({ code: "unreadable", message }));
  const warnings = unreadable.size > 0 ? [...problems, kept(unreadable.size)] : await ctx.keys.dropOld();
  yield progress("store", "done", `${records(resealed)} sealed with the new key.`);
  return { key: entryOf(ctx.keys.list() as KeyList), resealed, left: unreadable.size, warnings };
}

const SHOWN = 3;
const records = (count: number) => `${count} ${count === 1 ? "record is" : "records are"}`;
const kept = (count: number): Warning => ({
  code: "old_key_kept",
  message: `The old key is kept: ${records(count)} left that cannot be opened. Move them away, or remove them with authline connection remove, and run authline store rekey again.`,
});

interface Done {
  resealed: number;
  /** Why, by name. */
  unreadable: Map<string, string>;
}

/** Until nothing is left that another key than the current one opens. */
async function* resealAll(done: Done, ctx: Context): Flow<void> {
  for (;;) {
    const all = [...ctx.store.sealed(), ...ctx.sessions.sealed()];
    const left = all.filter((each) => !done.unreadable.has(each.name) && !isCurrent(each));
    if (left.length === 0) return;
    yield progress("store", "started", `Sealing with the new key: ${records(left.length)} left.`);
    const asked = new Set<Sealed>();
    yield* workOff(left, (each) => reseal(each, asked, done), ctx);
  }
}

/** What cannot be read is for `reseal` to say. */
function isCurrent(each: Sealed): boolean {
  try {
    return each.isCurrent();
  } catch {
    return false;
  }
}

/** False while somebody else writes it. */
async function reseal(each: Sealed, asked: Set<Sealed>, done: Done): Promise<boolean> {
  if (isCurrent(each)) return true;
  const lock = each.lock();
  if (!lock) {
    if (!asked.has(each)) await each.ask?.();
    asked.add(each);
    return false;
  }
  try {
    await each.reseal();
    done.resealed++;
  } catch (error) {
    const fault = await each.fault();
    if (!fault) throw error; // it can be read, so it could not be written
    done.unreadable.set(each.name, fault.message);
  } finally {
    lock.release();
  }
  return true;
}

/** Whoever writes just now may have looked up the key before it was taken out of use. */
async function* othersEnd(ctx: Context): Flow<void> {
  const writers = [...ctx.store.writers(), ...ctx.sessions.writers()];
  yield* workOff(writers, async (each) => each.isDone(), ctx);
}

/** Longer than a refresh that is tried again until its server answers. */
const PATIENCE = 90;
const LOOK_SECONDS = 0.2;
/** Now and then whoever cancels is listened to. */
const BATCH = 20;

/** Does all of it, in any order, and waits for what others are at. Throws `locked` when nothing moves any more. */
async function* workOff<T extends { name: string }>(
  all: readonly T[],
  work: (item: T) => Promise<boolean>,
  ctx: Context,
): Flow<void> {
  let moved = ctx.uptime();
  let next = moved + HEARTBEAT_SECONDS;
  let count = 0;
  for (let left = all; left.length > 0; ) {
    const still: T[] = [];
    for (const [index, item] of left.entries()) {
      if (await work(item)) moved = ctx.uptime();
      else still.push(item);
      if (++count % BATCH === 0) await ctx.sleep(0);
      if (ctx.uptime() < next) continue;
      next = ctx.uptime() + HEARTBEAT_SECONDS;
      const ahead = left.length - index - 1;
      yield ahead > 0 ? goesOn(ahead + still.length) : waiting(item.name, moved + PATIENCE - ctx.uptime());
    }
    left = still;
    const [first] = still;
    if (first && ctx.uptime() >= moved + PATIENCE) throw tooBusy(first.name);
    if (first) await ctx.sleep(LOOK_SECONDS);
  }
}

const goesOn = (left: number) => progress("store", "waiting", `Sealing with the new key: ${records(left)} left.`);

function waiting(name: string, seconds: number) {
  const remaining = Math.max(0, Math.round(seconds));
  const message = `Waiting for another process that is writing ${name}, for ${inWords(remaining)} at the most.`;
  return progress("lock", "waiting", message, { remaining });
}

const tooBusy = (name: string) =>
  new Failure("locked", `Another process has been writing ${name} for too long: both keys stay in use.`, {
    hint: "Run authline store rekey again: it goes on from here.",
  });
