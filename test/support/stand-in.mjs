// Stands in for the binary in the tests of the harness itself: `stand-in.mjs <behaviour>`. Behaves as the contract says
// unless the behaviour is named after a misdeed.
import { spawn } from "node:child_process";
import { writeSync } from "node:fs";

let seq = 0;
const line = (fields) =>
  `${JSON.stringify({ v: 1, seq: seq++, time: new Date().toISOString(), command: "login", message: "Hi.", ...fields })}\n`;
const write = (text) => {
  for (let rest = Buffer.from(text); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if (error.code === "EPIPE") process.exit(141);
      if (error.code !== "EAGAIN") throw error;
      sawEagain = true;
    }
  }
};
let sawEagain = false;
const progress = (fields) => write(line({ phase: "progress", step: "discover", state: "started", ...fields }));
const end = (fields) => write(line({ phase: "result", duration_ms: 1, warnings: [], next_actions: [], ...fields }));
const signedIn = { provider: "p", connection: "c", record_status: "connected" };
const success = (data) => end({ status: "success", exit_code: 0, data: { ...signedIn, ...data } });
const forever = () => setInterval(() => {}, 1000);

const behaviours = {
  ok: () => {
    progress();
    console.error("for people");
    success({ env: process.env, cwd: process.cwd() });
  },
  tty: () =>
    success({
      tty: [0, 1, 2].map((fd) => Boolean([process.stdin, process.stdout, process.stderr][fd].isTTY)),
      columns: process.stderr.columns,
    }),
  wait: () => {
    process.on("SIGTERM", () => {
      end({ status: "cancelled", exit_code: 2, error: { code: "cancelled", message: "Cancelled.", retryable: true } });
      process.exit(2);
    });
    progress({ state: "waiting" });
    forever();
  },
  lots: () => {
    for (let i = 0; i < 600; i++) progress({ reason: "x".repeat(400) });
    success({ sawEagain });
  },
  noisy: () => {
    progress();
    write("[dotenv@17] injecting env (0) from .env\n");
    success();
  },
  litter: () => {
    spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { detached: true, stdio: "ignore" }).unref();
    success();
  },
  echo: async () => {
    progress({ state: "waiting" });
    for await (const chunk of process.stdin) {
      success({ said: String(chunk) });
      process.exit(0);
    }
  },
  hang: forever,
  fetch: async () => {
    progress();
    const response = await fetch(process.argv[3]);
    await new Promise((resolve) => setTimeout(resolve, 60));
    success({ body: await response.text() });
  },
};

await behaviours[process.argv[2]]();
