/**
 * What a person has created at the provider, an API key above all: it is given or typed, tried with one request that does no
 * harm, and kept like any credential.
 *
 * Rules: nobody gets to see it, in argv, on the terminal or in an error; it is sent to the one address that the definition names
 * for that, in the header that it is made for, and nowhere else. There is no authorization server, and so no grant.
 */
import { naming, standardOf } from "../actions.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { type Flow, type Outcome, progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { type Definition, headerOf } from "../providers/definition.ts";
import { definitionOf, findDefinition } from "../providers/lookup.ts";
import { valuesIn } from "../providers/template.ts";
import type { Connection } from "../store/record.ts";
import { lookUp, nameIn } from "./account.ts";
import { storing } from "./keep.ts";
import { readSecret, SOURCES } from "./secret.ts";
import { alive, waitFor } from "./wait.ts";

/** What the flags said. */
export interface KeyAsked {
  provider: string;
  /** Undefined: the provider's default one. */
  connection: string | undefined;
  flow: string;
  issuer: string | undefined;
  "key-from": string | undefined;
  "no-verify": boolean;
  "no-wait": boolean;
  set?: string[] | undefined;
  timeout: number;
}

/** Whether it is a key that somebody signs in by: because they say so, or because there is no other way. */
export async function isByKey({ provider, flow, issuer, ...asked }: KeyAsked, ctx: Context): Promise<boolean> {
  const isGiven = asked["key-from"] !== undefined;
  if (flow === "api_key" || (flow === "auto" && isGiven)) return true;
  if (isGiven) throw contradiction(`--key-from gives an API key, and --flow ${flow} takes none.`);
  const definition = await findDefinition(provider, ctx, { issuer, set: valuesIn(asked.set ?? []) });
  if (!definition?.api_key || definition.issuer !== undefined || definition.endpoints !== undefined) return false;
  if (flow === "auto") return true;
  throw contradiction(`${definition.display_name} is signed in to with an API key, and not with --flow ${flow}.`);
}

const contradiction = (message: string) => new Failure("usage", message, { hint: "Leave --flow out." });

export async function* signInByKey(asked: KeyAsked, ctx: Context): Flow<Outcome<"login">> {
  const { provider } = asked;
  const standard = await standardOf(provider, asked.connection === undefined, ctx);
  const connection = asked.connection ?? standard;
  const definition = await definitionOf(provider, ctx, { issuer: asked.issuer, set: valuesIn(asked.set ?? []) });
  if (!definition.api_key) {
    throw new Failure("config", `${definition.display_name} has no API keys that authline knows of.`, {
      hint: asked["key-from"] === undefined ? "Try another --flow." : "Leave --key-from out.",
    });
  }
  const secret = yield* keyFrom(asked, definition, naming(provider, connection, standard), ctx);
  return yield* takeOver(
    { kind: "api_key", provider, connection, definition, secret, verify: !asked["no-verify"] },
    ctx,
  );
}

// --- where it comes from ---------------------------------------------------------------------------------------------

/** From where the flag says, else from the terminal. Throws `config` where there is neither. */
async function* keyFrom(asked: KeyAsked, definition: Definition, whose: string[], ctx: Context): Flow<string> {
  const source = asked["key-from"];
  if (source !== undefined) {
    return (yield* alive(readSecret(source, "--key-from", ctx), "Waiting for what --key-from names.", ctx)).trim();
  }
  const terminal = asked["no-wait"] ? undefined : await ctx.unseen();
  if (!terminal) throw noKey(definition, whose, ctx);
  try {
    const until = new Date(ctx.now().getTime() + asked.timeout * 1000);
    const what = `Paste or type the API key of ${definition.display_name} and press Enter: it will not be shown.`;
    yield progress("await_user", "waiting", what, { reason: "type_key" });
    const typed = yield* waitFor(terminal.line, until, ctx);
    if (typed === undefined) {
      throw new Failure("timeout", "Nobody typed the key in time.", { hint: "--timeout sets how long it waits." });
    }
    if (typed.trim() === "") throw noKey(definition, whose, ctx);
    return typed.trim();
  } finally {
    terminal.close();
  }
}

function noKey({ display_name, api_key, environment }: Definition, whose: string[], ctx: Context): Failure {
  const names = environment?.api_key ?? [];
  const set = names.find((name) => ctx.env(name));
  const variable = set ?? names[0];
  const where = api_key?.create_url ? `Create one at ${api_key.create_url} and give` : "Give";
  const hint = set
    ? `${set} is set: take the key from it with --key-from env:${set}.`
    : `${where} it with --key-from ${variable ? SOURCES.replace("env:NAME", `env:${variable}`) : SOURCES}, or type it at a terminal.`;
  return new Failure("config", `An API key is needed to sign in to ${display_name}.`, {
    hint,
    next_actions: [
      {
        id: "login",
        argv: ["authline", "login", ...whose, "--key-from", variable ? `env:${variable}` : "{source}"],
        description: `Sign in to ${display_name} with a key from there.`,
      },
    ],
  });
}

// --- what it is ------------------------------------------------------------------------------------------------------

/** How a definition says of what people create at a provider what it looks like, where it goes, and whose it is. */
const KINDS = {
  api_key: ({ api_key, api }: Definition) => ({
    noun: "API key",
    token_type: "api_key",
    header: api_key?.header ?? api?.header,
    pattern: api_key?.pattern,
    hint: api_key?.hint,
    create_url: api_key?.create_url,
    lookup: api_key?.verify,
  }),
  access_token: ({ api, account }: Definition) => ({
    noun: "access token",
    token_type: "bearer",
    header: api?.header,
    pattern: undefined,
    hint: undefined,
    create_url: undefined,
    lookup: account,
  }),
};
export type KeyKind = keyof typeof KINDS;
export const keyKinds = Object.keys(KINDS) as KeyKind[];
type Form = ReturnType<(typeof KINDS)[KeyKind]>;

/** Whether it looks like one; what goes into a header is one word in any case. */
export function fits(secret: string, kind: KeyKind, definition: Definition): boolean {
  const { pattern } = KINDS[kind](definition);
  return /^[\x21-\x7e]+$/.test(secret) && (pattern === undefined || new RegExp(pattern).test(secret));
}

// --- what becomes of it ----------------------------------------------------------------------------------------------

interface Given {
  kind: KeyKind;
  provider: string;
  connection: string;
  definition: Definition;
  secret: string;
  /** Whether it is tried before it is stored. */
  verify: boolean;
}

/** Stores it as a connection, once it looks right and works. */
export async function* takeOver(given: Given, ctx: Context): Flow<Outcome<"login">> {
  const { kind, provider, connection, definition, secret } = given;
  const form = KINDS[kind](definition);
  if (!fits(secret, kind, definition)) {
    throw new Failure("config", `That is no ${form.noun} of ${definition.display_name}: it does not look like one.`, {
      hint: [form.hint, form.create_url && `Create one at ${form.create_url}`].filter(Boolean).join(" ") || undefined,
    });
  }
  const account = given.verify ? yield* tried(form, given, ctx) : undefined;
  const write = async (): Promise<Connection> => {
    const now = ctx.now().toISOString();
    const record: Connection = {
      v: 1,
      provider,
      connection,
      flow: kind,
      token_type: form.token_type,
      ...defined({ header: form.header, account }),
      created_at: now,
      updated_at: now,
      refreshable: false,
      secrets: { access_token: secret },
    };
    await ctx.store.keep(record);
    return record;
  };
  return yield* storing({ provider, connection }, definition.display_name, write, ctx);
}

/** Whose it is, as the provider says; undefined where it says nothing of that. Throws where it is not accepted. */
async function* tried(form: Form, { definition, secret }: Given, ctx: Context): Flow<string | undefined> {
  const { noun, lookup } = form;
  const { display_name } = definition;
  if (!lookup) {
    yield progress("verify", "skipped", `The ${noun} is not tried: no request is known that would do no harm.`);
    return undefined;
  }
  const { host } = new URL(lookup.endpoint);
  yield progress("verify", "started", `Trying the ${noun} at ${host}.`);
  const { name, prefix } = headerOf(form.header);
  const response = await untried(() => lookUp(lookup, { [name]: `${prefix}${secret}` }, ctx), ctx);
  const { status } = response;
  if (status === 401 || status === 403) {
    const where = form.create_url ? ` See ${form.create_url}` : "";
    throw new Failure("provider", `${display_name} does not accept the ${noun} (HTTP ${status}).`, {
      http_status: status,
      reason: "refused",
      hint: `Check that it is whole, has not been deleted and is allowed to ask ${host}.${where}`,
    });
  }
  if (!response.ok) {
    const message = `${host} answered HTTP ${status}, which does not say whether the ${noun} is good.`;
    throw new Failure("provider", message, { http_status: status, reason: "not_verified", hint: UNTRIED });
  }
  yield progress("verify", "done", `${display_name} accepts the ${noun}.`);
  return nameIn(await response.json().catch(() => undefined), lookup.field);
}

const UNTRIED = "To store it untried, add --no-verify.";

async function untried<T>(ask: () => Promise<T>, ctx: Context): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    ctx.signal.throwIfAborted();
    if (!(error instanceof Failure)) throw error;
    const hint = [error.details.hint, UNTRIED].filter(Boolean).join(" ");
    throw new Failure(error.code, error.message, { ...error.details, hint });
  }
}
