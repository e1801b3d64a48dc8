/** The commands, one line each; loaded when used. */
import type { Kind } from "../protocol/data.ts";
import type { Command } from "./command.ts";

export interface Entry {
  name: string;
  summary: string;
  /** What its `result.data` is. `any`: it has no result of its own, but shows that of another command. */
  kind: Kind | "any";
  /** Whether it may ask a person to do something (`auth_url`, `device_code`). */
  challenges?: true;
  /** Whether it takes what somebody pastes while it waits; with this option it does not wait. */
  pastes?: { unless: string };
  /** Whether what it does stands in the audit log: it changes a credential, or hands one out. */
  audited?: true;
  /** Who has its stdout, where that is not the stream of its own: as its help says it. */
  stdout?: string;
  load(): Promise<Command>;
}

// biome-ignore format: one line each
export const commands: readonly Entry[] = [
  { name: "login", summary: "sign in to a provider", kind: "login", challenges: true, pastes: { unless: "--no-wait" }, audited: true, load: async () => (await import("./login.ts")).login },
  { name: "token", summary: "print an access token, refreshed if need be", kind: "token", audited: true, load: async () => (await import("./token.ts")).token },
  { name: "proof", summary: "print a proof for one request with a token that is bound to a key (DPoP)", kind: "proof", audited: true, load: async () => (await import("./proof.ts")).proof },
  { name: "whoami", summary: "say whose credential it is, and who says so", kind: "whoami", audited: true, load: async () => (await import("./whoami.ts")).whoami },
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
  { name: "provider list", summary: "list the providers that are known by name", kind: "providers", load: async () => (await import("./provider_list.ts")).providerList },
  { name: "provider show", summary: "show what is known of one", kind: "provider", load: async () => (await import("./provider_show.ts")).providerShow },
  { name: "provider add", summary: "add a definition of your own, from a file or from what a server publishes", kind: "provider", load: async () => (await import("./provider_add.ts")).providerAdd },
  { name: "provider edit", summary: "change one in your editor", kind: "provider", load: async () => (await import("./provider_edit.ts")).providerEdit },
  { name: "provider remove", summary: "remove one of your own", kind: "provider", load: async () => (await import("./provider_remove.ts")).providerRemove },
  { name: "provider check", summary: "compare what is known of one with what its server publishes", kind: "provider_check", load: async () => (await import("./provider_check.ts")).providerCheck },
  { name: "config list", summary: "show the settings, and where each comes from", kind: "config", load: async () => (await import("./config_list.ts")).configList },
  { name: "config get", summary: "show one", kind: "config", load: async () => (await import("./config_get.ts")).configGet },
  { name: "config set", summary: "settle one, for every call that does not say otherwise", kind: "config", load: async () => (await import("./config_set.ts")).configSet },
  { name: "config unset", summary: "go back to the default", kind: "config", load: async () => (await import("./config_unset.ts")).configUnset },
  { name: "completion", summary: "print what makes a shell complete command lines, or put it where the shell looks", kind: "completion", load: async () => (await import("./completion.ts")).completion },
  { name: "complete", summary: "say what may come next on a command line, for a shell", kind: "candidates", stdout: "the shell that completes: a candidate a line, and behind a tab what it is", load: async () => (await import("./complete.ts")).complete },
  { name: "doctor", summary: "check what authline needs, and say how to mend what is wrong", kind: "doctor", load: async () => (await import("./doctor.ts")).doctor },
  { name: "audit", summary: "show what was done with credentials, and by whom", kind: "audit", load: async () => (await import("./audit.ts")).audit },
  { name: "render", summary: "draw a stream for people, and pass it on", kind: "any", challenges: true, stdout: "the stream that it is given, unchanged", load: async () => (await import("./render.ts")).render },
  { name: "skill", summary: "print what an agent has to know of authline, or put it where agents look", kind: "skill", load: async () => (await import("./skill.ts")).skill },
  { name: "schema", summary: "print the JSON Schema of the stream, of help or of a provider", kind: "schema", load: async () => (await import("./schema.ts")).schema },
];
