/** A program signs in as itself. Source: RFC 6749 §4.4. */
import * as oauth from "oauth4webapi";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { authentication, isPublic } from "./client.ts";
import { type Asking, authorizationParameters } from "./extras.ts";
import { asking } from "./faults.ts";
import { type Grant, type GrantRequest, offersGrant } from "./grant.ts";
import { atTokenEndpoint } from "./server.ts";
import { type Tokens, tokensFrom } from "./tokens.ts";

export const clientCredentials: Grant = {
  title: "client's own sign-in",
  attended: false,
  lacks: (as) =>
    as.token_endpoint && offersGrant(as, "client_credentials") ? undefined : "does not offer client credentials",

  async *open(request) {
    if (isPublic(request.client)) {
      throw new Failure("config", "Client credentials need a client secret, or a key.", {
        hint: "Give one with --client-secret-from or --client-key-from.",
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
  async *renew({ requested_scope, extras, token_params }, parties, ctx) {
    return await redeem({ ...parties, scope: requested_scope, extras, token_params }, ctx);
  },
};

const redeem = (request: Pick<GrantRequest, "as" | "client" | "scope"> & Asking, ctx: Context): Promise<Tokens> =>
  asking("The token endpoint", async () => {
    const { as, client, scope, extras = {}, dpop } = request;
    const { additionalParameters, ...options } = atTokenEndpoint(request, ctx);
    // There was no authorization request: what would have stood in that is asked for here.
    const parameters = { ...additionalParameters, ...authorizationParameters(extras), ...defined({ scope }) };
    const response = await oauth.clientCredentialsGrantRequest(as, client, authentication(client), parameters, options);
    const answer = await oauth.processClientCredentialsResponse(as, client, response);
    const { refresh_token: _, ...tokens } = await tokensFrom(answer, response, { as, scope, dpop }, ctx);
    return tokens;
  });
