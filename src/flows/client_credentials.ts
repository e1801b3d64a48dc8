/** A program signs in as itself. Source: RFC 6749 §4.4. */
import * as oauth from "oauth4webapi";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { authentication } from "./client.ts";
import { type Asking, tokenParameters } from "./extras.ts";
import { asking } from "./faults.ts";
import { type Grant, type GrantRequest, offersGrant } from "./grant.ts";
import { http } from "./server.ts";
import { type Tokens, tokensFrom } from "./tokens.ts";

export const clientCredentials: Grant = {
  title: "client's own sign-in",
  attended: false,
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
        return await redeem(request, ctx);
      },
      close: async () => {},
    };
  },

  /** It has no refresh token (§4.4.3): the same is asked again. */
  renew: ({ requested_scope, extras, token_params }, parties, ctx) =>
    redeem({ ...parties, scope: requested_scope, extras, token_params }, ctx),
};

const redeem = (request: Pick<GrantRequest, "as" | "client" | "scope"> & Asking, ctx: Context): Promise<Tokens> =>
  asking("The token endpoint", async () => {
    const { as, client, scope } = request;
    const parameters = { ...tokenParameters(request), ...defined({ scope }) };
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
