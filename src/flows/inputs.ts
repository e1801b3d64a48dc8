/**
 * What is said to one grant alone: by the flags that it declares itself, in `flags`, beside those that every login has.
 *
 * Rules: a flag that ends in `-from` names a source, and what is read there is secret: it is sealed wherever it is kept. A
 * flag of another grant is an error, and never ignored.
 */
import type { Option, Options } from "../commands/command.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { Failure } from "../protocol/failure.ts";
import type { Grant as GrantName } from "../providers/definition.ts";
import type { Connection, ConnectionView } from "../store/record.ts";
import type { Grant } from "./grant.ts";
import { grantFlows, isGrant } from "./index.ts";
import { readSecret } from "./secret.ts";

/** By the names of the flags. */
export interface Inputs {
  /** As it was written. */
  said: Record<string, string>;
  /** What its source held: `assertion` of `--assertion-from`. */
  secret: Record<string, string>;
}

/** What a credential was got with, as far as it is needed to get it again. */
export const inputsIn = ({ inputs = {}, secrets }: Connection): Inputs => ({
  said: inputs,
  secret: secrets.inputs ?? {},
});

/** The flags of all grants. What one means to whom stands in its summary. */
export async function grantFlags(): Promise<Options> {
  const flags: Record<string, { option: Option<string>; summaries: Map<string, string[]> }> = {};
  for (const [grant, load] of Object.entries(grantFlows)) {
    for (const [name, option] of Object.entries((await load()).flags ?? {})) {
      flags[name] ??= { option, summaries: new Map() };
      const { summaries } = flags[name];
      summaries.set(option.summary, [...(summaries.get(option.summary) ?? []), grant]);
    }
  }
  return Object.fromEntries(
    Object.entries(flags).map(([name, { option, summaries }]) => {
      const summary = [...summaries].map(([words, grants]) => `${grants.join(", ")}: ${words}`).join("; ");
      return [name, { ...option, summary, parse: (raw: string) => raw }]; // what may stand there, each grant says itself
    }),
  );
}

/** Calls that show them. */
export async function grantExamples(): Promise<string[]> {
  const grants = await Promise.all(Object.values(grantFlows).map((load) => load()));
  return grants.flatMap(({ examples = [] }) => examples);
}

/** What stands in the arguments of a login for a grant alone. */
export function givenIn(args: object, flags: Options): Record<string, string> {
  return Object.fromEntries(Object.entries(args).filter(([name]) => Object.hasOwn(flags, name)));
}

/** What a login that says nothing does again: it was a program's, and what that was asked is known. */
export async function repeatable(before: ConnectionView | undefined, ctx: Context) {
  const flow = before && isGrant(before.flow) ? before.flow : undefined;
  if (!before || !flow) return undefined;
  const { attended, flags } = await grantFlows[flow]();
  if (attended || !flags) return undefined;
  const record = await ctx.store.connection(before.provider, before.connection).catch(() => undefined);
  return record && { flow, inputs: inputsIn(record), client: clientOf(record), issuer: record.server?.issuer };
}

const clientOf = ({ client, secrets: { client_secret, client_key } }: Connection) =>
  client && { client_id: client.client_id, ...defined({ client_secret, client_key }) };

/** Throws `usage` and `config`. */
export async function inputsFor(
  flow: GrantName | undefined,
  given: Record<string, string>,
  ctx: Context,
): Promise<Inputs> {
  const { flags = {}, settled }: Partial<Grant> = flow ? await grantFlows[flow]() : {};
  const inputs: Inputs = { said: {}, secret: {} };
  for (const [name, value] of Object.entries(given)) {
    const flag = `--${name}`;
    if (!Object.hasOwn(flags, name)) throw await misplaced(name);
    if (value === "") throw new Failure("usage", `${flag} is empty.`);
    flags[name]?.parse(value, flag);
    if (name.endsWith("-from")) inputs.secret[name.replace(/-from$/, "")] = await readSecret(value, flag, ctx);
    else inputs.said[name] = value;
  }
  return settled ? settled(inputs, ctx) : inputs;
}

async function misplaced(name: string): Promise<Failure> {
  const owners: string[] = [];
  for (const [grant, load] of Object.entries(grantFlows)) {
    if (Object.hasOwn((await load()).flags ?? {}, name)) owners.push(`--flow ${grant}`);
  }
  return new Failure("usage", `--${name} says nothing to this flow.`, { hint: `It goes with ${owners.join(" or ")}.` });
}

/** The one of these that was given. Throws `config` where it is none, or more than one. */
export function oneOf<Name extends string>({ said, secret }: Inputs, what: string, names: Record<Name, string>): Name {
  const given = (Object.keys(names) as Name[]).filter((name) => name in said || name in secret);
  if (given.length === 1) return given[0] as Name;
  const flags = Object.values<string>(names);
  const all = flags.length === 1 ? flags[0] : `${flags.slice(0, -1).join(", ")} or ${flags.at(-1)}`;
  throw new Failure("config", given.length === 0 ? `${what} is missing.` : `${what} is given more than once.`, {
    hint: `Give ${flags.length === 1 ? "" : "one of "}${all}.`,
  });
}
