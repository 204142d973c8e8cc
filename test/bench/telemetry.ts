/**
 * `npm run bench:telemetry`: how much more CPU a stream of 1,000 frames takes with spans and records than without. It
 * prints the median of the ratios, with the interval that holds it in 95 of 100 cases, and fails where that interval is
 * not under its limit.
 *
 *   npx tsx test/bench/telemetry.ts [--rounds 1500] [--streams 2]
 */
import { execFileSync } from "node:child_process"
import { parseArgs } from "node:util"
import { startServer } from "./process.js"
import { compile, ownOutput, say } from "./setup.js"

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "1500" }, streams: { type: "string", default: "2" } }
})

const variants = [
  { name: "same", title: "the same again", limit: Number.POSITIVE_INFINITY },
  { name: "unheard", title: "spans that nobody hears of", limit: 1.03 },
  { name: "heard", title: "Telemetry.layer, and a tracer that keeps spans", limit: 1.1 }
]

await compile(false)
const server = await startServer()
let held = true
for (const { limit, name, title } of variants) {
  const program = `${ownOutput}/work-telemetry.mjs`
  const args = ["--single-threaded", program, server.url, name, values.rounds, values.streams]
  const { high, low, median } = JSON.parse(execFileSync("node", args, { encoding: "utf8" }))
  if (high > limit) held = false
  const [most, least, middle] = [high, low, median].map((ratio: number) => ratio.toFixed(3))
  say(`${title}: ${middle} (${least} to ${most})${high > limit ? `, which is not surely under ${limit}` : ""}`)
}
server.end()
process.exit(held ? 0 : 1)
