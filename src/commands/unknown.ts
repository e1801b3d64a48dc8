/** What is said of an argv that begins with no command: what is wrong with it, and what may have been meant. */

import { didYouMean, optionMeant } from "../nearest.ts";
import { Failure } from "../protocol/failure.ts";
import { GLOBAL_OPTIONS, helpAction } from "./help.ts";
import { commands } from "./index.ts";

export async function misfit(tokens: readonly string[]): Promise<Failure> {
  const [first = "", second] = tokens;
  if (first.startsWith("-")) return noOption(first, tokens);
  const below = commands.filter(({ name }) => name.startsWith(`${first} `));
  if (below.length === 0) return noCommand(first, second);
  if (second === undefined || second.startsWith("-")) {
    return usage(`${first} is not a command by itself.`, `Commands are ${list(below)}.`, first);
  }
  const words = below.map(({ name }) => name.slice(first.length + 1));
  const near = didYouMean(second, words, `${first} `);
  return usage(`There is no command ${first} ${second}.`, near ?? `Commands are ${list(below)}.`, first);
}

function noCommand(first: string, second: string | undefined): Failure {
  const names = commands.map(({ name }) => name);
  const groups = names.filter((name) => name.includes(" ")).map((name) => name.replace(/ .*/, ""));
  const near = (second && didYouMean(`${first} ${second}`, names)) || didYouMean(first, [...names, ...groups]);
  return usage(`There is no command ${first}.`, near ?? `Commands are ${list(commands)}.`);
}

/** An option before any command: one of everywhere, misspelt, or one of a command that has not been named yet. */
async function noOption(word: string, tokens: readonly string[]): Promise<Failure> {
  const name = word.replace(/^-+/, "").replace(/=.*/s, "");
  const loaded = await Promise.all(
    commands.map(async (entry) => ({ ...entry, options: (await entry.load()).options })),
  );
  const having = loaded.filter(({ options }) => Object.hasOwn(options, name));
  if (having.length > 0) {
    const meant = having.find(({ name }) => tokens.includes(name)) ?? having[0];
    return usage(
      `--${name} stands before the command.`,
      `Write the command first: authline ${meant?.name} --${name}. It is an option of ${list(having)}.`,
    );
  }
  const everywhere = GLOBAL_OPTIONS.map((option) => `--${option.name}`).join(", ");
  const near = optionMeant(name, GLOBAL_OPTIONS);
  return usage(`There is no option ${word}.`, near ?? `Before a command stand only ${everywhere}.`);
}

const usage = (message: string, hint: string, topic = "") =>
  new Failure("usage", message, { hint, next_actions: [helpAction(topic)] });

const list = (entries: readonly { name: string }[]) => entries.map(({ name }) => name).join(", ");
