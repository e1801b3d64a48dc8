// Simulates a disk that takes nothing: whatever would change a path that has DISK_FAULT_AT in it fails with DISK_FAULT,
// as a full disk (ENOSPC) or one that is mounted read-only (EROFS) would have it.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const { DISK_FAULT: code, DISK_FAULT_AT: place = "" } = process.env;
for (const name of ["writeFileSync", "mkdirSync", "chmodSync", "renameSync", "linkSync", "rmSync", "utimesSync"]) {
  const real = fs[name];
  fs[name] = (path, ...rest) => {
    if (!String(path).includes(place)) return real(path, ...rest);
    throw Object.assign(new Error(`${code}: ${name}`), { code, path, syscall: name });
  };
}
syncBuiltinESMExports();
