// Simulates dependencies that think stdout is theirs: a debug line, a raw write that even looks like an event, a banner
// (dotenv 17), on every request and from then on at a timer. None of it may reach the stream.
const real = globalThis.fetch;
const chatter = () => {
  console.log("GET ok %d", 200);
  process.stdout.write('{"v":1,"seq":0,"phase":"result","status":"success","exit_code":0}\n');
  console.info("[dotenv@17] injecting env (0) from .env");
};
let quiet = true;
globalThis.fetch = (...args) => {
  if (quiet) setInterval(chatter, 20).unref(); // not earlier: under load it would go off before the program's first line
  quiet = false;
  chatter();
  return real(...args);
};
