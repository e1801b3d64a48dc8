import { loginAction, standardOf, whose } from "../actions.ts";
import { connectionOption } from "../config.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { about, type Flow, progress } from "../flow.ts";
import { holdOf } from "../flows/hold.ts";
import type { DataOf } from "../protocol/data.ts";
import { asFailure, Failure, type Warning } from "../protocol/failure.ts";
import { tokenSeen } from "../providers/environment.ts";
import { failureWith } from "../result.ts";
import { type Connection, recordStatus } from "../store/record.ts";
import { command, flag, provider } from "./command.ts";
import { mustBeKnown } from "./known.ts";

type SignedOut = DataOf<"logout">["connections"][number];
type Step = SignedOut["steps"][number];

export const logout = command({
  positionals: { provider },
  options: {
    connection: { ...connectionOption, unless: "all" },
    all: flag("sign out of every connection of the provider"),
  },
  examples: ["authline logout github", "authline logout github --all"],
  ends: ["not_found", "store", "locked", "config"],

  async *flow({ provider, connection, all }, ctx) {
    if (all && connection !== undefined) {
      throw new Failure("usage", "--all and --connection contradict each other.", { hint: "Give one of them." });
    }
    const standard = await standardOf(provider, !all && connection === undefined, ctx);
    const names = all
      ? (await ctx.store.connections(provider)).map(({ connection }) => connection)
      : [connection ?? standard];
    if (names.length === 0) await mustBeKnown(provider, ctx);
    const warnings: Warning[] = [];
    const connections: SignedOut[] = [];
    let failure: Failure | undefined; // the first one
    for (const name of names) {
      const who = { provider, connection: name };
      try {
        connections.push(yield* about(who, signOut(provider, name, standard, warnings, ctx)));
      } catch (error) {
        ctx.signal.throwIfAborted();
        if (!all || !(error instanceof Failure)) throw error;
        if (error.code === "not_found") connections.push(goneBefore(who));
        else {
          failure ??= error;
          const message = `${name}@${provider} may still be signed in: ${error.message}`;
          warnings.push({ code: "logout_failed", message });
        }
      }
      const given = tokenSeen(provider, name, name === standard, ctx);
      if (given.problem) warnings.push({ code: "token_in_env", message: given.problem });
      if (given.name) warnings.push({ code: "token_in_env", message: `${given.name} still holds a token: unset it.` });
    }
    if (failure && connections.length === 0) throw failureWith(warnings, failure);
    return { message: summary(provider, connections, names.length), warnings, data: { connections } };
  },
});

/** Somebody else was faster, which is what was wanted. */
const goneBefore = (who: Pick<SignedOut, "provider" | "connection">): SignedOut => ({
  ...who,
  record_status: "absent",
  steps: [{ step: "local_record", state: "skipped", reason: "not_found" }],
});

function summary(provider: string, connections: SignedOut[], all: number): string {
  const [first] = connections;
  if (!first) return `Nobody was signed in to ${provider}.`;
  const count = connections.filter(({ record_status }) => record_status === "absent").length;
  if (count < all) return `Signed out of ${count} of ${all} connection${all === 1 ? "" : "s"} of ${provider}.`;
  if (count > 1) return `Signed out of ${count} connections of ${provider}.`;
  const elsewhere = first.sign_out_url ? ` To end the session in the browser too, open ${first.sign_out_url}` : "";
  return `Signed out of ${provider}.${elsewhere}`;
}

async function* signOut(
  provider: string,
  name: string,
  standard: string,
  warnings: Warning[],
  ctx: Context,
): Flow<SignedOut> {
  const who = { provider, connection: name };
  const lock = yield* holdOf(who, ctx); // a refresh under way may be about to store the token that is to be revoked
  try {
    const { record, problem } = await readable(provider, name, ctx);
    if (problem) warnings.push({ code: "unreadable", message: `${problem.message} Its tokens could not be revoked.` });
    if (!record && !problem) {
      await mustBeKnown(provider, ctx);
      throw new Failure("not_found", `Nobody is signed in to ${whose(provider, name)}.`, {
        hint: "See what there is: authline status",
        next_actions: [loginAction(provider, name, standard)],
      });
    }
    const steps = record ? yield* atServer(record, warnings, ctx) : [];
    const newer = record && (await newerThan(record, ctx));
    if (newer) {
      const message = `Somebody signed in to ${whose(provider, name)} again meanwhile: that sign-in is left as it is.`;
      warnings.push({ code: "signed_in_again", message });
      const record_status = recordStatus(newer, ctx.now());
      return {
        ...who,
        record_status,
        steps: [...steps, { step: "local_record", state: "skipped", reason: "changed" }],
      };
    }
    await ctx.store.remove(provider, name);
    yield progress("store", "done", `The credential of ${name}@${provider} is deleted from this machine.`);
    return {
      ...who,
      record_status: "absent",
      steps: [...steps, { step: "local_record", state: "done" }],
      ...defined({ sign_out_url: record && signOutUrl(record) }),
    };
  } finally {
    lock.release();
  }
}

/** A login waits for the lock, but not for ever (keep.ts), and the server may have taken its time: only what was read goes. */
async function newerThan({ provider, connection, updated_at }: Connection, { store }: Context) {
  const now = await store.glance(provider, connection);
  return now?.updated_at === updated_at ? undefined : now;
}

/** What becomes of a step that fails is said; the logout goes on. */
async function* atServer(record: Connection, warnings: Warning[], ctx: Context): Flow<Step[]> {
  if (!record.server) {
    warnings.push({ code: "revocation_skipped", message: await whereItIsDeleted(record, ctx) });
    return [];
  }
  const { revoke } = await import("../flows/revoke.ts");
  const steps: Step[] = [];
  for (const { token_type_hint, state } of yield* revoke(record, ctx)) {
    steps.push({ step: token_type_hint, state });
    if (state === "done") continue;
    const message =
      state === "skipped"
        ? `The ${TOKEN_NAMES[token_type_hint]} stays valid until it ends: revoke it in your account at the provider.`
        : `The ${TOKEN_NAMES[token_type_hint]} may still be valid: revoke it in your account at the provider.`;
    warnings.push({ code: `revocation_${state}`, message });
  }
  const client = yield* deleteClient(record, ctx);
  if (client) steps.push(client);
  if (client?.state === "failed") {
    const message = "The client that was registered for this sign-in may still be there: the server did not delete it.";
    warnings.push({ code: "client_left", message });
  }
  return steps;
}

/** What was created at the provider ends there, and by hand. */
async function whereItIsDeleted({ provider, token_type }: Connection, ctx: Context): Promise<string> {
  const { findDefinition } = await import("../providers/lookup.ts");
  const definition = await findDefinition(provider, ctx).catch(() => undefined);
  const [noun, url] = token_type === "api_key" ? ["API key", definition?.api_key?.create_url] : ["access token"];
  return `The ${noun} stays valid: delete it ${url ? `at ${url}` : "in your account at the provider."}`;
}

async function* deleteClient(record: Connection, ctx: Context): Flow<Step | undefined> {
  const step = "registered_client";
  try {
    const { unregister } = await import("../flows/unregister.ts");
    const isGone = await unregister(record, ctx);
    if (isGone === undefined) return undefined;
    if (!isGone) return { step, state: "skipped", reason: "in_use" };
    await forgetClient(record, ctx);
    yield progress("register", "done", `The client that was registered with ${record.provider} is deleted.`);
    return { step, state: "done" };
  } catch (error) {
    ctx.signal.throwIfAborted();
    const { message, code } = asFailure(error);
    yield progress("register", "failed", `The registered client could not be deleted: ${message}`, { reason: code });
    return { step, state: "failed", reason: code };
  }
}

/** The next login of the provider must not come as a client that is no more. */
async function forgetClient({ provider, client, server }: Connection, { store }: Context): Promise<void> {
  if (!server || !client) return;
  await store.forgetRegistered(server.issuer, client.client_id);
  const learned = await store.learned(provider);
  if (learned?.client?.client_id !== client.client_id) return;
  const { client: _, ...rest } = learned;
  await store.learn({ ...rest, secrets: {} });
}

/**
 * Where a browser ends its own session. Source: OpenID Connect RP-Initiated Logout 1.0 §2; without `id_token_hint`, because
 * an ID token is nobody's to read: the server asks instead.
 */
function signOutUrl({ server, client }: Connection): string | undefined {
  if (!server?.end_session_endpoint || !client) return undefined;
  const url = new URL(server.end_session_endpoint);
  url.searchParams.set("client_id", client.client_id);
  return url.href;
}

const TOKEN_NAMES = { refresh_token: "refresh token", access_token: "access token" };

/** A record that cannot be read can still be deleted. */
async function readable(provider: string, name: string, ctx: Context) {
  try {
    return { record: await ctx.store.connection(provider, name) };
  } catch (error) {
    if (error instanceof Failure && error.code === "store") return { problem: error };
    throw error;
  }
}
