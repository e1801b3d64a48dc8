/**
 * The catalogue is data that secrets follow: every file is read here as a stranger would read it, before any of it is
 * believed.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { describe, expect, test } from "vitest";
import { Definition } from "../../src/providers/definition.ts";
import { tokenVariable } from "../../src/providers/environment.ts";
import { STANDARD_PATTERN } from "../../src/providers/template.ts";

const CATALOGUE = new URL("../../src/providers/catalogue/", import.meta.url);
const files = readdirSync(CATALOGUE).sort();
const read = (file: string): unknown => JSON.parse(readFileSync(new URL(file, CATALOGUE), "utf8"));
const each = files.map((file): [name: string, definition: Definition] => [
  basename(file, ".json"),
  read(file) as Definition,
]);

/** The definitions that have something to say on a matter; the others are no evidence. */
const having = (speaks: (definition: Definition) => unknown) => each.filter(([, definition]) => speaks(definition));

/** Variables that several definitions may claim on purpose: each with all who do. */
const SHARED: Record<string, string[]> = {};

const hasOAuth = ({ issuer, endpoints }: Definition) => issuer !== undefined || endpoints?.token_endpoint !== undefined;

/** The requests that carry a credential and ask whose it is. */
const lookups = ({ account, api_key }: Definition) =>
  [account, api_key?.verify].filter((lookup) => lookup !== undefined);

/** Every string under `value`, with the name of the field that holds it. */
function* strings(value: unknown, field = ""): Generator<[field: string, text: string]> {
  if (typeof value === "string") yield [field, value];
  else if (Array.isArray(value)) for (const item of value) yield* strings(item, field);
  else if (value !== null && typeof value === "object")
    for (const [name, item] of Object.entries(value)) yield* strings(item, name);
}

/** What `{…}` asks for in addresses and parameters. A body is the API's own language, and Microsoft's `{tenantid}` its issuer's. */
function variablesIn({ variables: _, quirks, ...rest }: Definition): Set<string> {
  const used = new Set<string>();
  for (const [field, text] of strings(rest))
    if (field !== "body") for (const [, name] of text.matchAll(/\{([a-z_]+)\}/g)) used.add(name as string);
  if (quirks?.includes("issuer_per_tenant")) used.delete("tenantid");
  return used;
}

/** A text as it is once with the defaults and once with the examples. */
const put = (text: string, { variables = {} }: Definition) =>
  (["default", "example"] as const).map((first) =>
    text.replace(/\{([a-z_]+)\}/g, (_, name: string) => variables[name]?.[first] ?? variables[name]?.example ?? ""),
  );
const addresses = (address: string, definition: Definition) => put(address, definition).map((each) => new URL(each));

const isUnder = (host: string, hosts: string[]) =>
  hosts.some((allowed) => (allowed.startsWith(".") ? host.endsWith(allowed) : host === allowed));

const patterns = each.flatMap(([name, { api_key, variables = {} }]): [of: string, pattern: string][] => [
  ...(api_key?.pattern === undefined ? [] : [[name, api_key.pattern] as [string, string]]),
  ...Object.entries(variables).flatMap(([variable, { pattern }]): [string, string][] =>
    pattern === undefined ? [] : [[`${name}, {${variable}}`, pattern]],
  ),
]);

/** A pattern with every escape and class made one letter: what is left is its structure. */
const structure = (pattern: string) => pattern.replace(/\\./g, "x").replace(/\[[^\]]*\]/g, "x");

/** Whether something that repeats without end stands within something that repeats without end. */
function repeatsRepetition(pattern: string): boolean {
  const ENDLESS = /[*+]|\{\d+,\}/;
  let rest = structure(pattern);
  for (;;) {
    const group = /\((?:\?:)?([^()]*)\)([*+?]|\{[\d,]+\})?/.exec(rest);
    if (group === null) return false;
    const [whole, inside = "", repeated = ""] = group;
    const endless = ENDLESS.test(inside);
    if (ENDLESS.test(repeated) && (endless || /[?|{]/.test(inside))) return true;
    rest = rest.replace(whole, endless || ENDLESS.test(repeated) ? "x+" : "x");
  }
}

describe("a file of the catalogue", () => {
  test.each(files)(
    "%s is a definition and nothing else: a field that is misspelt would be a fact that is lost",
    (file) => {
      expect(Definition().safeParse(read(file)).error?.issues ?? []).toEqual([]);
    },
  );

  test.each(each)("%s is named as its file is, so that the one is found by the other", (name, definition) => {
    expect(definition.name).toBe(name);
    expect(name).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
  });

  test.each(each)("%s says where its facts were read, and can be read again", (_, { docs, sources = [] }) => {
    expect(docs).toBeDefined();
    expect(sources).not.toEqual([]);
    expect(new Set(sources).size).toBe(sources.length);
  });

  test.each(each)("%s offers at least one way to a credential", (_, definition) => {
    expect(hasOAuth(definition) || definition.api_key !== undefined || definition.resource !== undefined).toBe(true);
  });

  test.each(each)("%s sends nothing in the clear: every address is https", (_, definition) => {
    for (const [field, text] of strings(definition))
      if (/^\w+:\/\//.test(text) && field !== "redirect_uri") expect(text).toMatch(/^https:\/\//);
  });

  test.each(having(({ redirect_uri }) => redirect_uri))(
    "%s brings a browser back to this machine and to no other",
    (_, { redirect_uri }) => {
      const { protocol, hostname } = new URL(redirect_uri ?? "");
      expect(["localhost", "127.0.0.1", "[::1]"]).toContain(hostname);
      expect(protocol).toBe("http:");
    },
  );
});

describe("where a credential may go", () => {
  test.each(having(({ api }) => api))(
    "%s names whole hosts: none is a mere suffix that strangers share",
    (_, definition) => {
      for (const host of definition.api?.hosts ?? [])
        for (const whole of put(host, definition)) expect(whole).toMatch(/^\.?[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?$/);
      expect(definition.api?.hosts).not.toEqual([]);
    },
  );

  test.each(having(({ api_key }) => api_key))(
    "%s has hosts if it has keys, for a key without them could be sent anywhere",
    (_, definition) => {
      expect(definition.api?.hosts ?? []).not.toEqual([]);
    },
  );

  test.each(having((definition) => lookups(definition).length))(
    "%s shows a credential to its own API alone when it asks whose it is",
    (_, definition) => {
      for (const { endpoint } of lookups(definition))
        for (const [index, { host }] of addresses(endpoint, definition).entries())
          expect(definition.api?.hosts.map((each) => put(each, definition)[index] ?? "") ?? []).toSatisfy(
            (hosts: string[]) => isUnder(host, hosts),
            host,
          );
    },
  );

  test.each(having((definition) => lookups(definition).length))(
    "%s has a body for a POST, which is JSON, and for nothing else",
    (_, definition) => {
      for (const { method = "GET", body } of lookups(definition)) {
        expect(body !== undefined).toBe(method === "POST");
        if (body !== undefined) expect(() => JSON.parse(body)).not.toThrow();
      }
    },
  );
});

describe("what a person is asked for", () => {
  test.each(each)("%s declares each variable that it uses, and uses each that it declares", (_, definition) => {
    expect([...variablesIn(definition)].sort()).toEqual(Object.keys(definition.variables ?? {}).sort());
  });

  test.each(having(({ variables }) => variables))(
    "%s gives examples and defaults that its own patterns take",
    (_, { variables = {} }) => {
      for (const { example, default: standard = example, pattern = STANDARD_PATTERN } of Object.values(variables))
        for (const value of [example, standard]) expect(value).toMatch(new RegExp(pattern));
    },
  );

  test.each(having(({ scopes }) => scopes))("%s says of each scope what it is for", (_, { scopes = {} }) => {
    expect(Object.keys(scopes)).not.toEqual([]);
    for (const [scope, phrase] of Object.entries(scopes)) {
      expect(scope).toMatch(/^\S+$/);
      expect(phrase).toMatch(/^\S+ .*\S$/);
    }
  });

  test.each(having(({ scopes }) => scopes))(
    "%s asks by default for nothing that it does not explain",
    (_, definition) => {
      const { scope = "", scopes = {} } = definition;
      expect(scope.split(" ").filter((one) => one !== "" && !(one in scopes))).toEqual([]);
    },
  );
});

describe("a pattern", () => {
  test.each(patterns)("of %s speaks of the whole value: %s", (_, pattern) => {
    expect(() => new RegExp(pattern)).not.toThrow();
    const bare = structure(pattern);
    expect(bare).toMatch(/^\^.*\$$/);
    const outside = bare.replace(/\((?:[^()]|\([^()]*\))*\)/g, "x");
    expect(outside, "a choice outside a group would undo an anchor").not.toContain("|");
  });

  test.each(patterns)("of %s cannot be made to think for ever: %s", (_, pattern) => {
    expect(repeatsRepetition(pattern)).toBe(false);
    expect(structure(pattern), "neither looks around nor back").not.toMatch(/\(\?(?!:)/);
    for (const letter of ["a", "0", "-", "_", "."])
      expect(new RegExp(pattern).test(`${letter.repeat(20_000)}\n`)).toBe(false);
  });

  test.each(["^(a+)+$", "^(a|b)*$", "^((a{2,})b?)*$", "^([a-z]+\\.)+$"])("like %s is found out", (pattern) => {
    expect(repeatsRepetition(pattern)).toBe(true);
  });

  test.each(["^(eu\\.)?[a-z]+$", "^([a-z]{2}[0-9]\\.)?(one|two)$", "^[(+)]+$", "^a+b+$"])(
    "like %s is not",
    (pattern) => {
      expect(repeatsRepetition(pattern)).toBe(false);
    },
  );

  /** Forms that providers document; made up here, so that no scanner takes them for a leak. */
  const keys: [of: string, start: string, length: number][] = [
    ["openai", "sk-", 48],
    ["openai", "sk-proj-", 156],
    ["openai", "sk-svcacct-", 156],
    ["anthropic", "sk-ant-api03-", 95],
    ["groq", "gsk_", 52],
    ["npm", "npm_", 36],
    ["openrouter", "sk-or-v1-", 64],
    ["replicate", "r8_", 37],
    ["resend", `re_${"a".repeat(8)}_`, 24],
    ["sendgrid", `SG.${"a".repeat(22)}.`, 43],
    ["brevo", `xkeysib-${"a".repeat(64)}-`, 16],
    ["newrelic", "NRAK-", 27],
    ["stripe", "sk_live_", 24],
    ["stripe", "rk_test_", 99],
    ["supabase", "sbp_", 40],
    ["planetscale", `${"a".repeat(12)}:pscale_tkn_`, 43],
    ["tavily", "tvly-dev-", 32],
  ];
  test.each(keys)("of %s takes a key that begins with %s: no real key is refused", (name, start, length) => {
    const [, pattern = "^$"] = patterns.find(([of]) => of === name) ?? [];
    expect(`${start}${"A".repeat(length)}`).toMatch(new RegExp(pattern));
    expect("my key").not.toMatch(new RegExp(pattern));
  });
});

describe("the catalogue as a whole", () => {
  test("has no two names that would read the same variable of the environment", () => {
    const variables = each.map(([name]) => tokenVariable(name));
    expect(variables.filter((variable, i) => variables.indexOf(variable) !== i)).toEqual([]);
  });

  test("lets no variable of an API key speak for two providers, unless it is said here", () => {
    const claims: Record<string, string[]> = {};
    for (const [name, { environment }] of each)
      for (const variable of environment?.api_key ?? []) claims[variable] = [...(claims[variable] ?? []), name];
    const contested = Object.entries(claims).filter(([, names]) => names.length > 1);
    expect(Object.fromEntries(contested)).toEqual(SHARED);
  });

  test("knows forty providers to sign in at, and forty that give out keys", () => {
    const definitions = each.map(([, definition]) => definition);
    expect(definitions.filter(hasOAuth).length).toBeGreaterThanOrEqual(40);
    expect(definitions.filter(({ api_key }) => api_key !== undefined).length).toBeGreaterThanOrEqual(40);
  });
});
