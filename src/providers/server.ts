/** Which server a definition leads to: what was given to the one must not get to another. */
import type { Definition } from "./definition.ts";

type Addresses = Pick<Definition, "issuer" | "endpoints">;

/** As one word: its issuer, and the token endpoint where that is not left to the metadata. */
export const serverOf = ({ issuer, endpoints }: Addresses): string =>
  [issuer?.replace(/\/$/, ""), endpoints?.token_endpoint].filter(Boolean).join(" ");

/** Whether two definitions lead to the same server. */
export const isSameServer = (one: Addresses, other: Addresses) => serverOf(one) === serverOf(other);

/** The one slash that ends an address is all that is forgiven. */
export const isSameIssuer = (one: string | undefined, other: string | undefined) =>
  one?.replace(/\/$/, "") === other?.replace(/\/$/, "");
