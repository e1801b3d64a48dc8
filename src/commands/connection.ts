/** What the connection commands share: a connection as it is shown, and what to say where there is none. */
import { naming } from "../actions.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { didYouMean } from "../nearest.ts";
import type { DataOf } from "../protocol/data.ts";
import { asFailure, Failure, type NextAction } from "../protocol/failure.ts";
import { type ConnectionView, recordStatus } from "../store/record.ts";
import type { Unreadable } from "../store/store.ts";
import { mustBeKnown } from "./known.ts";

export function viewOf(
  record: ConnectionView | Unreadable,
  standard: string | undefined,
  ctx: Pick<Context, "now">,
): DataOf<"connections">["connections"][number] {
  const { provider, connection } = record;
  const whose = { provider, connection, default: connection === standard };
  if ("problem" in record) return { ...whose, record_status: "unreadable" };
  const { account, expires_at } = record;
  return { ...whose, record_status: recordStatus(record, ctx.now()), ...defined({ account, expires_at }) };
}

/** The record as anybody may know it; undefined where there is none. One that cannot be read is there all the same. */
export async function find(
  provider: string,
  connection: string,
  ctx: Context,
): Promise<ConnectionView | Unreadable | undefined> {
  try {
    return await ctx.store.glance(provider, connection);
  } catch (error) {
    return { provider, connection, problem: asFailure(error).message };
  }
}

/** Names the one that was meant, where one is near. */
export async function noSuch(provider: string, connection: string, ctx: Context): Promise<Failure> {
  const names = (await ctx.store.connections(provider)).map(({ connection }) => connection);
  if (names.length === 0) await mustBeKnown(provider, ctx);
  const shown = names.slice(0, 10).join(", ");
  return new Failure("not_found", `${provider} has no connection "${connection}".`, {
    hint: didYouMean(connection, names) ?? (shown ? `There are ${shown}.` : "Nobody is signed in there."),
    next_actions: [listAction(provider)],
  });
}

const listAction = (provider: string): NextAction => ({
  id: "list",
  argv: ["authline", "connection", "list", provider],
  description: `List the connections of ${provider}.`,
});

export const tokenAction = (provider: string, connection: string, standard: string): NextAction => ({
  id: "token",
  argv: ["authline", "token", ...naming(provider, connection, standard)],
  description: "Get the access token.",
});
