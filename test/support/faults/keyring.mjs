// Puts a fake in the place of @napi-rs/keyring in the process that asks it (support/fake-keyring.mjs); FAKE_KEYRING=missing:
// there is no such library.
import { register } from "node:module";

if (process.argv[1]?.endsWith("keyring.js")) {
  const fake = new URL("../fake-keyring.mjs", import.meta.url).href;
  const isMissing = process.env.FAKE_KEYRING === "missing";
  const found = isMissing ? 'next("not-installed", context)' : `({ url: "${fake}", shortCircuit: true })`;
  const hook = `export const resolve = (name, context, next) => name === "@napi-rs/keyring" ? ${found} : next(name, context);`;
  register(`data:text/javascript,${encodeURIComponent(hook)}`);
}
