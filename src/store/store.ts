/** The store as flows see it. */
import type { Warning } from "../protocol/failure.ts";
import type { Lock } from "./lock.ts";
import type { Connection, ConnectionView, Learned, LearnedView, Refreshing, Registered } from "./record.ts";
import type { Sealed, Writing } from "./shelf.ts";

/** A record that is there and cannot be read: never overwritten, always shown. */
export interface Unreadable {
  provider: string;
  connection: string;
  problem: string;
}

/** Every method throws a Failure `store` when the store cannot be read or written. */
export interface Store {
  /** Makes sure that something can be kept, before anybody is asked to sign in; what is to be known of how. */
  prepare(whose?: { provider: string; connection: string }): Promise<Warning[]>;
  connection(provider: string, connection: string): Promise<Connection | undefined>;
  /** Without its secrets, for which no key is needed. */
  glance(provider: string, connection: string): Promise<ConnectionView | undefined>;
  /** Sorted by provider and connection. */
  connections(provider?: string): Promise<(ConnectionView | Unreadable)[]>;
  /** As their files are called: nothing is opened. */
  names(): { provider: string; connection: string }[];
  /** The providers that a login has taught. */
  taught(): string[];
  /** Of the one process that may change this connection; undefined while another one has it. */
  lock(provider: string, connection: string): Lock | undefined;
  /** On disk and read back when it returns. The caller has the lock. */
  keep(connection: Connection): Promise<void>;
  /** False when there was nothing. The caller has the lock. */
  remove(provider: string, connection: string): Promise<boolean>;
  /** The connection that is meant where none is named. */
  standard(provider: string): Promise<string>;
  /** `instead`: only where this one is meant now, looked up and changed in one go. */
  setStandard(provider: string, connection: string, instead?: string): Promise<void>;
  /** The refresh of this very record that was begun and of whose end nothing is known. */
  interrupted(connection: ConnectionView): Promise<Refreshing | undefined>;
  begin(refreshing: Refreshing): Promise<void>;
  settle(provider: string, connection: string): Promise<void>;
  learned(provider: string): Promise<LearnedView | undefined>;
  /** The secret of the client that the last login of this provider was given. */
  clientSecret(provider: string): Promise<string | undefined>;
  /** Its key, where it proves itself by one. */
  clientKey(provider: string): Promise<string | undefined>;
  learn(learned: Learned): Promise<void>;
  /** The client that authline has registered with an issuer. */
  registered(issuer: string): Promise<Registered | undefined>;
  /** The same, by the name of its file. */
  registeredIn(name: string): Promise<Registered | undefined>;
  /** The caller has the registration lock. */
  keepRegistered(registered: Registered): Promise<void>;
  /** Only where it is still this client. */
  forgetRegistered(issuer: string, client_id: string): Promise<void>;
  /** Of the one process that may register with an issuer; undefined while another one has it. */
  registrationLock(issuer: string): Lock | undefined;
  /** Everything that has something sealed in it. */
  sealed(): Sealed[];
  /** Whoever has a connection's or a provider's lock now. */
  writers(): Writing[];
}
