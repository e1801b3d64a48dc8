import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { type Flow, progress } from "../flow.ts";
import { readSecret } from "../flows/secret.ts";
import { type AuthorizationServer, authorizationServer } from "../flows/server.ts";
import { Failure, type Warning } from "../protocol/failure.ts";
import { checkedDefinition, definitionIn } from "../providers/check.ts";
import type { Definition, Grant } from "../providers/definition.ts";
import { builtIn } from "../providers/lookup.ts";
import { NAME } from "../store/record.ts";
import { command, flag, text } from "./command.ts";
import { checkIssuer } from "./login_flags.ts";
import { nextFor, ownFacts } from "./provider.ts";

export const providerAdd = command({
  positionals: {
    source: {
      summary: "the file that the definition is in, or - for stdin; the name that it gets, where an issuer is given",
      required: true,
      parse(raw: string, name: string): string {
        if (raw === "") throw new Failure("usage", `${name} is empty.`);
        return raw;
      },
    },
  },
  options: {
    issuer: text("write a definition from what this server publishes of itself", "URL", checkIssuer),
    replace: flag("even if there is one of yours by this name"),
  },
  examples: [
    "authline provider add acme.json",
    "authline provider add acme --issuer https://login.acme.example",
    "jq .data.definition show.json | authline provider add - --replace",
  ],
  ends: ["network", "store", "locked", "rate_limited", "provider", "config"],

  async *flow({ source, issuer, replace }, ctx) {
    const definition =
      issuer === undefined ? await readIn(source, ctx) : yield* publishedAt(nameIn(source), issuer, replace, ctx);
    const { name } = definition;
    const overrides = builtIn(name) !== undefined;
    if (!(await ctx.definitions.write(definition, replace))) throw isThere(name);
    const warnings: Warning[] = overrides
      ? [{ code: "overrides_built_in", message: `The built-in definition of ${name} is not used any more.` }]
      : [];
    return {
      message: `The definition of ${name} is added.`,
      data: { name, ...ownFacts(name, overrides, ctx), definition },
      warnings,
      next_actions: nextFor(name),
    };
  },
});

const isThere = (name: string) =>
  new Failure("usage", `You have added a definition of ${name} already.`, {
    hint: `To put this one in its place, say --replace. See that one: authline provider show ${name}`,
  });

async function readIn(source: string, ctx: Context): Promise<Definition> {
  const where = source === "-" ? "What came on standard input" : source;
  try {
    return definitionIn(await readSecret(source === "-" ? "stdin" : `file:${source}`, "<source>", ctx), where);
  } catch (error) {
    const isMissing = error instanceof Failure && error.message.endsWith("(ENOENT).") && NAME.test(source);
    if (!isMissing) throw error;
    throw new Failure("config", error.message, {
      ...error.details,
      hint: `To have a definition called ${source} written for you, say --issuer with the server's address.`,
    });
  }
}

function nameIn(source: string): string {
  if (NAME.test(source)) return source;
  throw new Failure("usage", `<source> cannot be "${source}".`, {
    hint: "With --issuer it is the provider's name: lower-case letters, digits, dots, dashes and underscores.",
  });
}

/** Phrases for the scopes that OpenID Connect gives a meaning to; of others nobody but the server knows it. */
const PHRASES: Record<string, string> = {
  openid: "sign in and learn who you are",
  profile: "read your name and picture",
  email: "read your email address",
  address: "read your postal address",
  phone: "read your phone number",
  offline_access: "stay signed in with a refresh token",
};

/** By the names that the metadata has for them (RFC 8414 §2), the ones that a person takes part in first. */
const GRANTS: [grant: Grant, type: string][] = [
  ["authorization_code", "authorization_code"],
  ["device_code", "urn:ietf:params:oauth:grant-type:device_code"],
  ["client_credentials", "client_credentials"],
];
const MOST_SCOPES = 300;

async function* publishedAt(name: string, issuer: string, replace: boolean, ctx: Context): Flow<Definition> {
  if (!replace && ctx.definitions.names().includes(name)) throw isThere(name); // before anybody is asked
  const as = yield* authorizationServer({ name, display_name: name, issuer }, ctx);
  const definition = checkedDefinition({ name, display_name: name, issuer: as.issuer, ...offered(as) }, issuer);
  const { grants = [], scopes = {} } = definition;
  const said = [`grants ${grants.join(", ") || "unknown"}`, `${Object.keys(scopes).length} scopes`].join("; ");
  yield progress("discover", "done", `${new URL(issuer).host} publishes: ${said}.`);
  return definition;
}

function offered(as: AuthorizationServer): Partial<Definition> {
  const { grant_types_supported: types, scopes_supported = [] } = as;
  const grants = types && GRANTS.flatMap(([grant, type]) => (types.includes(type) ? [grant] : []));
  const scopes = scopes_supported
    .filter((scope) => /^[\x21\x23-\x5b\x5d-\x7e]{1,300}$/.test(scope)) // RFC 6749 §3.3
    .slice(0, MOST_SCOPES)
    .map((scope) => [scope, PHRASES[scope] ?? "as the server publishes it"]);
  return defined({
    grants: grants?.length ? grants : undefined,
    scopes: scopes.length > 0 ? Object.fromEntries(scopes) : undefined,
  });
}
