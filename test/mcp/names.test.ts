// Protected: an address has one name and a name one address, so that no token is ever handed out for another resource; every
// name fits a file on every system; and a name that people have chosen is not taken for an address.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalOf, covers, isAddress, isSameAddress, nameOf } from "../../src/providers/resource.ts";
import { isSecureUrl, mayLead } from "../../src/providers/url.ts";
import { NAME } from "../../src/store/record.ts";

const of = (raw: string) => nameOf(canonicalOf(raw, "<provider>"));
/** Whether that is an address of a resource at all. */
const isOne = (raw: string) => isSecureUrl(raw) && raw.length <= 300;

describe("the name of an address", () => {
  test.each([
    ["https://mcp.example.com/mcp", "mcp.example.com_mcp"],
    ["HTTPS://MCP.Example.COM/mcp", "mcp.example.com_mcp"],
    ["https://mcp.example.com:443/mcp", "mcp.example.com_mcp"],
    ["https://mcp.example.com:8443/mcp", "mcp.example.com-8443_mcp"],
    ["https://mcp.example.com", "mcp.example.com_"],
    ["https://mcp.example.com/", "mcp.example.com_"],
    ["https://mcp.example.com/v1/mcp", "mcp.example.com_v1_mcp"],
    ["https://mcp.example.com/mcp/", "mcp.example.com_mcp_"],
    ["http://localhost:3000/mcp", "localhost-3000_mcp"],
    ["http://127.0.0.1:3000/mcp", "127.0.0.1-3000_mcp"],
  ])("%s is %s", (address, name) => expect(of(address)).toBe(name));

  // Each loses something that the plain name could not say.
  test.each([
    "https://mcp.example.com/MCP",
    "https://mcp.example.com/mcp?tenant=a",
    "https://mcp.example.com/a_b",
    "https://mcp.example.com//mcp",
    "https://mcp.example.com/%7Ealice",
    "https://a-3000/mcp",
    "https://127.0.0.1:3000/mcp",
    "http://[::1]:3000/mcp",
    `https://mcp.example.com/${"long".repeat(30)}`,
  ])("%s has a hash in it", (address) => expect(of(address)).toMatch(/__[0-9a-f]{12}$/));
});

test("what stands before the host of an address that is none is not repeated: it may be a password", () => {
  for (const raw of ["https://u:hunter2@mcp.example.com/mcp", "https://u:hun/ter2@mcp.example.com/"])
    expect(() => of(raw)).toThrow(/^<provider> cannot be "https:\/\/…@mcp\.example\.com\//);
});

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?$/);
const host = fc.oneof(
  fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => `${labels.join(".")}.example`),
  label.map((one) => `${one}x`),
  fc.constantFrom("localhost", "127.0.0.1", "[::1]", "a-80.example", "a.example-80x"),
);
const segment = fc.stringMatching(/^[A-Za-z0-9._~%-]{0,12}$/).map((text) => text.replaceAll("%", "%41"));
const address = fc
  .record({
    http: fc.boolean(),
    host,
    port: fc.option(fc.integer({ min: 1, max: 65535 })),
    segments: fc.array(segment, { maxLength: 5 }),
    query: fc.option(fc.stringMatching(/^[a-z=&]{1,8}$/)),
  })
  .map(({ http, host, port, segments, query }) => {
    const isHere = /^(localhost|127\.0\.0\.1|\[::1\])$/.test(host);
    const path = segments.length > 0 ? `/${segments.join("/")}` : "";
    return `${http && isHere ? "http" : "https"}://${host}${port ? `:${port}` : ""}${path}${query ? `?${query}` : ""}`;
  });

const neighbours = fc
  .tuple(address, fc.constantFrom("/", "_", "-", ".", "-80", ":80", "?", "a", "A", "%41"))
  .map(([one, more]): [string, string] => [one, one + more]);

describe("for every address", () => {
  test("the name fits a file, and stands for itself", () => {
    fc.assert(
      fc.property(address, (one) => {
        const name = of(one);
        expect(name).toMatch(NAME);
        expect(isAddress(name)).toBe(false);
        expect(nameOf(name)).toBe(name);
      }),
      { numRuns: 2000 },
    );
  });

  test("to write it canonically twice changes nothing", () => {
    fc.assert(
      fc.property(address, (one) => {
        const canonical = canonicalOf(one, "<provider>");
        expect(canonicalOf(canonical, "<provider>")).toBe(canonical);
        expect(covers(canonical, canonical)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  test("two have one name only if they are the same", () => {
    const pair = fc.oneof(fc.tuple(address, address), neighbours).filter(([, other]) => isOne(other));
    fc.assert(
      fc.property(pair, ([one, other]) => {
        const both = [one, other]
          .map((each) => new URL(each))
          .map(({ origin, pathname, search }) => [origin, pathname, search]);
        expect(of(one) === of(other)).toBe(`${both[0]}` === `${both[1]}`);
      }),
      { numRuns: 3000 },
    );
  });

  test("a name of one's own that looks like it is not its name", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9][a-z0-9.-]{0,30}$/), (name) => {
        expect(nameOf(name)).toBe(name);
        const same = URL.canParse(`https://${name}`) ? of(`https://${name}`) : "";
        expect(same).not.toBe(name);
      }),
    );
  });
});

describe("what is no address of a resource is refused", () => {
  test.each([
    "http://mcp.example.com/mcp",
    "https://mcp.example.com/mcp#part",
    "https://mcp.example.com/mcp#",
    "https://alice@mcp.example.com/mcp",
    "https://alice:secret@mcp.example.com/mcp",
    "https:/mcp.example.com/mcp",
    "https:mcp.example.com",
    "https://",
    "https://mcp.example.com\\@evil.example/",
    "https://mcp.example.com/ü",
    "https://mcp.example.com/a b",
    `https://mcp.example.com/${"x".repeat(300)}`,
  ])("%s", (raw) => {
    expect(() => canonicalOf(raw, "<provider>")).toThrow(expect.objectContaining({ code: "usage" }));
  });
});

test.each([
  ["https://a.example/mcp", "https://a.example/mcp", true],
  ["https://a.example/", "https://a.example", true],
  ["https://a.example", "https://a.example/mcp", true],
  ["https://a.example/mcp", "https://a.example/mcp/one", true],
  ["https://a.example/mcp", "https://a.example/mcp2", false],
  ["https://a.example/mcp", "https://a.example", false],
  ["https://a.example/mcp?x", "https://a.example/mcp/one", false],
  ["https://a.example:444", "https://a.example/mcp", false],
  ["http://a.example", "https://a.example/mcp", false],
  ["https://b.example", "https://a.example/mcp", false],
  ["urn:a", "https://a.example/mcp", false],
  [undefined, "https://a.example/mcp", false],
])("a token for %s is one for %s: %s", (resource, address, is) => expect(covers(resource, address)).toBe(is));

test("only the slash of an empty path is forgiven", () => {
  expect(isSameAddress("https://a.example/", "https://a.example")).toBe(true);
  expect(isSameAddress("https://a.example/mcp/", "https://a.example/mcp")).toBe(false);
});

describe("one address may send us to another", () => {
  test.each([
    ["https://mcp.example.com/mcp", "https://as.example.com", true],
    ["https://mcp.example.com/mcp", "http://as.example.com", false],
    ["https://mcp.example.com/mcp", "https://user@as.example.com", false],
    ["http://127.0.0.1:3000/mcp", "http://localhost:4000", true],
    ["http://127.0.0.1:3000/mcp", "https://as.example.com", true],
    ["https://mcp.example.com/mcp", "https://localhost.example.com", true],
  ])("from %s to %s: %s", (from, to, may) => expect(mayLead(from, to)).toBe(may));

  const here = ["127.0.0.1", "127.1", "0x7f.1", "localhost", "LOCALHOST", "localhost.", "app.localhost", "[::1]"];
  test.each([...here, "0.0.0.0", "0", "[::]", "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]"])(
    "but not from the network to this machine as %s",
    (host) => expect(mayLead("https://mcp.example.com/mcp", `https://${host}:8443/`)).toBe(false),
  );
});
