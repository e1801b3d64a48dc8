/** Text from anywhere, made fit for a terminal and a line: what holds for every string. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytes, clip, neutralise } from "../../src/protocol/text.ts";
import { reporter, wild } from "../support/arbitrary.ts";

/** Written anew, as code points: control, format, private use, half a pair. */
const UNFIT = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029]/u;
const HALF = /\p{Cs}/u;

describe("neutralise", () => {
  test("leaves nothing that moves a cursor, turns text around or is not text", () => {
    fc.assert(
      fc.property(wild, (text) => {
        expect(neutralise(text)).not.toMatch(UNFIT);
      }),
      { reporter, numRuns: 500 },
    );
  });

  test("changes nothing twice", () => {
    fc.assert(
      fc.property(wild, (text) => {
        expect(neutralise(neutralise(text))).toBe(neutralise(text));
      }),
      { reporter },
    );
  });

  test("leaves words as they are, in any script", () => {
    for (const text of ["Zażółć gęślą jaźń", "שלום", "日本語", "naïve — “quoted” …", "a\u00a0b", "👍"]) {
      expect(neutralise(text)).toBe(text);
    }
  });

  test.each([
    ["\u001b[2J", "\uFFFD[2J"],
    ["a\r\nb\tc\u2028d\u0085e", "a b c d e"],
    ["\u202egnp.exe\u202c", "\uFFFDgnp.exe\uFFFD"],
    ["zero\u200bwidth\ufeff", "zero\uFFFDwidth\uFFFD"],
    ["half \ud83d", "half \uFFFD"],
    ["tag \u{e0041}", "tag \uFFFD"],
    ["\u009b31m\u007f", "\uFFFD31m\uFFFD"],
    ["private \ue000", "private \uFFFD"],
  ])("%j becomes %j", (text, fit) => expect(neutralise(text)).toBe(fit));
});

describe("clip", () => {
  const limit = fc.integer({ min: 3, max: 400 });

  test("never keeps more bytes than it may", () => {
    fc.assert(
      fc.property(wild, limit, (text, limit) => {
        expect(Buffer.byteLength(clip(text, limit))).toBeLessThanOrEqual(limit);
      }),
      { reporter, numRuns: 500 },
    );
  });

  test("keeps a beginning, cut between characters, and marks the cut", () => {
    fc.assert(
      fc.property(wild.map(neutralise), limit, (text, limit) => {
        const kept = clip(text, limit);
        if (kept === text) return;
        expect(kept.endsWith("…")).toBe(true);
        expect(text.startsWith(kept.slice(0, -1))).toBe(true);
        expect(kept).not.toMatch(HALF);
      }),
      { reporter, numRuns: 500 },
    );
  });

  test("keeps as much as fits", () => {
    expect(clip("x".repeat(50), 50)).toBe("x".repeat(50));
    expect(clip("x".repeat(51), 50)).toBe(`${"x".repeat(47)}…`);
    expect(clip("長".repeat(5), 12)).toBe("長長長…");
    expect(clip("ab👍cd", 9)).toBe("ab👍cd".slice(0, 4) + (bytes("ab👍cd") <= 9 ? "cd" : "…"));
    expect(clip("", 3)).toBe("");
  });

  test("changes nothing twice", () => {
    fc.assert(
      fc.property(wild, limit, (text, limit) => {
        expect(clip(clip(text, limit), limit)).toBe(clip(text, limit));
      }),
      { reporter },
    );
  });
});

test("bytes counts what UTF-8 takes", () => {
  fc.assert(
    fc.property(wild, (text) => {
      expect(bytes(text)).toBe(Buffer.from(text, "utf8").length);
    }),
    { reporter },
  );
});
