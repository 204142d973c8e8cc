import { fileURLToPath } from "node:url"
import { configDefaults, defineConfig } from "vitest/config"

const source = (path: string) => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

/** Random programs, and servers on real ports. */
const thorough = [
  "test/**/*.properties.test.ts",
  "test/properties/**/*.test.ts",
  "test/integration/**/*.test.ts",
  "test/testing/http/app.test.ts"
]

const faults = ["test/faults/**/*.test.ts"]

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-rwkv$/, replacement: source("index.ts") },
      { find: /^effect-rwkv\/testing$/, replacement: source("testing/index.ts") },
      { find: /^effect-rwkv\/(.*)$/, replacement: source("$1.ts") }
    ]
  },
  test: {
    passWithNoTests: false,
    allowOnly: false,
    // No test waits for real for longer than two seconds; a busy machine may.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    projects: [
      {
        extends: true,
        // These leave nothing behind in their process, and Effect is loaded once for all of them.
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: [...configDefaults.exclude, ...faults, ...thorough],
          isolate: false
        }
      },
      { extends: true, test: { name: "faults", include: faults } },
      { extends: true, test: { name: "thorough", include: thorough } }
    ],
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      reporter: ["text-summary", "json-summary", "json"],
      thresholds: { lines: 95, branches: 95, functions: 95, statements: 95 }
    }
  }
})
