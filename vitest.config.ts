import { availableParallelism } from "node:os";
import { configDefaults, defineConfig } from "vitest/config";

/** Each of these puts something in the place of a module, or of the binary, before anything is loaded. */
const ALONE = ["test/support.test.ts", "test/store/lock.test.ts"];

export default defineConfig({
  define: { AUTHLINE_VERSION: '"0.0.0-test"' },
  test: {
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxWorkers: Math.ceil(availableParallelism() * 1.5), // somebody always waits for a server
    retry: 1, // signals and terminals on a busy machine; what is broken fails twice
    reporters: ["default", ["json", { outputFile: "node_modules/.vitest/results.json" }]],
    projects: [
      // What is loaded once serves many files: to load it is a good part of the time that most of them take.
      {
        extends: true,
        test: {
          name: "together",
          isolate: false,
          include: ["test/**/*.test.ts"],
          exclude: [...configDefaults.exclude, ...ALONE],
        },
      },
      { extends: true, test: { name: "alone", include: ALONE } },
    ],
  },
});
