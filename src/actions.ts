/** What to run next, as commands of ours: for `next_actions`, and for the hints that say the same in words. */
import { type Code, Failure, type NextAction } from "./protocol/failure.ts";

/** The arguments that name a connection, for an argv of ours. */
export const naming = (provider: string, connection: string) =>
  connection === "default" ? [provider] : [provider, "--connection", connection];

export const loginCommand = (provider: string, connection: string) =>
  ["authline", "login", ...naming(provider, connection)].join(" ");

export const loginAction = (provider: string, connection: string) => ({
  id: "login",
  argv: ["authline", "login", ...naming(provider, connection)],
  description: `Sign in to ${provider}.`,
});

/** For a sentence. */
export const whose = (provider: string, connection: string) =>
  connection === "default" ? provider : `${provider} under the name "${connection}"`;

const ANOTHER_TRY: ReadonlySet<Code> = new Set(["denied", "expired", "timeout", "network", "rate_limited", "locked"]);

/** The failure with the command to run next, where running it again may help. */
export function trySoon(error: unknown, action: NextAction): unknown {
  if (!(error instanceof Failure) || error.details.next_actions) return error;
  if (!ANOTHER_TRY.has(error.code) && !error.retryable) return error;
  return new Failure(error.code, error.message, { ...error.details, next_actions: [action] });
}
