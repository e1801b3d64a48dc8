/**
 * The documents say what is so.
 *
 * What is protected: every `sh` block in README and docs/ runs as it stands, against the built binary and a real server,
 * with a browser and without one; what a sample shows is what comes; and no table or list there differs from the one in
 * the source that it tells of. An example that cannot run is a `text` block, and there is no third way to write one.
 */
import { spawn } from "node:child_process";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { text as read } from "node:stream/consumers";
import { Ajv2020 } from "ajv/dist/2020.js";
import type { Configuration } from "oidc-provider";
import { build } from "rolldown";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import * as z from "zod/mini";
import { GLOBAL_OPTIONS } from "../src/commands/help.ts";
import { commands, type Entry } from "../src/commands/index.ts";
import { grantFlows } from "../src/flows/index.ts";
import { outcomes, RecordStatus } from "../src/protocol/data.ts";
import { failures, notices, steps, successes } from "../src/protocol/event.ts";
import * as failure from "../src/protocol/failure.ts";
import { MAX_LINE } from "../src/protocol/machine.ts";
import { type Attended, personAt, shimFor } from "./support/attended.ts";
import { type AuthorizationServer, startAuthorizationServer } from "./support/authorization-server.ts";
import { grants } from "./support/grants.ts";
import { type HostileServer, signIdToken, signingKey, startHostileServer } from "./support/hostile-server.ts";
import { remember, secretsUnder } from "./support/issued.ts";
import { anchors, codes, fences, prose, relativeLinks, section, table } from "./support/markdown.ts";
import { type ProtectedServer, startMcpServer, withResources } from "./support/mcp-server.ts";
import { authline, binary, sweep } from "./support/spawn.ts";
import { checkStream, type Event, parseStream } from "./support/stream.ts";

const root = join(import.meta.dirname, "..");
const load = (file: string) => readFileSync(join(root, file), "utf8");
const manifest = JSON.parse(load("package.json"));

const guides = [
  "README.md",
  "skills/authline/SKILL.md",
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".md"))
    .map((file) => `docs/${file}`),
];
const documents = [...guides, "CONTRIBUTING.md", "CHANGELOG.md"].filter((file) => file.endsWith(".md"));
const blocks = documents.flatMap((file) =>
  fences(load(file)).map((fence) => ({ ...fence, file, place: `${file}:${fence.line}` })),
);
const readme = load("README.md");
const contract = load("docs/contract.md");
const contributing = load("CONTRIBUTING.md");

/** Where README says that everything is kept. */
const README_HOME = codes(section(readme, "## Where things are"))[0]?.replace(/^~\//, "") ?? "";

type Block = (typeof blocks)[number];

// --- examples --------------------------------------------------------------------------------------------------------

/** What stands in an example, and what stands for it here. */
const STAND_INS: [shown: RegExp, real: (server: AuthorizationServer) => string][] = [
  [/https:\/\/login\.acme\.example/g, ({ issuer }) => issuer],
  [/https:\/\/mcp\.example\.com\/mcp/g, () => mcp.url],
  [/https:\/\/login\.wiki\.example/g, () => wiki.issuer],
  [/(?<=--client-id )cli\b/g, ({ clients }) => clients.native],
  [/(?<=--client-id )robot\b/g, ({ clients }) => clients.confidential.id],
];

/** The files that an example may expect where it is run. */
const FILES: Record<string, (server: AuthorizationServer) => string> = {
  "secret.txt": ({ clients }) => `${clients.confidential.secret}\n`,
  "token.txt": () => "token-of-a-pipeline\n",
  "acme.json": ({ issuer }) => JSON.stringify({ name: "acme", display_name: "Acme", issuer }),
  "statement.jwt": () => "e30.e30.c2ln\n",
  "key.txt": () => `${KEY}\n`,
  ".env": () => `OPENAI_API_KEY=${KEY}\nDATABASE_URL=postgres://localhost/\n`,
  "key.pem": () => String(key.export({ type: "pkcs8", format: "pem" })),
  "assertion.jwt": ({ issuer }) => signIdToken({ iss: STS, sub: "alice", aud: issuer, exp: Date.now() / 1000 + 600 }),
};

/** Whom the server believes: a service that gives out assertions, and the robot by its key. */
const STS = "https://sts.acme.example";
const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;

/** An API with keys, in the place of the one that the guides name. */
const KEY = "sk-proj-of-a-reader-of-the-docs";
remember(KEY);
const keyService = (url: string) => ({
  name: "openai",
  display_name: "OpenAI",
  api: { hosts: [new URL(url).host] },
  api_key: { pattern: "^sk-.*$", create_url: "https://platform.openai.com/api-keys", verify: { endpoint: url } },
  environment: { api_key: ["OPENAI_API_KEY"] },
});

/** What a guide takes for granted before its first block. */
const SIGNED_IN = "authline login acme --issuer https://login.acme.example --client-id cli";
const BEFORE: Record<string, string> = {
  "docs/completion.md": SIGNED_IN,
  "docs/config.md": SIGNED_IN,
  "docs/agents.md": SIGNED_IN,
  "docs/api-keys.md": SIGNED_IN,
  "docs/connections.md": SIGNED_IN,
  "docs/contract.md": SIGNED_IN,
  "docs/protocols.md": SIGNED_IN,
  "docs/grants.md": SIGNED_IN,
  "docs/security.md": SIGNED_IN,
  "docs/sessions.md": SIGNED_IN,
  "docs/typescript.md": SIGNED_IN,
  "docs/terminal.md": SIGNED_IN,
  "skills/authline/SKILL.md": SIGNED_IN,
};

const challengesOf = ({ events }: Ran) =>
  events
    .filter(isChallenge)
    .map(({ message }) => `${message}\n`)
    .join("");

/** What the recipes print, by the words above them. */
const PRINTS: Record<string, (ran: Ran) => string> = {
  "What to show a person, as it comes:": challengesOf,
  "In bash, line by line:": challengesOf,
  "In Python:": challengesOf,
  "In TypeScript, with the reader of the package, which checks `v`, `seq`, the order and the end:": challengesOf,
  "The token:": ({ events }) => `${events.at(-1)?.data.access_token}\n`,
  "Whether a stream is whole:": () => "true\n",
};

interface Machine {
  name: string;
  env: Record<string, string>;
  /** How the person there likes to sign in, and what that is to the server. */
  way: Event["phase"];
  grant: string;
}

/** Where the examples are run: the browser of the second one takes whatever it is told to open. */
const MACHINES: Machine[] = [
  { name: "without a browser", env: {}, way: "device_code", grant: "urn:ietf:params:oauth:grant-type:device_code" },
  { name: "with a browser", env: { BROWSER: "true" }, way: "auth_url", grant: "authorization_code" },
];

interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
  runs: Attended[];
  events: Event[];
}

/** Programs that are run: what each is written to, and what runs it there. */
const LANGUAGES: Record<string, (text: string, folder: string) => Promise<string>> = {
  sh: async (text) => text,
  async python(text, folder) {
    writeFileSync(join(folder, "recipe.py"), text);
    return "python3 recipe.py";
  },
  async ts(text, folder) {
    writeFileSync(join(folder, "recipe.ts"), text);
    mkdirSync(join(folder, "node_modules"), { recursive: true });
    if (!existsSync(join(folder, "node_modules/authline")))
      symlinkSync(dirname(dirname(binary)), join(folder, "node_modules/authline"));
    await build({
      input: join(folder, "recipe.ts"),
      platform: "node",
      logLevel: "warn",
      external: ["authline"],
      output: { file: join(folder, "recipe.mjs"), format: "esm" },
    });
    return `'${process.execPath}' recipe.mjs`;
  },
};
const isExample = ({ language }: Block) => Object.hasOwn(LANGUAGES, language);
/** A call, in a shell or in a list of words. */
const CALL = /\bauthline (?=[a-z-])|"authline", \[?"/g;

/** Whoever signs in with a browser is asked something else; all the rest is the same there. */
const signsIn = ({ text }: Block) => /\bauthline login |"login"/.test(text);

const isChallenge = ({ phase }: Event) => phase === "auth_url" || phase === "device_code";
const count = (text: string, pattern: RegExp) => text.match(pattern)?.length ?? 0;

let scratch: string;
let server: AuthorizationServer;
let api: HostileServer;
let mcp: ProtectedServer;
/** Another one, which believes the first. */
let wiki: AuthorizationServer;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "authline-docs-"));
  shimFor(binary, join(scratch, "bin"));
  const offered = grants({ interval: 1 });
  const configure = (each: Configuration) => withResources(offered.options.configure?.(each) ?? each);
  server = await startAuthorizationServer({ ...offered.options, configure });
  offered.approvesAll = true;
  offered.trusted.set(STS, createPublicKey(signingKey().privateKey));
  offered.trusted.set(server.clients.confidential.id, createPublicKey(key));
  const trusting = grants();
  wiki = await startAuthorizationServer(trusting.options);
  trusting.trusted.set(server.issuer, createPublicKey(signingKey().privateKey));
  offered.clientAt.set(wiki.issuer, wiki.clients.confidential.id);
  api = await startHostileServer({
    "GET /v1/models": ({ headers }) => ({ status: headers.authorization === `Bearer ${KEY}` ? 200 : 401, json: {} }),
  });
  mcp = await startMcpServer(server);
});

afterAll(async () => {
  await mcp.close();
  await Promise.all([server.close(), wiki.close(), api.close()]);
  rmSync(scratch, { recursive: true });
});

/** A machine of somebody who has just installed authline and reads this guide from the top. */
function machine(guide: string, { name, env, way }: Machine) {
  const home = join(scratch, `${basename(guide)} ${name}`);
  const calls = join(home, "calls");
  const cwd = join(home, "work");
  for (const each of [home, calls, cwd]) mkdirSync(each, { recursive: true });
  const known = join(home, README_HOME, "definitions");
  mkdirSync(known, { recursive: true, mode: 0o700 });
  writeFileSync(join(known, "openai.json"), JSON.stringify(keyService(`${api.url}/v1/models`)), { mode: 0o600 });
  for (const [file, content] of Object.entries(FILES)) writeFileSync(join(cwd, file), content(server));

  const run = async (example: string, language = "sh"): Promise<Ran> => {
    const runnable = (await LANGUAGES[language]?.(example, cwd)) ?? example;
    const script = STAND_INS.reduce((text, [shown, real]) => text.replaceAll(shown, () => real(server)), runnable);
    const bash = spawn("bash", ["--noprofile", "--norc", "-c", `set -euo pipefail\n${script}`], {
      cwd,
      env: {
        PATH: `${join(scratch, "bin")}:${process.env["PATH"]}`,
        HOME: home,
        LANG: "C.UTF-8",
        AUTHLINE_CALLS: calls,
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const person = personAt(calls, way);
    const tooLong = setTimeout(() => process.kill(-(bash.pid as number), "SIGKILL"), 15_000);
    const [stdout, stderr, [code]] = await Promise.all([read(bash.stdout), read(bash.stderr), once(bash, "close")]);
    clearTimeout(tooLong);
    const runs = await person.leave();
    return { code, stdout, stderr, runs, events: runs.flatMap((each) => parseStream(each.stdout)) };
  };
  return { home, run };
}

/** Everything that makes a block one that works, but for what it prints. */
function expectToWork(example: string, ran: Ran): void {
  expect(ran, `${ran.stderr}\n${ran.stdout}`).toMatchObject({ code: 0 });
  expect(ran.runs, "every authline of the block went through the shim").toHaveLength(count(example, CALL));
  const secrets = [server.clients.confidential.secret];
  for (const { argv, code, stdout } of ran.runs) {
    expect({ argv, code }).toEqual({ argv, code: 0 });
    const called = commands.find(({ name }) => argv.join(" ").startsWith(name))?.name ?? "";
    const command = argv.includes("--help") ? "help" : called;
    expect(checkStream(stdout, { command, exitCode: code, secrets }), argv.join(" ")).toEqual([]);
    expect(parseStream(stdout).at(-1)).toMatchObject({
      phase: "result",
      status: argv.includes("--no-wait") ? "started" : "success",
    });
  }
}

test("nothing is prepared for examples that are not there", () => {
  const examples = blocks.filter(isExample);
  const all = examples.map(({ text }) => text).join("\n");
  expect(STAND_INS.filter(([shown]) => count(all, shown) === 0)).toEqual([]);
  expect(Object.keys(FILES).filter((file) => !all.includes(file))).toEqual([]);
  expect(Object.keys(BEFORE).filter((file) => !guides.includes(file))).toEqual([]);
  expect(Object.keys(PRINTS).filter((words) => !examples.some(({ lead }) => lead === words))).toEqual([]);
});

describe.each(MACHINES.map((on) => [on.name, on] as const))("examples run %s:", (_, on) => {
  const isHere = (block: Block) => isExample(block) && (on === MACHINES[0] || signsIn(block));
  describe.each(guides.filter((guide) => blocks.some((block) => block.file === guide && isHere(block))))(
    "%s",
    (guide) => {
      const all = blocks.filter((block) => block.file === guide && isExample(block));
      // What stands below the last sign-in of a guide is the same wherever it is run.
      const examples = all.slice(0, all.findLastIndex(isHere) + 1);
      let here: ReturnType<typeof machine>;
      const grants = new Set<string | undefined>();
      const takeNote = (asked: number) => {
        for (const { grant_type, status } of server.requests.slice(asked)) if (status === 200) grants.add(grant_type);
      };

      beforeAll(async () => {
        here = machine(guide, on);
        const before = BEFORE[guide];
        const asked = server.requests.length;
        if (before) expectToWork(before, await here.run(before));
        takeNote(asked);
      });

      test.each(examples)("$place", async ({ text, language, lead, place }: Block) => {
        const asked = server.requests.length;
        const ran = await here.run(text, language);
        expectToWork(text, ran);
        const printed = PRINTS[lead]?.(ran);
        if (printed !== undefined) expect(ran.stdout).toBe(printed);

        const used = server.requests.slice(asked).filter(({ path }) => path === "/me");
        const asCurl = { status: 200, auth: text.includes("DPoP") ? "dpop" : "bearer" };
        if (/\bcurl\b/.test(text)) {
          expect(used.at(-1)).toMatchObject(asCurl);
          expect(JSON.parse(ran.stdout)).toMatchObject({ sub: "alice" });
        }
        for (const { message, user_code, auth_url } of ran.events.filter(isChallenge)) {
          expect(message).toContain(user_code ?? auth_url);
        }
        takeNote(asked);

        const sample = blocks[blocks.findIndex((each) => each.place === place) + 1];
        if (sample?.file === guide && sample.language === "json") expectToCome(samplesOf(sample), ran.events);
      });

      test("somebody signed in the way they like there", () => expect([...grants]).toContain(on.grant));

      test("its credentials lie where README says, sealed, readable by nobody else", () => {
        const directory = join(here.home, README_HOME);
        const kept = readdirSync(directory, { recursive: true, encoding: "utf8" }).map((file) => join(directory, file));
        const files = kept.filter((file) => statSync(file).isFile());
        expect(files).not.toEqual([]);
        for (const file of files) expect({ file, mode: statSync(file).mode & 0o077 }).toEqual({ file, mode: 0 });
        expect(secretsUnder(directory)).toEqual([]);
      });
    },
  );
});

/** Every line of a sample is one of those that came, word for word and with its number, or a heartbeat. */
function expectToCome(samples: Sample[], came: Event[]): void {
  // For a heartbeat nobody waits 15 seconds here: it is looked up in the golden stream, which another test holds to.
  const beats = parseStream(load("fixtures/login-device/stream.ndjson")).filter(({ state }) => state === "waiting");
  let heartbeats = 0;
  for (const { event, line } of samples) {
    const real = came.find(({ seq }) => seq === event.seq - heartbeats);
    if (event.state === "waiting") {
      heartbeats += 1;
      expect(event.seq, line).toBeGreaterThan(
        came.findLast((each) => isChallenge(each) || each.step === "await_user")?.seq ?? 0,
      );
      expect(beats.map(essence)).toContainEqual(essence(event));
    } else {
      expect(real && essence(real), line).toEqual(essence(event));
    }
  }
}

/** A line without what differs from one sign-in to the next. */
const essence = ({ phase, message, status, exit_code, step, state, remaining, user_code = "\0" }: Event) => ({
  ...{ phase, status, exit_code, step, state, remaining },
  message: message
    .replaceAll(user_code, "CODE")
    .replace(/https?:\/\/[^/\s]+/g, "ISSUER")
    .replace(/(?<= as )\S+\./, "PERSON."),
});

interface Sample {
  line: string;
  shortened: boolean;
  event: Event;
}

/** The lines of a JSON block; those that end in `…}` were shortened. */
const samplesOf = ({ text }: Block): Sample[] =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => ({
      line,
      shortened: line.endsWith(", …}"),
      event: JSON.parse(line.replace(/, …\}$/, "}")),
    }));

// --- samples ---------------------------------------------------------------------------------------------------------

const samples = blocks
  .filter(({ language }) => language === "json")
  .flatMap((block) => samplesOf(block).map((sample) => ({ ...sample, place: block.place })));

describe("samples", () => {
  const ajv = new Ajv2020({ validateFormats: false });
  /** Every shape that a line of this phase and status may have. */
  const shapesOf = ({ phase, status }: Event): Schema[] => {
    const find = <T>(table: Record<string, T>, key = "") => (Object.hasOwn(table, key) ? [table[key] as T] : []);
    if (phase !== "result") return find<() => z.ZodMiniType>(notices, phase).map((shape) => schemaOf(shape()));
    const kinds = Object.keys(outcomes) as Kind[];
    return [
      ...find<() => z.ZodMiniType>(failures, status).map((shape) => schemaOf(shape())),
      ...find<(kind: Kind) => z.ZodMiniType>(successes, status).flatMap((shape) =>
        kinds.map((kind) => schemaOf(shape(kind))),
      ),
    ];
  };

  test("there are some", () => expect(samples).not.toEqual([]));

  test.each(samples)("$place: $event.phase, line $event.seq", ({ event, shortened }) => {
    const fits = shapesOf(event).some(({ required = [], ...rest }) => {
      const needed = shortened ? ["v", "seq", "phase", "message"] : required;
      return ajv.validate({ ...rest, required: needed, additionalProperties: false }, event);
    });
    expect(fits, ajv.errorsText()).toBe(true);
  });
});

// --- tables and lists ------------------------------------------------------------------------------------------------

type Kind = keyof typeof outcomes;
type Schema = z.core.JSONSchema.JSONSchema;

function schemaOf(shape: z.ZodMiniType): Schema {
  const { $schema, ...schema } = z.toJSONSchema(shape, { io: "input" });
  return schema;
}

/** The words of an enumeration. */
const wordsOf = (schema: Schema | boolean | undefined): unknown[] =>
  (typeof schema === "object" && (schema.enum ?? schema.examples)) || [];
const fieldsOf = ({ properties = {} }: Schema) => Object.keys(properties);
const sorted = (words: Iterable<string>) => [...words].sort();

/** The cell beside this one in a table of two or three columns. */
const beside = (rows: string[][], name: string) =>
  rows.find(([first]) => codes(first ?? "").includes(name))?.at(-1) ?? "";

describe("docs/protocols.md", () => {
  const [rows = ""] = load("docs/protocols.md").match(/^\| RFC[\s\S]*?(?=\n\n)/m) ?? [];
  const files = [...rows.matchAll(/`([\w/]+\.ts)`/g)].map(([, file = ""]) => file);

  test.each(files)("%s is there", (file) => {
    expect(["src", "test"].some((place) => existsSync(join(root, place, file)))).toBe(true);
  });

  test("has every grant", () => {
    expect(Object.keys(grantFlows).filter((grant) => !files.includes(`flows/${grant}.ts`))).toEqual([]);
  });
});

describe("docs/contract.md", () => {
  const every = table(section(contract, "## Every line"), "field", "type", "meaning");
  const common = Object.values({ ...notices, ...failures })
    .map((shape) => fieldsOf(schemaOf(shape())))
    .reduce((left, right) => left.filter((field) => right.includes(field)));
  /** What a line has besides. */
  const own = (shape: z.ZodMiniType) => fieldsOf(schemaOf(shape)).filter((field) => !common.includes(field));

  test("its exit codes are those of failure.ts", () => {
    const rows = table(contract, "`status`", "`error.code`", "exit", "when").map(([status = "", code = "", exit]) => [
      codes(status)[0],
      codes(code)[0],
      Number(exit),
    ]);
    const ends = Object.entries(failure.exits).map(([status, exit]) => [status, undefined, exit]);
    const fails = Object.entries(failure.codes).map(([code, { exit }]) => [
      code === "cancelled" ? code : "error",
      code,
      exit,
    ]);
    expect(rows).toHaveLength(ends.length + fails.length);
    expect(rows).toEqual(expect.arrayContaining([...ends, ...fails]));
    const told = table(contract, "`status`", "`error.code`", "exit", "when");
    const words = told.map(([status = "", code = "", , when = ""]) => [codes(code)[0] ?? codes(status)[0], when]);
    const meant = Object.entries({ ...failure.ends, ...failure.codes }).map(([name, { when }]) => [name, when]);
    expect(words.map(([name, when = ""]) => [name, when.replaceAll("`", "")])).toEqual(expect.arrayContaining(meant));
    expect(section(contract, "## Exit codes")).toContain(`exits with ${failure.EXIT_READER_GONE},`);
  });

  test("its fields of every line are stamped on every line", () => {
    expect(sorted(every.flatMap(([field = ""]) => codes(field)))).toEqual(sorted(common));
  });

  test.each(Object.entries(notices))("its fields of %s are those of event.ts", (phase, shape) => {
    const text = section(contract, `### \`${phase}\``);
    const above = text.split("\n").find((line) => /as above, and$/.test(line)) ?? "";
    const told = table(text, "field", "meaning").flatMap(([field = ""]) => codes(field));
    expect(sorted([...codes(above), ...told])).toEqual(sorted(own(shape())));
  });

  test("its fields of result are those of event.ts", () => {
    const rows = table(section(contract, "### `result`"), "field", "meaning");
    const declared = new Set([...own(failures.error()), ...own(successes.success("login"))]);
    expect(sorted(rows.flatMap(([field = ""]) => codes(field)))).toEqual(sorted(declared));
    expect(sorted(codes(beside(rows, "status")))).toEqual(sorted(Object.keys({ ...failures, ...successes })));

    const { error, warnings, next_actions } = schemaOf(failures.error()).properties as Record<string, Schema>;
    expect(sorted(codes(beside(rows, "error").replace(/^[^:]*:/, "")))).toEqual(sorted(fieldsOf(error ?? {})));
    for (const [field, list] of Object.entries({ warnings, next_actions })) {
      const [, names = ""] = beside(rows, field).match(/\{([^}]*)\}/) ?? [];
      expect({ [field]: sorted(names.split(", ")) }).toEqual({ [field]: sorted(fieldsOf(list?.items as Schema)) });
    }
  });

  test("its words and its limit are those of the source", () => {
    const rows = table(section(contract, "### `progress`"), "field", "meaning");
    const { state } = schemaOf(notices.progress()).properties ?? {};
    expect(codes(beside(rows, "step"))).toEqual([...steps]);
    expect(codes(beside(rows, "state"))).toEqual(wordsOf(state));

    const { reach } = schemaOf(notices.auth_url()).properties ?? {};
    const reaches = table(section(contract, "### `auth_url`"), "field", "meaning");
    expect(codes(beside(reaches, "reach"))).toEqual(wordsOf(reach));

    expect(codes(beside(every, "phase"))).toEqual([...Object.keys(notices), "result"]);
    expect(contract).toContain(`at most ${MAX_LINE.toLocaleString("en")} bytes`);
  });

  test("its warnings are those of the source", () => {
    const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" });
    const source = files
      .filter((file) => file.endsWith(".ts"))
      .map((file) => load(`src/${file}`))
      .join("\n");
    const [paragraph = ""] = contract.match(/^Warnings come with .*?\n\n/ms) ?? [];
    const told = codes(paragraph).filter((code) => /^[a-z]\w+_?\w*$/.test(code) && code !== "doctor");
    const given = [...source.matchAll(/\bcode: "(\w+)",\s+message/g)].map(([, code = ""]) => code);
    expect(given.length).toBeGreaterThan(10);
    const failures = Object.keys(failure.codes);
    expect(given.filter((code) => !told.includes(code) && !failures.includes(code))).toEqual([]);
    const stems = told.map((code) => code.replace(/^(revocation_)(failed|skipped)$/, "`$1$"));
    expect(stems.filter((stem) => !source.includes(stem.startsWith("`") ? stem : `"${stem}"`))).toEqual([]);
  });

  test("its words for a record are those of data.ts", () => {
    const [, statuses = ""] = section(contract, "## Data").match(/^`record_status` is (.*?)\. /ms) ?? [];
    expect(sorted(codes(statuses))).toEqual(sorted(wordsOf(schemaOf(RecordStatus)) as string[]));
  });

  test("its fields of help are those of data.ts", () => {
    const items = (of: Schema, field: string) => (of.properties?.[field] as Schema | undefined)?.items as Schema;
    const help = schemaOf(outcomes.help());
    const command = items(help, "commands");
    const shapes: Record<string, Schema> = {
      "a command": command,
      "a positional": items(command, "positionals"),
      "an option": items(command, "options"),
      "an exit code": items(command, "exit_codes"),
      "a variable": items(help, "variables"),
    };
    const rows = table(section(contract, "## Help"), "of", "fields");
    const told = rows.map(([of, fields = ""]) => [
      of,
      sorted([...fields.replace(/\([^)]*\)/g, "").matchAll(/`(\w+)`(\??)/g)].map(([, name, mark]) => `${name}${mark}`)),
    ]);
    const marked = (schema: Schema) =>
      fieldsOf(schema).map((field) => (schema.required?.includes(field) ? field : `${field}?`));
    expect(told).toEqual(Object.entries(shapes).map(([of, schema]) => [of, sorted(marked(schema))]));
  });

  const rows = table(section(contract, "## Data"), "command", "`data`").map(([names = "", data = ""], index, all) => {
    const alike = data.startsWith("the same of one") ? (all[index - 1]?.[1] ?? "").replace(/^.*?each with/, "") : "";
    return {
      names: codes(names.replace(/^help$/, "`help`").replace("--version", "version")),
      data: `${alike} ${data}`,
    };
  });
  const kinds: { name: string; kind: Kind }[] = [
    ...commands.flatMap(({ name, kind }) => (kind === "any" ? [] : [{ name, kind }])),
    { name: "login --import", kind: "import" },
    { name: "help", kind: "help" },
    { name: "version", kind: "version" },
  ];

  test("it says of each command what its data is", () =>
    expect(sorted(rows.flatMap(({ names }) => names))).toEqual(sorted(kinds.map(({ name }) => name))));

  test.each(rows)("its data of $names is that of data.ts", ({ names, data }) => {
    const [kind = "help", ...others] = new Set(
      kinds.filter(({ name }) => names.includes(name)).map(({ kind }) => kind),
    );
    expect(others).toEqual([]);
    /** Name by name, with `?` where one may be missing; into lists, but no deeper into help. */
    const declared = (schema: Schema): string[] =>
      Object.entries((schema.properties ?? {}) as Record<string, Schema>).flatMap(([name, inner]) => [
        schema.required?.includes(name) ? name : `${name}?`,
        ...(kind === "help" ? [] : declared((inner.items ?? {}) as Schema)),
      ]);
    const [certain = "", uncertain = ""] = data.split("where they are known");
    const told = [
      ...[...certain.replace("with `started`", "").matchAll(/`(\w+)`(\?)?/g)].map(
        ([, name, mark = ""]) => `${name}${mark}`,
      ),
      ...codes(uncertain).map((name) => `${name}?`),
    ];
    expect(sorted(told)).toEqual(sorted(declared(schemaOf(outcomes[kind]()))));
  });
});

/** How a command is called, as its help says it. */
async function usageOf({ name, load }: Entry): Promise<string> {
  const { positionals } = await load();
  const places = Object.entries(positionals).map(([place, { required }]) => (required ? `<${place}>` : `[${place}]`));
  return ["authline", name, ...places].join(" ");
}

describe("docs/grants.md", () => {
  const guide = load("docs/grants.md");
  const told = table(guide, "`--flow`", "who acts", "Source").flatMap(([name = ""]) => codes(name));

  test("its grants are those of flows/index.ts", () => expect(sorted(told)).toEqual(sorted(Object.keys(grantFlows))));

  test("whatever flag a grant has of its own stands in its section", async () => {
    for (const [name, load] of Object.entries(grantFlows)) {
      const { flags } = await load();
      const own = flags && section(guide, `## ${name}`);
      for (const flag of Object.keys(flags ?? {})) expect([name, own]).toEqual([name, expect.stringContaining(flag)]);
    }
  });
});

describe("docs/sessions.md", () => {
  const sessions = load("docs/sessions.md");

  test("its commands are those of commands/index.ts", async () => {
    const told = table(sessions, "command", "does").flatMap(([usage = ""]) => codes(usage));
    const usages = await Promise.all(commands.filter(({ name }) => name.startsWith("session ")).map(usageOf));
    expect(told.map((usage) => usage.replace(/\b[A-Z]+$/, (place) => `<${place.toLowerCase()}>`))).toEqual(usages);
  });
});

describe("README.md", () => {
  test("its commands are those of commands/index.ts", async () => {
    const rows = table(readme, "command", "does");
    // `session list|show` stands for several, and for brevity.
    const told = rows.flatMap(([usage = ""]) => {
      const [, first, words] = codes(usage)[0]?.match(/^(.*) (\w+(?:\|\w+)+)$/) ?? [];
      return words ? words.split("|").map((word) => `${first} ${word}`) : codes(usage);
    });
    const usages = await Promise.all(commands.map(usageOf));
    expect(sorted(told)).toEqual(
      sorted(usages.map((usage) => (usage.startsWith("authline session ") ? usage.replace(/ <.*/, "") : usage))),
    );
  });

  /** Those of the system, of which there is nothing to tell. */
  const SYSTEM = [
    "APPDATA",
    "COLUMNS",
    "CODESPACES",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "PATH",
    "SSH_CONNECTION",
    "SSH_TTY",
    "TERM",
    "TMUX",
    "WAYLAND_DISPLAY",
    "WSL_DISTRO_NAME",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
  ];
  /** Put in by the build; and what two names begin with that are put together. */
  const BUILD = ["AUTHLINE_VERSION", "AUTHLINE_CLIENT_"];

  test("its environment variables are those that the source reads", () => {
    const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).filter((file) =>
      file.endsWith(".ts"),
    );
    const read = files.flatMap((file) => {
      const source = load(`src/${file}`);
      const named = source.matchAll(/\benv(?:\?\.)?(?:\[|\()"(\w+)"|\benv\??\.([A-Z]\w+)|\b(AUTHLINE_\w+)/g);
      const taken = source.matchAll(/\{([^{}]*)\}(?: = (?:\w+\.)*env\b|: Env\b)/g);
      return [
        ...[...named].map((match) => match.slice(1).find(Boolean) ?? ""),
        ...[...taken].flatMap(([, names = ""]) => names.match(/\b[A-Z]\w+/g) ?? []),
      ];
    });
    const told = table(readme, "variable", "does").flatMap(([variable = ""]) =>
      codes(variable).map((each) => each.replace(/[=<].*/, "")),
    );
    expect(sorted([...told, ...SYSTEM, ...BUILD])).toEqual(sorted(new Set(read)));
  });

  test("its phases are those of event.ts", () => {
    const told = table(readme, "phase", "means").flatMap(([phase = ""]) => codes(phase));
    expect(told).toEqual([...Object.keys(notices), "result"]);
  });

  test("its exit codes are some of failure.ts", () => {
    const [, list = ""] = section(readme, "## Read it").match(/process's own: ([^;]*);/) ?? [];
    const told = list.match(/\d+/g)?.map(Number) ?? [];
    const known = [...Object.values(failure.exits), ...Object.values(failure.codes).map(({ exit }) => exit)];
    expect(told.length).toBeGreaterThan(3);
    expect(told.filter((exit) => !known.some((each) => each === exit))).toEqual([]);
  });

  test("it says how many providers the catalogue has, and how to list them", () => {
    const [, said] = readme.match(/More than (\d+) providers are known by name\n\(`authline provider list`/) ?? [];
    const { length } = readdirSync(join(root, "src/providers/catalogue"));
    expect(length).toBeGreaterThan(Number(said));
    expect(length - Number(said), "say it anew").toBeLessThan(50);
  });

  test("its Node is that of package.json", () => {
    expect(readme).toContain(`Node ${manifest.engines.node.replace(">=", "")} or newer`);
  });
});

// --- all of them -----------------------------------------------------------------------------------------------------

describe("CHANGELOG.md and CONTRIBUTING.md", () => {
  test("what is not released has a section, and says something", () => {
    const [, unreleased = ""] =
      load("CHANGELOG.md")
        .split(/^## /m)
        .find((part) => part.startsWith("[Unreleased]\n"))
        ?.split("]\n") ?? [];
    expect(unreleased).toMatch(/^### \w+\n\n- /m);
  });

  test("the rooms are there, and every folder of src is one", () => {
    const rows = table(contributing, "room", "holds", "may import");
    const rooms = rows.flatMap(([room = ""]) => codes(room));
    const folders = readdirSync(join(root, "src"), { withFileTypes: true }).filter((each) => each.isDirectory());
    expect(rooms).toEqual(expect.arrayContaining(folders.map(({ name }) => `src/${name}/`)));
    const mentioned = rows
      .flatMap(([, , imports = ""]) => codes(imports))
      .map((name) => (name === "src" ? name : `src/${name}`));
    expect(mentioned.filter((path) => !isThere(path) && !isThere(`${path}.ts`))).toEqual([]);
  });
});

/** `x` stands for a name: then its folder is enough. */
const isThere = (path: string) => existsSync(join(root, /\bx\.\w/.test(path) ? dirname(path) : path));

describe.each(documents)("%s", (file) => {
  const document = load(file);
  const spans = codes(prose(document));

  test("its blocks are text, json, or in a language that is run", () => {
    for (const { language, text, line } of fences(document)) {
      expect([...Object.keys(LANGUAGES), "text", "json"], `line ${line}`).toContain(language);
      if (language === "text") expect(text).not.toMatch(/^\s*(\$ )?authline /m);
      if (language === "sh") expect(guides, "only guides have examples").toContain(file);
    }
  });

  test("its links and paths lead somewhere", () => {
    const broken = relativeLinks(document).filter((link) => {
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? file : join(dirname(file), path);
      return !existsSync(join(root, target)) || (anchor !== undefined && !anchors(load(target)).includes(anchor));
    });
    expect(broken).toEqual([]);
    const paths = spans.filter((span) => /^(src|test|docs|bench|fixtures)\/[\w./-]*$/.test(span));
    expect(paths.filter((path) => !isThere(path))).toEqual([]);
  });

  test("its npm scripts are those of package.json", () => {
    const scripts = [...document.matchAll(/\bnpm (?:run (?:-s )?)?(test|(?<=run (?:-s )?)[\w:-]+)/g)].map(
      ([, name]) => name,
    );
    expect(scripts.filter((name) => !Object.hasOwn(manifest.scripts, name ?? ""))).toEqual([]);
  });

  test("its commands and options are there", async () => {
    expect(await Promise.all(spans.map(unknownIn)).then((found) => found.flat())).toEqual([]);
  });
});

/** Which words of a command line in running text no command knows. */
async function unknownIn(line: string): Promise<string[]> {
  const [first = "", ...rest] = line.replace(/^authline\s*/, "").split(/\s+/);
  const command = commands.find(({ name }) => [first, ...rest].join(" ").startsWith(name));
  if (commands.some(({ name }) => line === `authline ${name.replace(/ .*/, "")} --help`)) return [];
  if (line.startsWith("authline ") && !command && !first.startsWith("-")) return [line];
  if (!command && !first.startsWith("--")) return [];
  const loaded = await Promise.all((command ? [command] : commands).map((each) => each.load()));
  const known = new Set([
    ...GLOBAL,
    ...loaded.flatMap(({ options }) => Object.keys(options).map((name) => `--${name}`)),
  ]);
  return [first, ...rest].filter((word) => /^--./.test(word) && !known.has(word.replace(/=.*/, "")));
}

// --- help ------------------------------------------------------------------------------------------------------------

const GLOBAL = GLOBAL_OPTIONS.map(({ name }) => `--${name}`);

describe("--help", () => {
  afterEach(async () => {
    await sweep();
  });

  const ask = async (...argv: string[]) => (await authline(argv).done).events.at(-1);

  test.each(commands)("$name: every option in it is one, and its examples use them", async ({ name, stdout, load }) => {
    const helped = await ask(...name.split(" "), "--help");
    expect(helped).toMatchObject({ command: "help", status: "success" });
    const {
      text,
      commands: [described],
    } = helped?.data ?? {};
    const { options } = await load();
    const shown = [...text.matchAll(/^ +(--[\w-]+)/gm)].map(([, option]) => option);
    expect(sorted(shown)).toEqual(sorted([...GLOBAL, ...Object.keys(options).map((option) => `--${option}`)]));

    expect(described.examples).not.toEqual([]);
    const shownToPeople = described.examples.slice(0, 8);
    for (const example of shownToPeople) expect(text).toContain(`  ${example}\n`);
    for (const example of described.examples) expect(await unknownIn(example)).toEqual([]);
    const more = described.examples.length - shownToPeople.length;
    expect(text.includes(`authline ${name} --help --json has ${more} more.\n`)).toBe(more > 0);

    if (described.stdout !== "stream") return; // its refusal is not on the stream
    // All of them at once, and one that is none: it is the first that is complained of.
    const given = Object.entries(options).map(([option, { type }]) => `--${option}${type === "string" ? "=x" : ""}`);
    const refused = await authline([...name.split(" "), ...given, "--nothing-of-the-kind"]).done;
    const message = `There is no option --nothing-of-the-kind for ${name}.`;
    expect(refused).toMatchObject({ code: 64, stderr: expect.stringContaining(message) });
    // A stdout that is somebody else's has no place for a result of ours.
    expect(refused.events.at(-1)?.error).toEqual(
      stdout ? undefined : expect.objectContaining({ code: "usage", message }),
    );
  });

  test("--version shows the versions wherever help says so", async () => {
    const heard = await Promise.all(
      commands.map(async ({ name }) => ({ name, event: await ask(...name.split(" "), "--version") })),
    );
    expect(heard.filter(({ event }) => event?.command !== "version").map(({ name }) => name)).toEqual([]);
  });
});
