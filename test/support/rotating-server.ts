/**
 * An authorization server in fifty lines whose every refresh can be disturbed: its refresh tokens work once, and the second
 * use of one ends its family, as RFC 9700 §4.14.2 has it. For what a real server cannot be made to show.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Connection } from "../../src/store/record.ts";
import { metadata, type Reply, type Routes, startHostileServer } from "./hostile-server.ts";
import { storeAt } from "./sealed.ts";

/** What becomes of one request: `redeem` does what the server would have done, and says what it would have answered. */
export type Disturbance = (
  redeem: () => Reply,
  req: IncomingMessage,
  res: ServerResponse,
  // biome-ignore lint/suspicious/noConfusingVoidType: one that answers through `res`, or not at all, returns nothing
) => Reply | void | Promise<Reply | void>;

export const CLIENT = { client_id: "rotating-client", client_secret: "the-secret-of-the-rotating-client" };

const REFRESH = /^refresh-token-of-(.+)-(\d+)$/;
export const refreshToken = (family: string, number: number) => `refresh-token-of-${family}-${number}`;
export const accessToken = (family: string, number: number) => `access-token-of-${family}-${number}`;

export type RotatingServer = Awaited<ReturnType<typeof startRotatingServer>>;

export async function startRotatingServer() {
  /** The number of the refresh token that works; none: the family has ended. */
  const families = new Map<string, number | undefined>();
  let robots = 0;

  const tokens = (family: string, number: number, more: object = {}): Reply => ({
    json: { access_token: accessToken(family, number), token_type: "Bearer", expires_in: 3600, ...more },
  });
  function redeem(form: URLSearchParams): Reply {
    if (form.get("grant_type") === "client_credentials") return tokens("robot", ++robots);
    const [, family = "", number] = form.get("refresh_token")?.match(REFRESH) ?? [];
    const current = families.get(family);
    if (current === undefined || Number(number) !== current) {
      families.set(family, undefined);
      return { status: 400, json: { error: "invalid_grant" } };
    }
    families.set(family, current + 1);
    return tokens(family, current + 1, { refresh_token: refreshToken(family, current + 1) });
  }

  /** For the next requests to the token endpoint, one each; after them all goes well. */
  const disturbances: Disturbance[] = [];
  const offered = { grant_types_supported: ["client_credentials", "refresh_token"] };
  const routes = (url: string): Routes => ({
    "GET /.well-known/openid-configuration": { json: metadata(url, offered) },
    "POST /revoke": { status: 200 },
    "POST /token": (req, res, body) => {
      const disturb = disturbances.shift() ?? ((redeem) => redeem());
      return disturb(() => redeem(new URLSearchParams(body)), req, res);
    },
  });
  const http = await startHostileServer(routes);

  return {
    ...http,
    disturbances,
    /** The refresh tokens that were sent, in their order. */
    sent: () => http.requests.flatMap(({ path, form }) => (path === "/token" ? (form.get("refresh_token") ?? []) : [])),
    lives: (family: string) => families.get(family) !== undefined,
    /** A credential of a new family, with so many seconds left, as a login would have kept it. */
    async signIn(home: string, family: string, { ttl = -60, ...over }: Partial<Connection> & { ttl?: number } = {}) {
      families.set(family, 0);
      const then = new Date(Date.now() - 3600_000).toISOString();
      const store = storeAt(home);
      await store.prepare();
      const { url } = http;
      const secrets = { access_token: accessToken(family, 0), refresh_token: refreshToken(family, 0) };
      await store.keep({
        v: 1,
        provider: "acme",
        connection: "default",
        flow: "authorization_code",
        server: { issuer: url, token_endpoint: `${url}/token`, revocation_endpoint: `${url}/revoke` },
        client: { client_id: CLIENT.client_id, token_endpoint_auth_method: "client_secret_basic" },
        token_type: "bearer",
        created_at: then,
        updated_at: then,
        expires_at: new Date(Date.now() + ttl * 1000).toISOString(),
        refreshable: true,
        ...over,
        secrets: { ...secrets, client_secret: CLIENT.client_secret },
      });
    },
    /** The arguments of a login that needs nobody; its secret is in SECRET. */
    login: (...more: string[]) => [
      ...["login", "acme", "--flow", "client_credentials", "--issuer", http.url, "--client-id", CLIENT.client_id],
      ...["--client-secret-from", "env:SECRET", ...more],
    ],
  };
}
