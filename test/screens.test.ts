/**
 * What people see, checked to the sign and the colour: fixtures/screens/ has each screen at 40, 80 and 120 columns, with
 * colours and without, and docs/screens/ its pictures. `npm run screens` writes both anew: read them before you commit.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { picture } from "./support/picture.ts";
import { golden, PLAIN } from "./support/screen.ts";
import { CTRL_C, loginOf, onStage, type Shot, shots } from "./support/screens.ts";

const UPDATE = process.env["UPDATE_GOLDENS"] === "1";
const GOLDENS = join(import.meta.dirname, "../fixtures/screens");
const PICTURES = join(import.meta.dirname, "../docs/screens");

describe("the screens", () => {
  let all: Shot[];
  beforeAll(async () => {
    all = await shots();
  }, 120_000);

  const filesOf = (name: string, columns: number, ink: string) =>
    `${name}.${columns}${ink === "plain" ? ".plain" : ""}`;
  const same = (folder: string, made: Map<string, string>) => {
    if (UPDATE) {
      mkdirSync(folder, { recursive: true });
      for (const [file, text] of made) writeFileSync(join(folder, file), text);
    }
    for (const [file, text] of made) expect(text, file).toBe(readFileSync(join(folder, file), "utf8"));
    expect(readdirSync(folder).sort(), "no more and no fewer").toEqual([...made.keys()].sort());
  };

  test("are as they were", () => {
    same(
      GOLDENS,
      new Map(all.map(({ name, columns, ink, screen }) => [`${filesOf(name, columns, ink)}.txt`, golden(screen)])),
    );
  });

  test("are as the pictures show them", () => {
    const pictures = new Map<string, string>();
    for (const { name, columns, ink, screen } of all) {
      const title = `authline: ${name}, ${columns} columns`;
      const file = `${name}.${columns}`;
      if (ink === "plain") pictures.set(`${file}.plain.svg`, picture(screen, "dark", `${title}, no colour`));
      else
        for (const theme of ["dark", "light"] as const)
          pictures.set(`${file}.${theme}.svg`, picture(screen, theme, title));
    }
    same(PICTURES, pictures);
  });

  test("have no colour where none is wanted, and leave the terminal as it was", () => {
    for (const { name, columns, ink, screen } of all) {
      const what = `${name} at ${columns}`;
      const cells = screen.rows.flat();
      if (ink === "plain")
        expect(
          cells.filter(({ fg, bg, bold, dim }) => fg || bg || bold || dim),
          what,
        ).toEqual([]);
      expect([screen.style, screen.isCursorShown], what).toEqual([PLAIN, true]);
    }
  });

  test("show the QR code where it fits, and where it can be read", () => {
    const drawn = all.filter(({ screen }) => screen.rows.some((row) => row.some(({ bg }) => bg === 107)));
    const places = drawn.map(({ name, columns, ink }) => `${name} ${columns} ${ink}`);
    const names = ["auto-login", "cancelled", "device-login"];
    expect(places.sort()).toEqual(names.flatMap((name) => [`${name} 120 colour`, `${name} 80 colour`]));
    for (const { screen, columns } of drawn) {
      const rows = screen.rows.filter((row) => row.some(({ bg }) => bg === 107));
      for (const row of rows) {
        expect(row.length).toBeLessThanOrEqual(columns);
        expect(row.every(({ fg, bg }) => fg === 30 && bg === 107)).toBe(true);
      }
      // Four modules of light on each side: two lines, four columns.
      const signs = rows.map((row) => row.map(({ sign }) => sign).join(""));
      expect([...signs.slice(0, 2), ...signs.slice(-2)].join("").trim()).toBe("");
      for (const line of signs) expect([line.slice(0, 4), line.slice(-4)]).toEqual(["    ", "    "]);
    }
  });
});

describe("Ctrl-C leaves the terminal as it was", () => {
  const moments = ["Asking", "answered", "for a code", "enter the code", "Waiting"];
  test.each(moments)("after: %s", (moment) =>
    onStage(async (stage) => {
      const running = stage.run(loginOf(stage, "device_code"), 80, "colour", "fresh");
      await running.until(moment);
      running.type(CTRL_C);
      expect(await running.ended).toBe(2);
      const screen = running.screen();
      expect([screen.style, screen.isCursorShown, screen.column]).toEqual([PLAIN, true, 0]);
      const lines = screen.text.trimEnd().split("\n");
      expect(lines.at(-1)).toMatch(/^Cancelled by SIGINT/);
      expect(screen.text, "no status line is left, and the modes of the terminal are").not.toMatch(
        /Waiting|Asking|CHANGED/,
      );
    }),
  );
});
