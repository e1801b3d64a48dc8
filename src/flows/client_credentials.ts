/** A program signs in as itself. Source: RFC 6749 §4.4. */
import * as oauth from "oauth4webapi";
import type { Context } from "../context.ts";
import { progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { authentication } from "./client.ts";
import { asking } from "./faults.ts";
import { type Grant, type GrantRequest, offersGrant } from "./grant.ts";
import { http } from "./server.ts";
import { type Tokens, tokensFrom } from "./tokens.ts";

export const clientCredentials: Grant = {
  lacks: (as) =>
    as.token_endpoint && offersGrant(as, "client_credentials") ? undefined : "does not offer client credentials",

  async *open(request) {
    if (request.client.client_secret === undefined) {
      throw new Failure("config", "Client credentials need a client secret.", {
        hint: "Give one with --client-secret-from.",
      });
    }
    return {
      async *tokens(ctx) {
        yield progress("exchange", "started", `Signing in to ${request.definition.display_name} as the client itself.`);
        return await redeemClientCredentials(request, ctx);
      },
      close: async () => {},
    };
  },
};

/** Also how such a credential is renewed: it has no refresh token (§4.4.3). */
export const redeemClientCredentials = (
  request: Pick<GrantRequest, "as" | "client" | "scope">,
  ctx: Context,
): Promise<Tokens> =>
  asking("The token endpoint", async () => {
    const { as, client, scope } = request;
    const parameters = scope === undefined ? {} : { scope };
    const response = await oauth.clientCredentialsGrantRequest(
      as,
      client,
      authentication(client),
      parameters,
      http(ctx),
    );
    const answer = await oauth.processClientCredentialsResponse(as, client, response);
    const { refresh_token: _, ...tokens } = await tokensFrom(answer, response, { as, scope }, ctx);
    return tokens;
  });
