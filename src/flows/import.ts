/**
 * Takes over what a dotenv file has for providers that are known: their keys and tokens, by the names of the variables that their
 * definitions list.
 *
 * Rules: the file stays as it is; no value is ever told, and of names only those that are written as such: in a file that is
 * broken anything may look like one; what is connected already is replaced only where its provider was named.
 */
import { parseEnv } from "node:util";
import { standardOf } from "../actions.ts";
import type { Context } from "../context.ts";
import { about, type Flow, type Outcome } from "../flow.ts";
import type { DataOf } from "../protocol/data.ts";
import { Failure, type Warning } from "../protocol/failure.ts";
import type { Definition } from "../providers/definition.ts";
import { builtInNames, definitionOf, findDefinition } from "../providers/lookup.ts";
import { failureWith } from "../result.ts";
import { recordStatus } from "../store/record.ts";
import { fits, type KeyKind, keyKinds, takeOver } from "./api_key.ts";
import { readSecret } from "./secret.ts";
import { alive } from "./wait.ts";

/** What the flags said. */
export interface ImportAsked {
  /** Undefined: all that are known. */
  provider: string | undefined;
  /** Undefined: each provider's default one. */
  connection: string | undefined;
  "no-verify": boolean;
}

type Taken = DataOf<"import">["taken"][number];
type Skipped = DataOf<"import">["skipped"][number];

/** A variable that a provider's definition lists, at this place of its list. */
interface Claim {
  definition: Definition;
  kind: KeyKind;
  rank: number;
}
type Found = Claim & { variable: string; secret: string };

/** `file`: a path, or "-" for standard input. */
export async function* importFrom(file: string, asked: ImportAsked, ctx: Context): Flow<Outcome<"import">> {
  const reading = readSecret(file === "-" ? "stdin" : `file:${file}`, "--import", ctx);
  const text = yield* alive(reading, "Waiting for what --import names.", ctx);
  const variables = parseEnv(text);
  const { found, skipped } = sorted(variables, await definitionsFor(asked.provider, ctx));
  const taken: Taken[] = [];
  const warnings: Warning[] = [];
  const strange = Object.keys(variables).filter((name) => !NAME.test(name)).length;
  if (strange > 0) {
    const message = `Not looked at, because their names are not in capitals: ${strange}.`;
    warnings.push({ code: "names_left_out", message });
  }
  let failure: Failure | undefined; // the first one
  for (const { variable, secret, definition, kind } of found) {
    const provider = definition.name;
    const skip = (reason: string, message: string) => skipped.push({ variable, provider, reason, message });
    try {
      const connection = asked.connection ?? (await standardOf(provider, true, ctx));
      const other = taken.find((each) => each.provider === provider);
      if (other) skip("another_taken", `${other.variable} was taken for ${provider}.`);
      else if (asked.provider === undefined && (await isThere(provider, connection, ctx)))
        skip("connected", `${connection}@${provider} is there: name the provider to replace it, or a --connection.`);
      else {
        const verify = !asked["no-verify"];
        const signIn = takeOver({ kind, provider, connection, definition, secret, verify }, ctx);
        const { data, warnings: told = [] } = yield* about({ provider, connection }, signIn);
        taken.push({ provider, connection, variable, ...(data.account !== undefined && { account: data.account }) });
        warnings.push(...told);
      }
    } catch (error) {
      ctx.signal.throwIfAborted();
      if (!(error instanceof Failure)) throw error;
      failure ??= error;
      skip(error.code, error.message);
      warnings.push({ code: "import_failed", message: `${variable}: ${error.message}` });
    }
  }
  if (taken.length === 0 && !skipped.some(({ reason }) => reason === "connected")) {
    throw failureWith(warnings, failure ?? nothingKnown(skipped));
  }
  return { kind: "import", message: summary(taken), warnings, data: { taken, skipped } };
}

const summary = (taken: Taken[]) =>
  taken.length === 0
    ? "Nothing was taken over: what is known of it is there already."
    : `Taken over: ${taken.map(({ provider }) => provider).join(", ")}.`;

function nothingKnown(skipped: Skipped[]): Failure {
  const [first] = skipped.filter(({ reason }) => reason !== "unknown");
  return new Failure(
    "not_found",
    "There is nothing to be taken over: no variable there has a credential that is known.",
    {
      hint: first
        ? `${first.variable}: ${first.message}`
        : "Give a single key with authline login <provider> --key-from.",
    },
  );
}

async function definitionsFor(provider: string | undefined, ctx: Context): Promise<Definition[]> {
  if (provider !== undefined) return [await definitionOf(provider, ctx)];
  const names = [...new Set([...builtInNames(), ...ctx.definitions.names(), ...ctx.store.taught()])];
  const known = names.map(
    (name) => findDefinition(name, ctx).catch(() => undefined), // one that is broken is no reason to stop
  );
  return (await Promise.all(known)).flatMap((each) => each ?? []);
}

/** What no part of a key that was broken into lines looks like. */
const NAME = /^[A-Z][A-Z0-9_]{0,63}$/;

/** What is to be tried, the commonest variable of each provider first; and what nobody has a use for. */
function sorted(variables: Record<string, string | undefined>, definitions: Definition[]) {
  const found: Found[] = [];
  const skipped: Skipped[] = [];
  for (const [variable, value = ""] of Object.entries(variables)) {
    if (!NAME.test(variable)) continue;
    const secret = value.trim();
    const claims = definitions.flatMap((definition) => claimOn(variable, secret, definition));
    const fitting = claims.filter(({ kind, definition }) => fits(secret, kind, definition));
    const [claim = claims[0]] = fitting;
    const skip = (reason: string, message: string) => skipped.push({ variable, reason, message });
    if (!claim) skip("unknown", "no provider that is known reads it.");
    else if (secret === "") skip("empty", "it holds nothing.");
    else if (fitting.length > 1) skip("ambiguous", `${namesOf(fitting)} all read it: name the provider.`);
    else found.push({ ...claim, variable, secret });
  }
  return { found: found.sort((one, other) => one.rank - other.rank), skipped };
}

const namesOf = (claims: Claim[]) => claims.map(({ definition }) => definition.name).join(", ");

/** One a provider: the first form that fits, else the first one. */
function claimOn(variable: string, secret: string, definition: Definition): Claim[] {
  const claims = keyKinds.flatMap((kind) => {
    const rank = definition.environment?.[kind]?.indexOf(variable) ?? -1;
    return rank < 0 ? [] : [{ definition, kind, rank }];
  });
  const claim = claims.find(({ kind }) => fits(secret, kind, definition)) ?? claims[0];
  return claim ? [claim] : [];
}

async function isThere(provider: string, connection: string, { store, now }: Context): Promise<boolean> {
  const record = await store.glance(provider, connection);
  return record !== undefined && recordStatus(record, now()) !== "revoked";
}
