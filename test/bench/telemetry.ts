/**
 * `npm run bench:telemetry`: what spans and records cost a stream of 1,000 frames. It prints how much more CPU it takes
 * than the same stream without spans, and fails where that is not surely within the limits.
 *
 *   npx tsx test/bench/telemetry.ts [--rounds 300] [--streams 6]
 */
import { execFileSync } from "node:child_process"
import { parseArgs } from "node:util"
import { startServer } from "./process.js"
import { compile, ownOutput } from "./setup.js"

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "300" }, streams: { type: "string", default: "6" } }
})

await compile(false)
const server = await startServer()
const program = `${ownOutput}/work-telemetry.mjs`
execFileSync("node", ["--expose-gc", program, server.url, values.rounds, values.streams], { stdio: "inherit" })
server.end()
