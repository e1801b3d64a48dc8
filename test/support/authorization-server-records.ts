/**
 * The authorization server's memory. Nothing is ever deleted: what the server destroys is only marked, so that a test can
 * ask afterwards what became of a token.
 */
import type { Adapter, AdapterPayload } from "oidc-provider";
import { remember } from "./issued.ts";

/** One thing the server issued, as the server itself sees it. Times are in seconds. */
export interface ServerRecord {
  /** The value itself (a token, a device code) or the grant's id. */
  readonly id: string;
  /** `AccessToken`, `ClientCredentials`, `RefreshToken`, `Grant`, `DeviceCode` or `Client`. */
  readonly kind: string;
  readonly clientId: string | undefined;
  readonly accountId: string | undefined;
  /** What ties a family of tokens together. */
  readonly grantId: string | undefined;
  readonly scope: string | undefined;
  readonly issuedAt: number | undefined;
  readonly expiresAt: number | undefined;
  /** Used up: a rotated refresh token, a redeemed device code. */
  readonly consumed: boolean;
  readonly expired: boolean;
  /** Revoked, by the client or because its family was. */
  readonly destroyed: boolean;
  /** None of the three. */
  readonly active: boolean;
  /** The thumbprint of the key that it is bound to (RFC 9449 §6). */
  readonly jkt: string | undefined;
  /** RFC 9396. */
  readonly authorizationDetails: unknown;
  /** Device codes only, once the person said no. */
  readonly error: string | undefined;
}

export interface ServerRecords {
  readonly accessTokens: ServerRecord[];
  readonly refreshTokens: ServerRecord[];
  readonly grants: ServerRecord[];
  readonly deviceCodes: ServerRecord[];
  /** Those that registered themselves (RFC 7591). */
  readonly clients: ServerRecord[];
}

interface Entry {
  readonly kind: string;
  readonly id: string;
  readonly payload: AdapterPayload;
  destroyed: boolean;
}

/** What the server gives out by its `id`, and nobody but its owner may see. */
const SECRET_KINDS = new Set([
  ...["AccessToken", "ClientCredentials", "RefreshToken", "AuthorizationCode", "DeviceCode"],
  ...["RegistrationAccessToken", "BackchannelAuthenticationRequest"],
]);

const now = () => Math.floor(Date.now() / 1000);

export class RecordStore {
  readonly #entries = new Map<string, Entry>();

  /** What oidc-provider asks for: one adapter a kind. Expiry is the provider's own business. */
  readonly adapter = (kind: string): Adapter => {
    const key = (id: string) => `${kind}:${id}`;
    const live = (entry: Entry | undefined) => (entry === undefined || entry.destroyed ? undefined : entry.payload);
    const search = (wanted: (payload: AdapterPayload) => boolean) =>
      live(this.#of(kind).find((entry) => !entry.destroyed && wanted(entry.payload)));
    return {
      upsert: async (id, payload) => {
        this.#entries.set(key(id), { kind, id, payload, destroyed: false });
        remember(SECRET_KINDS.has(kind) && id, payload["client_secret"]);
      },
      find: async (id) => live(this.#entries.get(key(id))),
      findByUid: async (uid) => search((payload) => payload.uid === uid),
      findByUserCode: async (userCode) => search((payload) => payload.userCode === userCode),
      consume: async (id) => {
        const entry = this.#entries.get(key(id));
        if (entry) entry.payload.consumed = now();
      },
      destroy: async (id) => {
        const entry = this.#entries.get(key(id));
        if (entry) entry.destroyed = true;
      },
      revokeByGrantId: async (grantId) => {
        for (const entry of this.#of(kind)) if (entry.payload.grantId === grantId) entry.destroyed = true;
      },
    };
  };

  records(): ServerRecords {
    return {
      accessTokens: this.#of("AccessToken", "ClientCredentials").map(toRecord),
      refreshTokens: this.#of("RefreshToken").map(toRecord),
      grants: this.#of("Grant").map(toRecord),
      deviceCodes: this.#of("DeviceCode").map(toRecord),
      clients: this.#of("Client").map(toRecord),
    };
  }

  expireAccessTokens(): void {
    for (const entry of this.#of("AccessToken", "ClientCredentials")) entry.payload.exp = now() - 1;
  }

  expirePushedRequests(seconds: number): void {
    for (const { payload } of this.#of("PushedAuthorizationRequest")) {
      payload.exp = Math.min(payload.exp ?? Number.POSITIVE_INFINITY, now() + seconds);
    }
  }

  #of(...kinds: string[]): Entry[] {
    return [...this.#entries.values()].filter((entry) => kinds.includes(entry.kind));
  }
}

function toRecord({ kind, id, payload, destroyed }: Entry): ServerRecord {
  const consumed = Boolean(payload.consumed);
  const expired = payload.exp !== undefined && payload.exp <= now();
  const { openid } = payload as { openid?: { scope?: string } };
  return {
    id,
    kind,
    clientId: payload.clientId,
    accountId: payload.accountId,
    grantId: kind === "Grant" ? id : payload.grantId,
    scope: payload.scope ?? openid?.scope,
    issuedAt: payload.iat,
    expiresAt: payload.exp,
    consumed,
    expired,
    destroyed,
    active: !consumed && !expired && !destroyed,
    jkt: payload["jkt"] as string | undefined,
    authorizationDetails: payload["rar"],
    error: payload.error,
  };
}
