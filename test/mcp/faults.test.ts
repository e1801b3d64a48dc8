// Protected: whatever is wrong with a resource or its authorization server ends the sign-in in one clear event that names the
// address and what is wrong with it, before anybody is sent anywhere; and what never asked for a sign-in is never signed in to.

import { afterAll, describe, expect, test } from "vitest";
import type { Ending } from "../hostile/attack.ts";
import { hang, metadata } from "../support/hostile-server.ts";
import { program } from "../support/inside.ts";
import { sweep } from "../support/spawn.ts";
import {
  AS,
  challenge,
  expectNothingBegun,
  GRANTS,
  MCP,
  nothing,
  OIDC,
  type Places,
  PRM,
  resultOf,
  type Shape,
  signIn,
  startWorld,
} from "./world.ts";

afterAll(sweep);

interface Fault extends Shape {
  what: string;
  ends: Ending;
  /** Every one of them stands in the message. */
  says: (places: Places) => (string | RegExp)[];
  argv?: (places: Places) => string[];
}

const prm = (json: object) => ({ [`GET ${PRM}${MCP}`]: { json } });
const where = ({ rs }: Places) => `${rs}${PRM}${MCP}`;

const FAULTS: Fault[] = [
  {
    what: "none of its authorization servers answers in time",
    rs: ({ resource, as }) => prm({ resource, authorization_servers: Array(8).fill(as) }),
    as: () => ({ [`GET ${AS}`]: hang }),
    argv: () => ["--timeout", "3s"],
    ends: "timeout",
    says: () => ["The time was up"],
  },
  // --- the resource's metadata
  {
    what: "the metadata are of another resource",
    rs: ({ as }) => prm({ resource: "https://bank.example/mcp", authorization_servers: [as] }),
    ends: "provider",
    says: (places) => [where(places), places.resource, "https://bank.example/mcp"],
  },
  {
    what: "the metadata are of the same path on another port",
    rs: ({ as }) => prm({ resource: `${as}${MCP}`, authorization_servers: [as] }),
    ends: "provider",
    says: (places) => [where(places), `${places.as}${MCP}`],
  },
  {
    what: "the metadata are of a path below",
    rs: ({ resource, as }) => prm({ resource: `${resource}/admin`, authorization_servers: [as] }),
    ends: "provider",
    says: (places) => [where(places), `${places.resource}/admin`],
  },
  {
    // Whoever has a path of a host must not speak for all of the host.
    what: "a path says that it is the whole origin",
    rs: ({ rs, as }) => prm({ resource: rs, authorization_servers: [as] }),
    ends: "provider",
    says: (places) => [where(places), places.rs],
  },
  {
    what: "the resource has a slash more",
    rs: ({ resource, as }) => prm({ resource: `${resource}/`, authorization_servers: [as] }),
    ends: "provider",
    says: (places) => [`${places.resource}/`],
  },
  {
    what: "the metadata name no resource",
    rs: ({ as }) => prm({ authorization_servers: [as] }),
    ends: "provider",
    says: (places) => [where(places), "no metadata of a protected resource"],
  },
  {
    what: "the metadata are HTML",
    rs: () => ({ [`GET ${PRM}${MCP}`]: { headers: { "content-type": "text/html" }, text: "<html>" } }),
    ends: "provider",
    says: (places) => [where(places), "no metadata of a protected resource"],
  },
  {
    what: "the metadata name no authorization server",
    rs: ({ resource }) => prm({ resource, authorization_servers: [] }),
    ends: "provider",
    says: ({ resource }) => [resource, "no authorization server"],
  },
  {
    what: "the challenge leads to http",
    rs: () => ({ [`GET ${MCP}`]: challenge('Bearer resource_metadata="http://mcp.example.com/m"') }),
    ends: "provider",
    says: ({ resource }) => [resource, "http://mcp.example.com/m", "not an https address"],
  },
  {
    what: "the challenge leads to a file",
    rs: () => ({ [`GET ${MCP}`]: challenge('Bearer resource_metadata="file:///etc/passwd"') }),
    ends: "provider",
    says: ({ resource }) => [resource, "file:///etc/passwd", "not an https address"],
  },
  // --- circles
  {
    what: "the resource redirects to itself",
    rs: () => ({ [`GET ${MCP}`]: { status: 307, headers: { location: MCP } } }),
    ends: "provider",
    says: ({ resource }) => [resource, "redirect"],
  },
  {
    what: "the metadata redirect to themselves",
    rs: () => ({ [`GET ${PRM}${MCP}`]: { status: 302, headers: { location: `${PRM}${MCP}` } } }),
    ends: "provider",
    says: (places) => [where(places), "redirect"],
  },
  {
    what: "the authorization server redirects to the resource",
    as: ({ resource }) => ({ [`GET ${AS}`]: { status: 302, headers: { location: resource } } }),
    ends: "provider",
    says: ({ as }) => [as, "redirect"],
  },
  {
    what: "the metadata name themselves as authorization server",
    rs: ({ resource, rs }) => prm({ resource, authorization_servers: [`${rs}${PRM}${MCP}`] }),
    ends: "config",
    says: (places) => [where(places), "publishes no metadata"],
  },
  {
    what: "the authorization server answers as a resource whose authorization server is the resource",
    rs: ({ resource }) => prm({ resource, authorization_servers: [resource] }),
    ends: "config",
    says: ({ resource }) => [resource, "publishes no metadata"],
  },
  // --- the authorization server
  {
    what: "the authorization server has another issuer",
    metadata: () => ({ issuer: "https://accounts.google.com" }),
    ends: "provider",
    says: ({ as }) => [as, "another issuer", "https://accounts.google.com"],
  },
  {
    what: "the issuer has a slash more than the resource says",
    metadata: ({ as }) => ({ issuer: `${as}/` }),
    ends: "provider",
    says: ({ as }) => [as, "another issuer"],
  },
  {
    what: "the authorization server is at http",
    rs: ({ resource }) => prm({ resource, authorization_servers: ["http://login.example.com"] }),
    ends: "provider",
    says: ({ resource }) => [resource, "http://login.example.com", "not an https address"],
  },
  {
    what: "the authorization server has a query",
    rs: ({ resource, as }) => prm({ resource, authorization_servers: [`${as}?x=y`] }),
    ends: "provider",
    says: ({ resource, as }) => [resource, `${as}?x=y`, "not an issuer"],
  },
  {
    what: "the authorization endpoint is at http",
    metadata: () => ({ authorization_endpoint: "http://login.example.com/authorize" }),
    ends: "provider",
    says: ({ as }) => [as, "authorization_endpoint", "http://login.example.com/authorize"],
  },
  {
    what: "the token endpoint is at http",
    metadata: () => ({ token_endpoint: "http://login.example.com/token" }),
    ends: "provider",
    says: ({ as }) => [as, "token_endpoint", "http://login.example.com/token"],
  },
  {
    what: "PKCE is not spoken of",
    metadata: () => ({ code_challenge_methods_supported: undefined }),
    ends: "provider",
    says: ({ as }) => [as, "code_challenge_methods_supported is missing"],
  },
  {
    what: "PKCE is plain",
    metadata: () => ({ code_challenge_methods_supported: ["plain"] }),
    ends: "provider",
    says: ({ as }) => [as, "does not list S256"],
  },
  {
    what: "the authorization server is nowhere",
    as: () => ({ [`GET ${AS}`]: nothing }),
    ends: "config",
    says: ({ as }) => [as, "publishes no metadata"],
  },
  {
    what: "the authorization server that is wanted is not one of its",
    argv: () => ["--issuer", "https://login.example.com"],
    ends: "config",
    says: ({ resource }) => [resource, "https://login.example.com"],
  },
  // --- what asks for nothing
  {
    what: "there is nothing anywhere",
    rs: () => ({ [`GET ${MCP}`]: nothing, [`GET ${PRM}${MCP}`]: nothing }),
    ends: "config",
    says: ({ resource }) => [resource, "does not ask for authorization", "404"],
  },
  {
    what: "the resource needs no authorization",
    rs: () => ({ [`GET ${MCP}`]: { json: { hello: "world" } }, [`GET ${PRM}${MCP}`]: nothing }),
    ends: "config",
    says: ({ resource }) => [resource, "does not ask for authorization", "200"],
  },
  {
    what: "the resource is a stream that never ends and needs no authorization",
    rs: () => ({
      [`GET ${MCP}`]: (_, response) =>
        void response.writeHead(200, { "content-type": "text/event-stream" }).write(":\n\n"),
      [`GET ${PRM}${MCP}`]: nothing,
    }),
    ends: "config",
    says: ({ resource }) => [resource, "does not ask for authorization", "200"],
  },
  {
    what: "the resource knows neither of the methods",
    rs: () => ({ [`* ${MCP}`]: { status: 405 }, [`GET ${MCP}`]: { status: 405 }, [`GET ${PRM}${MCP}`]: nothing }),
    ends: "config",
    says: ({ resource }) => [resource, "does not ask for authorization", "405"],
  },
  {
    what: "the resource asks for a password",
    rs: () => ({ [`GET ${MCP}`]: challenge('Basic realm="x"'), [`GET ${PRM}${MCP}`]: nothing }),
    ends: "config",
    says: ({ resource }) => [resource, "asks for Basic", "401"],
  },
];

describe.concurrent("one clear event where", () => {
  test.each(FAULTS)("$what", async ({ ends, says, argv = () => [], ...shape }) => {
    const world = await startWorld(shape);
    try {
      const run = await signIn(world, argv(world), { ends });
      for (const text of says(world)) expect(resultOf(run).message).toMatch(text);
      expectNothingBegun(run, world);
      expect(run.events.filter(({ phase }) => phase === "result")).toHaveLength(1);
    } finally {
      await world.close();
    }
  });
});

/** Signs in, or does not, and looks at what came. */
async function within(shape: Shape, use: (world: Awaited<ReturnType<typeof startWorld>>) => Promise<void>) {
  const world = await startWorld(shape);
  try {
    await use(world);
  } finally {
    await world.close();
  }
}

describe.concurrent("it goes on, and says so, where", () => {
  test("endpoints are on other origins, which RFC 8414 allows", () =>
    within(
      {
        rs: () => ({ "POST /token": { json: { access_token: "token-of-elsewhere", token_type: "bearer" } } }),
        metadata: ({ rs }) => ({ token_endpoint: `${rs}/token` }),
      },
      async (world) => {
        const run = await signIn(world);
        const told = run.events.filter(({ reason }) => reason === "other_origin");
        expect(told.map(({ message }) => message)).toEqual([
          expect.stringContaining(`${world.as} has endpoints on other origins: token_endpoint ${world.rs}/token`),
        ]);
      },
    ));

  test("all endpoints are where the issuer is, and nothing is said", () =>
    within({}, async (world) => {
      expect((await signIn(world)).events.filter(({ reason }) => reason === "other_origin")).toEqual([]);
    }));

  test("the first authorization server does not work", () =>
    within(
      {
        rs: ({ resource, rs, as }) =>
          prm({ resource, authorization_servers: [`${rs}/none`, "http://login.example.com", as] }),
      },
      async (world) => {
        const run = await signIn(world);
        const failed = run.events.filter(({ step, state }) => step === "discover" && state === "failed");
        expect(failed.map(({ message }) => message)).toEqual([
          expect.stringContaining(`${world.rs}/none publishes no metadata`),
          expect.stringContaining("http://login.example.com"),
        ]);
      },
    ));

  test("the one that is wanted is not the first", () =>
    within(
      {
        rs: ({ resource, rs, as }) => ({
          ...prm({ resource, authorization_servers: [rs, as] }),
          [`GET ${AS}`]: { json: metadata(rs, { grant_types_supported: GRANTS }) },
        }),
      },
      async (world) => {
        const run = await signIn(world, ["--issuer", world.as]);
        expect(new URL(run.events.find(({ phase }) => phase === "auth_url")?.auth_url ?? "").origin).toBe(world.as);
      },
    ));

  test("no metadata list authorization servers, and one is named", () =>
    within({ rs: ({ resource }) => prm({ resource }) }, async (world) => {
      expect(resultOf(await signIn(world, ["--issuer", world.as])).status).toBe("success");
    }));

  test("PKCE is not spoken of, and no code is asked for", () =>
    within({ metadata: () => ({ code_challenge_methods_supported: undefined }) }, async (world) => {
      const run = await signIn(world, [], { flow: "client_credentials" });
      const [exchange] = world.authorizationServer.requests.filter(({ path }) => path === "/token");
      expect(exchange?.form.get("resource")).toBe(world.resource);
      expect(resultOf(run).status).toBe("success");
    }));

  test("PKCE is not spoken of by a provider that is no resource", () =>
    within({ metadata: () => ({ code_challenge_methods_supported: undefined }) }, async (world) => {
      const run = await signIn({ ...world, resource: "acme" }, ["--issuer", world.as]);
      expect(resultOf(run).status).toBe("success");
    }));

  test("nothing is published but a 401, whose default addresses are said to be used", () =>
    within(
      {
        rs: () => ({
          [`GET ${MCP}`]: { status: 401 },
          [`GET ${PRM}${MCP}`]: nothing,
          "POST /token": { json: { access_token: "token-of-old", token_type: "bearer" } },
        }),
      },
      async (world) => {
        const run = await signIn(world);
        expect(run.events.find(({ reason }) => reason === "no_metadata")).toMatchObject({
          state: "skipped",
          message: expect.stringContaining(world.rs),
        });
        expect(run.events.find(({ phase }) => phase === "auth_url")?.auth_url).toMatch(`${world.rs}/authorize?`);
      },
    ));

  test("the resource stumbles once", () =>
    within(
      {
        rs: ({ rs }) => ({
          [`GET ${MCP}`]: [{ status: 503 }, challenge(`Bearer resource_metadata="${rs}${PRM}${MCP}"`)],
        }),
      },
      async (world) => {
        expect((await signIn(world)).events.filter(({ state }) => state === "retrying")).toHaveLength(1);
      },
    ));
});

describe.concurrent("a challenge that somebody else has got", () => {
  test("is taken, and the resource is not asked", () =>
    within({}, async (world) => {
      const field = `Basic realm="x", Bearer scope="files:write", resource_metadata="${world.rs}${PRM}${MCP}"`;
      const run = await signIn(world, ["--challenge", field]);
      expect(
        new URL(run.events.find(({ phase }) => phase === "auth_url")?.auth_url ?? "").searchParams.get("scope"),
      ).toBe("files:write");
      expect(world.resourceServer.requests.map(({ path }) => path)).toEqual([`${PRM}${MCP}`]);
    }));

  test("says where to look, else the usual places are looked at", () =>
    within({}, async (world) => {
      await signIn(world, ["--challenge", "Bearer"]);
      expect(world.resourceServer.requests.map(({ path }) => path)).toEqual([`${PRM}${MCP}`]);
    }));

  test.each(["Basic realm=x", 'Bearer scope="a', "", "{}"])("that is none (%j) is misuse", (field) =>
    within({}, async (world) => {
      const run = await program(["login", world.resource, "--client-id", "x", `--challenge=${field}`]).done;
      expect(run.events.at(-1)).toMatchObject({ status: "error", exit_code: 64 });
      expect(world.resourceServer.requests).toEqual([]);
    }),
  );

  test("to what is no resource is misuse", () =>
    within({}, async (world) => {
      const argv = ["login", "acme", "--issuer", world.as, "--client-id", "x", "--challenge", "Bearer"];
      expect((await program(argv).done).events.at(-1)?.error).toMatchObject({ code: "usage" });
    }));
});

test("OpenID Connect metadata without the inserted path are enough", () =>
  within(
    {
      as: ({ as }) => ({
        [`GET ${AS}`]: nothing,
        [`GET ${OIDC}`]: { json: metadata(as, { grant_types_supported: GRANTS }) },
      }),
    },
    async (world) => {
      expect(resultOf(await signIn(world)).status).toBe("success");
    },
  ));
