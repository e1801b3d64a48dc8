/**
 * What the environment says of a provider, for machines where nobody signs in: a token to hand out as it is, and a client.
 *
 *   AUTHLINE_TOKEN_<PROVIDER>   AUTHLINE_TOKEN_<PROVIDER>__<CONNECTION>
 *   AUTHLINE_CLIENT_ID_<PROVIDER>   AUTHLINE_CLIENT_SECRET_<PROVIDER>
 */
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { Failure } from "../protocol/failure.ts";

type Env = Pick<Context, "env">;

/** In capitals, and an underscore for whatever a variable's name may not have. */
const inCapitals = (name: string) => name.toUpperCase().replace(/[^A-Z0-9]/g, "_");

export const tokenVariable = (provider: string, connection?: string) =>
  `AUTHLINE_TOKEN_${inCapitals(provider)}${connection === undefined ? "" : `__${inCapitals(connection)}`}`;

/** The more exact name first. An empty variable is none. Throws `config`, and never quotes what it read. */
export function tokenInEnv(
  provider: string,
  connection: string,
  isStandard: boolean,
  { env }: Env,
): { name: string; value: string } | undefined {
  const names = [tokenVariable(provider, connection), ...(isStandard ? [tokenVariable(provider)] : [])];
  for (const name of names) {
    const value = env(name)?.trim();
    if (!value) continue;
    if (/^[\x21-\x7e]+$/.test(value)) return { name, value };
    throw new Failure("config", `${name} is not a token: it has characters that no token may have.`, {
      hint: "Check how it was set: a token is one word.",
    });
  }
  return undefined;
}

/** For who hands nothing out: what is no token is a word about the variable, and not the end. */
export function tokenSeen(...what: Parameters<typeof tokenInEnv>): { name?: string; problem?: string } {
  try {
    return { ...defined({ name: tokenInEnv(...what)?.name }) };
  } catch (error) {
    if (error instanceof Failure) return { problem: error.message };
    throw error;
  }
}

export interface GivenClient {
  client_id: string | undefined;
  client_secret: string | undefined;
}

export function clientInEnv(provider: string, { env }: Env): GivenClient {
  const value = (what: string) => env(`AUTHLINE_CLIENT_${what}_${inCapitals(provider)}`) || undefined;
  return { client_id: value("ID"), client_secret: value("SECRET") };
}

/** The secret for a client that is known by its ID; that of another client is not its own. */
export function secretInEnv(provider: string, client_id: string, ctx: Env): string | undefined {
  const given = clientInEnv(provider, ctx);
  return given.client_id === undefined || given.client_id === client_id ? given.client_secret : undefined;
}

/** The same for a client of whose server nobody has just spoken: then the ID must have been given with the secret. */
export function secretForStored(provider: string, client_id: string, ctx: Env): string | undefined {
  const given = clientInEnv(provider, ctx);
  return given.client_id === client_id ? given.client_secret : undefined;
}
