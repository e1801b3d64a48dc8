/**
 * Compares a definition with its server.
 *
 * Rule, as with doctor: a report was asked for, so a report is a success, and `sound` says what it comes to. Who only looks
 * at the exit code says --strict.
 */
import { type Finding, warningsOf } from "../doctor/check.ts";
import { claimsOf, providerChecks } from "../doctor/provider.ts";
import { progress } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import { known, noSuchProvider } from "../providers/lookup.ts";
import { valuesIn } from "../providers/template.ts";
import { command, flag, provider } from "./command.ts";
import { setOption } from "./login_flags.ts";

/** An error has one line for everything. */
const TOLD_IN_ERROR = 3;

export const providerCheck = command({
  positionals: { provider },
  options: { set: setOption, strict: flag("end with an error when a check has failed") },
  examples: ["authline provider check gitlab", "authline provider check okta --set domain=acme.okta.com --strict"],
  ends: ["not_found", "network", "store", "config", "failed"],

  async *flow({ provider, set, strict }, ctx) {
    const found = await known(provider, ctx, { set: valuesIn(set) });
    if (!found) throw await noSuchProvider(provider, ctx);
    const { display_name } = found.written;
    yield progress("check", "started", `Asking the server of ${display_name} what it offers. No credential is sent.`);
    const claims = await claimsOf(found.written, ctx);
    const checks: (Finding & { check: string })[] = [];
    for (const { check, run } of providerChecks) {
      for (const finding of await run(claims, ctx)) checks.push({ check, ...finding });
    }
    const failures = checks.filter(({ state }) => state === "failed").length;
    const warnings = warningsOf(checks);
    const message = claims.silence
      ? `The server of ${display_name} does not answer: what the definition says cannot be compared with what it offers.`
      : failures > 0
        ? `${failures === 1 ? "One thing" : `${failures} things`} that the definition of ${provider} says ${failures === 1 ? "is" : "are"} not so.`
        : warnings.length > 0
          ? `What the definition of ${provider} says is so, as far as the server tells.`
          : `All that the definition of ${provider} says is so.`;
    if (strict && claims.silence) throw claims.silence;
    if (strict && failures > 0) {
      throw new Failure("failed", message, {
        hint: `See all of it: authline provider check ${provider}`,
        reason: "unsound",
        warnings: warnings.slice(0, TOLD_IN_ERROR),
      });
    }
    return {
      message,
      warnings,
      data: { provider, sound: failures === 0, checks: checks.map(({ fix: _, ...rest }) => rest) },
    };
  },
});
