/** The published JSON Schema: it takes what the goldens hold and what later versions may add, and nothing less. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import { eventSchema } from "../../src/protocol/schema.ts";

const fits = new Ajv2020({
  formats: { "date-time": (text) => !Number.isNaN(Date.parse(text)), uri: URL.canParse },
}).compile(eventSchema());

const ROOM = join(import.meta.dirname, "../../fixtures");
/** One line of every shape that the goldens hold. */
const lines = new Map<string, Record<string, unknown>>();
for (const folder of readdirSync(ROOM)) {
  if (!existsSync(join(ROOM, folder, "stream.ndjson"))) continue; // the screens
  for (const text of readFileSync(join(ROOM, folder, "stream.ndjson"), "utf8")
    .trimEnd()
    .split("\n")) {
    const line = JSON.parse(text);
    lines.set([line.phase, line.status, line.phase === "result" && line.command].filter(Boolean).join(" "), line);
  }
}

/** What every line of its phase must carry. */
const COMMON = ["v", "seq", "time", "command", "phase", "message"];
const REQUIRED: Record<string, string[]> = {
  auth_url: "provider connection auth_url redirect_uri reach expires_at expires_in browser_opened next_actions".split(
    " ",
  ),
  device_code: "provider connection user_code verification_uri expires_at expires_in interval next_actions".split(" "),
  progress: ["step", "state"],
  result: ["status", "exit_code", "duration_ms", "warnings", "next_actions"],
};

describe.each([...lines])("%s", (_, line) => {
  test("fits", () => expect(fits(line)).toBe(true));

  test("fits with fields that a later version adds", () => {
    expect(fits({ ...line, added_later: { any: "thing" } })).toBe(true);
  });

  const required = [...COMMON, ...(REQUIRED[String(line["phase"])] ?? [])];
  test.each([...required, ...["data", "error"].filter((field) => field in line)])(
    "does not fit without %s",
    (field) => {
      const { [field]: _, ...rest } = line;
      expect(fits(rest)).toBe(false);
    },
  );

  test.each<[string, unknown]>([
    ["v", 2],
    ["seq", -1],
    ["time", "yesterday"],
    ["phase", "finished"],
    ["message", 42],
    ["status", "perhaps"],
  ])("does not fit with %s of %j", (field, value) => {
    if (field in line) expect(fits({ ...line, [field]: value })).toBe(false);
  });
});

test("lists that may grow take new words", () => {
  const progress = lines.get("progress");
  const error = lines.get("result error login");
  expect(fits({ ...progress, step: "teleport" })).toBe(true);
  expect(fits({ ...error, error: { ...(error?.["error"] as object), code: "haunted" } })).toBe(true);
});
