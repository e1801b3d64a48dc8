/**
 * Finds a provider's definition: the user's own or the built-in one, what earlier logins taught, what this command was told.
 *
 * Rule: what was learned at one server (a client, its secret) is never used with another: whoever changes a definition
 * does not get what was given to the server that stood there before.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { Failure } from "../protocol/failure.ts";
import type { ConnectionView, LearnedView } from "../store/record.ts";
import { Definition } from "./definition.ts";
import { isSameIssuer, serverOf } from "./server.ts";
import { filled, type Values } from "./template.ts";

const CATALOGUE = new URL("./catalogue/", import.meta.url);

export function builtIn(name: string): Definition | undefined {
  const file = new URL(`${encodeURIComponent(name)}.json`, CATALOGUE);
  if (!existsSync(file)) return undefined;
  return Definition().parse(JSON.parse(readFileSync(file, "utf8")));
}

export function builtInNames(): string[] {
  return readdirSync(CATALOGUE)
    .filter((file) => file.endsWith(".json"))
    .map((file) => file.slice(0, -".json".length))
    .sort();
}

type Sources = Pick<Context, "store" | "definitions">;

/** What a call says of the provider, beside its name. */
export interface Told {
  issuer?: string | undefined;
  /** Of the protected resource that it is, where that was named instead of it. */
  address?: string | undefined;
  /** What stands for the variables. */
  set?: Values;
}

export interface Known {
  definition: Definition;
  /** The same without what logins taught. */
  written: Definition;
  /** What an earlier login taught, where that was at this very server. */
  learned: LearnedView | undefined;
  /** What stands for its variables: to be remembered. */
  set: Values;
}

export async function known(name: string, ctx: Sources, told: Told = {}): Promise<Known | undefined> {
  const own = await ctx.definitions.read(name);
  const kept = await ctx.store.learned(name);
  const base = await resourceIn(name, own ?? builtIn(name), kept, told.address, ctx);
  const isOther = base?.resource !== undefined && kept?.definition.resource !== base.resource;
  const learned = isOther ? undefined : kept;
  const { set: learnedSet = {}, issuer: learnedIssuer, ...taught } = learned?.definition ?? {};
  const variables = base?.variables ?? {};
  const before = Object.fromEntries(
    Object.entries(learnedSet).filter(([variable]) => Object.hasOwn(variables, variable)),
  );
  const set = { ...before, ...told.set };

  // A definition of the user's own says itself where its server is; else a login may have.
  const issuer = told.issuer ?? (own || Object.keys(told.set ?? {}).length > 0 ? undefined : learnedIssuer);
  const moved = withIssuer(name, base, issuer);
  if (!(moved.issuer ?? moved.endpoints ?? moved.api_key ?? moved.resource)) return undefined;
  const written = filled(moved, moved.variables ? set : (told.set ?? {}));
  const isSame = learned !== undefined && serverOf(written) === serverLearned(learned);
  // How people like to sign in goes along to an issuer that they name; who they are does not.
  const likes = isSame || told.issuer !== undefined ? taught : {};
  const definition = { ...written, ...likes, name } as Definition;
  return { definition, written, learned: isSame ? learned : undefined, set };
}

/**
 * An address says what is to be known of it, and what a login has found out there; what else has its name is not it, and
 * keeps it for as long as somebody is signed in there.
 */
async function resourceIn(
  name: string,
  base: Definition | undefined,
  learned: LearnedView | undefined,
  named: string | undefined,
  { store }: Pick<Context, "store">,
): Promise<Definition | undefined> {
  const address = named ?? (base ? undefined : learned?.definition.resource);
  if (address === undefined) return base;
  const isOther = (one: LearnedView["definition"] | undefined) => one !== undefined && one.resource !== address;
  if (isOther(base) || (isOther(learned?.definition) && (await store.connections(name)).length > 0)) {
    throw new Failure("config", `${address} would be called ${name}, and that is another provider.`, {
      hint: base
        ? "Sign in to this one by its issuer under a name of your own."
        : `Sign out of that one first: authline logout ${name} --all`,
    });
  }
  const before = base ?? (isOther(learned?.definition) ? undefined : learned?.definition);
  const { issuer, discovery, endpoints } = before ?? {};
  return { name, display_name: address, resource: address, ...defined({ issuer, discovery, endpoints }) };
}

/** The definition to use for `name`; later layers win. Undefined when no layer says where the provider is. */
export const findDefinition = async (name: string, ctx: Sources, told?: Told): Promise<Definition | undefined> =>
  (await known(name, ctx, told))?.definition;

/** The same; throws `not_found` instead. */
export async function definitionOf(name: string, ctx: Sources, told?: Told): Promise<Definition> {
  const found = await findDefinition(name, ctx, told);
  if (found) return found;
  throw await noSuchProvider(name, ctx);
}

/** Throws `not_found` where no layer knows the name, and asks for nothing that the definition may lack. */
export async function mustBeKnown(name: string, ctx: Sources): Promise<void> {
  const isKnown = ctx.definitions.names().includes(name) || builtIn(name) || (await ctx.store.learned(name));
  if (!isKnown) throw await noSuchProvider(name, ctx);
}

/** Names the one that was meant, where one is near. */
export async function noSuchProvider(name: string, ctx: Sources): Promise<Failure> {
  const { distance } = await import("fastest-levenshtein");
  const names = [...new Set([...builtInNames(), ...ctx.definitions.names(), ...ctx.store.taught()])];
  const near = names
    .map((each) => ({ each, mistakes: distance(name, each) }))
    .filter(({ each, mistakes }) => mistakes <= Math.ceil(each.length / 3))
    .sort((one, other) => one.mistakes - other.mistakes)
    .slice(0, 3)
    .map(({ each }) => each);
  return new Failure("not_found", `No provider is called "${name}".`, {
    hint: [
      near.length > 0 ? `Did you mean ${near.join(" or ")}?` : "",
      "See who is known: authline provider list; any other needs --issuer with its address the first time.",
    ]
      .join(" ")
      .trim(),
    next_actions: [
      { id: "list", argv: ["authline", "provider", "list"], description: "List the providers that are known by name." },
    ],
  });
}

/**
 * Another issuer is another server: what was known of the first one's endpoints must not be used for it, or a token
 * would go astray.
 */
function withIssuer(name: string, base: Definition | undefined, issuer: string | undefined): Definition {
  if (issuer === undefined) return base ?? { name, display_name: name };
  if (base === undefined) return { name, display_name: name, issuer };
  if (isSameIssuer(issuer, base.issuer)) return { ...base, issuer };
  const { endpoints: _, account: __, discovery: ___, quirks: ____, variables: _____, ...portable } = base;
  return { ...portable, issuer };
}

/** Before it was written down, there were but the issuer that a login was given and the built-in definitions. */
const serverLearned = ({ provider, server, definition }: LearnedView): string =>
  server ?? serverOf(withIssuer(provider, builtIn(provider), definition.issuer));

/** The same provider at this issuer: what was known of another one is not of this one. */
export const atIssuer = (definition: Definition, issuer: string) => withIssuer(definition.name, definition, issuer);

/** What the server of a definition is called: its issuer, or where there is none the origin of its token endpoint. */
export const issuerOf = ({ issuer, endpoints }: Pick<Definition, "issuer" | "endpoints">): string | undefined =>
  issuer ?? (endpoints?.token_endpoint && new URL(endpoints.token_endpoint).origin);

/** Whether it is still of the server that issued this credential; an API key is nobody's but the provider's. */
export const isDefinitionOf = (definition: Definition, { server }: ConnectionView): boolean =>
  server === undefined || isSameIssuer(issuerOf(definition), server.issuer);
