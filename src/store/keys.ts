/**
 * The keys that secrets are sealed with: where each one is, and which one is in use.
 *
 *   HOME/keys.json     which keys there are, and which of them seals what is written from now on
 *   HOME/keys/<id>     a key that is kept in a file
 *
 * Rules: the first key comes from AUTHLINE_KEY or AUTHLINE_KEY_FILE, else goes into the OS keyring, else into a file; where
 * it is kept is remembered and never changes but by `store rekey`; a key that is listed and cannot be had is an error,
 * never a reason to make another one; a key stays listed while anything may be sealed with it; who gives a key in the
 * environment has nothing sealed with another one, whatever somebody writes into keys.json.
 */
import { join } from "node:path";
import * as z from "zod/mini";
import { Failure, type Warning } from "../protocol/failure.ts";
import { lazily, timestamp } from "../protocol/shapes.ts";
import { readRecord, writeWhole } from "./files.ts";
import {
  capital,
  KEY_FORM,
  type KeySource,
  keyPlaces,
  keySources,
  NOTHING_CHANGED,
  PLACES,
  VARIABLE,
} from "./key_places.ts";
import type { Keyring } from "./keyring.ts";
import type { Lock } from "./lock.ts";
import { type Key, keyIdIn, newKey, seal, unseal } from "./seal.ts";

/** It names a file too, which is deleted some day: it must be no path. */
const keyId = () => z.string().check(z.regex(/^[0-9a-f]{16}$/));

const KeyList = lazily(() =>
  z.object({
    v: z.literal(1),
    /** Seals what is written from now on. */
    current: keyId(),
    /** All that something may still be sealed with; more than one only while they are changed. */
    keys: z.array(
      z.object({
        id: keyId(),
        source: z.enum(keySources),
        created_at: timestamp(),
        /** Nothing may be sealed with it any more; it is about to be dropped. */
        retired: z.optional(z.literal(true)),
      }),
    ),
  }),
);
export type KeyList = z.infer<ReturnType<typeof KeyList>>;
export type KeyEntry = KeyList["keys"][number];

/** What keys need of the world. */
export interface Outside {
  env(name: string): string | undefined;
  keyring: Keyring;
  /** One process at a time makes or changes keys. */
  lock(): Promise<Lock>;
  /** Whether anything is sealed already, by a key that the list may have lost. */
  isInUse(): boolean;
  now(): Date;
}

export interface Keys {
  /** Makes the first key where there is none; what is to be known of where it went. */
  prepare(): Promise<Warning[]>;
  seal(text: string, about: string): Promise<string>;
  /** Throws where the key cannot be had, or the text or `about` was changed. */
  unseal(sealed: string, about: string): Promise<string>;
  /** Whether what is written now would be sealed with the same key. */
  isCurrent(sealed: string): boolean;
  /** Whether something may still be sealed with the same key. */
  isInUse(sealed: string): boolean;
  /** Needs no key. */
  list(): KeyList | undefined;
  /** Which key the environment holds. */
  inEnv(): string | undefined;

  /** Of the one process that may change keys. */
  lock(): Promise<Lock>;
  /** A key that whoever changes keys brings along: `given`, else what the environment holds. Its ID. */
  bring(given?: string): string;
  /** Every key that something may be sealed with can be had. */
  check(): Promise<void>;
  /** Before a change that was cut off is finished: back to the environment's key, where that was not to be the new one. */
  goBack(): Promise<void>;
  /** From now on everything is sealed with a new key; the old ones stay until they are dropped. */
  add(source: KeySource, given?: string): Promise<KeyEntry>;
  /** From now on nothing at all is sealed with an old key. */
  retire(): void;
  /** Forgets all keys but the current one, and says which could not be deleted. */
  dropOld(): Promise<Warning[]>;
}

export function keysAt(home: string, outside: Outside): Keys {
  const { places, inEnv, given: keyGiven, fileOf } = keyPlaces(home, outside.env, outside.keyring);
  const known = new Map<string, Key>();
  /** What whoever changes keys has brought along or made: it is listed, or is to be soon. */
  let brought: string | undefined;

  const list = () => readRecord({ directory: home, name: "keys" }, KeyList(), () => "keys")?.record;
  const publish = (keys: KeyList) => writeWhole(join(home, "keys.json"), JSON.stringify(keys, undefined, 2));

  async function keyNamed(id: string, keys = list()): Promise<Key> {
    mustNotContradict(keys);
    const cached = known.get(id);
    if (cached) return cached;
    const entry = keys?.keys.find((each) => each.id === id);
    if (!entry) throw new Failure("store", `It is sealed with a key that is not known here (${id}).`, NOTHING_CHANGED);
    const key = await places[entry.source].get(id);
    if (key?.id !== id) throw missing(entry, key, keys);
    known.set(id, key);
    return key;
  }

  /** Somebody who gives a key means that one. */
  function mustNotContradict(keys: KeyList | undefined): void {
    const given = keys && inEnv();
    if (!given || given.id === brought) return;
    const entry = keys.keys.find(({ id }) => id === given.id);
    // Before anything is opened: a token must not be renewed by who cannot keep it.
    const isOver = entry?.retired && keys.current !== brought && sourceOf(keys) !== "env";
    if (!entry || isOver) throw contradiction(keys);
  }

  /** Whoever can write to the directory can list a key of his own and make it the current one. */
  function idForSealing(list: KeyList): string {
    const { current, keys } = list;
    const given = inEnv()?.id;
    if (given === undefined || [current, brought].includes(given) || brought === current) return current;
    if (keys.some(({ id, retired }) => id === given && !retired)) return given;
    throw contradiction(list);
  }

  /** Undefined where there is a key by now. */
  async function makeFirst(): Promise<Warning[] | undefined> {
    const lock = await outside.lock();
    try {
      if (list()) return undefined;
      if (outside.isInUse()) {
        throw new Failure("store", `${join(home, "keys.json")} is gone, and there are records that need it.`, {
          hint: "Nothing was changed. Put it back, or move the whole directory away to start anew.",
        });
      }
      const given = inEnv();
      if (given) {
        begin(given, "env");
        return [];
      }
      const key = newKey();
      const problem = await places.keyring.put(key).then(
        () => undefined,
        (error: Error) => error.message,
      );
      const source = problem === undefined ? "keyring" : "file";
      if (source === "file") await places.file.put(key);
      begin(key, source);
      return problem === undefined ? [] : [inFile(fileOf(key.id), problem)];
    } finally {
      lock.release();
    }
  }

  function begin(key: Key, source: KeySource): void {
    publish({ v: 1, current: key.id, keys: [{ id: key.id, source, created_at: outside.now().toISOString() }] });
    known.set(key.id, key);
  }

  /**
   * What something may be sealed with. While keys are changed, whoever can only have the old one goes on with that: a
   * token that a server has just renewed must not be lost because its store has a new key by now.
   */
  async function keyForSealing(): Promise<Key> {
    const keys = list();
    if (!keys) {
      await makeFirst();
      return keyForSealing();
    }
    const id = idForSealing(keys);
    try {
      return await keyNamed(id, keys);
    } catch (error) {
      for (const { id, retired } of keys.keys) {
        const key = retired ? undefined : await keyNamed(id, keys).catch(() => undefined);
        if (key) return key;
      }
      throw error;
    }
  }

  const isInUse = (id: string | undefined) => list()?.keys.some((each) => each.id === id && !each.retired) ?? false;

  return {
    async prepare() {
      const warnings = list() ? undefined : await makeFirst();
      await keyForSealing();
      return warnings ?? [];
    },
    async seal(text, about) {
      for (;;) {
        const key = await keyForSealing();
        // A keyring takes its time: the key may be retired by now. From here on nothing waits before the text is written.
        if (isInUse(key.id)) return seal(text, about, key);
      }
    },
    async unseal(sealed, about) {
      const id = keyIdIn(sealed);
      if (id === undefined) throw new Failure("store", "A newer authline sealed it.", NOTHING_CHANGED);
      const key = await keyNamed(id);
      try {
        return unseal(sealed, about, key);
      } catch (error) {
        throw new Failure("store", "It was changed, or put in another record's place, by something else.", {
          ...NOTHING_CHANGED,
          cause: error,
        });
      }
    },
    isCurrent: (sealed) => keyIdIn(sealed) === list()?.current,
    isInUse: (sealed) => isInUse(keyIdIn(sealed)),
    list,
    inEnv: () => inEnv()?.id,

    lock: outside.lock,
    bring(given) {
      const key = broughtAlong(given);
      known.set(key.id, key);
      brought = key.id;
      return key.id;
    },
    async check() {
      for (const { id, retired } of list()?.keys ?? []) if (!retired) await keyNamed(id);
    },
    async goBack() {
      const keys = list();
      const given = inEnv()?.id;
      const isListed = keys?.keys.some(({ id }) => id === given);
      if (isListed && ![given, brought].includes(keys?.current)) await add("env");
    },
    add,
    retire() {
      const keys = list();
      const isOld = ({ id, retired }: KeyEntry) => id !== keys?.current && !retired;
      if (!keys?.keys.some(isOld)) return;
      publish({ ...keys, keys: keys.keys.map((each) => (isOld(each) ? { ...each, retired: true } : each)) });
    },
    async dropOld() {
      const keys = list();
      const warnings: Warning[] = [];
      if (!keys || keys.keys.length === 1) return warnings;
      // Deleted before they are forgotten: what was killed in between is finished by the next one.
      for (const { id, source } of keys.keys) {
        if (id === keys.current) continue;
        try {
          await places[source].remove(id);
        } catch (error) {
          const message = `The old key (${id}) is out of use and could not be deleted: ${(error as Error).message}`;
          warnings.push({ code: "old_key_left", message });
        }
      }
      publish({ ...keys, keys: keys.keys.filter(({ id }) => id === keys.current) });
      return warnings;
    },
  };

  async function add(source: KeySource, given?: string): Promise<KeyEntry> {
    const key = source === "env" ? broughtAlong(given) : newKey();
    const before = list();
    const entry = { id: key.id, source, created_at: outside.now().toISOString() };
    if (before?.current === key.id) return before.keys.find(({ id }) => id === key.id) ?? entry;
    await places[source].put(key);
    publish({ v: 1, current: key.id, keys: [...(before?.keys ?? []).filter(({ id }) => id !== key.id), entry] });
    known.set(key.id, key);
    brought = key.id;
    return entry;
  }

  function broughtAlong(given: string | undefined): Key {
    const key = given === undefined ? inEnv() : keyGiven(given);
    if (!key) throw new Failure("config", `${VARIABLE} is not set.`, { hint: `Set it to ${KEY_FORM}.` });
    return key;
  }
}

const sourceOf = ({ current, keys }: KeyList) => keys.find(({ id }) => id === current)?.source ?? "file";

function contradiction(keys: KeyList): Failure {
  const source = sourceOf(keys);
  return new Failure("store", `${VARIABLE} is another key than the one that the store is sealed with.`, {
    hint:
      source === "env"
        ? "Give the key that it was sealed with. Nothing was changed."
        : `The key is in ${PLACES[source]}: unset ${VARIABLE}, or go over to it with: authline store rekey --to env`,
  });
}

function missing({ id, source }: KeyEntry, found: Key | undefined, list: KeyList | undefined): Failure {
  const why =
    source === "env" && !found
      ? `${VARIABLE} is not set, and the store is sealed with it.`
      : `${capital(PLACES[source])} ${found ? "holds another key than the one" : "no longer holds the key"} that the store is sealed with (${id}).`;
  const inEnv = list?.keys.filter((each) => each.source === "env") ?? [];
  return new Failure("store", why, inEnv.length > 1 ? BOTH_NEEDED : NOTHING_CHANGED);
}

/** The environment holds one key, and a change from one to another that was cut off needs two. */
const BOTH_NEEDED = {
  hint: `Nothing was changed. A change of the key was cut off. Finish it with both: the old key in ${VARIABLE}, and the new one in authline store rekey --to env --key-from file:PATH`,
};

const inFile = (path: string, problem: string): Warning => ({
  code: "key_in_file",
  message: `The key that seals the credentials is kept in ${path}. ${problem}`,
});
