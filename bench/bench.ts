/**
 * What a call costs, as ratios to `node -e 0` of the same run: medians of pairs, because machines differ and drift.
 * `npm run bench [-- PAIRS]`
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { startAuthorizationServer } from "../test/support/authorization-server.ts";

const pairs = Math.max(15, Number(process.argv[2] ?? 15));
const binary = resolve("dist/authline.js");
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
  for (const [name, argv] of rows) {
    const cells = await compare(argv);
    console.log(`${name.padEnd(28)}${cells.map((cell) => cell.padStart(12)).join("")}`);
  }
} finally {
  await server.close();
  await rm(home, { recursive: true, force: true });
}
