/**
 * The device authorization grant. Source: RFC 8628.
 *
 * Rules: never polls faster than the server says (§3.5); `slow_down` adds 5 s for good; a connection that fails doubles
 * the pause and is tried again; the code's own life and --timeout both end it.
 */
import * as oauth from "oauth4webapi";
import * as z from "zod/mini";
import { sessionActions } from "../actions.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { type Flow, progress } from "../flow.ts";
import type { Notice } from "../protocol/event.ts";
import { Failure } from "../protocol/failure.ts";
import { lazily } from "../protocol/shapes.ts";
import { authentication } from "./client.ts";
import { authorizationParameters } from "./extras.ts";
import { asking } from "./faults.ts";
import { answerLost, type Grant, type GrantRequest, offersGrant } from "./grant.ts";
import { atTokenEndpoint, http } from "./server.ts";
import { type Tokens, tokensFrom } from "./tokens.ts";
import { heartbeat, secondsUntil, waitFor } from "./wait.ts";

const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code";
/** RFC 8628 §3.2 and §3.5. */
const DEFAULT_INTERVAL = 5;
const SLOW_DOWN = 5;
const MAX_INTERVAL = 60;

export const deviceCode: Grant = {
  title: "device code",
  attended: true,
  lacks: (as) =>
    as.device_authorization_endpoint && as.token_endpoint && offersGrant(as, GRANT_TYPE)
      ? undefined
      : "has no device authorization endpoint",

  async *open(request, ctx, saved) {
    const earlier = saved && Device().parse(saved);
    const device = earlier ?? (yield* ask(request, ctx));
    if (!request.announced) yield challenge(device, request, ctx);
    return {
      tokens: (inner) => poll(device, request, inner, earlier !== undefined),
      close: async () => {},
    };
  },
};

const Device = lazily(() =>
  z.object({
    device_code: z.string(),
    user_code: z.string(),
    verification_uri: z.string(),
    verification_uri_complete: z.optional(z.string()),
    /** RFC 3339: when the code, or the login, is out. */
    expires_at: z.string(),
    /** Seconds. */
    interval: z.number(),
    /** RFC 3339: the last time that the server was asked. */
    asked_at: z.string(),
  }),
);
type Device = z.infer<ReturnType<typeof Device>>;

async function* ask(request: GrantRequest, ctx: Context): Flow<Device> {
  yield progress("authorize", "started", `Asking ${request.definition.display_name} for a code.`);
  const device = await authorize(request, ctx);
  await request.save("device_code", device);
  return device;
}

function challenge(
  device: Device,
  { provider, connection, definition, session_id }: GrantRequest,
  ctx: Context,
): Notice {
  const { user_code, verification_uri, verification_uri_complete, expires_at, interval } = device;
  return {
    phase: "device_code",
    message: `Open ${verification_uri} and enter the code ${user_code} to sign in to ${definition.display_name}.`,
    provider,
    connection,
    user_code,
    verification_uri,
    ...defined({ verification_uri_complete }),
    expires_at,
    expires_in: Math.max(0, Math.round(secondsUntil(new Date(expires_at), ctx))),
    interval,
    next_actions: sessionActions(session_id),
  };
}

async function authorize({ as, client, scope, extras, deadline }: GrantRequest, ctx: Context): Promise<Device> {
  const answer = await asking("The device authorization endpoint", async () => {
    const parameters = { ...defined({ scope }), ...authorizationParameters(extras) };
    const response = await oauth.deviceAuthorizationRequest(as, client, authentication(client), parameters, http(ctx));
    return oauth.processDeviceAuthorizationResponse(as, client, response);
  });
  const now = ctx.now();
  const complete = answer.verification_uri_complete;
  return {
    device_code: answer.device_code,
    user_code: answer.user_code,
    verification_uri: pageUrl("verification_uri", answer.verification_uri),
    ...defined({ verification_uri_complete: complete && pageUrl("verification_uri_complete", complete) }),
    expires_at: new Date(Math.min(deadline.getTime(), now.getTime() + answer.expires_in * 1000)).toISOString(),
    interval: Math.min(answer.interval ?? DEFAULT_INTERVAL, MAX_INTERVAL),
    asked_at: now.toISOString(),
  };
}

/** A person is sent there: http(s) and nothing else, and written as the URL parser writes it. */
function pageUrl(field: string, value: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  const isWeb = url?.protocol === "https:" || url?.protocol === "http:";
  const href = url?.href.replaceAll("\\", "%5C") ?? ""; // a backslash would double in JSON
  const isPlain = url?.username === "" && url.password === "" && href.length <= 800;
  if (isWeb && isPlain) return href;
  throw new Failure(
    "provider",
    `The device authorization endpoint broke the protocol: ${field} is not a web address.`,
    {
      hint: "Nothing was opened.",
    },
  );
}

async function* poll(device: Device, request: GrantRequest, ctx: Context, takenUp: boolean): Flow<Tokens> {
  const until = new Date(device.expires_at);
  const heart = heartbeat(until, ctx);
  let { interval } = device;
  // What an earlier process sent, it sent before it ended; when it arrived nobody knows. So a whole interval from here.
  const since = -secondsUntil(new Date(device.asked_at), ctx);
  let pause = since > 2 * interval + SLOW_DOWN ? 0 : interval;
  for (let attempt = 0, isFirst = true; ; isFirst = false) {
    if (!(yield* heart.rest(pause))) throw tooLate(until, request);
    await request.save("device_code", { ...device, interval, asked_at: ctx.now().toISOString() });
    try {
      const tokens = yield* waitFor(redeem(device, request, ctx), until, ctx, heart);
      if (!tokens) throw tooLate(until, request);
      yield progress("exchange", "done", "The sign-in was approved.");
      return tokens;
    } catch (error) {
      if (!(error instanceof Failure) || ctx.signal.aborted) throw error;
      const { oauth_error, retry_after = 0 } = error.details;
      // An earlier process has used the code: one that has expired is said to have (RFC 8628 §3.5).
      if (takenUp && isFirst && oauth_error === "invalid_grant") throw answerLost();
      if (oauth_error === "authorization_pending") {
        attempt = 0;
        pause = interval;
      } else if (oauth_error === "slow_down") {
        attempt = 0;
        interval += SLOW_DOWN;
        pause = interval;
        await request.save("device_code", { ...device, interval, asked_at: ctx.now().toISOString() });
        heart.beat();
        yield progress("await_user", "waiting", `The server asks for more time: asking every ${interval} s now.`, {
          reason: "slow_down",
        });
      } else if (error.retryable && oauth_error === undefined) {
        attempt++;
        pause = Math.max(Math.min(interval * 2 ** attempt, MAX_INTERVAL), interval, retry_after);
        heart.beat();
        yield progress("await_user", "retrying", `${error.message} Trying again in ${pause} s.`, {
          attempt,
          retry_in: pause,
          reason: error.code,
        });
      } else {
        throw error;
      }
    }
  }
}

function tooLate(until: Date, { deadline }: GrantRequest): Failure {
  const ours = until.getTime() === deadline.getTime();
  return new Failure(ours ? "timeout" : "expired", "Nobody approved the request in time.", {
    hint: ours ? "Run the command again; --timeout sets how long it waits." : "Run the command again for a new code.",
  });
}

const redeem = ({ device_code }: Device, request: GrantRequest, ctx: Context): Promise<Tokens> =>
  asking("The token endpoint", async () => {
    const { as, client } = request;
    const response = await oauth.deviceCodeGrantRequest(
      as,
      client,
      authentication(client),
      device_code,
      atTokenEndpoint(request, ctx),
    );
    const answer = await oauth.processDeviceCodeResponse(as, client, response);
    return tokensFrom(answer, response, request, ctx);
  });
