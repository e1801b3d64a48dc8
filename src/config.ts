/**
 * The settings: what may stand for an option or argument that is not given.
 *
 * Rules: flag, then environment, then configuration, then the default; a setting is the option itself, so that what one
 * refuses the other refuses too; a bad one is a fault only of the call that needs it.
 */
import { choice, connection, duration, type Option, type Positional, target, text } from "./commands/command.ts";
import { checkMetadataUrl } from "./commands/login_flags.ts";
import type { Context } from "./context.ts";
import { Failure } from "./protocol/failure.ts";

const setting = <O extends object>(env: string, config: string, option: O) => ({ ...option, env, config });

/** By the key that it has in the configuration. */
export const settings = {
  provider: setting("AUTHLINE_PROVIDER", "provider", target),
  connection: setting("AUTHLINE_CONNECTION", "connection", connection),
  browser: setting(
    "AUTHLINE_BROWSER",
    "browser",
    choice("whether to open one", ["auto", "always", "never"], "auto", "WHEN"),
  ),
  login_timeout: setting(
    "AUTHLINE_LOGIN_TIMEOUT",
    "login_timeout",
    duration("how long to wait for you", "10m", { least: 1 }),
  ),
  wait_timeout: setting(
    "AUTHLINE_WAIT_TIMEOUT",
    "wait_timeout",
    duration("how long to wait; the sign-in stays open after", "5m", { least: 0 }),
  ),
  min_ttl: setting(
    "AUTHLINE_MIN_TTL",
    "min_ttl",
    duration("refresh when the token has less than this to live", "60s", { least: 0 }),
  ),
  client_metadata_url: setting(
    "AUTHLINE_CLIENT_METADATA_URL",
    "client_metadata_url",
    text(
      "the document that describes your client, where a server takes its address for a client ID",
      "URL",
      checkMetadataUrl,
    ),
  ),
} as const;

export type Key = keyof typeof settings;
export const KEYS = Object.keys(settings) as Key[];
export const isKey = (name: string): name is Key => Object.hasOwn(settings, name);

/**
 * The option for it. A provider's own default connection is more exact than the one of the configuration, and so it is the
 * store that asks the configuration: after it found no such default, and for every command.
 */
const { config: _, ...onlyInEnv } = settings.connection;
export const connectionOption = onlyInEnv;

type Settled = Pick<Option<unknown> | Positional, "env" | "config">;
type Sources = Pick<Context, "env" | "config">;

export interface Found {
  /** As it was written; of a value in the configuration that is no text, its JSON. */
  value: string;
  isText: boolean;
  source: "env" | "config";
  /** How it is called there. */
  name: string;
}

/** An empty variable is none. */
export function find({ env, config }: Settled, ctx: Sources): Found | undefined {
  const value = env === undefined ? undefined : ctx.env(env);
  if (env !== undefined && value) return { value, isText: true, source: "env", name: env };
  const kept = config === undefined ? undefined : ctx.config.read().get(config);
  if (config === undefined || kept === undefined) return undefined;
  const isText = typeof kept === "string";
  const name = `${config} in ${ctx.config.path}`;
  return { value: isText ? kept : JSON.stringify(kept), isText, source: "config", name };
}

type Taker<T> = Settled & { parse(raw: string, name: string): T };

/** Throws a Failure `usage`. */
function parsed<T>(option: Taker<T>, { value, isText, name }: Found): T {
  if (isText) return option.parse(value, name);
  throw new Failure("usage", `${name} is no text.`, { hint: "Every setting is a text, between quotes." });
}

/** Why it cannot be used; undefined where it can. */
export function complaint(option: Taker<unknown>, found: Found): string | undefined {
  try {
    parsed(option, found);
    return undefined;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return error.message;
  }
}

/** What stands for an option or argument that is not given, its default aside. Throws a Failure `config`. */
export function settled<T>(option: Taker<T>, ctx: Sources): T | undefined {
  const found = find(option, ctx);
  if (!found) return undefined;
  try {
    return parsed(option, found);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const key = option.config ?? "";
    const mend =
      found.source === "env" ? `Set ${found.name} right or unset it.` : `Set it right: authline config set ${key}`;
    throw new Failure("config", error.message, {
      cause: error,
      hint: [error.details.hint, mend].filter(Boolean).join(" "),
      ...(found.source === "config" && {
        next_actions: [
          { id: "unset", argv: ["authline", "config", "unset", key], description: "Go back to the default." },
        ],
      }),
    });
  }
}

/** The connection that is meant where neither the call nor a default of the provider names one. */
export const configuredConnection = (ctx: Pick<Context, "config">): string | undefined =>
  settled(settings.connection, { config: ctx.config, env: () => undefined });
