// Protected: a credential is of one resource and one issuer. Nothing of the one is handed out for another, nothing of an old
// issuer is told to a new one, more is asked for only beside what is held, and nobody is asked for the same for ever.

import { generateKeyPairSync } from "node:crypto";
import { afterAll, describe, expect, test } from "vitest";
import { CLIENT, comesBack, judge, knock, SECRET, stateOf, tokens } from "../hostile/attack.ts";
import { metadata, startHostileServer } from "../support/hostile-server.ts";
import { program } from "../support/inside.ts";
import { opened } from "../support/sealed.ts";
import { authline, sweep, tempHome } from "../support/spawn.ts";
import {
  AS,
  askedFor,
  challenge,
  GRANTS,
  MCP,
  PRM,
  resultOf,
  type Shape,
  signIn,
  startWorld,
  type World,
} from "./world.ts";

afterAll(sweep);

async function within(shape: Shape, use: (world: World, home: string) => Promise<void>) {
  const world = await startWorld(shape);
  try {
    await use(world, tempHome());
  } finally {
    await world.close();
  }
}

interface Session {
  session_id: string;
  state: string;
}
const JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer";

const nameIn = ({ rs }: World) => `127.0.0.1-${new URL(rs).port}_mcp`;
const recordOf = (world: World, home: string) => opened(home, "connection", `default@${nameIn(world)}`);
const said = async (argv: string[], home: string, env: Record<string, string> = {}) =>
  (await program(argv, { home, env }).done).events.at(-1);

describe.concurrent("a token is handed out for its resource", () => {
  test("and for nobody else's address", () =>
    within({}, async (world, home) => {
      await signIn(world, [], { home });
      const other = await said(["token", `${world.rs}/other`], home);
      expect(other?.error).toMatchObject({
        code: "auth_required",
        message: expect.stringContaining(`${world.rs}/other`),
        hint: `Sign in first: authline login ${world.rs}/other`,
      });
      expect(other?.next_actions).toMatchObject([{ argv: ["authline", "login", `${world.rs}/other`] }]);
    }));

  test("and not where another provider has its name", () =>
    within({}, async (world, home) => {
      const acme = { ...world, resource: nameIn(world) };
      await signIn(acme, ["--issuer", world.as], { home });
      expect((await said(["token", nameIn(world)], home))?.status).toBe("success");
      expect((await said(["token", world.resource], home))?.error).toMatchObject({ code: "auth_required" });
      const login = await said(["login", world.resource, "--client-id", CLIENT], home);
      expect(login?.error).toMatchObject({ code: "config", message: expect.stringContaining("another provider") });
      expect((await said(["token", nameIn(world)], home))?.status).toBe("success");
      const way = login?.error?.hint?.split(": authline ")[1]?.split(" ") ?? [];
      expect((await said(way, home))?.status).toBe("success");
      await signIn(world, [], { home });
      expect((await said(["token", world.resource], home))?.status).toBe("success");
    }));

  test("and every command that takes a provider takes the address", () =>
    within({}, async (world, home) => {
      await signIn(world, ["--connection", "work"], { home });
      const is = { provider: nameIn(world) };
      for (const [argv, data] of [
        [["status", world.resource], { connections: [{ ...is, connection: "work", record_status: "connected" }] }],
        [["connection", "list", world.resource], { connections: [is] }],
        [["connection", "default", world.resource, "work"], is],
        [["token", world.resource], { ...is, access_token: SECRET.access }],
        [["connection", "rename", world.resource, "work", "play"], is],
        [["connection", "remove", world.resource, "play"], is],
      ] as const) {
        expect(await said([...argv], home), argv.join(" ")).toMatchObject({ status: "success", data });
      }
      await signIn(world, ["--connection", "play"], { home });
      await said(["config", "set", "provider", world.resource], home);
      expect((await said(["token"], home))?.data).toMatchObject({ ...is, connection: "play" });
      expect(await said(["logout", world.resource], home)).toMatchObject({ status: "success" });
    }));

  test("and so is a proof of the key that it is bound to", () =>
    within(
      {
        metadata: () => ({ dpop_signing_alg_values_supported: ["ES256"] }),
        as: () => ({ "POST /token": { json: tokens({ token_type: "DPoP" }) } }),
      },
      async (world, home) => {
        await signIn(world, ["--dpop"], { home });
        const proof = (of: string) => said(["proof", of, "--url", world.resource], home);
        for (const of of [world.resource, nameIn(world)]) {
          expect((await proof(of))?.data, of).toMatchObject({ provider: nameIn(world), htu: world.resource });
        }
        expect((await proof(`${world.rs}/other`))?.error).toMatchObject({
          code: "auth_required",
          hint: `Sign in for one: authline login ${world.rs}/other --dpop`,
        });
      },
    ));

  test("whose refresh names the resource again", () =>
    within({}, async (world, home) => {
      await signIn(world, [], { home });
      expect(await said(["token", world.resource, "--refresh"], home)).toMatchObject({ data: { refreshed: true } });
      const last = world.authorizationServer.requests.at(-1);
      expect(Object.fromEntries(last?.form ?? [])).toMatchObject({
        grant_type: "refresh_token",
        resource: world.resource,
      });
    }));

  test("and an authorization server that was chosen does not make it another provider", () =>
    within({}, async (world, home) => {
      await signIn(world, ["--issuer", world.as], { home });
      await signIn(world, [], { home });
      await signIn({ ...world, resource: nameIn(world) }, ["--issuer", world.as], { home });
      expect((await said(["token", world.resource], home))?.status).toBe("success");
    }));

  test("and the name alone will do to sign in again", () =>
    within({}, async (world, home) => {
      await signIn(world, [], { home });
      const run = await signIn({ ...world, resource: nameIn(world) }, [], { home });
      expect(askedFor(run).get("resource")).toBe(world.resource);
    }));
});

describe.concurrent("more is asked for", () => {
  const STEP = ["--challenge", 'Bearer error="insufficient_scope", scope="files:write"'];

  test("beside what is held", () =>
    within({}, async (world, home) => {
      await signIn(world, [], { home });
      const run = await signIn(world, STEP, { home });
      expect(askedFor(run).get("scope")).toBe("files:read files:write");
      expect(recordOf(world, home)).toMatchObject({
        requested_scope: "files:read files:write",
        step_up: { scope: "files:write", times: 1 },
      });
      expect(askedFor(await signIn(world, [], { home })).get("scope")).toBe("files:read files:write");
    }));

  test("three times in a row, and then no more", () =>
    within({}, async (world, home) => {
      for (let time = 1; time <= 3; time++) await signIn(world, STEP, { home });
      const asked = world.authorizationServer.requests.length;
      const fourth = await said(["login", world.resource, "--client-id", CLIENT, ...STEP], home);
      expect(fourth?.error).toMatchObject({
        code: "provider",
        reason: "step_up",
        message: expect.stringContaining("files:write"),
      });
      expect(fourth?.message).toContain(world.resource);
      expect(world.authorizationServer.requests).toHaveLength(asked);
      // Another scope is another matter, and so is whoever asks for nothing in particular.
      await signIn(world, ["--challenge", 'Bearer error="insufficient_scope", scope="files:delete"'], { home });
      await signIn(world, STEP, { home });
      await signIn(world, [], { home });
      expect(recordOf(world, home)).not.toHaveProperty("step_up");
    }));

  test("but only what is named, where it is named", () =>
    within({}, async (world, home) => {
      await signIn(world, [], { home });
      expect(askedFor(await signIn(world, [...STEP, "--scope", "files:one"], { home })).get("scope")).toBe("files:one");
    }));
});

describe.concurrent("when the resource takes tokens of another issuer", () => {
  const moved = async (
    use: (world: World, home: string, fresh: Awaited<ReturnType<typeof startHostileServer>>) => Promise<void>,
    more: object = { registration_endpoint: undefined },
  ) =>
    within({}, async (world, home) => {
      const fresh = await startHostileServer((url) => ({
        [`GET ${AS}`]: { json: metadata(url, { grant_types_supported: GRANTS, ...more }) },
        "POST /token": { json: tokens({ access_token: "token-of-the-new-one" }) },
        "POST /register": (_, __, body) => ({ status: 201, json: { ...JSON.parse(body), client_id: "registered" } }),
      }));
      try {
        await signIn(world, ["--client-secret-from", "env:CLIENT_SECRET"], { home });
        world.resourceServer.routes[`GET ${PRM}${MCP}`] = {
          json: { resource: world.resource, authorization_servers: [fresh.url] },
        };
        world.resourceServer.routes[`GET ${MCP}`] = challenge("Bearer");
        await use(world, home, fresh);
      } finally {
        await fresh.close();
      }
    });

  test("the client of the old one is not shown to it", () =>
    moved(async (world, home, fresh) => {
      const run = await said(["login", world.resource], home);
      expect(run?.error).toMatchObject({ code: "config", message: expect.stringContaining(fresh.url) });
      expect(run?.message).toContain(world.as);
      expect(run?.next_actions?.[0]?.argv).toEqual(["authline", "login", world.resource, "--client-id", "{client_id}"]);
      const work = await said(["login", world.resource, "--connection", "work"], home);
      expect(work?.next_actions?.[0]?.argv).toContain("work");
      expect(fresh.requests.map(({ path }) => path)).toEqual([AS, AS]);
      expect((await said(["token", world.resource], home))?.data).toMatchObject({ access_token: SECRET.access });
    }));

  test("nor is the secret of one that has the same name at both", () =>
    moved(async (world, home, fresh) => {
      const run = await said(["login", world.resource, "--client-id", CLIENT], home);
      expect(run?.error).toMatchObject({ code: "config", message: expect.stringContaining(fresh.url) });
      expect(fresh.requests.map(({ path }) => path)).toEqual([AS]);
    }));

  test("one that is registered with it is taken, where anybody may register", () =>
    moved(async (world, home, fresh) => {
      const running = program(["login", world.resource, "--flow", "authorization_code"], { home });
      await comesBack()(running);
      await judge(await running.done, "success");
      expect(fresh.requests.map(({ path }) => path)).toEqual([AS, "/register", "/token"]);
      expect(JSON.stringify(fresh.requests.map(({ body, headers }) => [body, headers]))).not.toContain(CLIENT);
      expect(recordOf(world, home)).toMatchObject({
        server: { issuer: fresh.url },
        client: { client_id: "registered" },
      });
    }, {}));

  test("a client of its own is taken, and no scope and no secret of the old one", () =>
    moved(async (world, home, fresh) => {
      const run = await signIn({ ...world, client: "client-of-the-new-one" }, [], { home });
      expect(new URL(run.events.find(({ phase }) => phase === "auth_url")?.auth_url ?? "").origin).toBe(fresh.url);
      expect(askedFor(run).get("scope")).toBeNull();
      const [exchange] = fresh.requests.filter(({ path }) => path === "/token");
      expect(exchange?.headers.authorization).toBeUndefined();
      expect(exchange?.body).not.toContain(SECRET.client);
      expect(exchange?.body).not.toContain(SECRET.refresh);
      expect(recordOf(world, home)).toMatchObject({ server: { issuer: fresh.url } });
    }));

  test("nor is it by a sign-in that was killed while it registered, and is taken up again", () =>
    moved(async (world, home, fresh) => {
      const arrived = new Promise<void>((resolve) => {
        fresh.routes["POST /register"] = () => resolve();
      });
      const first = authline(["login", world.resource, "--flow", "authorization_code"], { home });
      await arrived;
      first.kill("SIGKILL");
      await first.done;
      fresh.routes["POST /register"] = (_, __, body) => ({
        status: 201,
        json: { ...JSON.parse(body), client_id: "registered" },
      });
      const { sessions = [] } = ((await said(["session", "list"], home))?.data ?? {}) as { sessions?: Session[] };
      const open = sessions.find(({ state }) => state === "pending");
      const second = program(["session", "wait", open?.session_id ?? ""], { home });
      await comesBack()(second);
      expect(resultOf(await second.done)).toMatchObject({ status: "success" });
      expect(fresh.requests.map(({ path }) => path)).toEqual([AS, "/register", AS, "/register", "/token"]);
      const sent = JSON.stringify(fresh.requests.map(({ body, headers }) => [body, headers]));
      for (const theirs of [CLIENT, SECRET.client, Buffer.from(SECRET.client).toString("base64").slice(4, -4)]) {
        expect(sent).not.toContain(theirs);
      }
      expect(recordOf(world, home)).toMatchObject({ client: { client_id: "registered" }, secrets: {} });
      expect(recordOf(world, home)).not.toHaveProperty("secrets.client_secret");
    }, {}));

  test("nor by a program's sign-in that is repeated as it was", () =>
    within({ metadata: () => ({ grant_types_supported: [...GRANTS, JWT_BEARER] }) }, async (world, home) => {
      const more = { grant_types_supported: [...GRANTS, JWT_BEARER] };
      const fresh = await startHostileServer((url) => ({
        [`GET ${AS}`]: { json: metadata(url, more) },
        "POST /token": { json: tokens() },
      }));
      try {
        const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
        const env = { KEY: String(privateKey.export({ type: "pkcs8", format: "pem" })), CLIENT_SECRET: SECRET.client };
        const program = ["--flow", "jwt_bearer", "--signing-key-from", "env:KEY"];
        const client = ["--client-id", CLIENT, "--client-secret-from", "env:CLIENT_SECRET"];
        expect((await said(["login", world.resource, ...program, ...client], home, env))?.status).toBe("success");
        expect((await said(["login", world.resource], home))?.status).toBe("success");
        world.resourceServer.routes[`GET ${PRM}${MCP}`] = {
          json: { resource: world.resource, authorization_servers: [fresh.url] },
        };
        for (const again of [[], ["--client-id", CLIENT]]) {
          expect((await said(["login", world.resource, ...again], home))?.error).toMatchObject({ code: "config" });
        }
        expect(new Set(fresh.requests.map(({ path }) => path))).toEqual(new Set([AS]));
      } finally {
        await fresh.close();
      }
    }));

  test("the old credential is refreshed where it came from, and nowhere else", () =>
    moved(async (world, home, fresh) => {
      expect((await said(["token", world.resource, "--refresh"], home))?.data).toMatchObject({ refreshed: true });
      expect(fresh.requests).toEqual([]);
    }));
});

describe.concurrent("a sign-in that another process goes on with", () => {
  test("is held to what the first one was", () =>
    within({}, async (world, home) => {
      const argv = ["login", world.resource, "--client-id", CLIENT, "--flow", "authorization_code"];
      const first = authline(argv, { home });
      await first.next("auth_url");
      first.kill("SIGKILL");
      await first.done;
      const weak = metadata(world.as, { grant_types_supported: GRANTS, code_challenge_methods_supported: ["plain"] });
      world.authorizationServer.routes[`GET ${AS}`] = { json: weak };
      const second = await program(argv, { home }).done;
      expect(second.events.at(-1)?.error).toMatchObject({ code: "provider", message: expect.stringContaining("PKCE") });
    }));

  test("goes on with the server that was asked, whatever the resource says by then", () =>
    within({}, async (world, home) => {
      const begun = await program(
        ["login", world.resource, "--client-id", CLIENT, "--flow", "authorization_code", "--no-wait"],
        { home },
      ).done;
      const asked = begun.events.find(({ phase }) => phase === "auth_url");
      const session = begun.events.at(-1)?.data.session_id;
      world.resourceServer.routes[`GET ${PRM}${MCP}`] = {
        json: { resource: world.resource, authorization_servers: [world.rs] },
      };
      world.resourceServer.routes[`GET ${AS}`] = { json: metadata(world.rs) };
      if (!asked) throw new Error("nobody was asked");
      const asks = world.resourceServer.requests.length;
      const joined = program(["login", world.resource, "--client-id", CLIENT, "--flow", "authorization_code"], {
        home,
      });
      expect((await joined.next("auth_url")).auth_url).toBe(asked.auth_url);
      await knock(asked, { code: SECRET.code, state: stateOf(asked) });
      expect((await joined.done).events.at(-1)).toMatchObject({ status: "success", data: { session_id: session } });
      expect(world.resourceServer.requests).toHaveLength(asks);
      expect(recordOf(world, home)).toMatchObject({
        server: { issuer: world.as },
        extras: { resource: world.resource },
      });
    }));
});

describe.concurrent("the issuer in the answer (RFC 9207 §2.4)", () => {
  const variants: [iss: string, value: (as: string) => string | undefined, isRight: boolean][] = [
    ["absent", () => undefined, true],
    ["right", (as) => as, true],
    ["with a slash", (as) => `${as}/`, false],
    ["in capitals", (as) => as.toUpperCase(), false],
    ["another one", () => "https://accounts.example.com", false],
    ["empty", () => "", false],
  ];
  const rows = [true, false].flatMap((advertised) =>
    variants.flatMap(([iss, value, isRight]) =>
      (["code", "error"] as const).map((answer) => ({
        advertised,
        iss,
        value,
        answer,
        isTaken: isRight && !(advertised && iss === "absent"),
      })),
    ),
  );

  test.each(rows)(
    "advertised: $advertised, $iss, with $answer: taken $isTaken",
    ({ advertised, value, answer, isTaken }) =>
      within(
        { metadata: () => ({ authorization_response_iss_parameter_supported: advertised }) },
        async (world, home) => {
          const iss = value(world.as);
          const words = "words-of-a-stranger";
          const more =
            answer === "error" ? { error: "access_denied", error_description: words } : { code: SECRET.code };
          const argv = ["login", world.resource, "--client-id", CLIENT, "--flow", "authorization_code"];
          const running = program(argv, { home });
          const asked = await running.next("auth_url");
          await knock(asked, { ...more, state: stateOf(asked), ...(iss !== undefined && { iss }) });
          const run = await running.done;
          const codes = { code: isTaken ? undefined : "provider", error: isTaken ? "denied" : "provider" };
          expect(resultOf(run).error?.code).toBe(codes[answer]);
          const exchanged = world.authorizationServer.requests.some(({ path }) => path === "/token");
          expect(exchanged).toBe(isTaken && answer === "code");
          if (!isTaken) {
            expect(String(run.stdout) + run.stderr).not.toContain(words);
            expect(resultOf(run).error).not.toHaveProperty("oauth_error");
          }
        },
      ),
  );
});
