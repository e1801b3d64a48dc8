/** The commands, one line each; loaded when used. */
import type { Kind } from "../protocol/data.ts";
import type { Command } from "./command.ts";

export interface Entry {
  name: string;
  summary: string;
  /** What its `result.data` is. */
  kind: Kind;
  /** Whether it may ask a person to do something (`auth_url`, `device_code`). */
  challenges?: true;
  load(): Promise<Command>;
}

// biome-ignore format: one line each
export const commands: readonly Entry[] = [
  { name: "login", summary: "sign in to a provider", kind: "login", challenges: true, load: async () => (await import("./login.ts")).login },
  { name: "token", summary: "print an access token, refreshed if need be", kind: "token", load: async () => (await import("./token.ts")).token },
  { name: "status", summary: "show who is signed in where", kind: "status", load: async () => (await import("./status.ts")).status },
  { name: "logout", summary: "revoke and forget a credential", kind: "logout", load: async () => (await import("./logout.ts")).logout },
  { name: "session list", summary: "list the sign-ins that wait for somebody, and those that ended", kind: "sessions", load: async () => (await import("./session_list.ts")).sessionList },
  { name: "session show", summary: "show one", kind: "session", load: async () => (await import("./session_show.ts")).sessionShow },
  { name: "session wait", summary: "show what happened in one so far, and wait for its end", kind: "login", challenges: true, load: async () => (await import("./session_wait.ts")).sessionWait },
  { name: "session callback", summary: "finish one with the address that a browser elsewhere ended at", kind: "login", load: async () => (await import("./session_callback.ts")).sessionCallback },
  { name: "session cancel", summary: "give one up", kind: "session", load: async () => (await import("./session_cancel.ts")).sessionCancel },
  { name: "schema", summary: "print the JSON Schema of the stream", kind: "schema", load: async () => (await import("./schema.ts")).schema },
];
