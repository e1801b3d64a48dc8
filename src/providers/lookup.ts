/** Finds a provider's definition: the built-in one, what earlier logins taught, what this command was told. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { Failure } from "../protocol/failure.ts";
import type { ConnectionView, LearnedView } from "../store/record.ts";
import { Definition } from "./definition.ts";

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

/** The definition to use for `name`; later layers win. Undefined when no layer says where the provider is. */
export function findDefinition(
  name: string,
  learned: LearnedView | undefined,
  issuer?: string,
): Definition | undefined {
  const known = layered(
    name,
    layered(name, builtIn(name), learned?.definition),
    issuer === undefined ? {} : { issuer },
  );
  return (known.issuer ?? known.endpoints ?? known.api_key ?? known.resource) ? known : undefined;
}

/** The same; throws `not_found` instead. */
export function definitionOf(name: string, learned: LearnedView | undefined, issuer?: string): Definition {
  const found = findDefinition(name, learned, issuer);
  if (found) return found;
  throw new Failure("not_found", `No provider is called "${name}".`, {
    hint: `Known are ${builtInNames().join(", ")}; any other needs --issuer with its address the first time.`,
  });
}

/**
 * Another issuer is another server: what was known of the first one's endpoints must not be used for it, or a token
 * would go astray.
 */
function layered(name: string, below: Definition | undefined, above: LearnedView["definition"] = {}): Definition {
  const base: Definition = below ?? { name, display_name: name };
  if (above.issuer === undefined || isSameIssuer(above.issuer, base.issuer))
    return { ...base, ...above, name } as Definition;
  const { endpoints: _, account: __, discovery: ___, quirks: ____, ...portable } = base;
  return { ...portable, ...above, name } as Definition;
}

/** The same provider at this issuer: what was known of another one is not of this one. */
export const atIssuer = (definition: Definition, issuer: string) => layered(definition.name, definition, { issuer });

/** What the server of a definition is called: its issuer, or where there is none the origin of its token endpoint. */
export const issuerOf = ({ issuer, endpoints }: Pick<Definition, "issuer" | "endpoints">): string | undefined =>
  issuer ?? (endpoints?.token_endpoint && new URL(endpoints.token_endpoint).origin);

/** Whether it is still of the server that issued this credential; an API key is nobody's but the provider's. */
export const isDefinitionOf = (definition: Definition, { server }: ConnectionView): boolean =>
  server === undefined || isSameIssuer(issuerOf(definition), server.issuer);

/** The one slash that ends an address is all that is forgiven. */
export const isSameIssuer = (one: string | undefined, other: string | undefined) =>
  one?.replace(/\/$/, "") === other?.replace(/\/$/, "");
