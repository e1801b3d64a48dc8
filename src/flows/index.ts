/** The grants, one line each; loaded when used. */
import type { Grant as GrantName } from "../providers/definition.ts";
import type { Grant } from "./grant.ts";

export const grantFlows: Record<GrantName, () => Promise<Grant>> = {
  authorization_code: async () => (await import("./authorization_code.ts")).authorizationCode,
  device_code: async () => (await import("./device_code.ts")).deviceCode,
  client_credentials: async () => (await import("./client_credentials.ts")).clientCredentials,
};
