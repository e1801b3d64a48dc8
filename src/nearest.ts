/** What may have been meant. Loaded only where something was not understood. */
import { distance } from "fastest-levenshtein";
import type { OptionHelp } from "./protocol/data.ts";

/** The same of an option. A flag has no opposite: it is given, or it is not. */
export function optionMeant(word: string, known: readonly Pick<OptionHelp, "name" | "type">[]): string | undefined {
  const opposite = known.find(
    ({ name, type }) => type === "boolean" && (`no-${name}` === word || name === `no-${word}`),
  );
  if (opposite) return `It is so unless --${opposite.name} is given: leave that out.`;
  return didYouMean(
    word,
    known.map(({ name }) => name),
    "--",
  );
}

/** Undefined where nothing that is known is near. `prefix`: what stands before each name where it is written. */
export function didYouMean(word: string, known: readonly string[], prefix = ""): string | undefined {
  const bare = word.replace(/^-+/, "").toLowerCase().slice(0, 100);
  const letters = (text: string) => [...text].sort().join("");
  // Two letters that changed places are one mistake.
  const far = (name: string) => distance(bare, name) - (letters(bare) === letters(name) ? 1 : 0);
  const [nearest] = known
    .map((name) => ({ name, mistakes: far(name) }))
    .sort((one, other) => one.mistakes - other.mistakes);
  if (nearest === undefined || nearest.mistakes > Math.ceil(nearest.name.length / 3)) return undefined;
  return `Did you mean ${prefix}${nearest.name}?`;
}
