/** A login by the address of a protected resource: what is known of it before it is asked (resource.ts asks it). */
import { defined } from "../defined.ts";
import { Failure } from "../protocol/failure.ts";
import type { Definition } from "../providers/definition.ts";
import { covers } from "../providers/resource.ts";
import type { ConnectionView } from "../store/record.ts";
import { challengeIn, type Protected, union } from "./challenge.ts";
import type { Asked, Plan } from "./plan.ts";

/** Undefined where the provider is no protected resource. Throws `usage`. */
export function protectedOf(
  asked: Asked,
  { resource: address, display_name }: Definition,
  before: ConnectionView | undefined,
  client_of: string | undefined,
): Protected | undefined {
  const challenge = asked.challenge === undefined ? undefined : challengeIn(asked.challenge);
  if (address === undefined) {
    if (!challenge) return undefined;
    throw new Failure(
      "usage",
      `--challenge says nothing to ${display_name}: it is not known as a protected resource.`,
      {
        hint: "Sign in by the resource's address: authline login https://… --challenge 'Bearer …'",
      },
    );
  }
  const held = covers(before?.extras?.resource, address) ? before : undefined;
  return {
    address,
    ...defined({ challenge, issuer: asked.issuer, client_of }),
    ...(held && {
      held: { issuer: held.server?.issuer ?? "", ...defined({ scope: union(held.requested_scope, held.scope) }) },
    }),
  };
}

const MOST_STEPS = 3;

/** Whoever is refused again with what it has just been given would ask for ever. Source: MCP authorization, step-up. */
export function stepUp({ address, challenge }: Protected, before: ConnectionView | undefined): Plan["step_up"] {
  if (challenge?.error !== "insufficient_scope") return undefined;
  const scope = challenge.scope?.split(" ").sort().join(" ") ?? "";
  const times = before?.step_up?.scope === scope ? before.step_up.times + 1 : 1;
  if (times <= MOST_STEPS) return { scope, times };
  throw new Failure(
    "provider",
    `${address} asks for the scope ${scope} again, which was signed in for ${MOST_STEPS} times.`,
    {
      reason: "step_up",
      hint: "To sign in once more would not help: the account may not have that right. Without --challenge the count begins anew.",
    },
  );
}
