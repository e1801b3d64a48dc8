// What @napi-rs/keyring exports, as far as it is used. It keeps files in FAKE_KEYRING_ROOM; FAKE_KEYRING says what is wrong:
// `forgets` keeps nothing, `refuses` says why, `dies` takes its process with it, `hangs` never gives its thread back,
// `stalls` never answers.
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const { FAKE_KEYRING: how = "works", FAKE_KEYRING_ROOM: room = "" } = process.env;

const troubles = {
  refuses() {
    throw new Error("the collection is locked\nand this line is about something else");
  },
  dies: () => process.kill(process.pid, "SIGSEGV"),
  hangs: () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0),
  stalls: () => new Promise(() => setInterval(() => {}, 1000)),
};

export class AsyncEntry {
  constructor(service, id, { linux }) {
    if (linux.store !== "secret-service") throw new Error("the kernel's keyring forgets");
    this.file = join(room, `${service}-${id}`);
  }

  async getPassword() {
    await troubles[how]?.();
    return existsSync(this.file) ? readFileSync(this.file, "utf8") : null;
  }

  async setPassword(value) {
    await troubles[how]?.();
    if (how !== "forgets") writeFileSync(this.file, value);
  }

  async deletePassword() {
    await troubles[how]?.();
    rmSync(this.file, { force: true });
    return true;
  }
}
