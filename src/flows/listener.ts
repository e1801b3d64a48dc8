/**
 * The loopback listener behind a redirect URI. Source: RFC 8252 §7.3, §8.3.
 *
 * Rules: bound before anybody is told its address; loopback addresses only; exact Host (DNS rebinding), exact path, GET
 * only; whatever does not fit is answered 4xx, reported and never ends the login. It knows nothing of OAuth.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Failure } from "../protocol/failure.ts";
import { type PageOutcome, page, type StrayStatus, strayPage } from "./page.ts";

export type Stray = "wrong_host" | "wrong_path" | "wrong_method" | "wrong_state" | "wrong_issuer";

export interface Callback {
  url: URL;
  /** Shows the page that says how it ended. */
  answer(outcome: PageOutcome): Promise<void>;
  /** Refuses it, as one that does not belong to this login. */
  refuse(): Promise<void>;
}

export interface Listener {
  /** With the port that was bound. */
  readonly redirectUri: string;
  /** What arrived, in order: callbacks, and strays that were refused here. Rejects when `signal` aborts. */
  next(signal: AbortSignal): Promise<{ callback: Callback } | { stray: Stray }>;
  /** Takes an address as if a browser had come with it; says why it does not belong here, if it does not. */
  offer(address: URL): Stray | undefined;
  close(): Promise<void>;
}

/** How long the last page may take to be fetched. */
const SLOWEST_READER_MS = 1000;

/** How much may be waiting to be looked at. */
const MAX_WAITING = 100;

export async function listen(redirectUri: string, { displayName }: { displayName: string }): Promise<Listener> {
  const wanted = new URL(redirectUri);
  // Taken apart by hand: URL drops port 80, and adds a slash to an empty path; the server compares strings.
  const [, host = "", wantedPort = "0", path = ""] =
    redirectUri.match(/^http:\/\/(\[[^\]]+\]|[^/:]+)(?::(\d+))?(.*)$/) ?? [];
  const servers = await bind(host, Number(wantedPort));
  const bound = `http://${host}:${portOf(servers[0])}${path}`;
  const authority = bound.slice("http://".length, bound.length - path.length);

  const arrived: ({ callback: Callback } | { stray: Stray })[] = [];
  let wake = () => {};
  const arrive = (what: (typeof arrived)[number]) => {
    if ("stray" in what && arrived.length >= MAX_WAITING) return; // answered, and not worth remembering
    arrived.push(what);
    wake();
  };

  const handle = (request: IncomingMessage, response: ServerResponse) => {
    const send = ({ status, headers, body }: ReturnType<typeof strayPage>) =>
      new Promise<void>((resolve) => {
        response.once("close", resolve);
        setTimeout(resolve, SLOWEST_READER_MS).unref();
        response.writeHead(status, headers).end(body);
      });
    const stray = (status: StrayStatus, what: Stray) => {
      void send(strayPage(status));
      arrive({ stray: what });
    };
    if (request.headers.host !== authority) return stray(421, "wrong_host");
    const target = request.url ?? "";
    const url =
      target.startsWith("/") && URL.canParse(`http://${authority}${target}`) && new URL(`http://${authority}${target}`);
    if (!url || url.pathname !== wanted.pathname) {
      if (url && url.pathname === "/favicon.ico") return void send(strayPage(404)); // every browser asks
      return stray(404, "wrong_path");
    }
    if (request.method !== "GET") return stray(405, "wrong_method");
    arrive({
      callback: {
        url,
        answer: (outcome) => send(page(outcome, { displayName })),
        refuse: () => send(strayPage(400)),
      },
    });
  };
  for (const server of servers) server.on("request", handle);

  return {
    redirectUri: bound,
    async next(signal) {
      for (;;) {
        const first = arrived.shift();
        if (first) return first;
        signal.throwIfAborted();
        await new Promise<void>((resolve) => {
          wake = resolve;
          signal.addEventListener("abort", () => resolve(), { once: true });
        });
      }
    },
    offer(address) {
      if (address.protocol !== "http:" || address.host !== new URL(bound).host) return "wrong_host";
      if (address.pathname !== wanted.pathname) return "wrong_path";
      arrive({ callback: { url: address, answer: async () => {}, refuse: async () => {} } });
      return undefined;
    },
    async close() {
      // A second callback is told that it came too late, and not just cut off.
      await Promise.all(arrived.map((what) => ("callback" in what ? what.callback.refuse() : undefined)));
      await Promise.all(servers.map(shut));
    },
  };
}

/** How often another port is drawn when the one that IPv4 gave is taken on IPv6. */
const DRAWS = 5;

/**
 * `localhost` may mean either family to a browser, so it is bound on both where the machine has both: whoever else had
 * the port on the other family would be sent the code.
 */
async function bind(host: string, port: number): Promise<[Server, ...Server[]]> {
  if (host !== "localhost") return [await listenOn(host.replace(/[[\]]/g, ""), port)];
  for (let draw = 1; ; draw++) {
    const first = await listenOn("127.0.0.1", port);
    try {
      return [first, await listenOn("::1", portOf(first))];
    } catch (error) {
      const code = ((error as Failure).details.cause as NodeJS.ErrnoException).code;
      if (code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT") return [first]; // no IPv6 here
      await shut(first);
      if (port !== 0 || draw === DRAWS) throw error;
    }
  }
}

const portOf = (server: Server) => (server.address() as AddressInfo).port;

function listenOn(host: string, port: number): Promise<Server> {
  const server = createServer({ maxHeaderSize: 64 * 1024, requestTimeout: 10_000, headersTimeout: 10_000 });
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(cannotBind(error, host, port)));
    server.listen({ host, port, exclusive: true }, () => resolve(server));
  });
}

function cannotBind(error: NodeJS.ErrnoException, host: string, port: number): Failure {
  const hint = "Free the port, or give a --redirect-uri that your client has registered with another one or with none.";
  if (error.code === "EADDRINUSE") {
    return new Failure("locked", `Port ${port} on ${host} is in use by another program.`, { cause: error, hint });
  }
  return new Failure("failed", `Cannot listen on ${host} port ${port} (${error.code ?? "unknown reason"}).`, {
    cause: error,
    hint,
  });
}

function shut(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
