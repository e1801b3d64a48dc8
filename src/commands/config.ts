/** What the config commands share: a setting as it is shown, and how one is found by its key. */
import { complaint, find, isKey, KEYS, type Key, settings } from "../config.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import type { Outcome } from "../flow.ts";
import { didYouMean } from "../nearest.ts";
import { Failure, type Warning } from "../protocol/failure.ts";

export const key = {
  summary: `which setting: ${KEYS.join(", ")}`,
  required: true,
  choices: KEYS,
  parse(raw: string, name: string): Key {
    if (isKey(raw)) return raw;
    throw noSetting(raw, name);
  },
} as const;

/** `known`: what may have been meant. */
export const noSetting = (raw: string, name: string, known: readonly string[] = KEYS) =>
  new Failure("usage", `${name} cannot be "${raw}".`, {
    hint: didYouMean(raw, known) ?? `It is one of ${KEYS.join(", ")}.`,
  });

/** How the settings are; one that cannot be used is shown as it stands, and warned of. */
export function shown(keys: readonly Key[], ctx: Context): Pick<Outcome<"config">, "data"> & { warnings: Warning[] } {
  const warnings: Warning[] = [];
  const entries = keys.map((key) => {
    const setting = settings[key];
    const initial = "default" in setting ? setting.default : undefined;
    const found = find(setting, ctx);
    const message = found && complaint(setting, found);
    if (message) warnings.push({ code: "unfit_setting", message });
    return {
      key,
      source: found?.source ?? ("default" as const),
      ...defined({ value: found?.value ?? initial, default: initial }),
    };
  });
  return { data: { entries }, warnings };
}

/** What was changed is not what counts while a variable says otherwise. */
export const overridden = (key: Key, { env }: Context): Warning[] => {
  const { env: name } = settings[key];
  if (!env(name)) return [];
  return [{ code: "overridden", message: `${name} is set in the environment, and comes first.` }];
};
