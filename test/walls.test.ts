/** The walls of the house are lint errors, not memories: each of these lines must be refused where it stands. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const refused: [room: string, source: string][] = [
  ["protocol/", 'export * from "../flow.ts";'],
  ["render/", 'export * from "../flow.ts";'],
  ["render/", 'export * from "../store/record.ts";'],
  ["render/human/", 'export * from "../../flow.ts";'],
  ["flows/", 'export * from "../render/human.ts";'],
  ["flows/", 'export * from "../run.ts";'],
  ["commands/", 'export * from "../cli.ts";'],
  ["commands/", 'export * from "oauth4webapi";'],
  ["store/", 'export * from "../main.ts";'],
  ["store/", 'export * from "execa";'],
  ["sessions/", 'export * from "../render/ndjson.ts";'],
  ["flows/", 'export * from "yargs";'],
  ["flows/", 'export * from "node:process";'],
  ["flows/", "export const x = process.pid;"],
  ["commands/", "console.log(1);"],
  ["", "export const x = process.pid;"],
  ["store/", 'export * from "oauth4webapi";'],
];
const allowed: [room: string, source: string][] = [
  ["main", "export const x = process.pid;"],
  ["keyring", "export const x = process.pid;"],
  ["cli", 'export * from "yargs";'],
  ["render/", 'export * from "../protocol/text.ts";'],
  ["render/human/", 'export * from "../../protocol/text.ts";'],
  ["flows/", 'export * from "oauth4webapi";'],
  ["store/", 'export * from "conf";'],
];

const house = mkdtempSync(join(tmpdir(), "authline-walls-"));
const fileOf = ([room]: [string, string], index: number) =>
  room === "" || room.endsWith("/") ? `src/${room}x${index}.ts` : `src/${room}.ts`;
let report = "";

beforeAll(async () => {
  cpSync("biome.json", join(house, "biome.json"));
  for (const [index, planted] of [...refused, ...allowed].entries()) {
    const path = join(house, fileOf(planted, index));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${planted[1]}\n`);
  }
  const { all } = await execa(resolve("node_modules/.bin/biome"), ["lint", "--max-diagnostics=none"], {
    cwd: house,
    reject: false,
    all: true,
  });
  report = all;
});
afterAll(() => rmSync(house, { recursive: true }));

const isRefused = (file: string) => report.includes(`${file}:`);

describe("refused", () => {
  test.each(refused.map((planted, index) => [fileOf(planted, index), planted[1]]))("%s: %s", (file) => {
    expect(isRefused(file)).toBe(true);
  });
});

describe("allowed", () => {
  test.each(allowed.map((planted, index) => [fileOf(planted, refused.length + index), planted[1]]))(
    "%s: %s",
    (file) => {
      expect(isRefused(file)).toBe(false);
    },
  );
});
