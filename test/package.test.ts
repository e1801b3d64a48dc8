/**
 * What users get: the tarball that `npm pack` makes, installed into an empty folder without a network.
 *
 * What is protected: it holds what is needed to run and nothing else (no sources, no tests, no leftovers of another build),
 * it brings everything it needs, and the command that npm links to works. It takes `dist` as the build left it.
 */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startAuthorizationServer } from "./support/authorization-server.ts";
import { fences } from "./support/markdown.ts";
import { checkStream, parseStream } from "./support/stream.ts";

const root = join(import.meta.dirname, "..");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

let scratch: string;
let folder: string;
let packed: { filename: string; files: { path: string; mode: number }[]; unpackedSize: number };

/** An npm that knows nothing of this machine: its own home, an empty cache, no configuration, no network. */
function environment(): Record<string, string> {
  const { PATH = "" } = process.env;
  return {
    PATH,
    HOME: scratch,
    AUTHLINE_HOME: join(scratch, "authline"),
    npm_config_cache: join(scratch, "cache"),
    npm_config_userconfig: join(scratch, "npmrc"),
    npm_config_globalconfig: join(scratch, "global-npmrc"),
    npm_config_update_notifier: "false",
    npm_config_registry: "http://127.0.0.1:9/", // discard: whoever asks is refused
  };
}

interface Ended {
  stdout: string;
  stderr: string;
  code: number;
}

const execute = (command: string, argv: string[], cwd: string, env: Record<string, string> = {}) =>
  new Promise<Ended>((resolve, reject) => {
    execFile(command, argv, { cwd, env: { ...environment(), ...env }, timeout: 60_000 }, (error, stdout, stderr) => {
      if (error && typeof error.code !== "number") reject(error);
      else resolve({ stdout, stderr, code: Number(error?.code ?? 0) });
    });
  });

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "authline-package-"));
  folder = join(scratch, "empty");
  mkdirSync(folder);
  // Without `prepack`: building anew would pull the binary away under the tests that run beside this one.
  const pack = await execute("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", scratch], root);
  expect(pack).toMatchObject({ code: 0 });
  [packed] = JSON.parse(pack.stdout);
  const tarball = join(scratch, packed.filename);
  const install = await execute("npm", ["install", "--offline", "--no-audit", "--no-fund", tarball], folder);
  expect(install).toMatchObject({ code: 0 });
}, 60_000);
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Every file that may be in it, by pattern, and whether there must be one. */
const CONTENT: [pattern: RegExp, what: string][] = [
  [/^package\.json$/, "the manifest"],
  [/^README\.md$/, "how to use it"],
  [/^LICENSE$/, "what is allowed"],
  [/^dist\/THIRD_PARTY_LICENSES\.txt$/, "what is owed to others"],
  [/^dist\/authline\.js$/, "the binary"],
  [/^dist\/keyring\.js$/, "the process that asks the OS keyring"],
  [/^dist\/[a-z_-]+-[\w-]{8}\.js$/, "its chunks"],
  [/^dist\/index\.js$/, "what programs import"],
  [/^dist\/index\.d\.ts$/, "its types"],
  [/^dist\/schema\/(event|command|provider)\.json$/, "the schemas"],
  [/^dist\/catalogue\/[a-z0-9._-]+\.json$/, "the built-in providers"],
  [/^dist\/skills\/authline\/SKILL\.md$/, "what an agent has to know"],
];

describe("the tarball", () => {
  const paths = () => packed.files.map(({ path }) => path);

  test("holds what users need and nothing else", () => {
    expect(paths().filter((path) => !CONTENT.some(([pattern]) => pattern.test(path)))).toEqual([]);
    const missing = CONTENT.filter(([pattern]) => !paths().some((path) => pattern.test(path)));
    expect(missing.map(([, what]) => what)).toEqual([]);
  });

  test("holds every built-in provider", () => {
    const sources = readdirSync(join(root, "src", "providers", "catalogue"));
    expect(sources.length).toBeGreaterThan(3);
    expect(paths().filter((path) => path.startsWith("dist/catalogue/"))).toEqual(
      sources.map((name) => `dist/catalogue/${name}`).sort(),
    );
  });

  test("holds every chunk that another one loads, and none that nothing loads", () => {
    const chunks = paths().filter((path) => /^dist\/[^/]+\.js$/.test(path));
    const text = (path: string) => readFileSync(join(folder, "node_modules", "authline", path), "utf8");
    const loaded = chunks.flatMap((path) =>
      [...text(path).matchAll(/["'`]\.\/([\w-]+\.js)["'`]/g)].map(([, name]) => `dist/${name}`),
    );
    expect([...new Set([...loaded, "dist/authline.js", "dist/index.js"])].sort()).toEqual(chunks.sort());
  });

  test("depends on nothing but the OS keyring's library, and can do without that", () => {
    const { dependencies, peerDependencies, bundledDependencies, bundleDependencies, optionalDependencies } =
      JSON.parse(readFileSync(join(folder, "node_modules", "authline", "package.json"), "utf8"));
    expect([dependencies, peerDependencies, bundledDependencies, bundleDependencies]).toEqual(Array(4).fill(undefined));
    expect(Object.keys(optionalDependencies)).toEqual(["@napi-rs/keyring"]); // native: it cannot be bundled
  });

  test("carries the licences of what is bundled", () => {
    const licences = readFileSync(join(folder, "node_modules", "authline", "dist", "THIRD_PARTY_LICENSES.txt"), "utf8");
    for (const name of ["oauth4webapi", "yargs", "zod", "execa"]) expect(licences).toMatch(new RegExp(`\\b${name}\\b`));
  });

  test("names no place on the machine that built it", () => {
    for (const path of paths()) {
      const content = readFileSync(join(folder, "node_modules", "authline", path), "utf8");
      expect([path, content.includes(root)]).toEqual([path, false]);
      expect([path, /sourceMappingURL=/.test(content)]).toEqual([path, false]);
    }
  });

  test("is small: a megabyte and a half at the most on disk, all providers included", () => {
    expect(packed.unpackedSize).toBeLessThan(1.5 * 1024 * 1024);
  });
});

const bin = () => join(folder, "node_modules", ".bin", "authline");

describe("installed into an empty folder, offline", () => {
  test("it is alone: whatever it needs is in it", () => {
    const installed = readdirSync(join(folder, "node_modules")).filter((name) => !name.startsWith("."));
    expect(installed).toEqual(["authline"]);
    expect(readdirSync(join(folder, "node_modules", ".bin")).filter((name) => !/\.(cmd|ps1)$/.test(name))).toEqual([
      "authline",
    ]);
  });

  test("npm may run nothing of it at installation", () => {
    const { scripts = {} } = JSON.parse(readFileSync(join(folder, "node_modules", "authline", "package.json"), "utf8"));
    expect(Object.keys(scripts).filter((name) => /^(pre|post)?install$|^prepare$/.test(name))).toEqual([]);
  });

  test("npx authline --version", async () => {
    const { stdout, code } = await execute("npx", ["--offline", "authline", "--version"], folder);
    expect(checkStream(stdout, { command: "version", exitCode: code })).toEqual([]);
    expect(parseStream(stdout)[0]?.data).toMatchObject({ version: manifest.version, contract: 1 });
    expect(code).toBe(0);
  });

  test("authline token github: nobody is signed in, exit 4", async () => {
    expect(statSync(bin()).mode & 0o111).toBe(0o111);
    const { stdout, stderr, code } = await execute(bin(), ["token", "github"], folder);
    expect(checkStream(stdout, { command: "token", exitCode: code })).toEqual([]);
    expect([code, parseStream(stdout)[0]?.error?.code]).toEqual([4, "auth_required"]);
    expect(stderr).toContain("Nobody is signed in to github.");
  });

  test.each([["login"], ["token"], ["status"], ["logout"], ["schema"]])("authline %s loads", async (command) => {
    const { stdout, code } = await execute(bin(), [command, "--help"], folder);
    expect(checkStream(stdout, { command: "help", exitCode: code })).toEqual([]);
    expect([code, parseStream(stdout)[0]?.data.commands[0].name]).toEqual([0, command]);
  });

  test("without the OS keyring's library the key goes into a file", async () => {
    const server = await startAuthorizationServer();
    try {
      const { id, secret } = server.clients.confidential;
      const who = ["--issuer", server.issuer, "--client-id", id, "--client-secret-from", "env:SECRET"];
      const env = {
        SECRET: secret,
        AUTHLINE_HOME: join(scratch, "no-keyring"),
        DBUS_SESSION_BUS_ADDRESS: "unix:path=/x",
      };
      const argv = ["login", "acme", "--flow", "client_credentials", ...who];
      const { stdout, code } = await execute(bin(), argv, folder, env);
      expect(checkStream(stdout, { command: "login", exitCode: code, secrets: [secret] })).toEqual([]);
      const { warnings } = parseStream(stdout).at(-1) ?? {};
      const message = expect.stringContaining("its library is not installed");
      expect([code, warnings]).toEqual([0, [{ code: "key_in_file", message }]]);
      const token = await execute(bin(), ["token", "acme"], folder, env);
      expect([token.code, parseStream(token.stdout).at(-1)?.data.source]).toEqual([0, "store"]);
    } finally {
      await server.close();
    }
  });

  test("a login gets as far as the server", async () => {
    const server = createServer((_request, response) => response.writeHead(404).end()).listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const { stdout, code } = await execute(
        bin(),
        ["login", "acme", "--issuer", issuer, "--client-id", "cli"],
        folder,
      );
      expect(checkStream(stdout, { command: "login", exitCode: code })).toEqual([]);
      expect([code, parseStream(stdout).at(-1)?.message]).toEqual([
        78,
        expect.stringContaining("publishes no metadata"),
      ]);
    } finally {
      server.close();
    }
  });
});

describe("imported by a program", () => {
  const examples = ["docs/typescript.md", "docs/contract.md"].flatMap((file) =>
    fences(readFileSync(join(root, file), "utf8")).flatMap(({ language, text }) => (language === "ts" ? [text] : [])),
  );

  /** In a folder of its own beside the installed package; what the compiler says. */
  async function compile(name: string, texts: string[], options: object) {
    const project = join(folder, name);
    mkdirSync(project);
    writeFileSync(join(project, "package.json"), '{ "type": "module" }');
    for (const [index, text] of texts.entries()) writeFileSync(join(project, `${index}.ts`), text);
    const types = { typeRoots: [join(root, "node_modules/@types")], types: ["node"] };
    const strict = { strict: true, skipLibCheck: false, resolveJsonModule: true, target: "es2023", rootDir: project };
    const compilerOptions = { ...types, ...strict, outDir: "out", ...options };
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const { stdout } = await execute(process.execPath, [tsc, "-p", project], folder);
    return { project, said: stdout };
  }

  test.each([
    ["nodenext", "nodenext"],
    ["node16", "node16"],
    ["bundler", "esnext"],
  ])("the examples compile with moduleResolution %s", async (moduleResolution, module) => {
    expect(examples.length).toBeGreaterThan(3);
    const known = moduleResolution === "node16" ? examples.filter((text) => !text.includes(" with {")) : examples;
    const { said } = await compile(moduleResolution, known, { module, moduleResolution });
    expect(said).toBe("");
  });

  test("a program is compiled, and runs", async () => {
    const program = `
      import { spawn } from "node:child_process";
      import { readStream, StreamError, type StreamEvent, type StreamFault } from "authline";
      import schema from "authline/schema/event.json" with { type: "json" };

      const argv = [${JSON.stringify(bin())}, "token", "github"];
      const { stdout } = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "ignore"] });
      let last: StreamEvent<"token"> | undefined;
      for await (const event of readStream<"token">(stdout)) last = event;
      if (last?.phase === "result" && last.status === "error") console.log(last.error.code, last.exit_code);
      if (last?.phase === "result" && last.status === "success") console.log(last.data.access_token.length);
      const fault: StreamFault | undefined = await readStream([]).next().then(
        () => undefined,
        (error: unknown) => (error instanceof StreamError ? error.fault : undefined),
      );
      console.log(fault, schema.$schema);
    `;
    const { project, said } = await compile("program", [program], { module: "nodenext" });
    expect(said).toBe("");
    const { stdout, stderr } = await execute(process.execPath, [join(project, "out/0.js")], folder);
    expect(stdout).toBe("auth_required 4\nno_result https://json-schema.org/draft/2020-12/schema\n");
    expect(stderr).toBe("");
  });

  test("its types are those of the source, and refuse what is not so", async () => {
    const program = `import type * as published from "authline";
import type * as source from ${JSON.stringify(join(root, "src/index.ts"))};
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
type Kinds = { [K in source.Kind]: Same<published.DataOf<K>, source.DataOf<K>> };
export const kinds: Same<published.Kind, source.Kind> = true;
export const data: Record<source.Kind, true> = {} as Kinds;
export const taken = (event: source.StreamEvent): published.StreamEvent => event;
export const fault: Same<published.StreamFault, source.StreamFault> = true;
declare const event: published.StreamEvent<"token">;
export const a = event.user_code;
export const b = event.phase === "device_code" && event.device_code;
export const c = event.phase === "result" && event.data;
export const d = event.phase === "result" && event.status === "success" && event.data.refresh_token;
export const e = event.phase === "news";
`;
    const options = { module: "nodenext", noEmit: true, allowImportingTsExtensions: true, rootDir: "/" };
    const { said } = await compile("types", [program], options);
    const lines = [...said.matchAll(/^\S*\((\d+),\d+\): error/gm)].map(([, line]) => Number(line));
    expect(lines, said).toEqual([10, 11, 12, 13, 14]);
  });

  test("the schemas are what authline schema prints", async () => {
    for (const name of ["event", "command", "provider"]) {
      const { stdout } = await execute(bin(), ["schema", name], folder);
      const file = join(folder, "node_modules/authline/dist/schema", `${name}.json`);
      expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(parseStream(stdout)[0]?.data.schema);
    }
  });

  test("the reader loads nothing else, and is small", () => {
    const text = readFileSync(join(folder, "node_modules/authline/dist/index.js"), "utf8");
    expect(text).not.toMatch(/\bimport\b/);
    expect(text.length).toBeLessThan(6000);
  });
});
