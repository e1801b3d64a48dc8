/**
 * A login that outlives its process.
 *
 * Rules: everything that another process needs to go on stands in the record; what of it is secret stands under
 * `secrets`, which is sealed, and gone when the session ends.
 */
import { isDeepStrictEqual } from "node:util";
import * as z from "zod/mini";
import { defined } from "../defined.ts";
import { Extras } from "../flows/extras.ts";
import type { Plan } from "../flows/plan.ts";
import { type Code, Failure } from "../protocol/failure.ts";
import { lazily, timestamp } from "../protocol/shapes.ts";
import { Definition, grants } from "../providers/definition.ts";

/** 128 random bits and more: nobody guesses one. */
export const SESSION_ID = /^sess_[A-Za-z0-9_-]{22}$/;

export const SessionState = z.enum(["pending", "completed", "failed", "expired", "cancelled"]);
export type SessionState = z.infer<typeof SessionState>;

const Asked = lazily(() =>
  z.object({
    flow: z.enum(["auto", ...grants]),
    definition: Definition(),
    client_id: z.string(),
    scope: z.optional(z.string()),
    redirect_uri: z.string(),
    browser: z.enum(["auto", "always", "never"]),
    taught: z.partial(Definition()),
    extras: z.optional(Extras()),
  }),
);

/** A session as anybody may know it. */
export const SessionClear = lazily(() =>
  z.object({
    v: z.literal(1),
    session_id: z.string().check(z.regex(SESSION_ID)),
    provider: z.string(),
    connection: z.string(),
    state: SessionState,
    asked: Asked(),
    /** RFC 3339. */
    created_at: timestamp(),
    expires_at: timestamp(),
    ended_at: z.optional(timestamp()),
    /** The ways in that are open. */
    doors: z.array(z.enum(grants)),
  }),
);
export type SessionClear = z.infer<ReturnType<typeof SessionClear>>;

export const SessionSecrets = lazily(() =>
  z.object({
    client_secret: z.optional(z.string()),
    /** What each way in needs to be taken up again: `state`, PKCE verifier, `device_code`, … */
    doors: z.optional(z.partialRecord(z.enum(grants), z.record(z.string(), z.unknown()))),
  }),
);
export type Session = SessionClear & { secrets: z.infer<ReturnType<typeof SessionSecrets>> };

export function sessionOf(plan: Plan, session_id: string, now: Date): Session {
  const { provider, connection, flow, definition, client, scope, redirectUri, browser, deadline, taught, extras } =
    plan;
  return {
    v: 1,
    session_id,
    provider,
    connection,
    state: "pending",
    asked: {
      flow,
      definition,
      client_id: client.client_id,
      ...defined({ scope }),
      redirect_uri: redirectUri,
      browser,
      taught,
      ...(Object.keys(extras).length > 0 && { extras }),
    },
    created_at: now.toISOString(),
    expires_at: deadline.toISOString(),
    doors: [],
    secrets: defined({ client_secret: client.client_secret }),
  };
}

export function planIn({ provider, connection, asked, expires_at, secrets }: Session): Plan {
  const { flow, definition, client_id, scope, redirect_uri, browser, taught, extras = {} } = asked;
  return {
    provider,
    connection,
    flow,
    definition,
    client: { client_id, ...defined({ client_secret: secrets.client_secret }) },
    scope,
    redirectUri: redirect_uri,
    browser,
    deadline: new Date(expires_at),
    taught,
    extras,
  };
}

/** Whether a login that is planned would ask for the very thing that this session asks for, as far as anybody may know. */
export const isSame = ({ asked, ...session }: SessionClear, plan: Plan): boolean =>
  session.provider === plan.provider &&
  session.connection === plan.connection &&
  asked.scope === plan.scope &&
  asked.client_id === plan.client.client_id &&
  asked.flow === plan.flow &&
  asked.redirect_uri === plan.redirectUri &&
  isDeepStrictEqual(asked.extras ?? {}, plan.extras) &&
  asked.definition.issuer === plan.definition.issuer;

export const isOpen = ({ state, expires_at }: SessionClear, now: Date): boolean =>
  state === "pending" && Date.parse(expires_at) > now.getTime();

const ENDS: Partial<Record<Code, SessionState>> = { cancelled: "cancelled", expired: "expired", timeout: "expired" };

export const stateAfter = (code: Code | undefined): SessionState =>
  code === undefined ? "completed" : (ENDS[code] ?? "failed");

export const gone = (session_id: string) =>
  new Failure("not_found", `There is no session ${session_id}.`, {
    hint: "See what there is: authline session list",
    next_actions: [{ id: "list", argv: ["authline", "session", "list"], description: "List the sessions." }],
  });
