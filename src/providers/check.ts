/**
 * Reads a definition that somebody else wrote: everything that is wrong with it is said by its path, the first thing first.
 *
 * Rule: what is misspelt is an error with the nearest name, and never ignored; nothing of it is used before all of it fits.
 */
import type * as z from "zod/mini";
import { didYouMean } from "../nearest.ts";
import { Failure } from "../protocol/failure.ts";
import { neutralise } from "../protocol/text.ts";
import { NAME } from "../store/record.ts";
import { Definition } from "./definition.ts";
import { filled, isUnder, namesIn } from "./template.ts";

/** `where`: what it was read from. Throws `config`. */
export function checkedDefinition(value: unknown, where: string): Definition {
  const parsed = Definition().safeParse(value);
  const [wrong] = parsed.success
    ? inconsistencies(parsed.data)
    : parsed.error.issues.map((issue) => described(issue, value));
  if (parsed.success && wrong === undefined) return parsed.data;
  throw new Failure("config", `${where} is not a definition: ${wrong?.message}.`, {
    hint: [wrong?.hint, "See all that may stand there: authline schema provider"].filter(Boolean).join(" "),
  });
}

/** The same, of the text of a file. */
export function definitionIn(text: string, where: string): Definition {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const [, line] = (error as Error).message.match(/\(line (\d+)/) ?? [];
    throw new Failure("config", `${where} is not JSON${line ? `: see line ${line}` : ""}.`, { cause: error });
  }
  return checkedDefinition(value, where);
}

interface Wrong {
  message: string;
  hint?: string | undefined;
}

type Issue = z.core.$ZodIssue;

function described(issue: Issue, value: unknown): Wrong {
  const at = pathOf(issue.path);
  switch (issue.code) {
    case "unrecognized_keys": {
      const [key = ""] = issue.keys;
      return { message: `there is no field ${pathOf([...issue.path, key])}`, hint: nearest(key, fieldsAt(issue.path)) };
    }
    case "invalid_type":
      return {
        message:
          at && valueAt(issue.path, value) === undefined
            ? `${at} is missing`
            : `${at || "it"} is not ${a(issue.expected)}`,
      };
    case "invalid_value": {
      const values = issue.values.map(String);
      return { message: `${at} is none of ${values.join(", ")}` };
    }
    case "invalid_format":
      return {
        message: `${at} does not look as it must`,
        hint: `It fits ${"pattern" in issue ? issue.pattern : issue.format}.`,
      };
    case "too_small":
      return { message: `${at} is empty` };
    case "too_big":
      return { message: `${at} is longer than ${issue.maximum} characters` };
    case "invalid_key":
      return { message: `${at} is no name that may stand there` };
    default:
      return { message: `${at} is ${issue.message}` };
  }
}

const pathOf = (path: readonly PropertyKey[]) => path.map(String).join(".");
const a = (type: string) => (/^[aeiou]/.test(type) ? `an ${type}` : `a ${type === "record" ? "object" : type}`);

const valueAt = (path: readonly PropertyKey[], value: unknown) =>
  path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], value);

/** The names that may stand at a path. */
function fieldsAt(path: readonly PropertyKey[]): string[] {
  // biome-ignore lint/suspicious/noExplicitAny: zod's own description of a shape, one level after the other
  let def: any = Definition()._zod.def;
  const bare = () => {
    while (def.type === "optional") def = def.innerType._zod.def;
  };
  for (const key of path) {
    bare();
    def = (def.shape?.[key] ?? def.valueType ?? def.element)?._zod.def ?? {};
  }
  bare();
  return Object.keys(def.shape ?? {});
}

function nearest(word: string, known: readonly string[]): string | undefined {
  if (known.length === 0) return undefined;
  return didYouMean(word, known) ?? `There are ${known.join(", ")}.`;
}

/** What each field allows, and all of them together do not. */
function inconsistencies(definition: Definition): Wrong[] {
  const { name, issuer, resource, endpoints, discovery, api_key, api, variables = {} } = definition;
  const { used, foreign } = namesIn(definition);
  const wrong: (Wrong | false | undefined)[] = [
    !NAME.test(name) && {
      message: `name cannot be "${name.slice(0, 100)}"`,
      hint: "Use lower-case letters, digits, dots, dashes and underscores, 64 at the most.",
    },
    ...controls(definition),
    issuer === undefined &&
      resource === undefined &&
      endpoints?.token_endpoint === undefined &&
      api_key === undefined && {
        message: "it offers no way to a credential",
        hint: "It needs an issuer, endpoints with a token_endpoint, a resource, or an api_key.",
      },
    issuer !== undefined &&
      discovery === false &&
      endpoints?.token_endpoint === undefined && {
        message: "endpoints.token_endpoint is missing, which no discovery can find",
      },
    ...foreign.map((name) => ({ message: `{${name}} is not among its variables` })),
    ...Object.keys(variables)
      .filter((name) => !used.has(name))
      .map((name) => ({ message: `variables.${name} is used nowhere` })),
    api_key !== undefined &&
      (api?.hosts ?? []).length === 0 && {
        message: "api.hosts is missing: a key that may go anywhere would be sent anywhere",
      },
    ...strays(definition),
  ];
  return wrong.filter((each) => typeof each === "object");
}

/** A credential goes with these requests: they must not lead away from the API. */
function strays(definition: Definition): Wrong[] {
  const { account, api_key, api } = filled(definition, examplesOf(definition));
  if (!api) return [];
  return Object.entries({ "account.endpoint": account?.endpoint, "api_key.verify.endpoint": api_key?.verify?.endpoint })
    .filter(([, endpoint]) => endpoint !== undefined && !isUnder(endpoint, api.hosts))
    .map(([path, endpoint]) => ({ message: `${path} (${endpoint}) is on none of api.hosts` }));
}

const examplesOf = ({ variables = {} }: Definition) =>
  Object.fromEntries(Object.entries(variables).map(([name, { example }]) => [name, example]));

/** Nobody is shown what a terminal would obey, or what reads other than it is. */
function controls(value: unknown, path: string[] = []): Wrong[] {
  if (typeof value === "string") {
    return neutralise(value) === value ? [] : [{ message: `${pathOf(path)} holds characters that cannot be shown` }];
  }
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, each]) => [
    ...(neutralise(key) === key
      ? []
      : [{ message: `a name in ${pathOf(path)} holds characters that cannot be shown` }]),
    ...controls(each, [...path, key]),
  ]);
}
