/**
 * A client whose ID is the address of a document that describes it, which the server fetches.
 * Source: draft-ietf-oauth-client-id-metadata-document.
 */
import type { Context } from "../context.ts";
import { Failure } from "../protocol/failure.ts";
import { isRedirectUri, REDIRECT_URI } from "../providers/url.ts";
import { guardedFetch, PARTING_SECONDS } from "./http.ts";
import type { Plan } from "./plan.ts";

/**
 * The redirect URI that the document allows us. What the server would refuse is said here, in words that help; a document
 * that only the server can reach is left to it.
 */
export async function documentAt(url: string, { redirectUri }: Plan, ctx: Context): Promise<string> {
  const document = await fetched(url, ctx);
  if (document === undefined) return redirectUri;
  if (document["client_id"] !== url) throw unfit(url, "its client_id is not its own address");
  if (document["client_secret"] !== undefined) throw unfit(url, "it has a client_secret, which everybody can read");
  const uris = Array.isArray(document["redirect_uris"]) ? document["redirect_uris"] : [];
  const ours = uris.filter(isOurs);
  const [first] = ours;
  if (first === undefined) throw unfit(url, "it has no redirect URI on this machine's loopback");
  if (ours.some((each) => withoutPort(each) === withoutPort(redirectUri))) return redirectUri;
  if (redirectUri === REDIRECT_URI) return first;
  throw unfit(url, `it does not have the redirect URI ${redirectUri}`); // which somebody has chosen
}

const isOurs = (uri: unknown): uri is string => typeof uri === "string" && isRedirectUri(uri);

/** RFC 8252 §7.3: the port does not count. */
function withoutPort(uri: string): string {
  const url = new URL(uri);
  url.port = "";
  return url.href;
}

async function fetched(url: string, ctx: Context): Promise<Record<string, unknown> | undefined> {
  let response: Response;
  try {
    response = await guardedFetch(ctx, PARTING_SECONDS)(url, { headers: { accept: "application/json" } });
  } catch {
    ctx.signal.throwIfAborted();
    return undefined;
  }
  if (response.status !== 200) throw unfit(url, `its server answers HTTP ${response.status}`);
  const document: unknown = await response.json().catch(() => undefined);
  if (typeof document === "object" && document !== null) return document as Record<string, unknown>;
  throw unfit(url, "it is not a JSON object");
}

const unfit = (url: string, why: string) =>
  new Failure("config", `The client metadata document ${url.slice(0, 300)} cannot be used: ${why}.`, {
    hint: "Mend the document, or give another client with --client-id.",
  });
