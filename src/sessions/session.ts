/**
 * A login that outlives its process.
 *
 * Rules: everything that another process needs to go on stands in the record; what of it is secret stands under
 * `secrets`, which is sealed, and gone when the session ends.
 */
import { isDeepStrictEqual } from "node:util";
import * as z from "zod/mini";
import { defined } from "../defined.ts";
import { Protected } from "../flows/challenge.ts";
import { Extras } from "../flows/extras.ts";
import type { Plan } from "../flows/plan.ts";
import type { Identity } from "../flows/registration.ts";
import { type Code, Failure } from "../protocol/failure.ts";
import { lazily, timestamp } from "../protocol/shapes.ts";
import { Definition, grants } from "../providers/definition.ts";
import { isSameServer } from "../providers/server.ts";
import { ClientView, ConnectionView, Taught } from "../store/record.ts";

/** 128 random bits and more: nobody guesses one. */
export const SESSION_ID = /^sess_[A-Za-z0-9_-]{22}$/;

export const SessionState = z.enum(["pending", "completed", "failed", "expired", "cancelled"]);
export type SessionState = z.infer<typeof SessionState>;

const Asked = lazily(() =>
  z.object({
    flow: z.enum(["auto", ...grants]),
    definition: Definition(),
    /** Absent: to be registered, or the one that the document describes. */
    client_id: z.optional(z.string()),
    client_metadata_url: z.optional(z.string()),
    scope: z.optional(z.string()),
    redirect_uri: z.string(),
    browser: z.enum(["auto", "always", "never"]),
    taught: Taught(),
    extras: z.optional(Extras()),
    protected: z.optional(Protected()),
    step_up: ConnectionView().shape.step_up,
    /** What the grant's own flags said. */
    inputs: z.optional(z.record(z.string(), z.string())),
  }),
);

/** What a protected resource has said: instead of what was asked, and with it. */
const Found = lazily(() => {
  const { definition, scope, taught, extras } = Asked().shape;
  /** Its server is another one than that of the client that was planned, which is not told to it. */
  const without_client = z.optional(z.literal(true));
  return z.object({ definition, scope, taught, extras, without_client });
});

/** A session as anybody may know it. */
export const SessionClear = lazily(() =>
  z.object({
    v: z.literal(1),
    session_id: z.string().check(z.regex(SESSION_ID)),
    provider: z.string(),
    connection: z.string(),
    state: SessionState,
    asked: Asked(),
    /** Who the server is asked as, once that is known. */
    client: z.optional(z.extend(ClientView(), { redirect_uri: z.string() })),
    found: z.optional(Found()),
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
    registration_access_token: z.optional(z.string()),
    /** What a registration is to be made with. */
    registration: z.optional(
      z.object({ software_statement: z.optional(z.string()), initial_access_token: z.optional(z.string()) }),
    ),
    client_key: z.optional(z.string()),
    dpop_key: z.optional(z.string()),
    inputs: z.optional(z.record(z.string(), z.string())),
    /** What each way in needs to be taken up again: `state`, PKCE verifier, `device_code`, … */
    doors: z.optional(z.partialRecord(z.enum(grants), z.record(z.string(), z.unknown()))),
  }),
);
export type Session = SessionClear & { secrets: z.infer<ReturnType<typeof SessionSecrets>> };

export function sessionOf(plan: Plan, session_id: string, now: Date): Session {
  const { clientMetadataUrl, registration } = plan;
  const { provider, connection, flow, definition, client, scope, redirectUri, browser, deadline, taught } = plan;
  const { extras, inputs, protected: resource, step_up } = plan;
  return {
    v: 1,
    session_id,
    provider,
    connection,
    state: "pending",
    asked: {
      flow,
      definition,
      ...defined({ client_id: client?.client_id, client_metadata_url: clientMetadataUrl }),
      ...defined({ scope }),
      redirect_uri: redirectUri,
      browser,
      taught,
      ...(Object.keys(extras).length > 0 && { extras }),
      ...defined({ protected: resource, step_up }),
      ...(Object.keys(inputs.said).length > 0 && { inputs: inputs.said }),
    },
    created_at: now.toISOString(),
    expires_at: deadline.toISOString(),
    doors: [],
    secrets: {
      ...defined({ client_secret: client?.client_secret, client_key: client?.client_key, dpop_key: plan.dpop_key }),
      ...(Object.keys(registration).length > 0 && { registration }),
      ...(Object.keys(inputs.secret).length > 0 && { inputs: inputs.secret }),
    },
  };
}

/** For `found`. */
export const foundIn = ({ definition, scope, taught, extras, client }: Plan): Session["found"] => ({
  ...{ definition, taught, extras },
  ...defined({ scope }),
  ...(client === undefined && { without_client: true }),
});

export function planIn(session: Session): Plan {
  const { provider, connection, asked, found, client, created_at, expires_at, secrets } = session;
  const { flow, client_id, client_metadata_url, redirect_uri, browser, step_up } = asked;
  const { definition, scope, taught, extras = {} } = found ?? asked;
  return {
    provider,
    connection,
    flow,
    definition,
    client: clientIn({ ...(!found?.without_client && defined({ client_id })), ...client }, secrets),
    clientMetadataUrl: client_metadata_url,
    registration: secrets.registration ?? {},
    scope,
    redirectUri: client?.redirect_uri ?? redirect_uri,
    browser,
    begun: new Date(created_at),
    deadline: new Date(expires_at),
    taught,
    extras,
    inputs: { said: asked.inputs ?? {}, secret: secrets.inputs ?? {} },
    dpop_key: secrets.dpop_key,
    protected: found ? undefined : asked.protected,
    step_up,
  };
}

function clientIn(client: Partial<NonNullable<SessionClear["client"]>>, secrets: Session["secrets"]): Plan["client"] {
  const { client_id, token_endpoint_auth_method, origin, registration_client_uri } = client;
  if (client_id === undefined) return undefined;
  const { client_secret, client_key, registration_access_token } = secrets;
  return {
    client_id,
    ...defined({ token_endpoint_auth_method, origin, registration_client_uri }),
    ...defined({ client_secret, client_key, registration_access_token }),
  };
}

/** The session once it is known who the server is asked as. */
export function identified(session: Session, { client, redirectUri: redirect_uri }: Identity): Session {
  const { client_secret, client_key, registration_access_token, ...clear } = client;
  const { client_secret: _, client_key: __, registration_access_token: ___, ...others } = session.secrets; // of another
  const secrets = { ...others, ...defined({ client_secret, client_key, registration_access_token }) };
  return { ...session, client: { ...clear, redirect_uri }, secrets };
}

/** Whether it would do so with the same secrets: by what was given, and not by what came of a registration. */
export const isSameInSecret = ({ asked, secrets }: Session, { client, inputs }: Plan): boolean =>
  isDeepStrictEqual(secrets.inputs ?? {}, inputs.secret) &&
  (asked.client_id === undefined ||
    (secrets.client_secret === client?.client_secret && secrets.client_key === client?.client_key));

/** Whether a login that is planned would ask for the very thing that this session asks for, as far as anybody may know. */
export const isSame = ({ asked, ...session }: SessionClear, plan: Plan): boolean =>
  session.provider === plan.provider &&
  session.connection === plan.connection &&
  asked.scope === plan.scope &&
  asked.client_id === plan.client?.client_id &&
  asked.client_metadata_url === plan.clientMetadataUrl &&
  asked.flow === plan.flow &&
  asked.redirect_uri === plan.redirectUri &&
  isDeepStrictEqual(asked.extras ?? {}, plan.extras) &&
  isDeepStrictEqual(asked.protected, plan.protected) &&
  isDeepStrictEqual(asked.inputs ?? {}, plan.inputs.said) &&
  isSameServer(asked.definition, plan.definition);

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
