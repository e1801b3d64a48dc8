/** Tells the server that tokens are no longer wanted. Source: RFC 7009. */
import * as oauth from "oauth4webapi";
import type { Context } from "../context.ts";
import { type Flow, progress } from "../flow.ts";
import { asFailure } from "../protocol/failure.ts";
import type { Connection } from "../store/record.ts";
import { authentication } from "./client.ts";
import { asking } from "./faults.ts";
import { PARTING_SECONDS } from "./http.ts";
import { partiesOf } from "./refresh.ts";
import { http } from "./server.ts";

export interface Revocation {
  token_type_hint: "refresh_token" | "access_token";
  state: "done" | "skipped" | "failed";
}

const NAMES = { refresh_token: "refresh token", access_token: "access token" };

/** Never throws for what a server does: a failed step is told, and the logout goes on. */
export async function* revoke(connection: Connection, ctx: Context): Flow<Revocation[]> {
  const done: Revocation[] = [];
  if (!connection.server) return done; // whoever created it has to delete it
  // The refresh token first: many servers take the access token down with it (§2.1).
  for (const hint of ["refresh_token", "access_token"] as const) {
    const token = connection.secrets[hint];
    if (token === undefined) continue;
    const who = `${connection.connection}@${connection.provider}`;
    if (!connection.server.revocation_endpoint) {
      done.push({ token_type_hint: hint, state: "skipped" });
      yield progress(
        "revoke",
        "skipped",
        `The ${NAMES[hint]} of ${who} stays valid: the server has no way to revoke it.`,
        {
          reason: "no_revocation_endpoint",
        },
      );
      continue;
    }
    try {
      await revokeOne(connection, hint, token, ctx);
      done.push({ token_type_hint: hint, state: "done" });
      yield progress("revoke", "done", `The ${NAMES[hint]} of ${who} is revoked.`);
    } catch (error) {
      ctx.signal.throwIfAborted();
      const { message, code } = asFailure(error);
      done.push({ token_type_hint: hint, state: "failed" });
      yield progress("revoke", "failed", `The ${NAMES[hint]} of ${who} could not be revoked: ${message}`, {
        reason: code,
      });
    }
  }
  return done;
}

async function revokeOne(connection: Connection, hint: string, token: string, ctx: Context): Promise<void> {
  const { as, client } = partiesOf(connection, ctx);
  await asking("The revocation endpoint", async () => {
    const response = await oauth.revocationRequest(as, client, authentication(client), token, {
      ...http(ctx, PARTING_SECONDS),
      additionalParameters: { token_type_hint: hint },
    });
    await oauth.processRevocationResponse(response);
  });
}
