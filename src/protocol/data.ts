/**
 * Outcome kinds: the shapes that `result.data` may have. A command names the kind that it ends with, and the machine
 * lets nothing else through.
 *
 * Rule: a secret stands in exactly one place, `token.access_token`. A `proof.proof` is of use for moments, and only with that.
 */
import * as z from "zod/mini";
import { AuditEntry } from "./audit.ts";
import { httpUrl, lazily, text, timestamp } from "./shapes.ts";
import { neutralise } from "./text.ts";

/** `pending`, `connected`, `expired` (refresh possible), `revoked` (login needed), `absent`; `unreadable`: who knows. */
export const RecordStatus = z.enum(["pending", "connected", "expired", "revoked", "absent", "unreadable"]);
export type RecordStatus = z.infer<typeof RecordStatus>;

const whose = { provider: text(), connection: text() };

/** RFC 9396 §2: what a server says was granted, in its own fields. */
const AuthorizationDetails = lazily(() =>
  z.array(z.record(z.string(), z.unknown())).check(z.overwrite((details) => neutralised(details) as typeof details)),
);

function neutralised(value: unknown): unknown {
  if (typeof value === "string") return neutralise(value);
  if (Array.isArray(value)) return value.map(neutralised);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [neutralise(name), neutralised(inner)]));
}

const ConnectionStatus = lazily(() =>
  z.object({
    ...whose,
    record_status: RecordStatus,
    issuer: z.optional(text(600)),
    client_id: z.optional(text()),
    flow: z.optional(z.string()),
    scope: z.optional(text(20_000)),
    authorization_details: z.optional(AuthorizationDetails()),
    expires_at: z.optional(timestamp()),
    refreshable: z.optional(z.boolean()),
    account: z.optional(text()),
    updated_at: z.optional(timestamp()),
    /** `env`: AUTHLINE_TOKEN_<PROVIDER> is handed out, whatever is stored. */
    source: z.optional(z.enum(["store", "env"])),
    /** Why a record that is there cannot be used. */
    problem: z.optional(text()),
  }),
);

const inList = () => ({
  ...whose,
  /** The one that is meant where none is named. */
  default: z.boolean(),
  record_status: RecordStatus,
  account: z.optional(text()),
  expires_at: z.optional(timestamp()),
});

/** The key that secrets are sealed with: where it is, and a name that tells nothing of it. */
const Key = lazily(() =>
  z.object({ source: z.enum(["env", "keyring", "file"]), id: z.string(), created_at: timestamp() }),
);

const SessionView = lazily(() =>
  z.object({
    session_id: z.string(),
    ...whose,
    state: z.enum(["pending", "completed", "failed", "expired", "cancelled"]),
    flow: z.string(),
    scope: z.optional(text(1200)),
    created_at: timestamp(),
    expires_at: timestamp(),
    ended_at: z.optional(timestamp()),
    /** A process works on it now. */
    driven: z.boolean(),
    /** Lines in its log. */
    events: z.optional(z.int()),
  }),
);

/** What a check has found. */
const Finding = lazily(() =>
  z.object({
    check: z.string(),
    state: z.enum(["ok", "warning", "failed", "skipped"]),
    message: text(1200),
    /** The command that mends it, for a shell. */
    fix: z.optional(text(4000)),
    /** What it is about, where that is one thing: a path, an issuer, a session, a field of a definition. */
    subject: z.optional(text(1200)),
  }),
);

/** Where a definition comes from: a login taught what is `learned`. */
const DefinitionSource = z.enum(["built_in", "user", "learned"]);

const Option = lazily(() =>
  z.object({
    name: z.string(),
    summary: z.string(),
    type: z.enum(["string", "boolean"]),
    repeatable: z.boolean(),
    /** Its heading, where the command has many. */
    group: z.optional(z.string()),
    /** What stands for the value in `usage`. */
    placeholder: z.optional(z.string()),
    default: z.optional(z.string()),
    choices: z.optional(z.array(z.string())),
    /** The environment variable, and the key of the configuration, that say it where it is not given. */
    env: z.optional(z.string()),
    config: z.optional(z.string()),
  }),
);

const Positional = lazily(() =>
  z.object({
    name: z.string(),
    summary: z.string(),
    required: z.boolean(),
    repeatable: z.boolean(),
    choices: z.optional(z.array(z.string())),
    env: z.optional(z.string()),
    config: z.optional(z.string()),
  }),
);

const CommandHelp = lazily(() =>
  z.object({
    name: z.string(),
    group: z.string(),
    usage: z.string(),
    summary: z.string(),
    positionals: z.array(Positional()),
    options: z.array(Option()),
    examples: z.array(z.string()),
    /** `codes`: each `status` that is no failure and each `error.code` that ends with this exit code. */
    exit_codes: z.array(z.object({ exit_code: z.int(), codes: z.array(z.string()), when: z.string() })),
    /** What may stand on its lines. */
    phases: z.array(z.string()),
    /** Who has its stdout: `stream`, or somebody else. */
    stdout: z.string(),
    /** What `data` of its result is, by name. */
    data: z.string(),
  }),
);

/** An environment variable. */
const Variable = lazily(() => z.object({ name: z.string(), summary: z.string() }));

/** Who may say who a credential is, in the order in which they are asked. */
export const whoamiSources = ["id_token", "userinfo", "introspection", "account"] as const;
export type WhoamiSource = (typeof whoamiSources)[number];

export const outcomes = {
  login: lazily(() =>
    z.object({
      ...whose,
      record_status: RecordStatus,
      scope: z.optional(text(1200)),
      expires_at: z.optional(timestamp()),
      account: z.optional(text()),
      session_id: z.optional(z.string()),
      /** With `started`: the challenges again, for readers that only see the end. */
      auth_url: z.optional(httpUrl()),
      user_code: z.optional(text()),
      verification_uri: z.optional(httpUrl()),
      verification_uri_complete: z.optional(httpUrl()),
    }),
  ),
  /** Of `login --import`. */
  import: lazily(() =>
    z.object({
      taken: z.array(z.object({ ...whose, variable: z.string(), account: z.optional(text()) })),
      /** `reason`: one word, or the `error.code` that it failed with. */
      skipped: z.array(
        z.object({
          variable: z.string(),
          provider: z.optional(text()),
          reason: z.string(),
          message: text(),
        }),
      ),
    }),
  ),
  token: lazily(() =>
    z.object({
      ...whose,
      access_token: z.string(),
      token_type: text(40),
      /** What it is sent in: `<name>: <prefix><access_token>`. */
      header: z.object({ name: text(), prefix: text() }),
      /** RFC 8693 §2.2.1: what it is, where it came of an exchange. */
      issued_token_type: z.optional(text()),
      scope: z.optional(text(20_000)),
      authorization_details: z.optional(AuthorizationDetails()),
      expires_at: z.optional(timestamp()),
      expires_in: z.optional(z.int()),
      refreshed: z.boolean(),
      /** Where it came from: the store, or AUTHLINE_TOKEN_<PROVIDER>. */
      source: z.enum(["store", "env"]),
    }),
  ),
  /** A DPoP proof for one request, and what it holds for (RFC 9449 §4.2). */
  proof: lazily(() =>
    z.object({
      ...whose,
      proof: z.string(),
      htm: text(40),
      htu: text(2400),
      expires_at: z.optional(timestamp()),
    }),
  ),
  whoami: lazily(() =>
    z.object({
      ...whose,
      /** Who said so. */
      source: z.enum(whoamiSources),
      /** What to call it: an e-mail address, a user name, or what there is. */
      account: z.optional(text()),
      /** OIDC Core §2 `sub`. */
      subject: z.optional(text()),
      email: z.optional(text()),
      name: z.optional(text()),
      issuer: z.optional(text(600)),
      /** Granted. */
      scope: z.optional(text(1200)),
      /** The server takes the access token: only introspection says so. */
      active: z.optional(z.boolean()),
      /** Of the access token. */
      expires_at: z.optional(timestamp()),
    }),
  ),
  status: lazily(() =>
    z.object({
      connections: z.array(ConnectionStatus()),
      /** What the secrets are sealed with, once there are some. */
      key: z.optional(Key()),
    }),
  ),
  logout: lazily(() =>
    z.object({
      connections: z.array(
        z.object({
          ...whose,
          record_status: RecordStatus,
          /** What was done: `refresh_token` and `access_token` revoked, `registered_client` and `local_record` deleted. */
          steps: z.array(
            z.object({
              step: z.enum(["refresh_token", "access_token", "registered_client", "local_record"]),
              state: z.enum(["done", "skipped", "failed"]),
              reason: z.optional(text(60)),
            }),
          ),
          /** Where a browser ends its own session with the server. */
          sign_out_url: z.optional(httpUrl()),
        }),
      ),
    }),
  ),
  doctor: lazily(() =>
    z.object({
      /** No check has failed. */
      healthy: z.boolean(),
      checks: z.array(Finding()),
    }),
  ),
  providers: lazily(() =>
    z.object({
      providers: z.array(
        z.object({
          name: text(),
          display_name: text(),
          /** What it gives out. */
          kinds: z.array(z.enum(["oauth", "api_key"])),
          source: DefinitionSource,
          /** A built-in one of this name is not used. */
          overrides: z.optional(z.literal(true)),
          /** What `login --set` has to say, or may. */
          variables: z.optional(z.array(text())),
          docs: z.optional(text(2400)),
          /** Why a definition that is there cannot be used. */
          problem: z.optional(text(1200)),
        }),
      ),
    }),
  ),
  provider: lazily(() =>
    z.object({
      name: text(),
      /** Of what counts from now on; absent: nothing is known of it any more. */
      source: z.optional(DefinitionSource),
      overrides: z.optional(z.literal(true)),
      /** The file that a definition of the user's own is in. */
      path: z.optional(text(4096)),
      definition: z.optional(z.record(z.string(), z.unknown())),
    }),
  ),
  provider_check: lazily(() =>
    z.object({
      provider: text(),
      /** No check has failed. */
      sound: z.boolean(),
      checks: z.array(Finding()),
    }),
  ),
  connections: lazily(() => z.object({ connections: z.array(z.object(inList())) })),
  connection: lazily(() => z.object({ ...inList(), renamed_from: z.optional(text()) })),
  /** `resealed`: how many records; `left`: how many cannot be opened, for which the old key is kept. */
  rekey: lazily(() => z.object({ key: Key(), resealed: z.int(), left: z.int() })),
  sessions: lazily(() => z.object({ sessions: z.array(SessionView()) })),
  session: SessionView,
  audit: lazily(() => z.object({ entries: z.array(AuditEntry()) })),
  config: lazily(() =>
    z.object({
      entries: z.array(
        z.object({
          key: z.string(),
          /** As it was written; absent where it is not set and has no default. */
          value: z.optional(text()),
          source: z.enum(["env", "config", "default"]),
          default: z.optional(z.string()),
        }),
      ),
    }),
  ),
  /** `path`: where it was written to; `add`: what has to stand in the shell's own start file. */
  completion: lazily(() =>
    z.object({ shell: z.string(), script: z.string(), path: z.optional(z.string()), add: z.optional(z.string()) }),
  ),
  candidates: lazily(() =>
    z.object({ candidates: z.array(z.object({ value: z.string(), summary: z.optional(z.string()) })) }),
  ),
  /** `text` is what a person reads, `commands` what a program reads. */
  help: lazily(() =>
    z.object({
      text: z.string(),
      commands: z.array(CommandHelp()),
      options: z.array(Option()),
      variables: z.array(Variable()),
    }),
  ),
  version: lazily(() => z.object({ version: z.string(), contract: z.int(), node: z.string() })),
  schema: lazily(() => z.object({ schema: z.record(z.string(), z.unknown()) })),
  skill: lazily(() =>
    z.object({
      name: z.string(),
      text: z.string(),
      /** With --install: where it was to go, and what came of it. */
      installed: z.optional(
        z.array(
          z.object({
            path: text(4096),
            state: z.enum(["written", "unchanged", "differs", "failed"]),
            /** Why it failed: the system's code. */
            reason: z.optional(text(60)),
          }),
        ),
      ),
    }),
  ),
} as const;

export type Kind = keyof typeof outcomes;
export type DataOf<K extends Kind> = z.infer<ReturnType<(typeof outcomes)[K]>>;
export type ConnectionStatus = z.infer<ReturnType<typeof ConnectionStatus>>;
export type SessionView = z.infer<ReturnType<typeof SessionView>>;
export type CommandHelp = z.infer<ReturnType<typeof CommandHelp>>;
export type OptionHelp = z.infer<ReturnType<typeof Option>>;
export type VariableHelp = z.infer<ReturnType<typeof Variable>>;
