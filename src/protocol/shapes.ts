/** The few value types that the contract is made of. */
import * as z from "zod/mini";
import { clip, neutralise } from "./text.ts";

// Compiling a parser pays after hundreds of values; a call has a dozen.
z.config({ jitless: true });

/** Built when first asked for: a call pays for the few shapes that it uses. */
export function lazily<T>(build: () => T): () => T {
  let built: T | undefined;
  return () => {
    built ??= build();
    return built;
  };
}

/** A string for people: neutralised and cut to `limit` bytes. */
export const text = (limit = 300) => z.string().check(z.overwrite((value) => clip(neutralise(value), limit)));

/** RFC 3339, UTC, milliseconds. */
export const timestamp = () => z.iso.datetime({ precision: 3 });

/** A whole number, zero or more. */
export const uint = () => z.int().check(z.nonnegative());

/** A number, zero or more. */
export const amount = () => z.number().check(z.nonnegative());

/** A sentence: a text that says something. */
export const sentence = (limit: number) => text(limit).check(z.minLength(1));

/** An http(s) URL as the WHATWG parser writes it. */
export const httpUrl = () => z.url({ protocol: /^https?$/ });
