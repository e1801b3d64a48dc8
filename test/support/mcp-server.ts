/**
 * An MCP server as the official SDK makes one, protected by the real authorization server: it takes tokens that were issued
 * for it, which it asks the authorization server about (RFC 7662), and nothing else.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { InvalidTokenError } from "@modelcontextprotocol/sdk/server/auth/errors.js";
import { requireBearerAuth } from "@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js";
import {
  getOAuthProtectedResourceMetadataUrl,
  mcpAuthMetadataRouter,
} from "@modelcontextprotocol/sdk/server/auth/router.js";
import { createMcpExpressApp } from "@modelcontextprotocol/sdk/server/express.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import type { OAuthMetadata } from "@modelcontextprotocol/sdk/shared/auth.js";
import type { Configuration } from "oidc-provider";
import type { AuthorizationServer } from "./authorization-server.ts";

/** What the authorization server must know of resources: for `startAuthorizationServer`. */
export function withResources(configuration: Configuration): Configuration {
  Object.assign(configuration.features ?? {}, {
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_ctx: unknown, resource: string) => ({
        scope: "api:read api:write",
        audience: resource,
        accessTokenFormat: "opaque",
      }),
      useGrantedResource: () => false,
    },
  });
  return configuration;
}

export interface ProtectedServer {
  /** Where it is: the resource. */
  url: string;
  /** Of the tokens that it took, in order: whose they are and for what. */
  taken: { client: string; scopes: string[] }[];
  close(): Promise<void>;
}

export async function startMcpServer(
  { issuer, clients }: AuthorizationServer,
  scopes = ["api:read"],
): Promise<ProtectedServer> {
  const app = createMcpExpressApp();
  const http = createServer(app);
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const url = new URL(`http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`);
  const taken: ProtectedServer["taken"] = [];
  const secret = [clients.confidential.id, clients.confidential.secret]
    .map((word) => encodeURIComponent(word))
    .join(":");

  const verifyAccessToken = async (token: string) => {
    const answer = await fetch(`${issuer}/token/introspection`, {
      method: "POST",
      headers: { authorization: `Basic ${Buffer.from(secret).toString("base64")}` },
      body: new URLSearchParams({ token }),
    });
    const { active, aud, client_id, scope = "", exp } = (await answer.json()) as Introspection;
    if (!active) throw new InvalidTokenError("The token is not active");
    taken.push({ client: client_id, scopes: scope.split(" ") });
    const resource = aud === undefined ? {} : { resource: new URL(aud) };
    return { token, clientId: client_id, scopes: scope.split(" "), expiresAt: exp, ...resource };
  };
  const metadata = (await (await fetch(`${issuer}/.well-known/openid-configuration`)).json()) as OAuthMetadata;
  app.use(mcpAuthMetadataRouter({ oauthMetadata: metadata, resourceServerUrl: url, scopesSupported: scopes }));
  const resourceMetadataUrl = getOAuthProtectedResourceMetadataUrl(url);
  const auth = requireBearerAuth({
    verifier: { verifyAccessToken },
    requiredScopes: scopes,
    resourceMetadataUrl,
    expectedResource: url,
  });
  app.all("/mcp", auth, async (request, response) => {
    const transport = new StreamableHTTPServerTransport({});
    const server = new McpServer({ name: "protected", version: "1.0.0" });
    server.registerTool("who", { description: "Whose token this is" }, ({ authInfo }) => ({
      content: [{ type: "text", text: `${authInfo?.clientId} may ${authInfo?.scopes.join(" ")}` }],
    }));
    await server.connect(transport as Parameters<typeof server.connect>[0]);
    await transport.handleRequest(request, response, request.body);
  });

  return {
    url: url.href,
    taken,
    async close() {
      const closed = once(http, "close");
      http.close();
      http.closeAllConnections();
      await closed;
    },
  };
}

interface Introspection {
  active: boolean;
  aud?: string;
  client_id: string;
  scope?: string;
  exp: number;
}

/** What the tool says to the SDK's own client, which knows nothing of OAuth but the header it is given. */
export async function call(
  url: string,
  tool: string,
  access_token: string,
  input: Record<string, unknown> = {},
): Promise<string> {
  const headers = { authorization: `Bearer ${access_token}` };
  const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
  const client = new Client({ name: "any-client", version: "1.0.0" });
  await client.connect(transport as Parameters<typeof client.connect>[0]);
  try {
    const { content } = await client.callTool({ name: tool, arguments: input });
    return (content as { text: string }[]).map(({ text }) => text).join("");
  } finally {
    await client.close();
  }
}
