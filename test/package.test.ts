/**
 * What users get: the tarball that `npm pack` makes, installed into an empty folder without a network.
 *
 * What is protected: it holds what is needed to run and nothing else (no sources, no tests, no leftovers of another build),
 * it brings everything it needs, and the command that npm links to works. It takes `dist` as the build left it.
 */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startAuthorizationServer } from "./support/authorization-server.ts";
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
  [/^dist\/catalogue\/[a-z0-9._-]+\.json$/, "the built-in providers"],
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
    expect([...new Set([...loaded, "dist/authline.js"])].sort()).toEqual(chunks.sort());
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

  test("is small: less than a megabyte on disk", () => {
    expect(packed.unpackedSize).toBeLessThan(1024 * 1024);
  });
});

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

  const bin = () => join(folder, "node_modules", ".bin", "authline");

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
