// Protected: whichever version of the MCP authorization specification a server was written to, its address is enough; and what
// is asked of the servers, in which order and with what, is what that version says.

import { afterAll, describe, expect, test } from "vitest";
import { CLIENT, SECRET } from "../hostile/attack.ts";
import { metadata } from "../support/hostile-server.ts";
import { program } from "../support/inside.ts";
import { opened } from "../support/sealed.ts";
import { sweep } from "../support/spawn.ts";
import {
  AS,
  askedFor,
  challenge,
  GRANTS,
  MCP,
  nothing,
  OIDC,
  type Places,
  PRM,
  paths,
  resultOf,
  type Shape,
  signIn,
  startWorld,
} from "./world.ts";

afterAll(sweep);

const TENANT = "/tenant";
const document = (issuer: string, more: object = {}) => ({
  json: metadata(issuer, { grant_types_supported: GRANTS, ...more }),
});
const listing = ({ resource, as }: Places, more: object = {}) => ({
  json: { resource, authorization_servers: [as], ...more },
});

interface Version extends Shape {
  /** What makes it this version's. */
  name: string;
  /** `RS` and `AS` stand for the two servers, without the token request. */
  asks: string[];
  scope: string | null;
  issuer?: (places: Places) => string;
  resource?: (places: Places) => string;
}

const VERSIONS: Version[] = [
  {
    name: "2026-07-28: metadata and scope in the challenge, RFC 8414 metadata, iss in the answer",
    metadata: () => ({
      authorization_response_iss_parameter_supported: true,
      client_id_metadata_document_supported: true,
    }),
    asks: [`RS GET ${MCP}`, `RS GET ${PRM}${MCP}`, `AS GET ${AS}`],
    scope: "files:read",
  },
  {
    name: "2026-07-28: offline_access, where the server knows it",
    metadata: () => ({ scopes_supported: ["files:read", "offline_access"] }),
    asks: [`RS GET ${MCP}`, `RS GET ${PRM}${MCP}`, `AS GET ${AS}`],
    scope: "files:read offline_access",
  },
  {
    name: "2026-07-28: an issuer with a path, found by OpenID Connect with its path inserted",
    rs: ({ resource, as }) => ({
      [`GET ${PRM}${MCP}`]: { json: { resource, authorization_servers: [as + TENANT] } },
    }),
    as: ({ as }) => ({ [`GET ${OIDC}${TENANT}`]: document(as + TENANT, { token_endpoint: `${as}/token` }) }),
    asks: [`RS GET ${MCP}`, `RS GET ${PRM}${MCP}`, `AS GET ${AS}${TENANT}`, `AS GET ${OIDC}${TENANT}`],
    scope: "files:read",
    issuer: ({ as }) => as + TENANT,
  },
  {
    name: "2025-11-25: no scope in the challenge, all that the metadata list",
    rs: ({ rs }) => ({
      [`GET ${MCP}`]: challenge(`Bearer error="invalid_token", resource_metadata="${rs}${PRM}${MCP}"`),
    }),
    asks: [`RS GET ${MCP}`, `RS GET ${PRM}${MCP}`, `AS GET ${AS}`],
    scope: "files:all",
  },
  {
    name: "2025-11-25: an issuer with a path, found by OpenID Connect with its path in front",
    rs: ({ resource, as }) => ({
      [`GET ${PRM}${MCP}`]: { json: { resource, authorization_servers: [as + TENANT] } },
    }),
    as: ({ as }) => ({ [`GET ${TENANT}${OIDC}`]: document(as + TENANT, { token_endpoint: `${as}/token` }) }),
    asks: [
      ...[`RS GET ${MCP}`, `RS GET ${PRM}${MCP}`],
      ...[`AS GET ${AS}${TENANT}`, `AS GET ${OIDC}${TENANT}`, `AS GET ${TENANT}${OIDC}`],
    ],
    scope: "files:read",
    issuer: ({ as }) => as + TENANT,
  },
  {
    name: "2025-11-25: no address in the challenge, the metadata at the path",
    rs: () => ({ [`GET ${MCP}`]: challenge('Bearer scope="files:read"') }),
    asks: [`RS GET ${MCP}`, `RS GET ${PRM}${MCP}`, `AS GET ${AS}`],
    scope: "files:read",
  },
  {
    name: "2025-11-25: no challenge at all, the metadata at the root, of the resource itself",
    rs: (places) => ({
      [`GET ${MCP}`]: { status: 401 },
      [`GET ${PRM}${MCP}`]: nothing,
      [`GET ${PRM}`]: listing(places),
    }),
    asks: [`RS GET ${MCP}`, `RS GET ${PRM}${MCP}`, `RS GET ${PRM}`, `AS GET ${AS}`],
    scope: null,
  },
  {
    name: "2025-06-18: the metadata of the whole origin, which the challenge names",
    rs: ({ rs, as }) => ({
      [`GET ${MCP}`]: challenge(`Bearer resource_metadata="${rs}${PRM}"`),
      [`GET ${PRM}`]: { json: { resource: rs, authorization_servers: [as] } },
    }),
    asks: [`RS GET ${MCP}`, `RS GET ${PRM}`, `AS GET ${AS}`],
    scope: null,
    resource: ({ rs }) => rs,
  },
  {
    name: "2025-06-18: a server that says 405 to a GET and 401 to what every MCP server takes",
    rs: ({ rs }) => ({
      [`GET ${MCP}`]: { status: 405 },
      [`POST ${MCP}`]: challenge(`Bearer resource_metadata="${rs}${PRM}${MCP}"`),
    }),
    asks: [`RS GET ${MCP}`, `RS POST ${MCP}`, `RS GET ${PRM}${MCP}`, `AS GET ${AS}`],
    scope: "files:all",
  },
  {
    name: "2025-06-18: a server that lets a stranger in and says all the same whose tokens it takes",
    rs: () => ({ [`GET ${MCP}`]: { headers: { "content-type": "text/event-stream" }, text: ": hello\n\n" } }),
    asks: [`RS GET ${MCP}`, `RS GET ${PRM}${MCP}`, `AS GET ${AS}`],
    scope: "files:all",
  },
  {
    name: "2025-03-26: no resource metadata, the origin is the authorization server",
    rs: ({ rs }) => ({
      [`GET ${MCP}`]: { status: 401 },
      [`GET ${PRM}${MCP}`]: nothing,
      [`GET ${AS}`]: document(rs),
      "POST /token": { json: { access_token: SECRET.access, token_type: "Bearer" } },
    }),
    asks: [`RS GET ${MCP}`, `RS GET ${PRM}${MCP}`, `RS GET ${PRM}`, `RS GET ${AS}`],
    scope: null,
    issuer: ({ rs }) => rs,
  },
  {
    name: "2025-03-26: no metadata of any kind, the default endpoints",
    rs: () => ({
      [`GET ${MCP}`]: { status: 401 },
      [`GET ${PRM}${MCP}`]: { status: 401 }, // all of its paths are protected
      "POST /token": { json: { access_token: SECRET.access, token_type: "Bearer" } },
    }),
    asks: [`RS GET ${MCP}`, `RS GET ${PRM}${MCP}`, `RS GET ${PRM}`, `RS GET ${AS}`, `RS GET ${OIDC}`],
    scope: null,
    issuer: ({ rs }) => rs,
  },
];

describe.concurrent("a server of", () => {
  test.each(VERSIONS)(
    "$name",
    async ({ asks, scope, issuer = ({ as }) => as, resource = ({ resource }) => resource, ...shape }) => {
      const world = await startWorld(shape);
      try {
        const iss = shape.metadata?.(world)["authorization_response_iss_parameter_supported"] ? { iss: world.as } : {};
        const run = await signIn(world, [], { callback: iss });

        const asked = askedFor(run);
        expect(asked.get("resource")).toBe(resource(world));
        expect(asked.get("scope")).toBe(scope);
        expect(asked.get("code_challenge_method")).toBe("S256");
        const all = [
          ...paths(world.resourceServer).map((path) => `RS ${path}`),
          ...paths(world.authorizationServer).map((path) => `AS ${path}`),
        ];
        expect(all.filter((path) => !path.endsWith("/token"))).toEqual(asks);
        const [exchange, ...more] = [...world.resourceServer.requests, ...world.authorizationServer.requests].filter(
          ({ path }) => path === "/token",
        );
        expect(more).toEqual([]);
        expect(Object.fromEntries(exchange?.form ?? [])).toMatchObject({
          resource: resource(world),
          code: SECRET.code,
          client_id: CLIENT,
        });

        const name = `127.0.0.1-${new URL(world.rs).port}_mcp`;
        expect(resultOf(run).data).toMatchObject({ provider: name, record_status: "connected" });
        const record = opened(run.home, "connection", `default@${name}`);
        expect(record).toMatchObject({ server: { issuer: issuer(world) }, extras: { resource: resource(world) } });
        for (const target of [world.resource, world.resource.replace("http:", "HTTP:"), name]) {
          const { events } = await program(["token", target], { home: run.home }).done;
          expect(events.at(-1)).toMatchObject({
            status: "success",
            data: { access_token: SECRET.access, provider: name },
          });
        }
      } finally {
        await world.close();
      }
    },
  );
});
