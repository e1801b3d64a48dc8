/**
 * A hundred processes that ask for one expired token at once, round after round; then the same with a third of them killed.
 * `npm run bench -- storm [ROUNDS]`
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startAuthorizationServer } from "../test/support/authorization-server.ts";
import { aThird, call, type Round, randomFrom, round, type Storm, signIn } from "../test/support/storm.ts";

const COUNT = 100;
const SEED = 4;

const median = (values: number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);

/** As many processes that do nothing, at once. */
async function yardstick(): Promise<number> {
  const started = performance.now();
  const ends = Array.from({ length: COUNT }, () => {
    const child = spawn(process.execPath, ["-e", "0"], { stdio: "ignore" });
    return new Promise((done) => child.once("close", done));
  });
  await Promise.all(ends);
  return performance.now() - started;
}

interface Tally {
  round: Round;
  /** Wall time, with that of the yardstick beside it. */
  ratio: number;
  /** How it went on: the next call gets a token, or says that an answer is lost. */
  next: "token" | "answer_lost";
}

async function tally(storm: Storm, kill?: () => number | undefined): Promise<Tally> {
  const beside = await yardstick();
  const done = await round(storm, COUNT, kill);
  const { result } = await call(storm, ["token", "acme"]);
  if (result?.status === "success") return { round: done, ratio: done.wallMs / beside, next: "token" };
  const { reason } = (result?.error ?? {}) as { reason?: string };
  if (reason !== "answer_lost") throw new Error(`the credential is gone: ${result?.message}`);
  await signIn(storm);
  return { round: done, ratio: done.wallMs / beside, next: "answer_lost" };
}

function print(name: string, tallies: Tally[]): void {
  const rounds = tallies.map((each) => each.round);
  const told = rounds.flatMap((each) => each.told);
  const cells = [
    `${(median(rounds.map(({ wallMs }) => wallMs)) / 1000).toFixed(1)} s`,
    `${median(tallies.map(({ ratio }) => ratio)).toFixed(2)}x`,
    sum(rounds.map(({ requests }) => requests)),
    sum(rounds.map(({ refreshes }) => refreshes)),
    told.filter(({ killed }) => killed).length,
    told.filter(({ result }) => result?.status === "success").length,
    tallies.filter(({ next }) => next === "answer_lost").length,
  ];
  console.log(`${name.padEnd(22)}${cells.map((cell) => String(cell).padStart(11)).join("")}`);
}

export async function benchStorm(binary: string, rounds: number): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), "authline-storm-"));
  const storm: Storm = { binary, home, server: await startAuthorizationServer({ interval: 1 }) };
  try {
    await signIn(storm);
    const titles = ["a round", "node -e 0", "requests", "refreshes", "killed", "tokens", "lost"];
    console.log(`${`${COUNT} x ${rounds}`.padEnd(22)}${titles.map((title) => title.padStart(11)).join("")}`);
    const plain: Tally[] = [];
    while (plain.length < rounds) plain.push(await tally(storm));
    print("undisturbed", plain);
    const kill = aThird(randomFrom(SEED), median(plain.map((each) => each.round.wallMs)));
    const killed: Tally[] = [];
    while (killed.length < rounds) killed.push(await tally(storm, kill));
    print("a third of them killed", killed);
  } finally {
    await storm.server.close();
    await rm(home, { recursive: true, force: true });
  }
}
