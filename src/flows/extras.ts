/**
 * What a sign-in asks for beyond the scope, named as on the wire. It is kept with the session and with the credential, so
 * that whoever goes on, renews it or signs in again asks for the same.
 */
import type { DPoPHandle } from "oauth4webapi";
import * as z from "zod/mini";
import { defined } from "../defined.ts";
import { lazily } from "../protocol/shapes.ts";
import { AuthorizationDetails } from "./authorization_details.ts";

export const Extras = lazily(() =>
  z.object({
    /** The protected resource that the token is for. Source: RFC 8707 §2. */
    resource: z.optional(z.string()),
    authorization_details: z.optional(AuthorizationDetails()),
    /** The access token is bound to a key of ours. Source: RFC 9449 §5.2, which says it of a client. */
    dpop_bound_access_tokens: z.optional(z.boolean()),
    /** How whoever signs in has to do it. Source: OIDC Core §3.1.2.1. */
    acr_values: z.optional(z.string()),
    /** Seconds. */
    max_age: z.optional(z.number()),
    prompt: z.optional(z.string()),
    login_hint: z.optional(z.string()),
  }),
);
export type Extras = z.infer<ReturnType<typeof Extras>>;

/** What is asked again when the same connection signs in again; how somebody had to sign in was for that one time. */
export const lasting = ({ resource, authorization_details, dpop_bound_access_tokens }: Extras): Extras =>
  defined({ resource, authorization_details, dpop_bound_access_tokens });

/** What goes into the authorization request, or into the request that stands for it. */
export const authorizationParameters = ({
  authorization_details,
  dpop_bound_access_tokens: _, // said by `dpop_jkt`
  max_age,
  ...words
}: Extras): Record<string, string> =>
  defined({
    ...words,
    max_age: max_age?.toString(),
    authorization_details: authorization_details && JSON.stringify(authorization_details),
  });

/** What a request to the token endpoint is made of, beside the grant's own parameters. */
export interface Asking {
  extras?: Extras | undefined;
  /** The provider's own: `token_params` of its definition. */
  token_params?: Record<string, string> | undefined;
  /** Makes the proofs, where the tokens are bound to a key. */
  dpop?: DPoPHandle | undefined;
}

/** The resource is named in each of them. Source: RFC 8707 §2.2. */
export const tokenParameters = ({ extras, token_params }: Asking): Record<string, string> => ({
  ...token_params,
  ...defined({ resource: extras?.resource }),
});
