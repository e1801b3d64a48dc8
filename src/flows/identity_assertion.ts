/**
 * Signed in at one server by the word of another: what an identity provider says of somebody (an ID-JAG) is exchanged for a
 * token of a resource's own server. Source: draft-ietf-oauth-identity-assertion-authz-grant §4: a token exchange at the
 * identity provider (RFC 8693), then an assertion at the resource's server (RFC 7523).
 *
 * Rules: the identity provider is asked as the client of the sign-in that is kept, and the resource's server as the client of
 * this one; what says something of somebody is sent to the server that it is for, and to no other.
 */
import { text } from "../commands/command.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { type Flow, progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import type { Asking } from "./extras.ts";
import { type Grant, type GrantRequest, offersGrant } from "./grant.ts";
import { inputsIn, oneOf } from "./inputs.ts";
import { claimsIn, hasExpired, isFor } from "./jwt.ts";
import { JWT_BEARER, present } from "./jwt_bearer.ts";
import { partiesOf } from "./refresh.ts";
import { checkSubject, settledSubject, subjectOf, tokenIn } from "./subject.ts";
import { exchange, resource, tokenType } from "./token_exchange.ts";
import type { Tokens } from "./tokens.ts";

const ID_JAG = "urn:ietf:params:oauth:token-type:id-jag";

export const identityAssertion: Grant = {
  title: "identity assertion",
  attended: false,
  flags: {
    subject: text("who is signed in at the identity provider: PROVIDER[/CONNECTION]", "SUBJECT", checkSubject),
    resource,
  },
  examples: [
    "authline login wiki --issuer https://login.wiki.example --client-id cli --flow identity_assertion --subject acme --resource https://mcp.wiki.example",
  ],
  settled: settledSubject,
  lacks: (as) => (as.token_endpoint && offersGrant(as, JWT_BEARER) ? undefined : "does not take assertions (RFC 7523)"),

  async *open(request) {
    oneOf(request.inputs, "Who is signed in at the identity provider", { subject: "--subject" });
    return { tokens: (inner) => bothLegs(request, inner), close: async () => {} };
  },

  async *renew(record, parties, ctx) {
    const { provider, connection, requested_scope: scope, extras, token_params } = record;
    const request = { ...parties, provider, connection, scope, extras, token_params, inputs: inputsIn(record) };
    return yield* bothLegs(request, ctx);
  },
};

type Request = Pick<GrantRequest, "as" | "client" | "scope" | "inputs" | "provider" | "connection"> & Asking;

async function* bothLegs(request: Request, ctx: Context): Flow<Tokens> {
  const { as, inputs } = request;
  yield progress("exchange", "started", `Asking the identity provider for its word to ${new URL(as.issuer).host}.`);
  const assertion = yield* idJag(request, ctx);
  yield progress("exchange", "started", `Showing it to ${new URL(as.issuer).host}.`);
  const { resource } = inputs.said;
  const { refresh_token: _, ...tokens } = await present(
    assertion,
    { ...request, token_params: { ...request.token_params, ...defined({ resource }) } },
    false,
    ctx,
  );
  return tokens; // without a refresh token: the identity provider is asked each time, and can say no
}

/** Its word, as an assertion for the resource's server. */
async function* idJag(request: Request, ctx: Context): Flow<string> {
  const { as, client, inputs, scope } = request;
  const { subject = "", resource } = inputs.said;
  const person = yield* subjectOf(subject, "id_token", request, ctx);
  const { id_token, refresh_token } = person.secrets;
  // An ID token that has run out is worth nothing; the refresh token says the same of who is signed in.
  const isStale = id_token === undefined || hasExpired(id_token, ctx.now());
  const held = isStale && refresh_token !== undefined ? "refresh_token" : "id_token";
  const { access_token, issued_token_type: _ } = await exchange(
    {
      subject_token: tokenIn(person, held, ctx),
      subject_token_type: tokenType(held),
      requested_token_type: ID_JAG,
      audience: as.issuer,
      ...defined({ resource }),
    },
    { ...partiesOf(person, ctx), token_params: person.token_params, scope },
    ctx,
  );
  mustBeFor(access_token, { audience: as.issuer, client_id: client.client_id });
  return access_token;
}

/** What is for another server, or another client, is no business of this one (§3). */
function mustBeFor(assertion: string, { audience, client_id }: { audience: string; client_id: string }): void {
  const claims = claimsIn(assertion);
  const why = !claims
    ? "it is no JWT"
    : !isFor(claims, audience)
      ? "it is for another server"
      : claims["client_id"] !== client_id
        ? "it is for another client"
        : undefined;
  if (why === undefined) return;
  throw new Failure("provider", `The identity provider's assertion cannot be used: ${why}.`, {
    hint: "It was sent nowhere. Ask whoever runs the identity provider how this client is registered there.",
  });
}
