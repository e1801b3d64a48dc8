/** What a few servers do against the RFCs, one small adapter each, named in their definitions. */
import * as oauth from "oauth4webapi";
import type { Definition } from "../providers/definition.ts";
import type { AuthorizationServer } from "./server.ts";

type Quirk = NonNullable<Definition["quirks"]>[number];

/** Left out of oauth4webapi's types, kept for Entra ID: computes the `iss` that an ID token must have. */
const { _expectedIssuer } = oauth as unknown as { _expectedIssuer: symbol };

const adapters: Record<Quirk, (as: AuthorizationServer) => AuthorizationServer> = {
  /** Microsoft Entra ID: the issuer names the tenant of whoever signed in, as `{tenantid}` in the metadata says. */
  issuer_per_tenant: (as) => ({
    ...as,
    [_expectedIssuer]: ({ claims }: { claims: { tid?: unknown } }) => {
      const isTenant = typeof claims.tid === "string" && /^[0-9a-f-]{36}$/.test(claims.tid);
      return isTenant ? as.issuer.replace("{tenantid}", claims.tid as string) : as.issuer;
    },
  }),
};

export function withQuirks(
  as: AuthorizationServer,
  { quirks = [] }: { quirks?: Quirk[] | undefined },
): AuthorizationServer {
  return quirks.reduce((adapted, quirk) => adapters[quirk](adapted), as);
}
