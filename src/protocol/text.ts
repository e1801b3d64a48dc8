/**
 * Text that may come from a server, made fit for a terminal and a line.
 *
 * Rules: no control, format (bidi, zero-width, tags), private-use or unpaired-surrogate character survives; a line
 * break becomes a space; what is too long is cut at a character and ends in "…".
 */

const BREAKS = /[\t\n\v\f\r\u0085\u2028\u2029]+/g;
const UNFIT = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}]/gu;

export function neutralise(text: string): string {
  return text.replace(BREAKS, " ").replace(UNFIT, "\uFFFD");
}

const encoder = new TextEncoder();

/** Length in bytes of UTF-8. */
export function bytes(text: string): number {
  return encoder.encode(text).length;
}

/** Length in bytes within a line of JSON. */
const size = (text: string) => bytes(JSON.stringify(text)) - 2;

/** At most `limit` bytes of UTF-8, cut between characters. */
export function clip(text: string, limit: number): string {
  if (text.length * 3 <= limit || size(text) <= limit) return text;
  let kept = "";
  let room = limit - 3; // the ellipsis
  for (const character of text) {
    room -= size(character);
    if (room < 0) break;
    kept += character;
  }
  return `${kept}…`;
}

/** A scope that a line of the stream has room for: a list that is cut would say something else. */
export const fitting = (scope: string | undefined): string | undefined =>
  scope !== undefined && scope.length <= 1000 ? scope : undefined;
