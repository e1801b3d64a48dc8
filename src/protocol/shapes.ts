/** The few value types that the contract is made of. */
import * as z from "zod/mini";
import { clip, neutralise } from "./text.ts";

/** A string for people: neutralised and cut to `limit` bytes. */
export const text = (limit = 300) => z.string().check(z.overwrite((value) => clip(neutralise(value), limit)));

/** RFC 3339, UTC, milliseconds. */
export const timestamp = () => z.iso.datetime({ precision: 3 });

/** A whole number, zero or more. */
export const uint = () => z.int().check(z.nonnegative());

/** An http(s) URL as the WHATWG parser writes it. */
export const httpUrl = () => z.url({ protocol: /^https?$/ });
