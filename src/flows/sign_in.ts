/** A login: what the server is, which grant will do, the tokens, and that they are kept. */
import type { Context } from "../context.ts";
import type { Flow, Outcome } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import type { Grant as GrantName } from "../providers/definition.ts";
import { authMethod } from "./client.ts";
import type { Grant, GrantRequest } from "./grant.ts";
import { grantFlows } from "./index.ts";
import { keep } from "./keep.ts";
import type { PageOutcome } from "./page.ts";
import type { Plan } from "./plan.ts";
import { type AuthorizationServer, authorizationServer } from "./server.ts";

export async function* signIn(plan: Plan, ctx: Context): Flow<Outcome<"login">> {
  const as = yield* authorizationServer(plan.definition, ctx);
  const { grant, flow } = await chooseGrant(plan, as, ctx);
  const request: GrantRequest = {
    ...plan,
    as,
    client: {
      ...plan.client,
      token_endpoint_auth_method: authMethod(as, plan.definition, plan.client.client_secret),
    },
    scope: plan.scope ?? modestScope(flow, as),
    save: async () => {},
  };
  const door = yield* grant.open(request, ctx);
  let ending: PageOutcome = "failed";
  try {
    const tokens = yield* door.tokens();
    const kept = yield* keep({ request, flow, tokens, taught: plan.taught }, ctx);
    ending = "signed_in"; // only now: what the page says must be true
    return kept;
  } catch (error) {
    if (error instanceof Failure && error.code === "denied") ending = "denied";
    throw error;
  } finally {
    await door.close(ending);
  }
}

/** Where nobody says what to ask for: who signs in, and to stay signed in, if the server has words for that. */
function modestScope(flow: GrantName, { scopes_supported = [] }: AuthorizationServer): string | undefined {
  if (flow === "client_credentials") return undefined;
  return ["openid", "offline_access"].filter((scope) => scopes_supported.includes(scope)).join(" ") || undefined;
}

/**
 * `auto` takes the first that the server can do, in the definition's order, else the redirect before the device code;
 * but the redirect gives way to the device code where no browser can reach this host.
 */
async function chooseGrant(
  { flow: asked, definition, browser }: Plan,
  as: AuthorizationServer,
  ctx: Context,
): Promise<{ flow: GrantName; grant: Grant }> {
  const names = asked === "auto" ? (definition.grants ?? (["authorization_code", "device_code"] as const)) : [asked];
  const lacking: string[] = [];
  const able: { flow: GrantName; grant: Grant }[] = [];
  for (const flow of names) {
    const grant = await grantFlows[flow]();
    const lack = grant.lacks(as);
    if (lack === undefined) able.push({ flow, grant });
    else lacking.push(`it ${lack}`);
  }
  const reachable = browser === "always" || ctx.browser.reachesThisHost;
  const chosen = able.find(({ flow }) => reachable || flow !== "authorization_code") ?? able[0];
  if (chosen) return chosen;
  throw new Failure("config", `${definition.display_name} cannot be signed in to this way: ${lacking.join(", ")}.`, {
    hint: "Try another --flow.",
  });
}
