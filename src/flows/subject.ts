/** Whose token is exchanged: one that was given, or one that authline keeps, renewed first. */
import { loginAction, loginCommand, standardOf, whose } from "../actions.ts";
import type { Context } from "../context.ts";
import { about, type Flow } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { type Connection, type ConnectionView, NAME, recordStatus, timeToLive } from "../store/record.ts";
import type { Inputs } from "./inputs.ts";
import { hasExpired } from "./jwt.ts";
import { refresh } from "./refresh.ts";

/** What is about to end is of no use to a server. Seconds. */
const LEAST_TTL = 60;
/** With another process that renews it, and with its server. */
const PATIENCE = { turn: 30, server: 20 };
/** Nobody exchanges what was exchanged that often. */
const MAX_DEPTH = 8;

interface Named {
  provider: string;
  connection: string;
}

/** `PROVIDER` or `PROVIDER/CONNECTION`. */
export function checkSubject(raw: string, name: string): void {
  const words = raw.split("/");
  if (words.length <= 2 && words.every((word) => NAME.test(word))) return;
  throw new Failure("usage", `${name} names no connection: "${raw}".`, {
    hint: "Write PROVIDER, or PROVIDER/CONNECTION where it is not the default one.",
  });
}

/** With the name of its connection, whichever is the default one later. */
export async function settledSubject({ said, secret }: Inputs, ctx: Context): Promise<Inputs> {
  const { subject } = said;
  if (subject === undefined) return { said, secret };
  const { provider, connection } = await namedBy(subject, ctx);
  return { said: { ...said, subject: `${provider}/${connection}` }, secret };
}

async function namedBy(subject: string, ctx: Context): Promise<Named> {
  const [provider = "", connection = await standardOf(provider, true, ctx)] = subject.split("/");
  return { provider, connection };
}

/** A login that was under way while it was renamed has kept the name that it had. */
async function calledNow(named: Named, { store }: Context): Promise<Named> {
  if (await store.glance(named.provider, named.connection)) return named;
  const all = await store.connections(named.provider);
  const found = all.find((each) => "renamed_from" in each && each.renamed_from === named.connection);
  return found ? { ...named, connection: found.connection } : named;
}

export type Held = "access_token" | "id_token" | "refresh_token";

/** Whether what a credential holds can be shown to a server. */
const isGood: Record<Held, (connection: Connection, ctx: Context) => boolean> = {
  access_token: (connection, ctx) => timeToLive(connection, ctx.now()) >= LEAST_TTL,
  id_token: ({ secrets: { id_token } }, ctx) => id_token !== undefined && !hasExpired(id_token, ctx.now()),
  refresh_token: ({ secrets }) => secrets.refresh_token !== undefined,
};

/** That of the credential. Throws `config` where there is none, or none that is still good. */
export function tokenIn({ provider, secrets, ...view }: Connection, held: Held, ctx: Context): string {
  const token = secrets[held];
  const isOver = held === "id_token" && token !== undefined && hasExpired(token, ctx.now());
  if (token !== undefined && !isOver) return token;
  const what = `${{ access_token: "access token", id_token: "ID token", refresh_token: "refresh token" }[held]}`;
  const message = isOver
    ? `The ${what} of ${provider} has expired, and a refresh brought no new one.`
    : `The credential for ${provider} has no ${what}.`;
  throw new Failure("config", message, {
    hint: `Sign in there again${isOver ? "" : " with a scope that brings one (openid, offline_access)"}: ${loginCommand(provider, view.connection)}`,
  });
}

/**
 * The connection, renewed where what is wanted of it is not good any more. Throws what says who has to sign in where, when
 * there is none, or none that lives.
 */
export async function* subjectOf(subject: string, held: Held, taker: Named, ctx: Context): Flow<Connection> {
  const named = await calledNow(await namedBy(subject, ctx), ctx);
  await mustNotComeOf(named, taker, ctx);
  const { provider, connection: name } = named;
  const stored = await ctx.store.connection(provider, name);
  if (stored && !stored.server) throw noSubject(stored);
  const status = stored && recordStatus(stored, ctx.now());
  if (!stored) throw await toSignIn("auth_required", (whom) => `Nobody is signed in to ${whom}`);
  if (status === "revoked") throw await toSignIn("auth_expired", (whom) => `The credential for ${whom} has ended`);
  if (isGood[held](stored, ctx) || !stored.refreshable) return stored;
  try {
    return yield* about(named, refresh(stored, PATIENCE, ctx));
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (error.code === "auth_expired" || error.code === "auth_required") {
      throw await toSignIn(error.code, () => error.message.replace(/\.$/, ""), error);
    }
    throw error;
  }

  async function toSignIn(
    code: "auth_required" | "auth_expired",
    why: (whom: string) => string,
    cause?: Failure,
  ): Promise<Failure> {
    const standard = await standardOf(provider, false, ctx);
    return new Failure(code, `${why(whose(provider, name, standard))}: there is no token of it to exchange.`, {
      cause,
      hint: `Sign in there first: ${loginCommand(provider, name, standard)}`,
      next_actions: [loginAction(provider, name, standard)],
    });
  }
}

/** What a person created elsewhere, an API key above all, goes to its own API and to nobody else. */
const noSubject = ({ provider, connection }: Connection) =>
  new Failure(
    "config",
    `What is kept for ${whose(provider, connection)} cannot be exchanged: no server issued it to authline.`,
    {
      hint: "It was sent nowhere. Name a connection that somebody signed in to.",
    },
  );

/** The connection that it was got in exchange for, if any: `PROVIDER/CONNECTION`. A `sub` of RFC 7523 is none. */
export const comesOf = ({ flow, inputs }: Pick<ConnectionView, "flow" | "inputs">): string | undefined =>
  flow === "jwt_bearer" ? undefined : inputs?.["subject"];

/** What is got for a token cannot stand in for that token: neither could be renewed without the other. */
async function mustNotComeOf(subject: Named, taker: Named, ctx: Context): Promise<void> {
  let at: Named | undefined = subject;
  for (let depth = 0; at && depth < MAX_DEPTH; depth++) {
    if (at.provider === taker.provider && at.connection === taker.connection) {
      throw new Failure("config", `${whose(at.provider, at.connection)} cannot be got in exchange for itself.`, {
        hint: "Give what you get another name with --connection.",
      });
    }
    const record: ConnectionView | undefined = await ctx.store.glance(at.provider, at.connection);
    const next = record && comesOf(record);
    at = next === undefined ? undefined : await namedBy(next, ctx);
  }
}
