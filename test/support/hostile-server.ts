// A loopback HTTP server that does what it is told: plays an authorization server that lies, stalls, floods or dies.
//
// Rules of this file:
// - A route is data where data is enough ({ json }, { form }, { status }), and a function where it is not.
// - A list of routes is a script, one reply after the other; `unused()` names what nobody asked for.
// - A request that no route answers gets a 404 and is recorded like all others.
// - `close()` ends every connection, however far the reply got: a hanging test is worse than a failing one.

import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** A reply as data. At most one of the bodies; its content type can be overridden in `headers`. */
export interface Reply {
  status?: number;
  headers?: Record<string, string | string[]>;
  json?: unknown;
  form?: Record<string, string>;
  text?: string;
  bytes?: Uint8Array;
}

/** Returns a reply, or writes to `res` itself, or does neither: then the client waits. */
export type Handler = (
  req: IncomingMessage,
  res: ServerResponse,
  body: string,
  // biome-ignore lint/suspicious/noConfusingVoidType: a handler that answers through `res` returns nothing
) => Reply | void | Promise<Reply | void>;

export type Route = Reply | Handler;

/** `"GET /path"`, `"* /path"` or `"*"`, the most exact first. */
export type Routes = Record<string, Route | Route[]>;

export interface Recorded {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  body: string;
  /** The body read as a form, which is what token requests are. */
  form: URLSearchParams;
  /** Bytes written to the client so far, headers included. */
  sent(): number;
  /** Answered to the end, or cut off by either side. */
  closed: Promise<void>;
}

export interface HostileServer {
  /** `http://127.0.0.1:port`, without a slash at the end: the issuer. */
  url: string;
  /** May be changed while the server runs. */
  routes: Routes;
  requests: Recorded[];
  /** Scripted replies that were not used up, by route. */
  unused(): string[];
  close(): Promise<void>;
}

/** The routes may be a function of the server's URL, which is not known before it listens. */
export async function startHostileServer(routes: Routes | ((url: string) => Routes)): Promise<HostileServer> {
  const requests: Recorded[] = [];
  const sockets = new Set<Socket>();
  const http = createServer({ keepAliveTimeout: 0 }, async (req, res) => {
    try {
      const body = await readBody(req);
      requests.push(record(req, res, body));
      const route = pick(server.routes, req);
      const reply = typeof route === "function" ? await route(req, res, body) : route;
      if (reply) send(res, reply);
    } catch (error) {
      // Not ours to hide: a broken handler must look broken, and not like the 500 of a scripted server.
      console.error("hostile server:", error);
      res.destroy();
    }
  });
  http.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => {}); // clients that leave early are what this server is for
    socket.once("close", () => sockets.delete(socket));
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;

  const server: HostileServer = {
    url,
    routes: typeof routes === "function" ? routes(url) : routes,
    requests,
    unused: () =>
      Object.entries(server.routes).flatMap(([key, route]) =>
        Array.isArray(route) && route.length > 0 ? [`${key} (${route.length} left)`] : [],
      ),
    close: async () => {
      const closed = once(http, "close");
      http.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
  return server;
}

/** Metadata as a well-behaved OpenID provider publishes it. An override of `undefined` leaves a field out. */
export function metadata(issuer: string, overrides: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    device_authorization_endpoint: `${issuer}/device`,
    registration_endpoint: `${issuer}/register`,
    revocation_endpoint: `${issuer}/revoke`,
    userinfo_endpoint: `${issuer}/userinfo`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ["code"],
    response_modes_supported: ["query"],
    grant_types_supported: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
    code_challenge_methods_supported: ["S256"],
    token_endpoint_auth_methods_supported: ["none", "client_secret_basic", "client_secret_post"],
    scopes_supported: ["read", "write"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["RS256", "ES256"],
    ...overrides,
  };
}

/** Accepts the request and never answers. */
export const hang: Handler = () => {};

/** Cuts the connection with a RST: ECONNRESET for the client. */
export const reset: Handler = (req) => void req.socket.resetAndDestroy();

/** Says these bytes instead of HTTP. */
export const raw =
  (bytes: string | Uint8Array): Handler =>
  (req) =>
    void req.socket.end(bytes);

/** A body that drips and never ends: each byte restarts an idle timer, so that only a deadline helps. */
export function endless(res: ServerResponse, everyMs = 20): void {
  res.writeHead(200, { "content-type": "application/json" });
  res.write('{"access_token":"');
  const drip = setInterval(() => res.write("x"), everyMs);
  res.once("close", () => clearInterval(drip));
}

/** A body of `bytes` bytes, as fast as the client takes it: only a limit on the size helps. */
export async function huge(res: ServerResponse, bytes = 100 * 1024 * 1024): Promise<void> {
  res.writeHead(200, { "content-type": "application/json" });
  res.write('{"access_token":"');
  const left = new AbortController();
  res.once("close", () => left.abort());
  const chunk = Buffer.alloc(65_536, "x");
  for (let rest = bytes; rest > 0; rest -= chunk.length) {
    if (res.write(chunk.subarray(0, rest))) continue;
    // The client leaving is the expected end. An abort before the wait counts as well.
    await once(res, "drain", { signal: left.signal }).catch(() => {});
    if (left.signal.aborted) return;
  }
  res.end('"}');
}

export type Alg = "RS256" | "ES256";

export interface SigningKey {
  kid: string;
  alg: Alg;
  privateKey: KeyObject;
  jwk: Record<string, unknown>;
}

const keys = new Map<Alg, SigningKey>();

/** The key that belongs to `jwks()`: one for each algorithm, made on first use. */
export function signingKey(alg: Alg = "RS256"): SigningKey {
  const known = keys.get(alg);
  if (known) return known;
  const key = newSigningKey(alg, `test-${alg}`);
  keys.set(alg, key);
  return key;
}

/** Another key: for a forged signature, or for rotation. */
export function newSigningKey(alg: Alg, kid: string): SigningKey {
  const { privateKey, publicKey } =
    alg === "RS256"
      ? generateKeyPairSync("rsa", { modulusLength: 2048 })
      : generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { kid, alg, privateKey, jwk: { ...publicKey.export({ format: "jwk" }), kid, alg, use: "sig" } };
}

/** What belongs at `jwks_uri`. */
export function jwks(of: SigningKey[] = [signingKey("RS256"), signingKey("ES256")]): { keys: object[] } {
  return { keys: of.map(({ jwk }) => jwk) };
}

/**
 * A signed JWT with exactly these claims: `iss`, `aud`, `exp` and the rest are up to the test. `none` and `HS256` (with
 * the RSA public key as the secret, unless given) are the two classic forgeries. `kid: null` leaves the header out.
 */
export function signIdToken(
  claims: Record<string, unknown>,
  {
    alg = "RS256",
    key,
    kid,
  }: { alg?: Alg | "none" | "HS256"; key?: KeyObject | SigningKey | string; kid?: string | null } = {},
): string {
  const own = signingKey(alg === "ES256" ? "ES256" : "RS256");
  const signer =
    typeof key === "object" && "privateKey" in key ? key : { kid: own.kid, privateKey: key ?? own.privateKey };
  const id = kid === undefined ? signer.kid : kid;
  const header = { alg, typ: "JWT", ...(id !== null && { kid: id }) };
  const input = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${input}.${signature(alg, input, signer.privateKey).toString("base64url")}`;
}

function signature(alg: Alg | "none" | "HS256", input: string, key: KeyObject | string): Buffer {
  if (alg === "none") return Buffer.alloc(0);
  if (alg === "HS256") {
    const secret = typeof key === "string" ? key : createPublicKey(key).export({ type: "spki", format: "pem" });
    return createHmac("sha256", secret).update(input).digest();
  }
  // JWS wants r and s side by side (RFC 7518 section 3.4), OpenSSL would give DER. RSA does not look at it.
  return sign("sha256", Buffer.from(input), { key: key as KeyObject, dsaEncoding: "ieee-p1363" });
}

function pick(routes: Routes, req: IncomingMessage): Route {
  const path = pathOf(req);
  const found = [`${req.method} ${path}`, `* ${path}`, "*"].find((key) => Object.hasOwn(routes, key));
  const route = found === undefined ? undefined : routes[found];
  const next = Array.isArray(route) ? route.shift() : route;
  return next ?? { status: 404, text: found ? `the script of ${found} is used up` : "no such route" };
}

function send(res: ServerResponse, { status = 200, headers = {}, json, form, text, bytes }: Reply): void {
  const [type, body] =
    json !== undefined
      ? ["application/json", JSON.stringify(json)]
      : form !== undefined
        ? ["application/x-www-form-urlencoded", new URLSearchParams(form).toString()]
        : text !== undefined
          ? ["text/plain; charset=utf-8", text]
          : [undefined, bytes];
  if (type) res.setHeader("content-type", type);
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
  res.writeHead(status).end(body);
}

function record(req: IncomingMessage, res: ServerResponse, body: string): Recorded {
  const { socket } = req;
  const before = socket.bytesWritten;
  return {
    method: req.method ?? "",
    path: pathOf(req),
    query: new URL(req.url ?? "/", "http://127.0.0.1").searchParams,
    headers: req.headers,
    body,
    form: new URLSearchParams(body),
    sent: () => socket.bytesWritten - before,
    closed: new Promise((resolve) => void res.once("close", resolve)),
  };
}

const pathOf = (req: IncomingMessage) => new URL(req.url ?? "/", "http://127.0.0.1").pathname;

async function readBody(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
