/**
 * The authorization request goes to the server first, and the browser is sent there with a reference to it. Source: RFC 9126.
 *
 * Rules: used wherever the server offers it; where it fails the plain request will do, unless the server insists (§5).
 */
import * as oauth from "oauth4webapi";
import type { Context } from "../context.ts";
import { type Flow, progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { authentication } from "./client.ts";
import { asking } from "./faults.ts";
import type { GrantRequest } from "./grant.ts";
import { quirkyHttp } from "./server.ts";
import { inSeconds } from "./tokens.ts";

export interface Pushed {
  request_uri: string;
  /** RFC 3339. */
  expires_at: string;
}

/** Seconds: no sign-in is open for longer, and a date has an end. */
const LONGEST = 30 * 86400;

type Asked = Pick<GrantRequest, "as" | "client" | "dpop">;

/** Undefined where the request has to be made without. */
export async function* push(
  { as, client, dpop }: Asked,
  parameters: Record<string, string>,
  ctx: Context,
): Flow<Pushed | undefined> {
  const isRequired = as.require_pushed_authorization_requests === true;
  if (!as.pushed_authorization_request_endpoint) {
    if (!isRequired) return undefined;
    throw new Failure("provider", `${as.issuer} wants requests to be pushed, and does not say where.`, {
      hint: "Its metadata lacks pushed_authorization_request_endpoint.",
    });
  }
  try {
    return await asking("The pushed authorization request endpoint", async () => {
      const options = { ...quirkyHttp(as, ctx), ...(dpop && { DPoP: dpop }) };
      const auth = authentication(client);
      const response = await oauth.pushedAuthorizationRequest(as, client, auth, parameters, options);
      const { request_uri, expires_in } = await oauth.processPushedAuthorizationResponse(as, client, response);
      return { request_uri, expires_at: inSeconds(ctx.now(), Math.min(expires_in, LONGEST)) };
    });
  } catch (error) {
    if (isRequired || !(error instanceof Failure) || ctx.signal.aborted) throw error;
    yield progress("authorize", "failed", `${error.message} The request is made without.`, { reason: "not_pushed" });
    return undefined;
  }
}
