/** How many columns a text takes, and how it is made to take fewer. */
import type { Look } from "./look.ts";

const NONE = /^(\p{M}|[\u200b-\u200c]|\u200d)$/u; // U+FE0F is a mark too
/** Unicode's East Asian Width "wide", roughly: too much is harmless, too little breaks a line. */
const WIDE =
  /^[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]$/u;

const widthOfOne = (sign: string) => (NONE.test(sign) ? 0 : WIDE.test(sign) ? 2 : 1);

export const widthOf = (text: string): number => [...text].reduce((sum, sign) => sum + widthOfOne(sign), 0);

/** For a line that is rewritten: if it went on in the next row, the rest of it would stay there. */
export function cut(text: string, width: number, { unicode }: Pick<Look, "unicode">): string {
  if (widthOf(text) <= width) return text;
  const end = (unicode ? "…" : "...").slice(0, Math.max(0, width));
  let room = width - widthOf(end);
  let kept = "";
  for (const sign of text) {
    room -= widthOfOne(sign);
    if (room < 0) break;
    kept += sign;
  }
  return kept + end;
}

/** In lines of at most `width` columns. A word is never broken: an address or a path is copied whole, or not at all. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && widthOf(last) + 1 + widthOf(word) <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
