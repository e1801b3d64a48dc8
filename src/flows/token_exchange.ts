/**
 * One token for another: for another audience, of another kind, or with somebody acting for somebody. Source: RFC 8693.
 *
 * Rules: `issued_token_type` must be what was asked for, and is kept; a refresh token goes to the server that issued it and to
 * no other, and none is asked for, because nobody is ever handed one; what was got for a token that authline keeps is
 * renewed by another exchange, and ends with that token.
 */
import * as oauth from "oauth4webapi";
import { text } from "../commands/command.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { type Flow, progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import type { Connection } from "../store/record.ts";
import { authentication } from "./client.ts";
import type { Asking } from "./extras.ts";
import { asking } from "./faults.ts";
import { type Grant, type GrantRequest, offersGrant, type Parties } from "./grant.ts";
import { inputsIn, oneOf } from "./inputs.ts";
import { checkSource } from "./secret.ts";
import { atTokenEndpoint } from "./server.ts";
import { checkSubject, type Held, settledSubject, subjectOf, tokenIn } from "./subject.ts";
import { type Tokens, tokensFrom } from "./tokens.ts";

export const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";

/** §3. A name of ours for each, and any other as the URI that it is. */
const TYPE = "urn:ietf:params:oauth:token-type:";
const TYPES = ["access_token", "id_token", "jwt", "refresh_token", "saml1", "saml2"];
export const tokenType = (name: string) => (TYPES.includes(name) ? `${TYPE}${name}` : name);

function checkType(raw: string, name: string): void {
  if (TYPES.includes(raw) || (URL.canParse(raw) && /^[\x21-\x7e]{1,300}$/.test(raw))) return;
  throw new Failure("usage", `${name} cannot be "${raw}".`, { hint: `It is one of ${TYPES.join(", ")}, or a URI.` });
}

function checkRequestedType(raw: string, name: string): void {
  checkType(raw, name);
  if (tokenType(raw) !== `${TYPE}refresh_token`) return;
  throw new Failure("usage", `${name} cannot be "${raw}": authline hands out no refresh tokens.`, {
    hint: "Ask for an access token; where the server gives a refresh token with it, that is kept and used.",
  });
}

function checkResource(raw: string, name: string): void {
  if (URL.canParse(raw) && !raw.includes("#") && /^[\x21-\x7e]{1,800}$/.test(raw)) return;
  throw new Failure("usage", `${name} cannot be "${raw}".`, {
    hint: "It is a whole address without a fragment, such as https://api.example.com/v1.",
  });
}

export const resource = text("the address of the service that it is for", "URI", checkResource);

export const tokenExchange: Grant = {
  title: "token exchange",
  attended: false,
  flags: {
    subject: text("whose token, one that authline keeps: PROVIDER[/CONNECTION]", "SUBJECT", checkSubject),
    "subject-token-from": text("where that token is, if authline does not keep it", "SOURCE", checkSource),
    "subject-token-type": text("what it is: access_token, id_token, jwt or another; or a URI", "TOKEN_TYPE", checkType),
    "actor-token-from": text("where the token of whoever acts is", "SOURCE", checkSource),
    "actor-token-type": text("what it is, in the same words; else an access_token", "TOKEN_TYPE", checkType),
    audience: text("the service that it is for, as the server calls it", "AUDIENCE"),
    resource,
    "requested-token-type": text("what to ask for; else the server decides", "TOKEN_TYPE", checkRequestedType),
  },
  examples: [
    "authline login acme --connection billing --flow token_exchange --subject acme/default --audience billing",
    "authline login acme --connection api --flow token_exchange --subject acme --resource https://api.acme.example --requested-token-type jwt",
    "authline login acme --connection job --flow token_exchange --subject-token-from env:CI_TOKEN --subject-token-type jwt",
    "authline login acme --connection desk --flow token_exchange --subject acme --actor-token-from file:actor.txt --actor-token-type jwt",
  ],
  settled: settledSubject,
  lacks: (as) =>
    as.token_endpoint && offersGrant(as, TOKEN_EXCHANGE) ? undefined : "does not exchange tokens (RFC 8693)",

  async *open(request, ctx) {
    const subject = yield* subjectToken(request, ctx);
    return {
      async *tokens(inner) {
        yield progress("exchange", "started", `Asking ${request.definition.display_name} for a token in exchange.`);
        return await redeem(request, subject, inner);
      },
      close: async () => {},
    };
  },

  /** An actor's token is not kept: it says who acts now. */
  isRenewable: ({ said, secret }) => "subject" in said && !("actor-token" in secret),
  async *renew(record, parties, ctx) {
    const { provider, connection, requested_scope: scope, extras, token_params } = record;
    const request = { ...parties, provider, connection, scope, extras, token_params, inputs: inputsIn(record) };
    return await redeem(request, yield* subjectToken(request, ctx), ctx);
  },
};

type Request = Pick<GrantRequest, "as" | "client" | "scope" | "inputs" | "provider" | "connection"> & Asking;

/** §2.1 */
async function* subjectToken(request: Request, ctx: Context): Flow<Record<string, string>> {
  const { said, secret } = request.inputs;
  const which = oneOf(request.inputs, "The token to exchange", {
    subject: "--subject",
    "subject-token": "--subject-token-from",
  });
  const subject_token_type = tokenType(said["subject-token-type"] ?? "access_token");
  if (which === "subject-token") return { subject_token: secret["subject-token"]?.trim() ?? "", subject_token_type };
  const held = HELD[subject_token_type] ?? "access_token";
  const subject = yield* subjectOf(said["subject"] ?? "", held, request, ctx);
  if (held === "refresh_token") mustBeAtHome(subject, request);
  return { subject_token: tokenIn(subject, held, ctx), subject_token_type };
}

/** What of a stored credential is meant; any other kind is what its access token happens to be. */
const HELD: Record<string, Held> = { [`${TYPE}id_token`]: "id_token", [`${TYPE}refresh_token`]: "refresh_token" };

function mustBeAtHome({ provider, server }: Connection, { as }: Parties): void {
  if (server?.token_endpoint === as.token_endpoint) return;
  throw new Failure("config", `The refresh token of ${provider} goes to no other server than its own.`, {
    hint: "Exchange its access token: leave --subject-token-type out.",
  });
}

const redeem = async (request: Request, subject: Record<string, string>, ctx: Context): Promise<Tokens> => {
  const { said, secret } = request.inputs;
  const { "actor-token-type": actorType = "access_token", "requested-token-type": asked } = said;
  const { audience, resource } = said;
  const actor_token = secret["actor-token"]?.trim();
  const { refresh_token, ...tokens } = await exchange(
    {
      ...subject,
      ...(actor_token !== undefined && { actor_token, actor_token_type: tokenType(actorType) }),
      ...defined({ audience, resource }),
      ...(asked !== undefined && { requested_token_type: tokenType(asked) }),
    },
    request,
    ctx,
  );
  // Where the subject is kept, the exchange is made again: the credential ends with what it came of.
  return tokenExchange.isRenewable?.(request.inputs) ? tokens : { ...tokens, ...defined({ refresh_token }) };
};

/** Makes one exchange. `parameters`: those of §2.1, with at least the subject's. */
export const exchange = (
  parameters: Record<string, string>,
  { as, client, scope, ...extra }: Omit<Request, "inputs" | "provider" | "connection">,
  ctx: Context,
): Promise<Tokens> =>
  asking("The token endpoint", async () => {
    const { additionalParameters, ...options } = atTokenEndpoint({ ...extra, as }, ctx);
    const response = await oauth.genericTokenEndpointRequest(
      as,
      client,
      authentication(client),
      TOKEN_EXCHANGE,
      { ...additionalParameters, ...defined({ scope }), ...parameters },
      options,
    );
    const answer = await oauth.processGenericTokenEndpointResponse(as, client, response, {
      recognizedTokenTypes: { n_a: () => {} },
    });
    const issued_token_type = issued(answer, parameters["requested_token_type"]);
    // "N_A": it is no access token, and is sent in no header (§2.2.1).
    const isOther = answer.token_type === "n_a";
    const readable = isOther ? Object.assign(answer, { token_type: "bearer" }) : answer;
    const tokens = await tokensFrom(readable, response, { as, scope, dpop: extra.dpop }, ctx);
    return { ...tokens, issued_token_type, ...(isOther && { token_type: "N_A" }) };
  });

/** §2.2.1: required, and what was asked for where something was. */
function issued({ issued_token_type: type }: oauth.TokenEndpointResponse, asked: string | undefined): string {
  if (typeof type === "string" && /^[\x21-\x7e]{1,300}$/.test(type) && (asked === undefined || asked === type)) {
    if (type !== `${TYPE}refresh_token`) return type;
  }
  const what = type === undefined ? "it does not say what it issued" : "issued_token_type is not what was asked for";
  throw new Failure("provider", `The token endpoint broke the protocol: ${what}.`, { hint: "Nothing was stored." });
}
