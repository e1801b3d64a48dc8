/**
 * Definitions with variables: `https://{domain}/oauth2/token` and what stands for `{domain}`. The only place where the one
 * is put in for the other.
 *
 * Rules: a value is one word, of hosts and paths that nobody can leave with it; every address that comes out is checked like
 * one that was written so; another value is another server.
 */
import { Failure } from "../protocol/failure.ts";
import type { Definition } from "./definition.ts";
import { isSecureUrl } from "./url.ts";

export type Values = Record<string, string>;

/** A host name or one word of it, and a port if need be. */
export const STANDARD_PATTERN = "^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$";

/** Whatever a pattern allows: these would end the part of an address that a value stands in, or name somebody in it. */
const UNFIT = /[^\x21-\x7e]|[/\\?#@%{}]|^\.+$/;

const VARIABLE = /\{([a-z_]+)\}/g;

/** Microsoft's issuer says `{tenantid}` itself: there it is no variable of ours. */
const isForeignOnPurpose = (name: string, { quirks = [] }: Definition) =>
  name === "tenantid" && quirks.includes("issuer_per_tenant");

/** Which variables stand in addresses and hosts, and which of them are declared nowhere. */
export function namesIn(definition: Definition): { used: ReadonlySet<string>; foreign: string[] } {
  const used = new Set<string>();
  mapped(definition, (text) => {
    for (const [, name = ""] of text.matchAll(VARIABLE)) if (!isForeignOnPurpose(name, definition)) used.add(name);
    return text;
  });
  return { used, foreign: [...used].filter((name) => !Object.hasOwn(definition.variables ?? {}, name)) };
}

/** The definition of the one server that these values, and defaults for the others, make of it. Throws `config`. */
export function filled(definition: Definition, given: Values): Definition {
  const { variables = {}, ...rest } = definition;
  const values: Values = {};
  const missing: string[] = [];
  for (const [name, { example, default: standard }] of Object.entries(variables)) {
    const value = Object.hasOwn(given, name) ? given[name] : standard;
    if (value === undefined) missing.push(`${name}=${example}`);
    else values[name] = fitting(name, value, definition);
  }
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(variables, name));
  if (unknown !== undefined) {
    const known = Object.keys(variables);
    throw new Failure("config", `${definition.display_name} has nothing to set that is called ${unknown}.`, {
      hint: known.length === 0 ? "It has no variables: leave --set out." : `There is ${known.join(", ")}.`,
    });
  }
  if (missing.length > 0) {
    const what = Object.keys(variables).filter((name) => missing.some((each) => each.startsWith(`${name}=`)));
    const told = what.map((name) => `${name} (${variables[name]?.summary})`).join(" and ");
    throw new Failure("config", `${definition.display_name} needs to know ${told}.`, {
      hint: `For example: ${missing.map((each) => `--set ${each}`).join(" ")}`,
    });
  }
  if (Object.keys(variables).length === 0) return rest;
  const put = (text: string) => text.replace(VARIABLE, (whole, name: string) => values[name] ?? whole);
  return mapped(rest, put, (address, path) => {
    if (isSecureUrl(address)) return;
    throw new Failure("config", `With these values ${path} is no https address: ${address.slice(0, 300)}`, {
      hint: "Check what is given with --set.",
    });
  });
}

function fitting(name: string, value: string, { display_name, variables = {} }: Definition): string {
  const { pattern = STANDARD_PATTERN, summary = "", example = "" } = variables[name] ?? {};
  if (value.length <= 253 && !UNFIT.test(value) && new RegExp(pattern).test(value)) return value;
  throw new Failure("config", `${name} of ${display_name} cannot be "${value.slice(0, 100)}".`, {
    hint: `It is ${summary.charAt(0).toLowerCase()}${summary.slice(1)}, such as ${example}.`,
  });
}

/** `NAME=VALUE`, as `--set` gives them. Throws `usage`. */
export function valuesIn(settings: readonly string[]): Values {
  const values: Values = {};
  for (const setting of settings) {
    const [, name = "", value = ""] = setting.match(/^([^=]*)=(.*)$/s) ?? [];
    if (Object.hasOwn(values, name)) {
      throw new Failure("usage", `--set says ${name} twice.`, { hint: "Give each variable once." });
    }
    values[name] = value;
  }
  return values;
}

/** Whether an address is on one of the hosts of an API. Either may still have variables. */
export function isUnder(address: string, hosts: readonly string[]): boolean {
  const [, host = ""] = address.match(/^\w+:\/\/([^/?#]+)/) ?? [];
  return hosts.some((allowed) => (allowed.startsWith(".") ? host.endsWith(allowed) : host === allowed));
}

/** The same with other texts in every address and host; `check` sees each address that came out. */
function mapped(
  definition: Definition,
  text: (each: string) => string,
  check: (address: string, path: string) => void = () => {},
): Definition {
  const url = (value: string, path: string) => {
    const made = text(value);
    check(made, path);
    return made;
  };
  const { issuer, endpoints, account, api, api_key, client_registration } = definition;
  const verify = api_key?.verify;
  return {
    ...definition,
    ...(issuer !== undefined && { issuer: url(issuer, "issuer") }),
    ...(endpoints && {
      endpoints: Object.fromEntries(
        Object.entries(endpoints).map(([name, value]) => [name, url(value as string, `endpoints.${name}`)]),
      ),
    }),
    ...(account && { account: { ...account, endpoint: url(account.endpoint, "account.endpoint") } }),
    ...(api && { api: { ...api, hosts: api.hosts.map((host) => text(host).toLowerCase()) } }),
    ...(api_key && {
      api_key: {
        ...api_key,
        ...(api_key.create_url !== undefined && { create_url: url(api_key.create_url, "api_key.create_url") }),
        ...(verify && { verify: { ...verify, endpoint: url(verify.endpoint, "api_key.verify.endpoint") } }),
      },
    }),
    ...(client_registration !== undefined && {
      client_registration: url(client_registration, "client_registration"),
    }),
  };
}
