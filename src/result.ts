/** How a command or a session ended, as the line that says so; the stamp is the writer's. */
import { defined } from "./defined.ts";
import type { Outcome } from "./flow.ts";
import { asFailure, codes, exits, Failure, type Warning } from "./protocol/failure.ts";
import type { ResultBody } from "./protocol/machine.ts";

export const succeeded = (outcome: Outcome): ResultBody => {
  const { status = "success", message, data, warnings = [], next_actions = [] } = outcome;
  const { session_id, replayed, kind } = outcome;
  return {
    ...defined({ session_id, replayed, kind }),
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

/** The same end, with more that the reader should know. */
export function outcomeWith<O extends Outcome>(warnings: readonly Warning[], outcome: O): O {
  if (warnings.length === 0) return outcome;
  return { ...outcome, warnings: [...(outcome.warnings ?? []), ...warnings] };
}

export function failureWith(warnings: readonly Warning[], thrown: unknown): unknown {
  if (warnings.length === 0) return thrown;
  const { code, message, details } = asFailure(thrown);
  return new Failure(code, message, { ...details, warnings: [...(details.warnings ?? []), ...warnings] });
}
