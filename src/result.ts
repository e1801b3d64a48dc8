/** How a command or a session ended, as the line that says so; the stamp is the writer's. */
import { defined } from "./defined.ts";
import type { Outcome } from "./flow.ts";
import { codes, exits, type Failure } from "./protocol/failure.ts";
import type { ResultBody } from "./protocol/machine.ts";

export const succeeded = (outcome: Outcome): ResultBody => {
  const { status = "success", message, data, warnings = [], next_actions = [], session_id, replayed } = outcome;
  return {
    ...defined({ session_id, replayed }),
    phase: "result",
    message,
    status,
    exit_code: exits[status],
    warnings,
    next_actions,
    data,
  };
};

export function failed({ code, message, retryable, details }: Failure): ResultBody {
  const { session_id, replayed } = details;
  return {
    ...defined({ session_id, replayed }),
    phase: "result",
    message,
    status: code === "cancelled" ? "cancelled" : "error",
    exit_code: codes[code].exit,
    warnings: details.warnings ?? [],
    next_actions: details.next_actions ?? [],
    // The schema keeps what the contract declares and drops the rest (`cause`).
    error: { ...details, code, message, retryable },
  } as ResultBody;
}
