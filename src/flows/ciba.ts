/**
 * Somebody is asked on a device of their own, which the server knows; nothing is opened here and nothing is typed. Source:
 * OpenID Connect Client-Initiated Backchannel Authentication (CIBA) Core 1.0, in poll mode (§5). How it is polled for stands
 * in poll.ts.
 */
import * as oauth from "oauth4webapi";
import * as z from "zod/mini";
import { text } from "../commands/command.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { type Flow, progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { lazily } from "../protocol/shapes.ts";
import { authentication } from "./client.ts";
import { authorizationParameters } from "./extras.ts";
import { asking } from "./faults.ts";
import { type Grant, type GrantRequest, offersGrant } from "./grant.ts";
import { oneOf } from "./inputs.ts";
import { Pending, pendingFor, poll } from "./poll.ts";
import { checkSource } from "./secret.ts";
import { type AuthorizationServer, atTokenEndpoint, http } from "./server.ts";
import { type Tokens, tokensFrom } from "./tokens.ts";

const GRANT_TYPE = "urn:openid:params:grant-type:ciba";

/** §13 */
const HINTS = {
  unknown_user_id: "The server does not know whom to ask: check --login-hint.",
  expired_login_hint_token: "Give a new token with --login-hint-token-from.",
  invalid_binding_message: "The server wants another --binding-message: try a short one, of letters and digits.",
};

/** §7.1: "relatively short", and shown on two screens. */
function checkBindingMessage(raw: string, name: string): void {
  if (/^[\p{L}\p{N}\p{P}\p{S} ]{1,100}$/u.test(raw)) return;
  throw new Failure("usage", `${name} is no message of one line.`, {
    hint: "Give a few letters and digits, which whoever approves can compare: --binding-message W4SCT",
  });
}

export const ciba: Grant = {
  title: "request to somebody's own device",
  attended: true,
  flags: {
    "login-hint-token-from": text("where a token is that says whom", "SOURCE", checkSource),
    "id-token-hint-from": text("where an ID token is of whom to ask", "SOURCE", checkSource),
    "binding-message": text("what to show there too, so that it can be compared", "MESSAGE", checkBindingMessage),
  },
  examples: [
    "authline login acme --flow ciba --login-hint alice@acme.example --binding-message W4SCT",
    "authline login acme --flow ciba --login-hint-token-from file:hint.jwt",
    "authline login acme --flow ciba --id-token-hint-from env:ID_TOKEN",
  ],
  lacks: (as) => (offersPolling(as) ? undefined : "does not ask people on their own devices (CIBA)"),

  async *open(request, ctx, saved) {
    const earlier = saved && Asked().parse(saved);
    const asked = earlier ?? (yield* ask(request, ctx));
    yield progress("await_user", "waiting", whatToDo(request));
    return {
      tokens: (inner) =>
        poll({ grant: "ciba", pending: asked, request, takenUp: earlier !== undefined, redeem }, inner),
      close: async () => {},
    };
  },
};

/** §4: the modes are named where there is the endpoint; without a word on them, nothing is known against it. */
const offersPolling = (as: AuthorizationServer) =>
  as.backchannel_authentication_endpoint !== undefined &&
  as.token_endpoint !== undefined &&
  offersGrant(as, GRANT_TYPE) &&
  (as.backchannel_token_delivery_modes_supported ?? ["poll"]).includes("poll");

const Asked = lazily(() => z.object({ auth_req_id: z.string(), ...Pending() }));
type Asked = z.infer<ReturnType<typeof Asked>>;

function whatToDo({ definition, inputs }: GrantRequest): string {
  const message = inputs.said["binding-message"];
  const compare = message === undefined ? "" : `, if it shows "${message}"`;
  return `Approve the sign-in to ${definition.display_name} on your own device${compare}.`;
}

async function* ask(request: GrantRequest, ctx: Context): Flow<Asked> {
  const hint = hintIn(request);
  yield progress("authorize", "started", `Telling ${request.definition.display_name} whom to ask.`);
  const { as, client, scope = "openid", extras, inputs } = request;
  const exchange = async () => {
    const parameters = {
      scope, // §7.1: required
      ...authorizationParameters(extras),
      ...hint,
      ...defined({ binding_message: inputs.said["binding-message"] }),
    };
    const proof = authentication(client);
    const response = await oauth.backchannelAuthenticationRequest(as, client, proof, parameters, http(ctx));
    return oauth.processBackchannelAuthenticationResponse(as, client, response);
  };
  const answer = await asking("The backchannel authentication endpoint", exchange, HINTS);
  const asked = { auth_req_id: answer.auth_req_id, ...pendingFor(answer, request, ctx) };
  await request.save("ciba", asked);
  return asked;
}

/** §7.1: one of them, and no more. */
function hintIn({ inputs: { said, secret }, extras }: GrantRequest): Record<string, string> {
  const whom: Record<string, string> = { ...said, ...defined({ "login-hint": extras.login_hint }) };
  const which = oneOf({ said: whom, secret }, "Whom to ask", {
    "login-hint": "--login-hint",
    "login-hint-token": "--login-hint-token-from",
    "id-token-hint": "--id-token-hint-from",
  });
  return { [which.replaceAll("-", "_")]: (whom[which] ?? secret[which] ?? "").trim() };
}

/** §10.1 and §11. */
const redeem = ({ auth_req_id }: Asked, request: GrantRequest, ctx: Context): Promise<Tokens> =>
  asking("The token endpoint", async () => {
    const { as, client } = request;
    const response = await oauth.backchannelAuthenticationGrantRequest(
      as,
      client,
      authentication(client),
      auth_req_id,
      atTokenEndpoint(request, ctx),
    );
    const answer = await oauth.processBackchannelAuthenticationGrantResponse(as, client, response);
    return tokensFrom(answer, response, request, ctx);
  });
