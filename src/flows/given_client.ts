/** As which client a login comes, as far as that is known before the server is asked (registration.ts has the rest). */
import { naming, standardOf } from "../actions.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { Failure } from "../protocol/failure.ts";
import type { Definition } from "../providers/definition.ts";
import { clientInEnv, secretInEnv } from "../providers/environment.ts";
import { nameOf } from "../providers/resource.ts";
import type { LearnedView } from "../store/record.ts";
import type { PlannedClient } from "./client.ts";
import type { Grant } from "./grant.ts";
import type { Inputs } from "./inputs.ts";
import type { Asked, Plan } from "./plan.ts";
import { readSecret } from "./secret.ts";

/** What its own flags say of the client. */
export function clientIn({ clientId }: Grant, inputs: Inputs): Plan["client"] | undefined {
  const client_id = clientId?.(inputs);
  return client_id === undefined ? undefined : { client_id };
}

/** The client that was given now, or in the environment, or to the last login of this provider, or that is implied. */
export async function givenClient(
  args: Asked,
  known: LearnedView | undefined,
  implied: Plan["client"] | undefined,
  /** At another server than the provider's own, of which the environment says nothing. */
  isElsewhere: boolean,
  ctx: Context,
): Promise<{ client: PlannedClient | undefined; isKnown: boolean }> {
  const provider = nameOf(args.provider);
  const inEnvironment = isElsewhere ? undefined : clientInEnv(provider, ctx).client_id;
  const given = args["client-id"] ?? inEnvironment ?? implied?.client_id;
  const client_id = given ?? known?.client?.client_id;
  const { "client-secret-from": source, "client-key-from": keySource, "client-key-id": kid } = args;
  if (kid !== undefined && keySource === undefined) throw alone("--client-key-id", "--client-key-from");
  if (client_id === undefined) {
    if (source !== undefined) throw alone("--client-secret-from", "--client-id");
    if (keySource !== undefined) throw alone("--client-key-from", "--client-id");
    return { client: undefined, isKnown: false };
  }
  if (source !== undefined && keySource !== undefined) {
    throw new Failure("usage", "--client-secret-from and --client-key-from are both given.", {
      hint: "A client proves itself by one of them.",
    });
  }
  if (source !== undefined) {
    const client = { client_id, client_secret: await readSecret(source, "--client-secret-from", ctx) };
    return { client, isKnown: given === undefined };
  }
  if (keySource !== undefined) {
    const { readClientKey } = await import("./client_key.ts");
    const client_key = await readClientKey(keySource, { kid }, ctx);
    return { client: { client_id, client_key }, isKnown: given === undefined };
  }
  const inEnv = isElsewhere ? undefined : secretInEnv(provider, client_id, ctx);
  if (inEnv !== undefined) return { client: { client_id, client_secret: inEnv }, isKnown: given === undefined };
  if (client_id === implied?.client_id) return { client: implied, isKnown: false };
  if (client_id !== known?.client?.client_id) return { client: { client_id }, isKnown: given === undefined };
  const { store } = ctx;
  const [client_secret, client_key] = [await store.clientSecret(provider), await store.clientKey(provider)];
  const isKept = client_secret !== undefined || client_key !== undefined;
  return { client: { client_id, ...defined({ client_secret, client_key }) }, isKnown: given === undefined || isKept };
}

/** What a registration is made with; a source that does not come with the call is not read again. */
export async function registrationOf(asked: Asked, ctx: Context): Promise<Plan["registration"]> {
  const { "software-statement-from": statement, "registration-token-from": token } = asked;
  return defined({
    software_statement: statement && (await readWord(statement, "--software-statement-from", ctx)),
    initial_access_token: token && (await readWord(token, "--registration-token-from", ctx)),
  });
}

/** RFC 6750 §2.1, RFC 7515 §7.1: neither has a character that would break a header. */
async function readWord(source: string, flag: string, ctx: Context): Promise<string> {
  const word = (await readSecret(source, flag, ctx)).trim();
  if (/^[\x21-\x7e]+$/.test(word)) return word;
  throw new Failure("config", `${flag} holds no token: it has characters that no token may have.`, {
    hint: "Check what is there: a token is one word.",
  });
}

const alone = (flag: string, other: string) =>
  new Failure("usage", `${flag} says nothing without ${other}.`, { hint: "Give both, or neither." });

/** Where no client is known and none can be had. */
export async function lacksClient({ provider, connection, definition }: Plan, ctx: Context): Promise<Failure> {
  const { client_registration: where, grants = [], grants_needing_secret: needing = [] } = definition;
  const wantsSecret = grants.length > 0 && grants.every((grant) => needing.includes(grant));
  const flags = wantsSecret ? "--client-id, and where its secret is with --client-secret-from" : "--client-id";
  const whose = naming(provider, connection, await standardOf(provider, false, ctx));
  return new Failure("config", `A client ID is needed to sign in to ${definition.display_name}.`, {
    hint: where
      ? `Create one at ${where} and give it with ${flags}.`
      : `Give the one that it registered for you with ${flags}.`,
    next_actions: [
      {
        id: "login",
        argv: ["authline", "login", ...whose, "--client-id", "{client_id}"],
        description: `Sign in to ${provider} with your client.`,
      },
    ],
  });
}

/** Where people create clients by hand, or nothing is published, there is nothing to ask the server for. */
export const mayRegister = ({
  resource,
  issuer,
  discovery = true,
  endpoints,
  client_registration,
}: Definition): boolean =>
  resource !== undefined ||
  endpoints?.registration_endpoint !== undefined ||
  (issuer !== undefined && discovery && client_registration === undefined);
