import { loginAction, whose } from "../actions.ts";
import { connectionOption, settings } from "../config.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import type { Flow } from "../flow.ts";
import { waitForStdin } from "../flows/wait.ts";
import { meant, storedFor } from "../meant.ts";
import { Failure, type Warning } from "../protocol/failure.ts";
import { isSecureUrl } from "../providers/url.ts";
import { timeToLive } from "../store/record.ts";
import { command, text } from "./command.ts";

const usage = (message: string, hint: string) => new Failure("usage", message, { hint });

/** RFC 9110 §9.1: in the letters that the request will have. */
function checkMethod(raw: string, name: string): void {
  if (/^[A-Z-]{1,20}$/.test(raw)) return;
  throw usage(`${name} is not an HTTP method.`, "It is a word in capitals, such as GET or POST.");
}

function checkUrl(raw: string, name: string): void {
  if (raw === "-" || (isSecureUrl(raw) && raw.length <= MAX_URL)) return;
  throw usage(`${name} is not an address that a token may be sent to.`, "It is https, or http on this machine.");
}

const MAX_URL = 2000;

/** RFC 9449 §8.1. */
function checkNonce(raw: string, name: string): void {
  if (/^[\x21\x23-\x5b\x5d-\x7e]{1,1000}$/.test(raw)) return;
  throw usage(`${name} is not a nonce.`, "It is what stands in the DPoP-Nonce header of the server's answer.");
}

export const proof = command({
  positionals: { provider: settings.provider },
  options: {
    connection: connectionOption,
    method: { ...text("the method of the request", "METHOD", checkMethod), default: "GET" },
    url: { ...text("the address of the request; - reads it from stdin", "URL|-", checkUrl), default: "-" },
    nonce: text("what the server gave in the DPoP-Nonce header of its last answer", "NONCE", checkNonce),
  },
  examples: [
    "authline proof acme --url https://api.acme.example/me | jq -r 'select(.phase==\"result\").data.proof'",
    "authline proof acme --connection work --method POST --url https://api.acme.example/things --nonce eyJ7S_zG",
  ],
  ends: ["auth_required", "store", "config"],

  async *flow({ provider: asked, connection: name, method, url: address, nonce }, ctx) {
    const { given, ...named } = await meant(asked, name, ctx);
    const { target, provider, connection, standard } = named;
    const stored = given ? undefined : await storedFor(named, ctx);
    const { access_token, dpop_key: key } = stored?.secrets ?? {};
    if (!stored || access_token === undefined || key === undefined) {
      const { argv, ...action } = loginAction(target, connection, standard);
      throw new Failure("auth_required", `There is no token bound to a key for ${whose(target, connection)}.`, {
        hint: given
          ? `${given.name} is handed out, which needs no proof.`
          : `Sign in for one: ${[...argv, "--dpop"].join(" ")}`,
        next_actions: given ? [] : [{ ...action, argv: [...argv, "--dpop"] }],
      });
    }
    const { headersFor } = await import("../flows/dpop.ts");
    const url = new URL(address === "-" ? yield* onStdin(ctx) : address);
    const { dpop } = await headersFor({ key, access_token, method, url, nonce });
    const hasEnded = timeToLive(stored, ctx.now()) <= 0;
    return {
      message: `A proof for one ${method} of ${url.origin}${url.pathname}.`,
      warnings: hasEnded ? [ENDED] : [],
      data: {
        provider,
        connection,
        proof: dpop,
        htm: method,
        htu: `${url.origin}${url.pathname}`,
        ...defined({ expires_at: stored.expires_at }),
      },
    };
  },
});

/** Seconds. */
const PATIENCE = 60;

async function* onStdin(ctx: Context): Flow<string> {
  const until = new Date(ctx.now().getTime() + PATIENCE * 1000);
  let given: string | undefined = "";
  try {
    given = yield* waitForStdin(MAX_URL + 2, until, ctx);
  } catch (error) {
    ctx.signal.throwIfAborted();
    if ((error as { code?: string }).code !== "TOO_LONG") throw error;
  }
  if (given === undefined) throw usage(`Nothing came on stdin within ${PATIENCE} s.`, "Give the address with --url.");
  checkUrl(given === "-" ? "" : given, "What stands on stdin");
  return given;
}

const ENDED: Warning = {
  code: "token_expired",
  message: "The access token that it goes with has ended: authline token gets a new one, which needs a new proof.",
};
