/**
 * The identity assertion grant (draft-ietf-oauth-identity-assertion-authz-grant) between two real servers: the identity provider
 * says who somebody is, and the server of a resource, which trusts it, gives a token.
 *
 * What is protected: each server is asked as the client that it knows, and shown what is for it and nothing else; each renewal
 * asks the identity provider again, so that it can say no.
 */
import { createPublicKey } from "node:crypto";
import { afterAll, describe, expect, test } from "vitest";
import { type AuthorizationServer, startAuthorizationServer } from "../support/authorization-server.ts";
import { asConfidential, type Grants, grants, inWorldOfGrants, JWT_BEARER, secretOf } from "../support/grants.ts";
import { signIdToken, signingKey } from "../support/hostile-server.ts";
import { namesOf, opened, putSealed } from "../support/sealed.ts";
import type { World } from "../support/sessions.ts";
import { sweep } from "../support/spawn.ts";

afterAll(async () => {
  expect(await sweep()).toEqual([]);
});

const TYPE = "urn:ietf:params:oauth:token-type:";
const MCP = "https://mcp.wiki.example/mcp";

interface Both {
  w: World;
  /** The identity provider, which is the world's own server. */
  idp: Grants;
  wiki: AuthorizationServer;
  trusting: Grants;
}

/** Somebody is signed in to the identity provider, and the wiki's server trusts that. */
const betweenTwo = (body: (both: Both) => Promise<unknown>, scope = "openid offline_access") =>
  inWorldOfGrants(async (w, idp) => {
    const trusting = grants();
    const wiki = await startAuthorizationServer(trusting.options);
    try {
      trusting.trusted.set(w.server.issuer, createPublicKey(signingKey().privateKey));
      idp.clientAt.set(wiki.issuer, wiki.clients.post.id);
      const login = w.start(asConfidential(w, "device_code", "--scope", scope), { env: secretOf(w) });
      await w.approve(await login.challenge());
      expect((await login.ended()).result.error).toBeUndefined();
      await body({ w, idp, wiki, trusting });
    } finally {
      await wiki.close();
    }
  });

const login = ({ w, wiki }: Pick<Both, "w" | "wiki">, ...more: string[]) => {
  const who = ["--client-id", wiki.clients.post.id, "--client-secret-from", "env:WIKI_SECRET"];
  const argv = ["login", "wiki", "--issuer", wiki.issuer, ...who, "--flow", "identity_assertion", ...more];
  return w.run(argv, { env: { WIKI_SECRET: wiki.clients.post.secret } });
};

describe.concurrent("signed in by the word of another server", () => {
  test(
    "as the same person, with a token for the resource",
    betweenTwo(async (both) => {
      const { w, idp, wiki, trusting } = both;
      const { result } = await login(both, "--subject", "acme", "--resource", MCP, "--scope", "api:read");
      expect(result).toMatchObject({ status: "success", data: { provider: "wiki", scope: "api:read" } });
      expect(idp.exchanges).toMatchObject([
        {
          subject_token: opened(w.home, "connection", "default@acme").secrets["id_token"],
          subject_token_type: `${TYPE}id_token`,
          requested_token_type: `${TYPE}id-jag`,
          audience: wiki.issuer,
          resource: MCP,
          scope: "api:read",
        },
      ]);
      const client_id = wiki.clients.post.id;
      expect(trusting.assertions).toMatchObject([
        { iss: w.server.issuer, sub: "alice", aud: wiki.issuer, client_id, resource: MCP },
      ]);
      expect(w.requestsTo("/token").at(-1)).toMatchObject({ auth: "basic", status: 200 });
      expect(wiki.requests.at(-1)).toMatchObject({ grant_type: JWT_BEARER, status: 200 });
      expect(wiki.records().accessTokens).toMatchObject([{ accountId: "alice", clientId: client_id }]);
    }),
  );

  test(
    "and again for each new token, without anybody",
    betweenTwo(async (both) => {
      const { w, idp, wiki, trusting } = both;
      await login(both, "--subject", "acme");
      const { result } = await w.run(["token", "wiki", "--refresh"]);
      expect(result.data.refreshed).toBe(true);
      expect(await wiki.isActive(result.data.access_token)).toBe(true);
      expect([idp.exchanges.length, trusting.assertions.length]).toEqual([2, 2]);
    }),
  );

  test(
    "with a new ID token in place of one that has run out",
    betweenTwo(async (both) => {
      const { w, idp } = both;
      const old = opened(w.home, "connection", "default@acme");
      const id_token = signIdToken({ sub: "alice", exp: 1 });
      putSealed(w.home, "connection", "default@acme", { ...old, secrets: { ...old.secrets, id_token } });
      expect((await login(both, "--subject", "acme")).result.error).toBeUndefined();
      const { secrets } = opened(w.home, "connection", "default@acme");
      expect(secrets["id_token"]).not.toBe(id_token);
      expect(idp.exchanges).toMatchObject([{ subject_token: secrets["id_token"] }]);
    }),
  );

  test(
    "with the refresh token where there is no ID token to be had, which goes to its own server only",
    betweenTwo(async (both) => {
      const { w, idp, wiki } = both;
      expect((await login(both, "--subject", "acme")).result.error).toBeUndefined();
      const { refresh_token, id_token } = opened(w.home, "connection", "default@acme").secrets;
      expect(id_token).toBeUndefined();
      expect(idp.exchanges).toMatchObject([
        { subject_token: refresh_token, subject_token_type: `${TYPE}refresh_token`, sub: "alice" },
      ]);
      expect(wiki.requests.at(-1)).toMatchObject({ grant_type: JWT_BEARER, status: 200 });
    }, "api:read offline_access"),
  );

  test(
    "until the identity provider says no: then it is told where to sign in",
    betweenTwo(async (both) => {
      const { w, wiki } = both;
      await login(both, "--subject", "acme");
      await w.run(["logout", "acme"]);
      const asked = wiki.requests.length;
      const { result, code } = await w.run(["token", "wiki", "--refresh"]);
      expect([code, result.error]).toMatchObject([
        4,
        { code: "auth_required", hint: "Sign in there first: authline login acme" },
      ]);
      expect(wiki.requests.slice(asked)).toEqual([]);
    }),
  );
});

describe.concurrent("the assertion is sent nowhere", () => {
  const rows: [what: string, claims: Record<string, unknown>, why: string][] = [
    ["it is for another server", { aud: "https://login.other.example" }, "it is for another server"],
    ["it is for another client", { client_id: "somebody-else" }, "it is for another client"],
    ["it names no client", { client_id: undefined }, "it is for another client"],
  ];
  test.each(rows)("when %s", (_, assertion, why) =>
    betweenTwo(async (both) => {
      both.idp.spoil = { assertion };
      const { result, code } = await login(both, "--subject", "acme");
      expect([code, result.error?.code]).toEqual([76, "provider"]);
      expect(result.error?.message).toContain(why);
      expect(both.wiki.requests.filter(({ path }) => path === "/token")).toEqual([]);
      expect(namesOf(both.w.home, "connection")).toEqual(["default@acme"]);
    })(),
  );

  test(
    "when the identity provider issues something else",
    betweenTwo(async (both) => {
      both.idp.spoil = { answer: { issued_token_type: `${TYPE}access_token` } };
      const { result } = await login(both, "--subject", "acme");
      expect(result.error).toMatchObject({ code: "provider", message: expect.stringContaining("issued_token_type") });
      expect(both.wiki.requests.filter(({ path }) => path === "/token")).toEqual([]);
    }),
  );
});

test(
  "a server that does not trust the identity provider says so, and nothing is stored",
  betweenTwo(async (both) => {
    both.trusting.trusted.clear();
    const { result, code } = await login(both, "--subject", "acme");
    expect([code, result.error]).toMatchObject([76, { code: "provider", oauth_error: "invalid_grant" }]);
    expect(namesOf(both.w.home, "connection")).toEqual(["default@acme"]);
  }),
);

test(
  "without --subject it is told what is missing, and nobody is asked",
  betweenTwo(async (both) => {
    const asked = both.w.requestsTo("/token").length;
    const { result } = await login(both);
    expect(result.error).toMatchObject({ code: "config", hint: "Give --subject." });
    expect(both.w.requestsTo("/token")).toHaveLength(asked);
  }),
);
