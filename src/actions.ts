/** What to run next, as commands of ours: for `next_actions`, and for the hints that say the same in words. */
import type { Context } from "./context.ts";
import { type Code, Failure, type NextAction, type Warning } from "./protocol/failure.ts";

/** The arguments that name a connection, for an argv of ours. `standard`: the one that is meant where none is named. */
export const naming = (provider: string, connection: string, standard = "default") =>
  connection === standard ? [provider] : [provider, "--connection", connection];

/**
 * The connection that is meant where none is named. Where it is not needed for that, one that cannot be read keeps nobody from
 * anything: no connection is called "", so that whatever is to be run next names its connection.
 */
export async function standardOf(
  provider: string,
  isNeeded: boolean,
  { store }: Pick<Context, "store">,
): Promise<string> {
  try {
    return await store.standard(provider);
  } catch (error) {
    if (isNeeded || !(error instanceof Failure)) throw error;
    return "";
  }
}

/** What is said of the others where that one cannot be known; rejects what is nobody's fault but ours. */
export function unknownStandard(error: unknown): Warning {
  if (!(error instanceof Failure) || !["store", "config"].includes(error.code)) throw error;
  return { code: error.code === "store" ? "unreadable" : "unfit_setting", message: error.message };
}

export const loginCommand = (provider: string, connection: string, standard?: string) =>
  ["authline", "login", ...naming(provider, connection, standard)].join(" ");

export const loginAction = (provider: string, connection: string, standard?: string) => ({
  id: "login",
  argv: ["authline", "login", ...naming(provider, connection, standard)],
  description: `Sign in to ${provider}.`,
});

const SESSION_ACTIONS = {
  wait: { argv: ["session", "wait"], more: [], description: "Wait for the sign-in to end." },
  callback: {
    argv: ["session", "callback"],
    more: ["--url", "-"],
    description: "Finish it with the address that a browser elsewhere ended at, given on stdin.",
  },
  cancel: { argv: ["session", "cancel"], more: [], description: "Give the sign-in up." },
};

/** What can be done about a session that waits for somebody. */
export function sessionActions(session_id: string | undefined, ...doors: "callback"[]): NextAction[] {
  if (session_id === undefined) return [];
  return (["wait", ...doors, "cancel"] as const).map((id) => {
    const { argv, more, description } = SESSION_ACTIONS[id];
    return { id, argv: ["authline", ...argv, session_id, ...more], description };
  });
}

/** For a sentence. `standard`: the connection that is meant where none is named. */
export const whose = (provider: string, connection: string, standard = "default") =>
  connection === standard ? provider : `${provider} under the name "${connection}"`;

const ANOTHER_TRY: ReadonlySet<Code> = new Set(["denied", "expired", "timeout", "network", "rate_limited", "locked"]);

/** The failure with the command to run next, where running it again may help. */
export function trySoon(error: unknown, action: NextAction): unknown {
  if (!(error instanceof Failure) || error.details.next_actions?.length) return error;
  if (!ANOTHER_TRY.has(error.code) && !error.retryable) return error;
  return new Failure(error.code, error.message, { ...error.details, next_actions: [action] });
}
