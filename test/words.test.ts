/** The parts that words for people are made of: times, widths, tables, links, the status line. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { calm } from "../src/output.ts";
import type { PhaseEvent } from "../src/protocol/event.ts";
import type { Transition } from "../src/protocol/machine.ts";
import { type Look, linked } from "../src/render/human/look.ts";
import { qr } from "../src/render/human/qr.ts";
import { table } from "../src/render/human/table.ts";
import { fromNow } from "../src/render/human/time.ts";
import { cut, widthOf, wrap } from "../src/render/human/width.ts";
import { human } from "../src/render/human.ts";
import { Screen } from "./support/screen.ts";

const look = (more: Partial<Look> = {}): Look => ({
  ...{ terminal: true, live: true, colour: true, links: false, unicode: true, width: 80 },
  ...{ quiet: false, paste: true, reveal: false },
  ...more,
});

describe("a time in words", () => {
  const NOW = "2026-03-01T12:00:00.000Z";
  const cases: [seconds: number, words: string][] = [
    [0, "now"],
    [1, "in 1 second"],
    [-59, "59 seconds ago"],
    [60, "in 1 minute"],
    [240, "in 4 minutes"],
    [-89, "1 minute ago"],
    [3600, "in 60 minutes"],
    [-3 * 3600 + 20, "3 hours ago"],
    [47 * 3600, "in 47 hours"],
    [48 * 3600, "in 2 days"],
    [-400 * 86_400, "400 days ago"],
  ];
  test.each(cases)("%i seconds: %s", (seconds, words) => {
    expect(fromNow(new Date(Date.parse(NOW) + seconds * 1000).toISOString(), NOW)).toBe(words);
  });
});

describe("a width", () => {
  const cases: [text: string, columns: number][] = [
    ["", 0],
    ["acme", 4],
    ["日本", 4],
    ["e\u0301", 1],
    ["🔑", 2],
  ];
  test.each(cases)("%s: %i", (text, columns) => expect(widthOf(text)).toBe(columns));

  test("is never exceeded by what is cut", () => {
    const cuts = fc.property(
      fc.string({ unit: "grapheme" }),
      fc.integer({ min: 3, max: 40 }),
      fc.boolean(),
      (text, width, unicode) => {
        const short = cut(text, width, { unicode });
        expect(widthOf(short)).toBeLessThanOrEqual(width);
        if (widthOf(text) <= width) expect(short).toBe(text);
      },
    );
    fc.assert(cuts);
  });
});

describe("a table", () => {
  const word = fc.stringMatching(/^[a-z@:/.]{1,30}$/);
  const text = fc.array(word, { maxLength: 6 }).map((words) => words.join(" "));
  const rows = fc.array(fc.record({ cells: fc.tuple(word, text, text) }), { minLength: 1, maxLength: 5 });
  const titles = ["name", "state", "what"];

  test("breaks no word, loses none, and is as narrow as its words allow", () => {
    const property = fc.property(rows, fc.integer({ min: 20, max: 120 }), (rows, width) => {
      const lines = table(titles, rows, look({ width, colour: false }));
      const shown = lines.join(" ").split(/\s+/);
      for (const { cells } of rows) {
        for (const each of cells.flatMap((cell) => cell.split(" ").filter(Boolean))) expect(shown).toContain(each);
      }
      // Longer than the screen is only what ends in a word that would fit nowhere.
      for (const line of lines) {
        const last = line.trimEnd().split(" ").at(-1) ?? "";
        if (widthOf(line) > width) expect(line.length - last.length).toBeLessThanOrEqual(width);
      }
    });
    fc.assert(property, { numRuns: 300 });
  });

  const one = [{ cells: ["acme", { text: "connected" }, "read write"], note: "mend it: chmod 600 a-long-path" }];
  test("stands side by side where it fits", () => {
    expect(table(titles, one, look({ colour: false, width: 40 }))).toEqual([
      "name  state      what",
      "acme  connected  read write",
      "  mend it: chmod 600 a-long-path",
    ]);
  });
  test("is wrapped where it does not", () => {
    expect(table(titles, one, look({ colour: false, width: 24 })).slice(0, 3)).toEqual([
      "name  state      what",
      "acme  connected  read",
      "                 write",
    ]);
  });
  test("is a list where even the words do not fit", () => {
    expect(table(titles, one, look({ colour: false, width: 20 }))).toEqual([
      "acme",
      "  state  connected",
      "  what   read write",
      "  mend it: chmod 600 a-long-path",
    ]);
  });
  test("leaves out a column without a fact", () => {
    expect(table(titles, [{ cells: ["acme", undefined, "read"] }], look({ colour: false }))[0]).toBe("name  what");
  });
});

test("words are wrapped between words", () => expect(wrap("one two three", 7)).toEqual(["one two", "three"]));

test("an address is a link only where the terminal is known to have them", () => {
  const address = "https://acme.example/$&";
  expect(linked(`Open ${address}.`, address, look())).toBe(`Open ${address}.`);
  const screen = new Screen(80);
  screen.write(linked(`Open ${address}.`, address, look({ links: true })));
  expect(screen.text).toBe(`Open ${address}.`);
  const cells = screen.rows[0] ?? [];
  expect(
    cells
      .filter(({ link }) => link === address)
      .map(({ sign }) => sign)
      .join(""),
  ).toBe(address);
});

describe("the live line", () => {
  const progress = (message: string): Transition => ({
    ...{ from: "working", to: "working", kind: "login" },
    event: {
      ...{ v: 1, seq: 0, time: "2026-03-01T12:00:00.000Z", command: "login", phase: "progress" },
      ...{ message, step: "await_user", state: "waiting" },
    },
  });
  test("never reaches the next row, and is gone when the next one is there", () => {
    const screen = new Screen(40);
    const say = human(look({ width: 40 }));
    screen.write(say(progress("This sentence is a good deal longer than the screen is wide, as some are.")));
    screen.write(say(progress("Short.")));
    expect([screen.text, screen.row]).toEqual(["Short.", 0]);
  });
  test("is not written again where it stands already", () => {
    const written: string[] = [];
    const screen = calm({ write: (text) => void written.push(String(text)) });
    for (const text of ["Waiting", "Waiting", "", "Waiting", "Done\n", "Done\n", "Waiting"]) screen.write(text);
    expect(written).toEqual(["Waiting", "Done\n", "Done\n", "Waiting"]);
  });
  test("is silent with --quiet", () => expect(human(look({ quiet: true }))(progress("Short."))).toBe(""));
});

describe("the QR code", () => {
  const address = "https://login.acme.example/authorize";
  const event: Extract<PhaseEvent, { phase: "auth_url" }> = {
    v: 1,
    seq: 0,
    time: "2026-03-01T12:00:00.000Z",
    command: "login",
    phase: "auth_url",
    message: `Open ${address}`,
    provider: "acme",
    connection: "default",
    auth_url: address,
    redirect_uri: "https://acme.example/back",
    reach: "anywhere",
    browser_opened: false,
    expires_at: "2026-03-01T12:10:00.000Z",
    expires_in: 600,
    next_actions: [],
  };
  const drawn = (more: Partial<Look> = {}, reach: "anywhere" | "this_host" = "anywhere") =>
    human(look({ qr, ...more }))({ from: "working", to: "working", kind: "login", event: { ...event, reach } });
  const HAS_BLOCKS = /[▀▄█]/;

  test("is of the address, dark where it is dark", () => {
    const screen = new Screen(80);
    screen.write(drawn().replaceAll("\n", "\r\n"));
    const rows = screen.rows.filter((row) => row.some(({ bg }) => bg === 107));
    const signs = rows.map((row) => row.map(({ sign }) => sign));
    const upper = (sign = "") => sign === "▀" || sign === "█";
    const lower = (sign = "") => sign === "▄" || sign === "█";
    const seen = signs.flatMap((row) => [row.map(upper), row.map(lower)]);
    const modules = qr(address);
    const inner = seen.slice(4, 4 + modules.length).map((row) => row.slice(4, 4 + modules.length));
    expect(inner).toEqual(modules);
    expect(seen.flat().filter(Boolean)).toHaveLength(modules.flat().filter(Boolean).length);
  });

  const absent: [why: string, Partial<Look>, reach?: "this_host"][] = [
    ["without colours to draw it in", { colour: false }],
    ["without UTF-8", { unicode: false }],
    ["without a screen", { live: false }],
    ["where it is too wide", { width: qr(address).length + 7 }],
    ["where a phone could not come back", {}, "this_host"],
  ];
  test.each(absent)("is not drawn %s", (_, more, reach) => expect(drawn(more, reach)).not.toMatch(HAS_BLOCKS));
  test("just fits", () => expect(drawn({ width: qr(address).length + 8 })).toMatch(HAS_BLOCKS));
});
