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

/** What looks at the clock of the wall or at the heap: one file after the other, when the others are done. */
const measured = ["farewell", "measured", "time"].map((name) => `test/faults/${name}.test.ts`)

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-rwkv$/, replacement: source("index.ts") },
      { find: /^effect-rwkv\/testing$/, replacement: source("testing/index.ts") },
      { find: /^effect-rwkv\/(.*)$/, replacement: source("$1.ts") }
    ]
  },
  test: {
    setupFiles: ["test/support/seed.ts"],
    passWithNoTests: false,
    allowOnly: false,
    // No test waits for real for longer than two seconds; a busy machine may.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // The tests leave nothing behind in their process, and Effect is loaded once for many of them.
    isolate: false,
    // By default one core is left to whoever watches.
    maxWorkers: "100%",
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: [...configDefaults.exclude, ...faults, ...thorough]
        }
      },
      { extends: true, test: { name: "faults", include: faults, exclude: [...configDefaults.exclude, ...measured] } },
      {
        extends: true,
        test: { name: "measured", include: measured, poolOptions: { forks: { singleFork: true } } }
      },
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
