/**
 * The definitions that a user has added: HOME/definitions/<provider>.json, each as plain JSON, without a secret.
 *
 * Rules: secrets follow them, so they are never read or written through a link, and what does not fit the schema is an error
 * and not used; what is no longer wanted is removed whole, and what is wanted is written whole.
 */
import { lstatSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "../protocol/failure.ts";
import type { Definition } from "../providers/definition.ts";
import { attempt, exists, makeDirectory, recordsIn, removeRecord, writeWhole } from "./files.ts";
import { type Locks, patiently } from "./locks.ts";
import { NAME } from "./record.ts";

/** Each throws a Failure `config` where a definition is there and cannot be used, `store` where it cannot be got at. */
export interface Definitions {
  path(name: string): string;
  /** As their files are called: nothing is opened. */
  names(): string[];
  read(name: string): Promise<Definition | undefined>;
  /** As it stands in its file, whether it can be used or not. */
  text(name: string): string | undefined;
  /** On disk when it returns. False where one was there, and it was not to be replaced. */
  write(definition: Definition, replace: boolean): Promise<boolean>;
  /** False when there was none. */
  remove(name: string): Promise<boolean>;
  /** Puts a text beside them that is no definition yet. */
  draft(name: string, text: string): Draft;
}

export interface Draft {
  path: string;
  text(): string;
  clear(): void;
}

export function definitionsAt(home: string, locks: Pick<Locks, "take">): Definitions {
  const directory = join(home, "definitions");
  const path = (name: string) => join(directory, `${name}.json`);
  const isThere = (name: string) => NAME.test(name) && refusesLink(directory) && refusesLink(path(name));

  function makeRoom(): void {
    makeDirectory(home);
    refusesLink(directory);
    makeDirectory(directory);
  }

  async function locked<T>(name: string, change: () => T): Promise<T> {
    makeRoom();
    const lock = await patiently(() => locks.take(`${name}.definition`));
    try {
      return change();
    } finally {
      lock.release();
    }
  }

  const textIn = (name: string) =>
    isThere(name) ? attempt("read", path(name), () => readFileSync(path(name), "utf8")) : undefined;

  return {
    path,
    text: textIn,
    names: () => recordsIn(directory).filter((name) => NAME.test(name)),
    async read(name) {
      const text = textIn(name);
      if (text === undefined) return undefined;
      const { definitionIn } = await import("../providers/check.ts");
      const definition = definitionIn(text, path(name));
      if (definition.name === name) return definition;
      throw new Failure("config", `${path(name)} is the definition of ${definition.name}, by its name.`, {
        hint: "Nothing was changed. Mend its name, or move the file away.",
      });
    },
    write: (definition, replace) =>
      locked(definition.name, () => {
        if (isThere(definition.name) && !replace) return false;
        writeWhole(path(definition.name), textOf(definition));
        return true;
      }),
    remove: (name) => locked(name, () => isThere(name) && removeRecord({ directory, name })),
    draft(name, text) {
      makeRoom();
      const beside = join(directory, `.${name}.edit-${crypto.randomUUID()}.json`);
      writeWhole(beside, text);
      return {
        path: beside,
        text: () => attempt("read", beside, () => readFileSync(beside, "utf8")),
        clear: () => attempt("delete", beside, () => rmSync(beside, { force: true })),
      };
    },
  };
}

/** As people read and change it. */
export const textOf = (definition: object) => `${JSON.stringify(definition, undefined, 2)}\n`;

/** Whether it is there, and no way to somewhere else: whoever could lay a link there could choose where secrets go. */
function refusesLink(path: string): boolean {
  if (!exists(path)) return false;
  if (!attempt("read", path, () => lstatSync(path)).isSymbolicLink()) return true;
  throw new Failure("store", `${path} is a link, and definitions are not read or written through one.`, {
    hint: "Nothing was changed. Move it away, or put the file itself there.",
  });
}
