/** What the provider commands share: what is known of one, and where it comes from. */
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import type { DataOf } from "../protocol/data.ts";
import type { Definition } from "../providers/definition.ts";
import { builtIn } from "../providers/lookup.ts";

type Shown = DataOf<"provider"> & { source: NonNullable<DataOf<"provider">["source"]>; definition: Definition };

/** As it is written, before anything stands for its variables. Undefined where no such provider is known. */
export async function shown(name: string, ctx: Context): Promise<Shown | undefined> {
  const standard = builtIn(name);
  const own = await ctx.definitions.read(name);
  if (own) return { name, ...ownFacts(name, standard !== undefined, ctx), definition: own };
  if (standard) return { name, source: "built_in", definition: standard };
  const learned = await ctx.store.learned(name);
  if (!learned) return undefined;
  const { set: _, ...taught } = learned.definition;
  return { name, source: "learned", definition: { ...taught, name, display_name: name } };
}

export const ownFacts = (name: string, overrides: boolean, { definitions }: Context) => ({
  source: "user" as const,
  path: definitions.path(name),
  ...(overrides && { overrides }),
});

export const kindsOf = ({ issuer, endpoints, resource, api_key }: Definition) => [
  ...((issuer ?? endpoints?.token_endpoint ?? resource) !== undefined ? (["oauth"] as const) : []),
  ...(api_key ? (["api_key"] as const) : []),
];

export const factsOf = (definition: Definition) => {
  const { display_name, docs, variables } = definition;
  return {
    display_name,
    kinds: kindsOf(definition),
    ...defined({ docs, variables: variables && Object.keys(variables) }),
  };
};

/** What to run after a definition was written. */
export const nextFor = (name: string) => [
  {
    id: "check",
    argv: ["authline", "provider", "check", name],
    description: "Compare it with what the server publishes.",
  },
];
