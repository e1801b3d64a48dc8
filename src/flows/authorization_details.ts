/** Rich authorization requests: what is asked for in more words than a scope has. Source: RFC 9396. */
import * as z from "zod/mini";
import type { Context } from "../context.ts";
import { Failure } from "../protocol/failure.ts";
import { lazily } from "../protocol/shapes.ts";

/** §2: a list of objects, each with a `type`; all else in them is between the server and whoever asks. */
export const AuthorizationDetails = lazily(() =>
  z.array(z.catchall(z.object({ type: z.string().check(z.minLength(1)) }), z.unknown())).check(z.minLength(1)),
);
export type AuthorizationDetails = z.infer<ReturnType<typeof AuthorizationDetails>>;

/** Characters of JSON: more than any server takes. */
const MAX = 20_000;

/** `raw` is the JSON itself, or `@` and the path of a file that holds it. Throws `usage`. */
export async function readDetails(raw: string, name: string, ctx: Context): Promise<AuthorizationDetails> {
  const text = raw.startsWith("@") ? await inFile(raw.slice(1), name, ctx) : raw;
  const details = detailsIn(parse(text));
  if (details) return details;
  throw new Failure("usage", `${name} is not a list of authorization details.`, {
    hint: `It is JSON such as [{"type":"payment_initiation"}], or @ and the path of a file with that: each has a type.`,
  });
}

/** Loaded only here: the shape above is on the path of every `token`. */
async function inFile(path: string, name: string, ctx: Context): Promise<string> {
  const { readSecret } = await import("./secret.ts");
  return readSecret(`file:${path}`, name, ctx);
}

/** Undefined where it is something else. */
export function detailsIn(value: unknown): AuthorizationDetails | undefined {
  const parsed = AuthorizationDetails().safeParse(value);
  return parsed.success && JSON.stringify(parsed.data).length <= MAX ? parsed.data : undefined;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
