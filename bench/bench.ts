/**
 * What a call costs, as ratios to `node -e 0` of the same run: medians of pairs, because machines differ and drift.
 * `npm run bench [-- PAIRS]`, and `npm run bench -- storm [ROUNDS]` for what many at once cost.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { newKey, seal, unseal } from "../src/store/seal.ts";
import { startAuthorizationServer } from "../test/support/authorization-server.ts";
import { opened, putSealed } from "../test/support/sealed.ts";
import { benchStorm } from "./storm.ts";

const binary = resolve(process.env["AUTHLINE_BIN"] ?? "dist/authline.js");
if (process.argv[2] === "storm") {
  await benchStorm(binary, Number(process.argv[3] ?? 20));
  process.exit();
}

const pairs = Math.max(15, Number(process.argv[2] ?? 15));
const probe = resolve("bench/probe.cjs");
const home = await mkdtemp(join(tmpdir(), "authline-bench-"));
const env = { ...process.env, AUTHLINE_HOME: home, AUTHLINE_SECRET: "" };

interface Cost {
  /** Milliseconds. */
  wall: number;
  cpu: number;
  /** Milliseconds to the first byte on stdout; the whole for what writes none. */
  first: number;
  /** MiB at the peak. */
  memory: number;
}

async function measure(argv: string[]): Promise<Cost> {
  const started = performance.now();
  const child: ChildProcess = spawn(process.execPath, ["--require", probe, ...argv], {
    env,
    stdio: ["ignore", "pipe", "ignore", "pipe"],
  });
  let first: number | undefined;
  let report = "";
  child.stdout?.on("data", () => {
    first ??= performance.now() - started;
  });
  child.stdio[3]?.on("data", (chunk) => {
    report += chunk;
  });
  await new Promise((done) => child.once("close", done));
  const wall = performance.now() - started;
  return { wall, first: first ?? wall, ...(JSON.parse(report) as { cpu: number; memory: number }) };
}

const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

/** What a store of ten thousand looks like to somebody who wants one of them. */
function fillStore(count: number): void {
  const one = opened(home, "connection", "default@bench");
  for (let number = 1; number < count; number++) {
    const connection = `c${number}`;
    putSealed(home, "connection", `${connection}@bench`, { ...one, connection });
  }
}

/** Microseconds to seal what a connection hides, and to open it again. */
function sealingCost(): { seal: number; open: number } {
  const { secrets, ...clear } = opened(home, "connection", "default@bench");
  const [text, about, key] = [JSON.stringify(secrets), JSON.stringify(clear), newKey()];
  const each = (call: () => void) => {
    const runs = Array.from({ length: 5 }, () => {
      const started = performance.now();
      for (let time = 0; time < 2000; time++) call();
      return (performance.now() - started) / 2;
    });
    return median(runs);
  };
  const sealed = seal(text, about, key);
  return { seal: each(() => seal(text, about, key)), open: each(() => unseal(sealed, about, key)) };
}

/** Each run beside a run of the yardstick, so that both see the same machine. */
async function compare(argv: string[]): Promise<string[]> {
  const ratios = { wall: [] as number[], cpu: [] as number[], first: [] as number[] };
  const costs: Cost[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    const yardstick = await measure(["-e", "0"]);
    const cost = await measure(argv);
    costs.push(cost);
    ratios.wall.push(cost.wall / yardstick.wall);
    ratios.cpu.push(cost.cpu / yardstick.cpu);
    ratios.first.push(cost.first / yardstick.wall);
  }
  const times = (values: number[]) => `${median(values).toFixed(2)}x`;
  const memory = median(costs.map((cost) => cost.memory));
  return [times(ratios.wall), times(ratios.cpu), times(ratios.first), `${memory.toFixed(0)} MiB`];
}

async function print(name: string, argv: string[]): Promise<void> {
  const cells = await compare(argv);
  console.log(`${name.padEnd(28)}${cells.map((cell) => cell.padStart(12)).join("")}`);
}

const server = await startAuthorizationServer();
const { confidential } = server.clients;
const signIn = [
  ...["login", "bench", "--flow", "client_credentials", "--issuer", server.issuer, "--client-id", confidential.id],
  ...["--client-secret-from", "env:AUTHLINE_SECRET"],
];
try {
  env.AUTHLINE_SECRET = confidential.secret;
  const rows: [string, string[]][] = [
    ["node -e 0", ["-e", "0"]],
    ["--version", [binary, "--version"]],
    ["login (client credentials)", [binary, ...signIn]], // leaves what the next ones read
    ["token", [binary, "token", "bench"]],
    ["status", [binary, "status"]],
    ["login --help", [binary, "login", "--help"]],
    ["token --refresh", [binary, "token", "bench", "--refresh"]],
  ];
  console.log(`Node ${process.versions.node}, ${process.platform} ${process.arch}, medians of ${pairs} pairs`);
  console.log(
    `${"".padEnd(28)}${["wall", "cpu", "first event", "memory"].map((title) => title.padStart(12)).join("")}`,
  );
  for (const row of rows) await print(...row);
  const { seal, open } = sealingCost();
  fillStore(10_000);
  await print("token, of 10,000", [binary, "token", "bench"]);
  const { wall } = await measure(["-e", "0"]);
  const share = (seal + open) / (wall * 1000);
  console.log(
    `${"to seal and to open".padEnd(28)}${seal.toFixed(0)} + ${open.toFixed(0)} µs, ${share.toFixed(5)}x a node -e 0`,
  );
} finally {
  await server.close();
  await rm(home, { recursive: true, force: true });
}
