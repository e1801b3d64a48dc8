/**
 * What a command is: what it takes, and the flow that it runs.
 *
 * Rule: everything that help, completion and the parser need to know stands here as data, so that none of it is ever
 * written twice.
 */
import type { Context } from "../context.ts";
import type { Flow, Outcome } from "../flow.ts";
import type { Kind } from "../protocol/data.ts";
import { type Ending, Failure } from "../protocol/failure.ts";
import { canonicalOf, isAddress, nameOf } from "../providers/resource.ts";
import { NAME } from "../store/record.ts";

export interface Option<T> {
  summary: string;
  /** The heading that it stands under in help, where a command has many. */
  group?: string;
  type: "string" | "boolean";
  /** What stands for the value in help. */
  placeholder?: string;
  default?: string;
  choices?: readonly string[];
  /** The environment variable that says it where the option is not given. */
  env?: string;
  /** The key of the configuration that says it where neither is. */
  config?: string;
  /** The flag with which neither stands for it. */
  unless?: string;
  /** What may stand there, where that is known only when it is asked for. */
  completes?: Completes;
  /** It may be given more than once: then it is a list of all that it says. */
  repeatable?: true;
  /** Throws a Failure `usage`; `name` is how the user wrote it. */
  parse(raw: string, name: string): T;
}

// biome-ignore lint/suspicious/noExplicitAny: the value's type is inferred for each command below
export type Options = Record<string, Option<any>>;

export interface Positional {
  summary: string;
  required: boolean;
  choices?: readonly string[];
  /** As of an option. */
  env?: string;
  config?: string;
  completes?: Completes;
  /** The option with which it may be left out, and no setting stands for it. */
  unless?: string;
  /** All the words that are left; the last one only. */
  many?: true;
  parse(raw: string, name: string): string;
}

/** What completion looks up; `value`: what the setting that was named may be. */
export type Completes = "provider" | "connection" | "session" | "value";

type Value<O> = O extends { type: "boolean" }
  ? boolean
  : O extends Option<infer T> & { repeatable: true }
    ? T[]
    : O extends Option<infer T> & { default: string }
      ? T
      : O extends Option<infer T>
        ? T | undefined
        : never;
type Word<P> = P extends { parse(raw: string, name: string): infer T } ? T : string;
type Argument<P> = P extends { many: true }
  ? Word<P>[]
  : P extends { required: true; unless?: never }
    ? Word<P>
    : Word<P> | undefined;
type Args<P, O> = { [K in keyof P]: Argument<P[K]> } & { [K in keyof O]: Value<O[K]> };

export interface Command<K extends Kind = Kind, P = Record<string, Positional>, O = Options> {
  positionals: P;
  options: O;
  /** Calls that work as they stand; between them they give every option and argument that takes a value. */
  examples: readonly string[];
  /** How it may end, besides as any command may: done, cancelled, not understood, or by a bug. */
  ends?: readonly Ending[];
  flow(args: Args<P, O>, ctx: Context): Flow<Outcome<K>>;
}

/** Only there to infer the types of a command's arguments from its own table. */
export const command = <K extends Kind, const P extends Record<string, Positional>, const O extends Options>(
  definition: Command<K, P, O>,
): Command<K, P, O> => definition;

/** The same options under a heading of their own. */
export const under = <O extends Options>(group: string, options: O): O =>
  Object.fromEntries(Object.entries(options).map(([name, option]) => [name, { ...option, group }])) as O;

/** How a sign-in may end. */
// biome-ignore format: one list
export const SIGN_IN_ENDS = ["not_found", "network", "store", "expired", "timeout", "locked", "rate_limited", "provider", "denied", "config", "failed"] as const;

/** What a command that takes a stored credential, refreshed where it must be, ends with besides what every command may. */
// biome-ignore format: one list
export const CREDENTIAL_ENDS = ["auth_required", "auth_expired", "not_found", "network", "store", "timeout", "locked", "rate_limited", "provider", "config"] as const;

const usage = (message: string, hint?: string) => new Failure("usage", message, { hint });

/** Any text but an empty one. */
export const text = (summary: string, placeholder: string, check: (raw: string, name: string) => void = () => {}) =>
  ({
    summary,
    type: "string",
    placeholder,
    parse(raw: string, name: string): string {
      if (raw === "") throw usage(`${name} is empty.`);
      check(raw, name);
      return raw;
    },
  }) as const;

const among = <const C extends readonly string[]>(choices: C) => ({
  choices,
  parse(raw: string, name: string): C[number] {
    if (choices.includes(raw)) return raw;
    throw usage(`${name} cannot be "${raw}".`, `It is one of ${choices.join(", ")}.`);
  },
});

export const choice = <const C extends readonly string[]>(
  summary: string,
  choices: C,
  initial: C[number],
  placeholder: string,
) => ({ summary, type: "string", placeholder, default: initial as string, ...among(choices) }) as const;

/** An argument that is one of a few words, and may be left out. */
export const oneOf = <const C extends readonly string[]>(summary: string, choices: C) =>
  ({ summary, required: false, ...among(choices) }) as const;

export const flag = (summary: string) => ({ summary, type: "boolean", parse: () => true }) as const;

/** A whole number, zero or more. */
export const count = (summary: string, placeholder: string, initial: string) =>
  ({
    summary,
    type: "string",
    placeholder,
    default: initial,
    parse(raw: string, name: string): number {
      if (/^\d{1,9}$/.test(raw)) return Number(raw);
      throw usage(`${name} cannot be "${raw}".`, "It is a whole number.");
    },
  }) as const;

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400 };

/** In seconds. */
export const duration = (summary: string, initial: string, { least }: { least: number }) =>
  ({
    summary,
    type: "string",
    placeholder: "DURATION",
    default: initial,
    parse(raw: string, name: string): number {
      const [, amount, unit = "s"] = raw.match(/^(\d{1,7})([smhd])?$/) ?? [];
      const seconds = Number(amount) * (UNITS[unit] ?? 1);
      if (amount === undefined || seconds < least || seconds > 30 * 86400) {
        throw usage(`${name} cannot be "${raw}".`, `Write a time such as 30s, 10m or 1h, from ${least}s to 30d.`);
      }
      return seconds;
    },
  }) as const;

function checkName(raw: string, name: string): void {
  if (NAME.test(raw)) return;
  throw usage(
    `${name} cannot be "${raw}".`,
    "Use lower-case letters, digits, dots, dashes and underscores, 64 at the most, beginning with a letter or digit.",
  );
}

export const provider = {
  summary: "the provider's name, such as github, or the address of an MCP server",
  required: true,
  completes: "provider",
  parse: parseProvider,
} as const;
/** The same, with the address as it is: for who signs in there, or hands out what it takes. */
export const target = { ...provider, parse: parseTarget } as const;
export const optionalProvider = {
  summary: "only this provider",
  required: false,
  completes: "provider",
  parse: parseProvider,
} as const;
/** A connection that is named, as an argument. */
export const connectionName = (summary: string) =>
  ({ summary, required: true, completes: "connection", parse: parseName }) as const;
/** Undefined where it is not given: the provider's default one. */
export const connection = {
  ...text("which of several accounts at the provider; else its default one", "NAME", checkName),
  completes: "connection",
} as const;

function parseName(raw: string, name: string): string {
  checkName(raw, name);
  return raw;
}

function parseTarget(raw: string, name: string): string {
  return isAddress(raw) ? canonicalOf(raw, name) : parseName(raw, name);
}

/** Whatever lies under an address is looked up by its name. */
function parseProvider(raw: string, name: string): string {
  return nameOf(parseTarget(raw, name));
}
