// Protected: a WWW-Authenticate field is read as RFC 9110 §11.6.1 has it, however many challenges stand in it and whatever
// stands between quotes; half a challenge, or one that says two things, is not believed; and nothing makes the parser fall.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { challengeIn, challengesIn, type Scheme, union } from "../../src/flows/challenge.ts";

const plain = (schemes: Scheme[] | undefined) =>
  schemes?.map(({ scheme, params }) => ({ scheme, params: { ...params } }));

describe("a field", () => {
  test.each<[string, [string, Record<string, string>][]]>([
    ["", []],
    ["Bearer", [["bearer", {}]]],
    ["bEaReR scope=read", [["bearer", { scope: "read" }]]],
    ['Bearer scope="a b", error="invalid_token"', [["bearer", { scope: "a b", error: "invalid_token" }]]],
    ['Bearer Scope = "a b" ,\t ERROR=x', [["bearer", { scope: "a b", error: "x" }]]],
    ['Bearer realm="a, Basic realm=\\"b\\""', [["bearer", { realm: 'a, Basic realm="b"' }]]],
    ['Bearer realm=""', [["bearer", { realm: "" }]]],
    [
      'Basic realm="x", Bearer scope="a"',
      [
        ["basic", { realm: "x" }],
        ["bearer", { scope: "a" }],
      ],
    ],
    [
      'Negotiate, NTLM dGVzdA==, , Bearer resource_metadata="https://a.example/x?y=1,2"',
      [
        ["negotiate", {}],
        ["ntlm", {}],
        ["bearer", { resource_metadata: "https://a.example/x?y=1,2" }],
      ],
    ],
  ])("%s", (field, schemes) => {
    expect(plain(challengesIn(field))).toEqual(schemes.map(([scheme, params]) => ({ scheme, params })));
  });

  test.each([
    'scope="a"', // of no scheme
    'Bearer scope="a',
    'Bearer scope="a" error="b"',
    'Bearer scope="a", scope="b"',
    'Bearer scope="a", Scope=b',
    'Bearer "a"',
    "Bearer scope=a b",
    "=",
    "Bearer é=1",
    'Bearer scope="a"x',
  ])("%s is none", (field) => expect(challengesIn(field)).toBeUndefined());
});

test.each<[string, unknown]>([
  ['Basic realm="x", Bearer scope="a"', { scope: "a" }],
  ['DPoP algs="ES256", Bearer error="invalid_token"', { error: "invalid_token" }],
  ['DPoP resource_metadata="https://a.example/m"', { resource_metadata: "https://a.example/m" }],
  ['Bearer resource_metadata="one", DPoP resource_metadata="two"', { resource_metadata: "one" }],
  ['Bearer scope="a  b"', {}], // RFC 6749 §3.3: not a scope
  ['Bearer scope="\\"a"', {}],
  ['Basic realm="x"', undefined],
  ["Bearer scope=", {}], // a token68 (RFC 9110 §11.2), which says nothing
])("OAuth can answer %s with %j", (field, challenge) => expect(challengeIn(field)).toEqual(challenge));

const token = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,10}$/);
const value = fc.stringMatching(/^[\x20-\x7e\t]{0,20}$/);
const scheme = fc.record({
  scheme: token,
  params: fc.uniqueArray(fc.tuple(token, value), { selector: ([name]) => name.toLowerCase(), maxLength: 4 }),
});
const SPACES = ["", " ", "\t", "  "];

/** As a server may write it: quoted or not, with gaps where the grammar allows them. */
const written = fc.array(scheme, { minLength: 1, maxLength: 4 }).chain((schemes) =>
  fc
    .array(fc.tuple(fc.boolean(), fc.constantFrom(...SPACES), fc.constantFrom(...SPACES)), {
      minLength: 20,
      maxLength: 20,
    })
    .map((style) => {
      let turn = 0;
      const text = schemes.map(({ scheme, params }) => {
        const all = params.map(([name, value]) => {
          const [quotes, before, after] = style[turn++ % style.length] as [boolean, string, string];
          const isToken = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(value);
          const shown = quotes || !isToken ? `"${value.replace(/["\\]/g, "\\$&")}"` : value;
          return `${name}${before}=${after}${shown}`;
        });
        return all.length > 0 ? `${scheme} ${all.join(style[0]?.[0] ? ", " : ",")}` : scheme;
      });
      return { schemes, text: text.join(", ") };
    }),
);

describe("for every field", () => {
  test("what was written is what is read", () => {
    fc.assert(
      fc.property(written, ({ schemes, text }) => {
        expect(plain(challengesIn(text))).toEqual(
          schemes.map(({ scheme, params }) => ({
            scheme: scheme.toLowerCase(),
            params: Object.fromEntries(params.map(([name, value]) => [name.toLowerCase(), value])),
          })),
        );
      }),
      { numRuns: 2000 },
    );
  });

  test("the parser neither throws nor makes anything up", () => {
    const noise = fc.string({ unit: fc.constantFrom(...'Bearer basic=",\\ \t;é\u0000scope=ab/+_') });
    fc.assert(
      fc.property(fc.oneof(fc.string(), noise), (text) => {
        for (const { scheme, params } of challengesIn(text) ?? []) {
          expect(text.toLowerCase()).toContain(scheme);
          for (const name of Object.keys(params)) expect(text.toLowerCase()).toContain(name);
        }
      }),
      { numRuns: 5000 },
    );
  });

  test("one that was built to take long takes no time", () => {
    const begun = performance.now();
    for (const part of ['"\\', "a=", "a ", '="', ", ", "\\\\"]) challengesIn(`Bearer x="${part.repeat(20_000)}`);
    expect(performance.now() - begun).toBeLessThan(1000);
  });
});

test("a union keeps the order and each scope once", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom("a", "b", "c d", "d a", "", undefined)), (scopes) => {
      const all = scopes.flatMap((scope) => scope?.split(" ") ?? []).filter(Boolean);
      expect(union(...scopes)?.split(" ") ?? []).toEqual([...new Set(all)]);
    }),
  );
});
