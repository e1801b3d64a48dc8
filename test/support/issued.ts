/**
 * Every secret that the authorization servers of this test file have issued or were shown: tokens, codes, PKCE verifiers,
 * clients' passwords. The servers fill it, and whoever runs the program looks whether one of them got out (spawn.ts).
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

/** What is shorter stands somewhere by chance. */
const LEAST = 12;

/** Every form of every secret by its first letters: a text is gone through once, however many secrets there are. */
type Index = Map<string, { shape: string; secret: string }[]>;

const issued = new Set<string>();
const index: Index = new Map();

export function remember(...secrets: unknown[]): void {
  for (const secret of secrets) {
    if (typeof secret !== "string" || secret.length < LEAST || issued.has(secret)) continue;
    issued.add(secret);
    enter(secret, index);
  }
}

function enter(secret: string, into: Index): void {
  for (const shape of disguises(secret)) {
    if (shape.length < LEAST) throw new TypeError("too short to be looked for");
    const key = shape.slice(0, LEAST);
    into.set(key, [...(into.get(key) ?? []), { shape, secret }]);
  }
}

const indexOf = (secrets: string[]): Index => {
  const made: Index = new Map();
  for (const secret of secrets) enter(secret, made);
  return made;
};

export const issuedSecrets = (): string[] => [...issued];

/** Which of them a text shows, by their first letters. */
export function secretsIn(text: string, secrets?: string[]): string[] {
  return search(text, secrets ? indexOf(secrets) : index);
}

function search(text: string, secrets: Index): string[] {
  const found = new Set<string>();
  if (secrets.size === 0) return [];
  for (let at = 0; at <= text.length - LEAST; at++) {
    for (const { shape, secret } of secrets.get(text.slice(at, at + LEAST)) ?? []) {
      if (text.startsWith(shape, at)) found.add(secret);
    }
  }
  return [...found].map((secret) => JSON.stringify(`${secret.slice(0, 8)}…`));
}

/** In which files under a directory one of them stands, or in their names. */
export function secretsUnder(directory: string, secrets?: string[]): string[] {
  const wanted = secrets ? indexOf(secrets) : index;
  if (wanted.size === 0) return [];
  return [...filesUnder(directory)].flatMap(({ path, text }) =>
    search(text, wanted).map((secret) => `${relative(directory, path)} holds ${secret}`),
  );
}

/** As it is, percent-encoded, in hex, and in base64 wherever in a longer text it begins. */
function disguises(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const base64 = [0, 1, 2].map((before) => {
    const all = Buffer.concat([Buffer.alloc(before), bytes]);
    const whole = all.subarray(0, all.length - (all.length % 3)).toString("base64");
    return before === 0 ? whole : whole.slice(4); // what the neighbours have a part in is cut off
  });
  const base64url = base64.map((text) => text.replaceAll("+", "-").replaceAll("/", "_"));
  const hex = bytes.toString("hex");
  return [...new Set([secret, encodeURIComponent(secret), hex, hex.toUpperCase(), ...base64, ...base64url])];
}

/** What cannot be read, or goes while we look, has nothing to tell. */
function* filesUnder(directory: string): Generator<{ path: string; text: string }> {
  for (const entry of orNothing(() => readdirSync(directory, { withFileTypes: true })) ?? []) {
    const path = join(directory, entry.name);
    const content = entry.isFile() ? orNothing(() => readFileSync(path, "latin1")) : "";
    yield { path, text: `${entry.name}\n${content}` };
    if (entry.isDirectory()) yield* filesUnder(path);
  }
}

function orNothing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
