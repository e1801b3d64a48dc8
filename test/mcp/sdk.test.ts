// The main job: the address of an MCP server is all that is known; authline signs in there and hands out a token with which any
// MCP client can call it. The servers and the client are those of the official SDK, the authorization server is a real one.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type AuthorizationServer, startAuthorizationServer } from "../support/authorization-server.ts";
import { call, type ProtectedServer, startMcpServer, withResources } from "../support/mcp-server.ts";
import { approveRedirect, visit } from "../support/person.ts";
import { opened } from "../support/sealed.ts";
import { authline, sweep, tempHome } from "../support/spawn.ts";
import { checkStream } from "../support/stream.ts";

afterAll(sweep);

/** A person signs in with a browser of their own. */
async function signIn(home: string, argv: string[]) {
  const running = authline(["login", ...argv], { home, timeoutMs: 30_000 });
  const asked = await running.next("auth_url");
  await visit(await approveRedirect(asked.auth_url ?? ""));
  const run = await running.done;
  const result = run.events.at(-1);
  expect(result, run.stderr).toMatchObject({ status: "success" });
  expect(checkStream(run.stdout, { command: "login", exitCode: 0 })).toEqual([]);
  return { asked: new URL(asked.auth_url ?? "").searchParams, data: result?.data };
}

const tokenOf = async (home: string, ...argv: string[]) =>
  (await authline(["token", ...argv], { home }).done).events.at(-1)?.data;

describe("an MCP server of the SDK, with a real authorization server", () => {
  let server: AuthorizationServer;
  let mcp: ProtectedServer;
  let home: string;

  beforeAll(async () => {
    server = await startAuthorizationServer({ interval: 1, configure: withResources });
    mcp = await startMcpServer(server);
    home = tempHome();
  });
  afterAll(async () => {
    await mcp.close();
    await server.close();
  });

  test("is signed in to by its address, for it and for the scope that it asks for", async () => {
    const { asked, data } = await signIn(home, [mcp.url, "--client-id", server.clients.native]);
    expect(asked.get("resource")).toBe(mcp.url);
    expect(asked.get("scope")?.split(" ")).toEqual(["api:read", "offline_access"]);
    expect(data.provider).toBe(`127.0.0.1-${new URL(mcp.url).port}_mcp`);
    const record = opened(home, "connection", `default@${data.provider}`);
    expect(record).toMatchObject({ server: { issuer: server.issuer }, extras: { resource: mcp.url } });
    expect(server.records().accessTokens).toMatchObject([
      { accountId: "alice", clientId: server.clients.native, scope: "api:read" },
    ]);
  });

  test("takes the token from any client, and says whose it is", async () => {
    const { access_token } = await tokenOf(home, mcp.url);
    expect(server.records().accessTokens.at(-1)?.id).toBe(access_token);
    expect(await call(mcp.url, "who", access_token)).toBe(`${server.clients.native} may api:read`);
  });

  test("takes the refreshed one too, which is for it again", async () => {
    server.expireAccessTokens();
    const { access_token, refreshed } = await tokenOf(home, mcp.url, "--refresh");
    expect(refreshed).toBe(true);
    expect(await call(mcp.url, "who", access_token)).toBe(`${server.clients.native} may api:read`);
  });

  test("takes no token that the same server has issued for something else", async () => {
    await signIn(home, [
      "acme",
      "--issuer",
      server.issuer,
      "--client-id",
      server.clients.native,
      "--scope",
      "api:read openid",
    ]);
    const { access_token } = await tokenOf(home, "acme");
    await expect(call(mcp.url, "who", access_token)).rejects.toThrow();
    await expect(call(mcp.url, "who", "no-token-at-all")).rejects.toThrow();
  });

  test("asks for more, and gets it beside what there was", async () => {
    const strict = await startMcpServer(server, ["api:read", "api:write"]);
    try {
      await signIn(home, [strict.url, "--client-id", server.clients.native, "--scope", "api:read"]);
      const { access_token } = await tokenOf(home, strict.url);
      const refusal = await fetch(strict.url, { headers: { authorization: `Bearer ${access_token}` } });
      expect(refusal.status).toBe(403);
      const challenge = refusal.headers.get("www-authenticate") ?? "";
      expect(challenge).toContain("insufficient_scope");
      const { asked } = await signIn(home, [strict.url, "--challenge", challenge]);
      expect(asked.get("scope")?.split(" ").sort()).toEqual(["api:read", "api:write", "offline_access"]);
      const more = await tokenOf(home, strict.url);
      expect(await call(strict.url, "who", more.access_token)).toMatch(/api:read api:write/);
    } finally {
      await strict.close();
    }
  });
});

describe("the example server of the SDK, as it comes", () => {
  let child: ChildProcess | undefined;
  afterEach(async () => {
    if (!child || child.exitCode !== null) return;
    const gone = once(child, "close");
    child.kill("SIGKILL");
    await gone;
  });

  test("is signed in to and called", async () => {
    const [port, authPort, callbackPort] = await freePorts(3);
    const example = import.meta.resolve("@modelcontextprotocol/sdk/examples/server/simpleStreamableHttp.js");
    child = spawn(process.execPath, [fileURLToPath(example), "--oauth", "--oauth-strict"], {
      env: { PATH: process.env["PATH"], MCP_PORT: `${port}`, MCP_AUTH_PORT: `${authPort}` },
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stderr?.resume();
    await listening(child, 2);
    const url = `http://localhost:${port}/mcp`;
    const redirect = `http://127.0.0.1:${callbackPort}/callback`;
    const registered = await fetch(`http://localhost:${authPort}/register`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ redirect_uris: [redirect], token_endpoint_auth_method: "none" }),
    });
    const { client_id } = (await registered.json()) as { client_id: string };

    const home = tempHome();
    const { asked, data } = await signIn(home, [url, "--client-id", client_id, "--redirect-uri", redirect]);
    expect(asked.get("resource")).toBe(url);
    expect(asked.get("scope")).toBe("mcp:tools");
    expect(data.provider).toBe(`localhost-${port}_mcp`);
    const { access_token } = await tokenOf(home, url);
    expect(await call(url, "greet", access_token, { name: "Alice" })).toBe("Hello, Alice!");
    await expect(call(url, "greet", "no-token-at-all", { name: "Alice" })).rejects.toThrow();
  });
});

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

/** Both of its servers say so. */
function listening({ stdout }: ChildProcess, count: number): Promise<void> {
  let said = "";
  return new Promise((resolve, reject) => {
    stdout?.on("data", (chunk) => {
      said += chunk;
      if ((said.match(/listening on port/gi)?.length ?? 0) >= count) resolve();
    });
    stdout?.once("close", () => reject(new Error(`the example ended: ${said}`)));
  });
}
