// A protected resource and its authorization server, both scripted, each on an origin of its own; and one sign-in there.
//
// Rules of this file:
// - A shape says only what is unusual: what it leaves out is as the specification of 2026-07-28 has it.
// - Every sign-in is held to the contract of the stream, and stores nothing unless it succeeds.

import { expect } from "vitest";
import { CLIENT, comesBack, type Ending, judge, SECRET, tokens } from "../hostile/attack.ts";
import { type HostileServer, metadata, type Routes, startHostileServer } from "../support/hostile-server.ts";
import { program } from "../support/inside.ts";
import { type Options, type Run, tempHome } from "../support/spawn.ts";
import type { Event } from "../support/stream.ts";

export const PRM = "/.well-known/oauth-protected-resource";
export const AS = "/.well-known/oauth-authorization-server";
export const OIDC = "/.well-known/openid-configuration";
export const MCP = "/mcp";

/** The addresses of the two. */
export interface Places {
  resource: string;
  rs: string;
  as: string;
}

export interface Shape {
  rs?: (places: Places) => Routes;
  as?: (places: Places) => Routes;
  /** Of the authorization server; an override of `undefined` leaves a field out. */
  metadata?: (places: Places) => Record<string, unknown>;
}

export interface World extends Places {
  resourceServer: HostileServer;
  authorizationServer: HostileServer;
  close(): Promise<void>;
}

export const GRANTS = ["authorization_code", "client_credentials", "refresh_token"];

/** A route that leaves the usual one out. */
export const nothing = { status: 404 };

export const challenge = (text: string) => ({ status: 401, headers: { "www-authenticate": text } });

export async function startWorld({ rs = () => ({}), as = () => ({}), ...shape }: Shape = {}): Promise<World> {
  const authorizationServer = await startHostileServer({});
  const places = { as: authorizationServer.url, rs: "", resource: "" };
  const resourceServer = await startHostileServer((url) => {
    Object.assign(places, { rs: url, resource: url + MCP });
    const { as, resource } = places;
    return {
      [`GET ${MCP}`]: challenge(`Bearer resource_metadata="${url}${PRM}${MCP}", scope="files:read"`),
      [`GET ${PRM}${MCP}`]: { json: { resource, authorization_servers: [as], scopes_supported: ["files:all"] } },
      ...rs(places),
    };
  });
  const about = { grant_types_supported: GRANTS, ...shape.metadata?.(places) };
  authorizationServer.routes = {
    [`GET ${AS}`]: { json: metadata(places.as, about) },
    "POST /token": { json: tokens() },
    ...as(places),
  };
  return {
    ...places,
    resourceServer,
    authorizationServer,
    async close() {
      await Promise.all([resourceServer.close(), authorizationServer.close()]);
    },
  };
}

export type Flow = "authorization_code" | "client_credentials";

export interface Signing extends Options {
  flow?: Flow;
  ends?: Ending;
  /** What the callback brings besides the code and the state. */
  callback?: Record<string, string>;
  says?: RegExp;
}

/** Signs in by the resource's address; a browser comes back where one is sent out. */
export async function signIn(
  world: World & { client?: string },
  argv: string[] = [],
  signing: Signing = {},
): Promise<Run> {
  const { flow = "authorization_code", ends = "success", callback, says, ...options } = signing;
  const words = ["login", world.resource, "--client-id", world.client ?? CLIENT, "--flow", flow];
  const secret = flow === "client_credentials" ? ["--client-secret-from", "env:CLIENT_SECRET"] : [];
  const home = options.home ?? tempHome();
  const env = { CLIENT_SECRET: SECRET.client, ...options.env };
  const running = program([...words, ...secret, ...argv], { timeoutMs: 15_000, cwd: home, ...options, home, env });
  if (flow === "authorization_code" && (ends === "success" || callback)) await comesBack(callback)(running);
  const run = await running.done;
  await judge(run, ends, says ? { says } : {});
  return run;
}

/** What the browser was sent out with. */
export const askedFor = ({ events }: Run) =>
  new URL(events.find(({ phase }) => phase === "auth_url")?.auth_url ?? "none:").searchParams;

export const resultOf = ({ events }: Run): Event => events.at(-1) as Event;

/** Nobody was sent anywhere, and nothing but documents was asked for. */
export function expectNothingBegun(run: Run, { authorizationServer, resourceServer }: World): void {
  const requests = [...authorizationServer.requests, ...resourceServer.requests];
  const asked = requests.filter(({ path }) => !path.includes("/.well-known/") && path !== MCP);
  expect(asked.map(({ method, path }) => `${method} ${path}`)).toEqual([]);
  expect(run.events.filter(({ phase }) => phase === "auth_url" || phase === "device_code")).toEqual([]);
}

export const paths = ({ requests }: HostileServer) => requests.map(({ method, path }) => `${method} ${path}`);
