/**
 * What a sign-in asks for beyond the scope, named as on the wire. It is kept with the session and with the credential, so
 * that whoever goes on, renews it or signs in again asks for the same.
 */
import * as z from "zod/mini";
import { defined } from "../defined.ts";
import { lazily } from "../protocol/shapes.ts";

export const Extras = lazily(() =>
  z.object({
    /** The protected resource that the token is for. Source: RFC 8707 §2. */
    resource: z.optional(z.string()),
  }),
);
export type Extras = z.infer<ReturnType<typeof Extras>>;

/** What goes into the authorization request, or into the request that stands for it. */
export const authorizationParameters = ({ resource }: Extras): Record<string, string> => defined({ resource });

/** What a request to the token endpoint is made of, beside the grant's own parameters. */
export interface Asking {
  extras?: Extras | undefined;
  /** The provider's own: `token_params` of its definition. */
  token_params?: Record<string, string> | undefined;
}

/** The resource is named in each of them. Source: RFC 8707 §2.2. */
export const tokenParameters = ({ extras, token_params }: Asking): Record<string, string> => ({
  ...token_params,
  ...defined({ resource: extras?.resource }),
});
