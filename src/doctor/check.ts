/**
 * What a check is, and what it finds.
 *
 * Rules: a check changes nothing and asks nobody; whatever it stumbles over is a finding, never an error of the command; the
 * command that mends it is a list of words, and becomes text in one place.
 */
import type { Context } from "../context.ts";
import { Failure } from "../protocol/failure.ts";
import { neutralise } from "../protocol/text.ts";
import { quoted } from "../quoted.ts";

export type State = "ok" | "warning" | "failed" | "skipped";

export interface Finding {
  state: State;
  message: string;
  /** The command that mends it: ours, or one of the system. */
  fix?: readonly string[] | undefined;
  /** What it is about, where that is one thing: a path, an issuer, a session. */
  subject?: string;
}

export interface Check {
  check: string;
  /** Said before it begins, where it may take long. */
  about?: string;
  run(ctx: Context, known: Known): Finding[] | Promise<Finding[]>;
}

/** What a check learns and a later one needs. */
export interface Known {
  /** The keys cannot be had: nothing sealed can be opened. */
  keyProblem?: boolean;
  /** By how many seconds the clocks of servers are ahead of ours. */
  skews: number[];
}

export const ok = (message: string, more: Partial<Finding> = {}): Finding => ({ state: "ok", message, ...more });
export const warning = (message: string, more: Partial<Finding> = {}): Finding => ({
  state: "warning",
  message,
  ...more,
});
export const failed = (message: string, more: Partial<Finding> = {}): Finding => ({
  state: "failed",
  message,
  ...more,
});
export const skipped = (message: string, more: Partial<Finding> = {}): Finding => ({
  state: "skipped",
  message,
  ...more,
});

/** What the store said when it could not do something; where to look for help is known by now. */
export function failedBy(error: unknown, more: Partial<Finding> = {}): Finding {
  if (!(error instanceof Failure)) throw error;
  const { hint = "" } = error.details;
  const advice = hint.includes("authline doctor") ? "" : hint;
  return failed([error.message, advice].filter(Boolean).join(" "), more);
}

/** The code of the system's error behind it. */
export function codeOf(error: unknown): string | undefined {
  const cause = error instanceof Failure ? error.details.cause : error;
  return (cause as NodeJS.ErrnoException | undefined)?.code;
}

/** At most `limit` of what is wrong, so that a report can be read, and how much more there is. */
export function capped(findings: readonly Finding[], limit = 20): Finding[] {
  if (findings.length <= limit) return [...findings];
  const rest = findings.slice(limit);
  const state = rest.some(({ state }) => state === "failed") ? "failed" : (rest[0]?.state ?? "ok");
  return [...findings.slice(0, limit), { state, message: `… and ${rest.length} more of the kind.` }];
}

/** What is wrong, for whoever only reads the warnings. */
export const warningsOf = (found: readonly (Finding & { check: string })[]) =>
  (["failed", "warning"] as const).flatMap((wanted) =>
    found.flatMap(({ check, state, message }) =>
      state === wanted ? [{ code: `${check}_${state}`, message: `${check}: ${message}` }] : [],
    ),
  );

/** For a shell, every word as one word. Undefined where a path has signs that no terminal may show. */
export function commandLine(words: readonly string[]): string | undefined {
  const text = words.map(quoted).join(" ");
  return neutralise(text) === text && text.length <= 1500 ? text : undefined;
}

/** "1 file", "2 files". */
export const counted = (count: number, what: string, many = `${what}s`) => `${count} ${count === 1 ? what : many}`;

/** "a, b and c". */
export function listed(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}
