/** docs/providers.md has the whole catalogue in a table, which is written from the files: `UPDATE_GOLDENS=1` writes it anew. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { kindsOf } from "../../src/commands/provider.ts";
import { definitionIn } from "../../src/providers/check.ts";
import { builtIn, builtInNames } from "../../src/providers/lookup.ts";
import { fences, table } from "../support/markdown.ts";

const GUIDE = join(import.meta.dirname, "../../docs/providers.md");
const HEADER = ["name", "provider", "gives out", "grants", "asks for by default", "documentation"];
const KINDS = { oauth: "OAuth", api_key: "API key" };

const rows = builtInNames().flatMap((name) => {
  const definition = builtIn(name);
  if (!definition) return [];
  const { display_name, grants, scope = "", docs } = definition;
  const kinds = kindsOf(definition);
  const ways = kinds.includes("oauth") ? (grants?.join(", ") ?? "as published") : "";
  return [
    [
      `\`${name}\``,
      display_name,
      kinds.map((kind) => KINDS[kind]).join(", "),
      ways,
      scope && `\`${scope}\``,
      `[${new URL(docs ?? "").hostname}](${docs})`,
    ],
  ];
});

test("the table of the guide is the catalogue", () => {
  const guide = readFileSync(GUIDE, "utf8");
  const head = `| ${HEADER.join(" | ")} |\n|${"---|".repeat(HEADER.length)}\n`;
  const [before = "", after = ""] = guide.split(head);
  if (process.env["UPDATE_GOLDENS"] === "1") {
    const written = rows
      .map((cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`)
      .join("");
    writeFileSync(GUIDE, `${before}${head}${written}${after.replace(/^(\|.*\n)*/, "")}`);
  }
  expect(table(readFileSync(GUIDE, "utf8"), ...HEADER)).toEqual(rows);
});

test("each definition that the guide shows is one", () => {
  const shown = fences(readFileSync(GUIDE, "utf8")).filter(({ language }) => language === "text");
  expect(shown.map(({ text }) => definitionIn(text, "it").name)).toEqual(["acme", "acme"]);
});
