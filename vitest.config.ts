import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const source = (path: string) => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-rwkv$/, replacement: source("index.ts") },
      { find: /^effect-rwkv\/testing$/, replacement: source("testing/index.ts") },
      { find: /^effect-rwkv\/(.*)$/, replacement: source("$1.ts") }
    ]
  },
  test: {
    include: ["test/**/*.test.ts"],
    passWithNoTests: false,
    allowOnly: false,
    // No test waits for real for longer than two seconds; a busy machine may.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      reporter: ["text-summary", "json-summary", "json"],
      thresholds: { lines: 95, branches: 95, functions: 95, statements: 95 }
    }
  }
})
