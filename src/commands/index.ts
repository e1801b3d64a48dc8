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
  /** Whether what it does stands in the audit log: it changes a credential, or hands one out. */
  audited?: true;
  load(): Promise<Command>;
}

// biome-ignore format: one line each
export const commands: readonly Entry[] = [
  { name: "login", summary: "sign in to a provider", kind: "login", challenges: true, audited: true, load: async () => (await import("./login.ts")).login },
  { name: "token", summary: "print an access token, refreshed if need be", kind: "token", audited: true, load: async () => (await import("./token.ts")).token },
  { name: "status", summary: "show who is signed in where", kind: "status", load: async () => (await import("./status.ts")).status },
  { name: "logout", summary: "revoke and forget a credential", kind: "logout", audited: true, load: async () => (await import("./logout.ts")).logout },
  { name: "connection list", summary: "list the connections, and which one is meant where none is named", kind: "connections", load: async () => (await import("./connection_list.ts")).connectionList },
  { name: "connection default", summary: "choose which one is meant where none is named", kind: "connection", audited: true, load: async () => (await import("./connection_default.ts")).connectionDefault },
  { name: "connection rename", summary: "give one another name", kind: "connection", audited: true, load: async () => (await import("./connection_rename.ts")).connectionRename },
  { name: "connection remove", summary: "forget one here, and leave its tokens as they are at the server", kind: "connection", audited: true, load: async () => (await import("./connection_remove.ts")).connectionRemove },
  { name: "store rekey", summary: "seal everything with a new key", kind: "rekey", audited: true, load: async () => (await import("./store_rekey.ts")).storeRekey },
  { name: "session list", summary: "list the sign-ins that wait for somebody, and those that ended", kind: "sessions", load: async () => (await import("./session_list.ts")).sessionList },
  { name: "session show", summary: "show one", kind: "session", load: async () => (await import("./session_show.ts")).sessionShow },
  { name: "session wait", summary: "show what happened in one so far, and wait for its end", kind: "login", challenges: true, audited: true, load: async () => (await import("./session_wait.ts")).sessionWait },
  { name: "session callback", summary: "finish one with the address that a browser elsewhere ended at", kind: "login", audited: true, load: async () => (await import("./session_callback.ts")).sessionCallback },
  { name: "session cancel", summary: "give one up", kind: "session", audited: true, load: async () => (await import("./session_cancel.ts")).sessionCancel },
  { name: "doctor", summary: "check what authline needs, and say how to mend what is wrong", kind: "doctor", load: async () => (await import("./doctor.ts")).doctor },
  { name: "audit", summary: "show what was done with credentials, and by whom", kind: "audit", load: async () => (await import("./audit.ts")).audit },
  { name: "schema", summary: "print the JSON Schema of the stream", kind: "schema", load: async () => (await import("./schema.ts")).schema },
];
