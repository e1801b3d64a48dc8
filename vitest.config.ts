import { defineConfig } from "vitest/config";

export default defineConfig({
  define: { AUTHLINE_VERSION: '"0.0.0-test"' },
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxWorkers: "100%",
    retry: 1, // signals and terminals on a busy machine; what is broken fails twice
    reporters: ["default", ["json", { outputFile: "node_modules/.vitest/results.json" }]],
  },
});
