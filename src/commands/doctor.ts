/**
 * Says what is well and what is not, and how to mend it. It changes nothing.
 *
 * Rule: a report was asked for, so a report is a success, and `healthy` says what it comes to; a result that is an error
 * could not carry it. Who only looks at the exit code says --strict.
 */
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import { commandLine, type Finding, failed, type Known, type State, warningsOf } from "../doctor/check.ts";
import { checks } from "../doctor/checks.ts";
import { progress } from "../flow.ts";
import { asFailure, Failure, type NextAction } from "../protocol/failure.ts";
import { command, flag } from "./command.ts";

/** How a state is called in the stream. */
const STATES = { ok: "done", warning: "done", failed: "failed", skipped: "skipped" } as const;

/** An error has one line for everything. */
const TOLD_IN_ERROR = 3;

export const doctor = command({
  positionals: {},
  options: { strict: flag("end with an error when a check has failed") },
  examples: ["authline doctor", "authline doctor --strict", "authline doctor | jq 'select(.phase==\"result\").data'"],
  ends: ["failed"],

  async *flow({ strict }, ctx) {
    const known: Known = { skews: [] };
    const found: (Finding & { check: string })[] = [];
    for (const { check, about, run } of checks) {
      if (about !== undefined) yield progress("check", "started", about);
      for (const finding of await findings(() => run(ctx, known), ctx)) {
        const { state, message } = finding;
        found.push({ check, ...finding });
        const reason = state === "warning" ? { reason: state } : {};
        yield progress("check", STATES[state], `${check}: ${message}`, reason);
      }
    }
    const withState = (...states: State[]) => found.filter(({ state }) => states.includes(state));
    const failures = withState("failed");
    const wrong = [...failures, ...withState("warning")];
    const warnings = warningsOf(found);
    const message = summary(failures.length, wrong.length - failures.length);
    const next_actions = actionsIn(wrong);
    if (strict && failures.length > 0) {
      throw new Failure("failed", message, {
        hint: "See all of it: authline doctor",
        reason: "unhealthy",
        warnings: warnings.slice(0, TOLD_IN_ERROR),
        next_actions: next_actions.slice(0, TOLD_IN_ERROR),
      });
    }
    return {
      message,
      warnings,
      next_actions,
      data: {
        healthy: failures.length === 0,
        checks: found.map(({ fix, ...rest }) => ({ ...rest, ...defined({ fix: fix && commandLine(fix) }) })),
      },
    };
  },
});

/** Of whoever looks for a fault, none must be hidden by another one, not even by one of ours. */
async function findings(run: () => Finding[] | Promise<Finding[]>, { signal }: Context): Promise<Finding[]> {
  try {
    return await run();
  } catch (error) {
    signal.throwIfAborted();
    return [failed(asFailure(error).message)];
  }
}

function summary(failures: number, warned: number): string {
  const mend = `${failures === 1 ? "One thing has" : `${failures} things have`} to be mended`;
  const know = `${warned === 1 ? "one thing is" : `${warned} things are`} worth knowing`;
  if (failures === 0) return warned === 0 ? "All is well." : `It works; ${know}.`;
  return warned === 0 ? `${mend}.` : `${mend}, and ${know}.`;
}

/** The fixes that are commands of ours, each once. */
function actionsIn(findings: readonly Finding[]): NextAction[] {
  const actions = new Map<string, NextAction>();
  for (const { fix, message } of findings) {
    if (fix?.[0] !== "authline") continue;
    const words = fix.slice(1).filter((word) => /^[a-z]+$/.test(word));
    actions.set(fix.join(" "), { id: words[0] ?? "fix", argv: [...fix], description: message });
  }
  return [...actions.values()].slice(0, 10);
}
