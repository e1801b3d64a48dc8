/**
 * The one build: an ESM bundle with lazily loaded chunks, and the catalogue beside it; and what programs import, which
 * shares no file with that, so that a reader of the stream loads nothing else.
 *
 * What `token` would pay for and never use is left out: conf brings a JSON Schema validator that only runs when a schema
 * is given (none is), and yargs measures strings in a way that only matters for text beyond ASCII (there is none). conf's
 * writer also catches signals, and sends them again: that would cut off the tidying up that main.ts gives a flow time for.
 * And both assert what they know: node:assert asks for the colours of the terminal when it is loaded, and Node then warns of
 * a FORCE_COLOR beside a NO_COLOR.
 */
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { defineConfig, type Plugin } from "rolldown";
import { isolatedDeclarationSync } from "rolldown/experimental";
import { schemas, typings } from "./src/typings.ts";

const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };

const NOT_NEEDED: Record<string, string> = {
  "ajv/dist/2020.js": "export class Ajv2020 {}",
  "ajv-formats": "export default () => {};",
  semver: "export default {};",
  "when-exit": "export default () => () => {};",
  "string-width": "export default (text) => text.length;",
  "node:assert": "export default { deepEqual() {} };",
  assert: "export const strictEqual = () => {}, notStrictEqual = () => {};",
};

const leaveOut: Plugin = {
  name: "leave-out",
  resolveId: (id) => (id in NOT_NEEDED ? `\0${id}` : null),
  load: (id) => (id.startsWith("\0") ? (NOT_NEEDED[id.slice(1)] ?? null) : null),
};

const catalogue: Plugin = {
  name: "catalogue",
  buildStart: () => rmSync("dist", { recursive: true, force: true }),
  writeBundle() {
    cpSync("src/providers/catalogue", "dist/catalogue", { recursive: true });
    if (existsSync("skills")) cpSync("skills", "dist/skills", { recursive: true });
  },
};

/** Their licences ask to go wherever their code goes. */
const licences: Plugin = {
  name: "licences",
  generateBundle(_, bundle) {
    const chunks = Object.values(bundle).filter((file) => file.type === "chunk");
    const folders = chunks.flatMap(({ moduleIds }) =>
      moduleIds.flatMap((id) => id.match(/.*\/node_modules\/(@[^/]+\/)?[^/]+/)?.[0] ?? []),
    );
    const texts = [...new Set(folders)].sort().map((folder) => {
      const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
      const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
      return `${name} ${version} (${license})\n\n${file ? readFileSync(`${folder}/${file}`, "utf8").trim() : ""}\n`;
    });
    this.emitFile({
      type: "asset",
      fileName: "THIRD_PARTY_LICENSES.txt",
      source: texts.join(`\n${"-".repeat(80)}\n\n`),
    });
  },
};

/** The types that go with `index.js`, and the schemas. */
const forPrograms: Plugin = {
  name: "for-programs",
  async generateBundle() {
    const { code } = isolatedDeclarationSync("reader.ts", readFileSync("src/reader.ts", "utf8"), {});
    this.emitFile({ type: "asset", fileName: "index.d.ts", source: typings(code) });
    for (const [name, schema] of Object.entries(await schemas())) {
      this.emitFile({ type: "asset", fileName: `schema/${name}.json`, source: `${JSON.stringify(schema)}\n` });
    }
  },
};

const program = defineConfig({
  input: { authline: "src/main.ts", keyring: "src/keyring.ts" },
  external: ["@napi-rs/keyring"],
  platform: "node",
  transform: { define: { AUTHLINE_VERSION: JSON.stringify(version) }, target: "node20.19" },
  plugins: [leaveOut, catalogue, licences],
  output: {
    dir: "dist",
    format: "esm",
    minify: true,
    chunkFileNames: "[name]-[hash].js",
    // A file costs more than its bytes: what every command loads is one.
    codeSplitting: {
      groups: [
        {
          name: "shared",
          test: /src\/(actions|config|defined|flow|result|protocol\/(?!schema)\w+|store\/\w+|sessions\/(sessions|session|log)|providers\/(definition|environment)|commands\/command)\.ts|node_modules\/zod\/(?!.*json-schema)|rolldown.runtime/,
        },
      ],
    },
  },
});

const library = defineConfig({
  input: { index: "src/index.ts" },
  platform: "neutral",
  transform: { target: "node20.19" },
  plugins: [forPrograms],
  output: { dir: "dist", format: "esm", minify: true },
});

export default [program, library];
