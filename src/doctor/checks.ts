/** What is checked, in order: what a later check builds on comes first. */
import { audit } from "./audit.ts";
import type { Check } from "./check.ts";
import { home, modes, store } from "./home.ts";
import { key, keyring } from "./key.ts";
import { leftovers, records } from "./records.ts";
import { clock, issuers, proxy } from "./servers.ts";
import { browser, runtime, terminal } from "./surroundings.ts";
import { locks, refreshes, sessions } from "./underway.ts";

export const checks: readonly Check[] = [
  { check: "runtime", run: runtime },
  { check: "home", run: home },
  { check: "modes", run: modes },
  { check: "store", run: store },
  { check: "key", about: "Looking for the key.", run: key },
  { check: "keyring", about: "Asking the OS keyring.", run: keyring },
  { check: "records", about: "Reading the records.", run: records },
  { check: "leftovers", run: leftovers },
  { check: "refreshes", run: refreshes },
  { check: "locks", run: locks },
  { check: "sessions", run: sessions },
  { check: "audit", run: audit },
  { check: "issuers", about: "Asking the servers.", run: issuers },
  { check: "clock", run: clock },
  { check: "proxy", run: proxy },
  { check: "browser", run: browser },
  { check: "terminal", run: terminal },
];
