/** What every grant is given, and what it is. */
import type { DPoPHandle } from "oauth4webapi";
import type { Option } from "../commands/command.ts";
import type { Context } from "../context.ts";
import type { Flow } from "../flow.ts";
import { Failure } from "../protocol/failure.ts";
import type { Definition, Grant as GrantName } from "../providers/definition.ts";
import type { Connection } from "../store/record.ts";
import type { Client } from "./client.ts";
import type { Extras } from "./extras.ts";
import type { Inputs } from "./inputs.ts";
import type { Stray } from "./listener.ts";
import type { PageOutcome } from "./page.ts";
import type { AuthorizationServer } from "./server.ts";
import type { Tokens } from "./tokens.ts";

export interface GrantRequest {
  provider: string;
  connection: string;
  definition: Definition;
  as: AuthorizationServer;
  client: Client;
  scope: string | undefined;
  redirectUri: string;
  browser: "auto" | "always" | "never";
  /** When it was asked for. */
  begun: Date;
  /** When the login gives up waiting for a person. */
  deadline: Date;
  /** Whether somebody has been told what to do, by this process or an earlier one. */
  announced: boolean;
  /** What is asked for beyond the scope. */
  extras: Extras;
  /** What the grant's own flags say. */
  inputs: Inputs;
  token_params: Record<string, string> | undefined;
  dpop?: DPoPHandle | undefined;
  /** The session that it belongs to, where there is one. */
  session_id: string | undefined;
  save(grant: GrantName, saved: Saved): Promise<void>;
}

/** A way in: opened, it has asked what is to be asked, and waits for the answer. */
export interface Door {
  /** What the answer brings; waits for a person where one is needed, until `ctx` is aborted. */
  tokens(ctx: Context): Flow<Tokens>;
  /** Takes the address that a browser elsewhere ended at, where that is an answer. */
  offer?(address: URL): Stray | undefined;
  /** Shows whoever came through it how it ended, and shuts it. Nothing to show: it was not this door. */
  close(ending?: PageOutcome): Promise<void>;
}

/** What another process needs to go on where this one stops: secrets, and JSON. */
export type Saved = Record<string, unknown>;

export interface Grant {
  /** What it is called in a sentence: "The redirect is no way in." */
  title: string;
  /** Whether somebody has to do something: then it is a session, which outlives its process. */
  attended: boolean;
  /** Flags of its own, beside those of every login; `login` takes them from here, and inputs.ts what they say. */
  flags?: Record<string, Option<string>>;
  /** Calls of `login` that work as they stand, and between them give every flag. */
  examples?: readonly string[];
  /** The inputs with whatever might mean something else later settled now. */
  settled?(inputs: Inputs, ctx: Context): Promise<Inputs>;
  /** Who the client is where nobody says it, but the inputs do. */
  clientId?(inputs: Inputs): string | undefined;
  /** Why this server cannot do it; undefined where it can. */
  lacks(as: AuthorizationServer): string | undefined;
  /**
   * Asks, or takes up what an earlier process asked (`saved`). What has to be known to go on is saved before anybody is
   * told what to do: a process may be killed at any line.
   */
  open(request: GrantRequest, ctx: Context, saved?: Saved): Flow<Door>;
  /** How a credential without a refresh token is renewed, where that takes no person. */
  renew?(connection: Connection, parties: Parties, ctx: Context): Flow<Tokens>;
  /** Whether it can do that with what was given; absent: with anything. What it needs is kept with the credential. */
  isRenewable?(inputs: Inputs): boolean;
}

/** The server that issued a credential, and who we are to it. */
export interface Parties {
  as: AuthorizationServer;
  client: Client;
  /** Makes the proofs, where the tokens are bound to a key. */
  dpop?: DPoPHandle | undefined;
}

/** RFC 8414 §2: an absent list means authorization_code and implicit; an endpoint of its own says more than the list. */
export const offersGrant = (as: AuthorizationServer, grantType: string) =>
  as.grant_types_supported === undefined || as.grant_types_supported.includes(grantType);

/** A code is good for one time: sending it again could make the server revoke what it was given for (RFC 6749 §4.1.2). */
const ANSWER_LOST = Symbol("answer lost");
export const isAnswerLost = (error: unknown) => error instanceof Failure && error.cause === ANSWER_LOST;
export const answerLost = () =>
  new Failure("failed", "The sign-in was approved, but the process that asked for the tokens ended before they came.", {
    cause: ANSWER_LOST,
    hint: "Nothing was stored. Sign in again.",
    retryable: true,
  });
