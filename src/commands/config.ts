/** What the config commands share: a setting as it is shown, and how one is found by its key. */
import { closest, distance } from "fastest-levenshtein";
import { find, settings } from "../config.ts";
import type { Context } from "../context.ts";
import { defined } from "../defined.ts";
import type { Outcome } from "../flow.ts";
import { Failure, type Warning } from "../protocol/failure.ts";

export type Key = keyof typeof settings;
export const KEYS = Object.keys(settings) as Key[];

const isKey = (raw: string): raw is Key => Object.hasOwn(settings, raw);

export const key = {
  summary: `which setting: ${KEYS.join(", ")}`,
  required: true,
  choices: KEYS,
  parse(raw: string, name: string): Key {
    if (isKey(raw)) return raw;
    const nearest = closest(raw, KEYS) as Key;
    const isNear = distance(raw, nearest) <= Math.ceil(nearest.length / 3);
    throw new Failure("usage", `${name} cannot be "${raw}".`, {
      hint: isNear ? `Did you mean ${nearest}?` : `It is one of ${KEYS.join(", ")}.`,
    });
  },
} as const;

/** How the settings are; one that cannot be used is shown as it stands, and warned of. */
export function shown(keys: readonly Key[], ctx: Context): Pick<Outcome<"config">, "data"> & { warnings: Warning[] } {
  const warnings: Warning[] = [];
  const entries = keys.map((key) => {
    const setting = settings[key];
    const initial = "default" in setting ? setting.default : undefined;
    const found = find(setting, ctx);
    const message = found && complaintOf(() => setting.parse(found.value, found.name));
    if (message) warnings.push({ code: "unfit_setting", message });
    return {
      key,
      source: found?.source ?? ("default" as const),
      ...defined({ value: found?.value ?? initial, default: initial }),
    };
  });
  return { data: { entries }, warnings };
}

function complaintOf(check: () => unknown): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return error.message;
  }
}

/** What was changed is not what counts while a variable says otherwise. */
export const overridden = (key: Key, { env }: Context): Warning[] => {
  const { env: name } = settings[key];
  if (!env(name)) return [];
  return [{ code: "overridden", message: `${name} is set in the environment, and comes first.` }];
};
