/** The store as flows see it. */
import type { Connection, Learned } from "./record.ts";

/** A record that is there and cannot be read: never overwritten, always shown. */
export interface Unreadable {
  provider: string;
  connection: string;
  problem: string;
}

/** Every method throws a Failure `store` when the store cannot be read or written. */
export interface Store {
  /** Makes sure that something can be kept, before anybody is asked to sign in. */
  prepare(): Promise<void>;
  connection(provider: string, connection: string): Promise<Connection | undefined>;
  /** Sorted by provider and connection. */
  connections(provider?: string): Promise<(Connection | Unreadable)[]>;
  /** On disk and read back when it returns. */
  keep(connection: Connection): Promise<void>;
  /** False when there was nothing. */
  remove(provider: string, connection: string): Promise<boolean>;
  learned(provider: string): Promise<Learned | undefined>;
  learn(learned: Learned): Promise<void>;
}
