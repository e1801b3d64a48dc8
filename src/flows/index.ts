/** The grants, one line each; loaded when used. */
import type { Grant } from "./grant.ts";

export const grantFlows = {
  authorization_code: async () => (await import("./authorization_code.ts")).authorizationCode,
  device_code: async () => (await import("./device_code.ts")).deviceCode,
  client_credentials: async () => (await import("./client_credentials.ts")).clientCredentials,
  jwt_bearer: async () => (await import("./jwt_bearer.ts")).jwtBearer,
  token_exchange: async () => (await import("./token_exchange.ts")).tokenExchange,
  identity_assertion: async () => (await import("./identity_assertion.ts")).identityAssertion,
  ciba: async () => (await import("./ciba.ts")).ciba,
} satisfies Record<string, () => Promise<Grant>>;

export const isGrant = (name: string): name is keyof typeof grantFlows => Object.hasOwn(grantFlows, name);
