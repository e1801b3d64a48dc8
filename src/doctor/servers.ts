/**
 * The servers that issued what is stored: whether they can be reached, are still who they were, and have the same time.
 *
 * Rule: they are asked for what they publish, and for nothing else; no token and no client is ever sent.
 */
import { loginAction } from "../actions.ts";
import type { Context } from "../context.ts";
import { guardedFetch } from "../flows/http.ts";
import { discover } from "../flows/server.ts";
import { Failure } from "../protocol/failure.ts";
import { findDefinition } from "../providers/lookup.ts";
import { isSameIssuer } from "../providers/server.ts";
import type { ConnectionView, Server } from "../store/record.ts";
import type { Unreadable } from "../store/store.ts";
import { counted, type Finding, failed, failedBy, type Known, ok, skipped, warning } from "./check.ts";

const DEADLINE_SECONDS = 5;
const MOST = 32;

export async function issuers(ctx: Context, known: Known): Promise<Finding[]> {
  let connections: Issued[];
  try {
    connections = (await ctx.store.connections()).flatMap((each) => (isIssued(each) ? [each] : []));
  } catch (error) {
    return [failedBy(error)];
  }
  const byIssuer = new Map<string, Issued[]>();
  for (const each of connections) {
    const { issuer } = each.server;
    byIssuer.set(issuer, [...(byIssuer.get(issuer) ?? []), each]);
  }
  if (byIssuer.size === 0) {
    const isEmpty = ctx.store.names().length === 0;
    return [skipped(isEmpty ? "Nobody is signed in anywhere." : "No server has issued what is stored.")];
  }
  const asked = [...byIssuer].slice(0, MOST);
  const found = await Promise.all(asked.map(([issuer, records]) => look(issuer, records, ctx, known)));
  const left = byIssuer.size - asked.length;
  return [
    ...found.flat(),
    ...(left > 0 ? [skipped(`${counted(left, "more issuer was", "more issuers were")} not asked.`)] : []),
  ];
}

/** What an authorization server has issued: an API key says of nobody who that was. */
type Issued = ConnectionView & { server: Server };
const isIssued = (record: ConnectionView | Unreadable): record is Issued => "server" in record;

async function look(issuer: string, records: Issued[], ctx: Context, known: Known): Promise<Finding[]> {
  if (!URL.canParse(issuer)) return [failed(`${issuer} is not an address.`, { subject: issuer })];
  const timeout = AbortSignal.timeout(DEADLINE_SECONDS * 1000);
  const inner = { signal: AbortSignal.any([ctx.signal, timeout]), fetch: timed(ctx, known) };
  const subject = issuer;
  try {
    const published = await publishedBy(issuer, records, inner, ctx);
    if (published === undefined) return [ok(`${issuer} can be reached.`, { subject })];
    const moved = records.filter(({ server }) => isMoved(server.token_endpoint, published["token_endpoint"]));
    return moved.length === 0
      ? [ok(`${issuer} can be reached and is who it was.`, { subject })]
      : await told(moved, ctx);
  } catch (error) {
    ctx.signal.throwIfAborted();
    if (timeout.aborted) {
      const message = `${issuer} does not answer: nothing came within ${DEADLINE_SECONDS} s.`;
      return [failed(message, { subject, fix: ["curl", "-sSI", "-m", "10", issuer] })];
    }
    if (!(error instanceof Failure)) throw error;
    return [failed(explained(issuer, error), { subject, fix: fixOf(issuer, error) })];
  }
}

/** Undefined where a provider is known to publish nothing: then any answer of HTTP will do. */
async function publishedBy(
  issuer: string,
  [record]: Issued[],
  inner: Pick<Context, "fetch" | "signal">,
  ctx: Context,
): Promise<Record<string, unknown> | undefined> {
  const provider = record?.provider ?? "";
  const definition = await findDefinition(provider, ctx).catch(() => undefined);
  const isSilent = definition?.discovery === false || (definition !== undefined && definition.issuer === undefined);
  if (!isSilent || (definition.issuer !== undefined && !isSameIssuer(definition.issuer, issuer))) {
    return (await discover(issuer, inner)) as Record<string, unknown>;
  }
  try {
    await guardedFetch(inner)(new URL(record?.server.token_endpoint ?? issuer).origin, {});
  } catch (error) {
    if (!(error instanceof Failure) || error.details.http_status === undefined) throw error;
  }
  return undefined;
}

const isMoved = (stored: string | undefined, published: unknown) =>
  stored !== undefined && typeof published === "string" && published !== stored;

async function told(moved: readonly Issued[], { store }: Context): Promise<Finding[]> {
  return Promise.all(
    moved.slice(0, 5).map(async ({ provider, connection, server: { issuer, token_endpoint } }) => {
      const standard = await store.standard(provider).catch(() => "default");
      const stays = `${connection}@${provider} goes on with the one that it came from, ${token_endpoint}; a new login takes the new one.`;
      return warning(`${issuer} names another token endpoint now. ${stays}`, {
        subject: issuer,
        fix: loginAction(provider, connection, standard).argv,
      });
    }),
  );
}

/** What stands behind a code of the system, for people. */
const REASONS: [pattern: RegExp, what: string][] = [
  [/^(ENOTFOUND|EAI_)/, "its name is not known (DNS)"],
  [/CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS|^EPROTO|ERR_SSL/, "no connection to be trusted can be had (TLS)"],
  [/^ECONNREFUSED$/, "nothing listens there"],
  [/TIMEOUT|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENETDOWN/, "the network does not lead there"],
];

function explained(issuer: string, { message, details: { reason = "" } }: Failure): string {
  const what = REASONS.find(([pattern]) => pattern.test(reason))?.[1];
  return what ? `${issuer} cannot be reached: ${what}. ${reason}` : message;
}

function fixOf(issuer: string, { details: { reason = "" } }: Failure): string[] | undefined {
  if (reason === "" || !URL.canParse(issuer)) return undefined;
  return /^(ENOTFOUND|EAI_)/.test(reason) ? ["getent", "hosts", new URL(issuer).hostname] : ["curl", "-sSI", issuer];
}

// --- clock -----------------------------------------------------------------------------------------------------------

const SKEW_SECONDS = 60;

/** Reads the time off every answer. */
function timed({ fetch, now }: Context, { skews }: Known): Context["fetch"] {
  return async (...call) => {
    const response = await fetch(...call);
    const date = Date.parse(response.headers.get("date") ?? "");
    if (!Number.isNaN(date)) skews.push((date - now().getTime()) / 1000);
    return response;
  };
}

/** One server that agrees with us is enough: then it is the others who are wrong. */
export function clock({ surroundings: { platform } }: Context, { skews }: Known): Finding[] {
  const [least] = skews.sort((a, b) => Math.abs(a) - Math.abs(b));
  if (least === undefined) return [skipped("No server said what time it is.")];
  const seconds = Math.round(Math.abs(least));
  if (seconds <= SKEW_SECONDS) return [ok("It agrees with the servers.")];
  const fixes: Partial<Record<NodeJS.Platform, string[]>> = {
    linux: ["sudo", "timedatectl", "set-ntp", "true"],
    darwin: ["sudo", "sntp", "-sS", "time.apple.com"],
    win32: ["w32tm", "/resync"],
  };
  const direction = least > 0 ? "slow" : "fast";
  const message = `It is ${seconds} seconds ${direction} by the servers' clocks: tokens seem to end too ${least > 0 ? "late" : "early"}, and sign-ins may be refused.`;
  return [warning(message, { fix: fixes[platform] })];
}

// --- proxy -----------------------------------------------------------------------------------------------------------

const PROXIES = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"];
const USE_PROXY = "NODE_USE_ENV_PROXY";

/** Node leaves these variables alone unless it is told to heed them, which older ones cannot. */
export function proxy({ env, surroundings: { node } }: Context): Finding[] {
  const set = PROXIES.flatMap((name) => [name, name.toLowerCase()]).filter((name) => env(name));
  if (set.length === 0) return [ok("No proxy is asked for.")];
  const [major = 0, minor = 0] = node.split(".").map(Number);
  const heeds = major >= 24 || (major === 22 && minor >= 21);
  const names = set.join(", ");
  if (heeds && env(USE_PROXY) === "1") return [ok(`${names}: used, because ${USE_PROXY} is 1.`)];
  const message = `${names} ${set.length === 1 ? "is" : "are"} set and not used: servers are asked directly.`;
  if (heeds) return [warning(message, { fix: ["export", `${USE_PROXY}=1`] })];
  return [warning(`${message} Node ${node} cannot be told to use a proxy; 22.21 and 24 can.`)];
}
