/** The device authorization grant. Source: RFC 8628. How it is polled for stands in poll.ts. */
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
import { type Grant, type GrantRequest, offersGrant } from "./grant.ts";
import { Pending, pendingFor, poll } from "./poll.ts";
import { atTokenEndpoint, quirkyHttp } from "./server.ts";
import { type Tokens, tokensFrom } from "./tokens.ts";
import { secondsUntil } from "./wait.ts";

const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code";

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
      tokens: (inner) =>
        poll({ grant: "device_code", pending: device, request, takenUp: earlier !== undefined, redeem }, inner),
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
    ...Pending(),
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

async function authorize(request: GrantRequest, ctx: Context): Promise<Device> {
  const { as, client, scope, extras } = request;
  const answer = await asking("The device authorization endpoint", async () => {
    const parameters = { ...defined({ scope }), ...authorizationParameters(extras) };
    const options = quirkyHttp(as, ctx);
    const response = await oauth.deviceAuthorizationRequest(as, client, authentication(client), parameters, options);
    return oauth.processDeviceAuthorizationResponse(as, client, response);
  });
  const complete = answer.verification_uri_complete;
  return {
    device_code: answer.device_code,
    user_code: answer.user_code,
    verification_uri: pageUrl("verification_uri", answer.verification_uri),
    ...defined({ verification_uri_complete: complete && pageUrl("verification_uri_complete", complete) }),
    ...pendingFor(answer, request, ctx),
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
