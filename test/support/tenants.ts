/**
 * One authorization server for many runs at a time, and for each run a client of its own: what was issued to a run, and
 * what it sent, can then be told from what belongs to the others. That list is what no output of the run may show.
 */
import type { Configuration } from "oidc-provider";
import { type AuthorizationServer, startAuthorizationServer } from "./authorization-server.ts";

export interface Tenant {
  readonly id: string;
  readonly secret: string;
  /** The first user code that was issued to it, as soon as it is: also where nobody can see the stream. */
  readonly userCode: Promise<string>;
  /** What the server has issued to it and got from it until now: client secret, device codes, codes, verifiers, tokens. */
  secrets(): string[];
}

export interface Tenants extends AuthorizationServer {
  /** Registers a client with every grant. `deviceCodeTtl` is in seconds. */
  enrol(deviceCodeTtl?: number): Promise<Tenant>;
}

interface Seen {
  secrets: Set<string>;
  deviceCodeTtl: number;
  userCode(code: string): void;
}

const GRANTS = [
  "authorization_code",
  "refresh_token",
  "client_credentials",
  "urn:ietf:params:oauth:grant-type:device_code",
];

export async function startTenants(): Promise<Tenants> {
  const seen = new Map<string, Seen>();
  const server = await startAuthorizationServer({ interval: 1, configure: (given) => watched(given, seen) });

  async function enrol(deviceCodeTtl = 600): Promise<Tenant> {
    const response = await fetch(`${server.issuer}/reg`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        application_type: "native",
        token_endpoint_auth_method: "client_secret_basic",
        grant_types: GRANTS,
        redirect_uris: ["http://127.0.0.1/callback"],
      }),
    });
    if (!response.ok) throw new Error(`the server registers no client: ${await response.text()}`);
    const { client_id, client_secret } = (await response.json()) as { client_id: string; client_secret: string };
    const own: Seen = { secrets: new Set([client_secret]), deviceCodeTtl, userCode: () => {} };
    const userCode = new Promise<string>((resolve) => {
      own.userCode = resolve;
    });
    seen.set(client_id, own);
    const secrets = () => {
      const { accessTokens, refreshTokens, deviceCodes } = server.records();
      const issued = [...accessTokens, ...refreshTokens, ...deviceCodes].filter((one) => one.clientId === client_id);
      return [...own.secrets, ...issued.map(({ id }) => id)];
    };
    return { id: client_id, secret: client_secret, userCode, secrets };
  }

  return { ...server, enrol };
}

/** The same server, looked at where its configuration lets one look. */
function watched(given: Configuration, seen: Map<string, Seen>): Configuration {
  return {
    ...given,
    ttl: {
      ...given.ttl,
      DeviceCode(_ctx, { userCode }, { clientId }) {
        const own = seen.get(clientId);
        if (userCode !== undefined) own?.userCode(userCode);
        return own?.deviceCodeTtl ?? 600;
      },
    },
    async issueRefreshToken(ctx, client, code) {
      const { code: sent, code_verifier } = ctx.oidc.params ?? {};
      for (const value of [sent, code_verifier]) {
        if (typeof value === "string") seen.get(client.clientId)?.secrets.add(value);
      }
      return (await given.issueRefreshToken?.(ctx, client, code)) ?? false;
    },
  };
}
