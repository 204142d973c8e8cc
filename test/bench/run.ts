/**
 * `npm run bench`: measures, prints the tables, writes `results.json`, draws `results.svg`, and puts the figures into
 * `docs/performance.md`.
 *
 *   npx tsx test/bench/run.ts [--quick] [--case text] [--json file]
 *
 * `--quick` is for trying, and `--case` runs what has the text in its group or title; both write only where `--json` says.
 * Every client runs in a process of its own, in turn with the others; figures are medians of the rounds, ratios are of one
 * round each. Nothing is compared with another run.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { cpus } from "node:os"
import { parseArgs } from "node:util"
import { cases, clients } from "./cases.js"
import { cold, type ColdRow } from "./cold.js"
import { draw } from "./draw.js"
import { withFigures } from "./markdown.js"
import { measure, type Pool, type Row } from "./measure.js"
import { startServer } from "./process.js"
import { bench, compile, install, python, root, say, versionOf } from "./setup.js"
import { coldTable, table } from "./table.js"

const { values } = parseArgs({
  options: { quick: { type: "boolean", default: false }, case: { type: "string" }, json: { type: "string" } }
})

const wanted = (text: string) => values.case === undefined || text.toLowerCase().includes(values.case.toLowerCase())

const withPeers = install()
await compile(withPeers)
const found = python()
if ("missing" in found) say(`SKIPPED: rwkv-api (Python), for ${found.missing}; BENCH_PYTHON names an interpreter`)

const chosen = clients.filter(({ home }) =>
  home === "own" || (home === "peers" && withPeers) || (home === "python" && "command" in found)
)

const versions = Object.fromEntries(
  ["effect", "@effect/platform", "openai", "ai", "@ai-sdk/openai-compatible", "@effect/ai-openai"].map((name) => [
    name,
    versionOf(name)
  ])
)
const machine = { node: process.version, platform: process.platform, cpus: cpus().length, model: cpus()[0]?.model }
say(`Node ${machine.node}, ${machine.cpus} x ${machine.model ?? "?"}, ${process.platform}`)
say(Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", "))

const begun = performance.now()
const server = await startServer()
const pool: Pool = new Map()
const rows: Array<Row> = []
for (const one of cases(values.quick)) {
  if (!wanted(`${one.group} ${one.title}`)) continue
  const context = { pool, server, clients: chosen, python: "command" in found ? found.command : undefined }
  const from = performance.now()
  const measured = await measure(one, context)
  rows.push(...measured)
  say(table(`${one.title} (${Math.round((performance.now() - from) / 1000)} s)`, measured))
}
for (const worker of pool.values()) worker.end()
server.end()

const coldRows: ReadonlyArray<ColdRow> = wanted("cold start: import and size")
  ? await cold(values.quick ? 3 : 9, withPeers)
  : []
if (coldRows.length > 0) say(coldTable(coldRows))

const results = { date: new Date().toISOString(), quick: values.quick, machine, versions, rows, cold: coldRows }
// A part of the cases is no picture of the whole.
const file = values.json ?? (values.case === undefined && !values.quick ? `${bench}results.json` : undefined)
if (file !== undefined) {
  writeFileSync(file, `${JSON.stringify(results, undefined, 2)}\n`)
  writeFileSync(file.replace(/(\.json)?$/, ".svg"), draw(rows, `${process.version}, ${machine.cpus} cores`))
}
if (file === `${bench}results.json`) {
  const page = `${root}docs/performance.md`
  const where = `Node ${machine.node}, ${machine.cpus} cores, effect ${versions["effect"]}`
  writeFileSync(page, withFigures(readFileSync(page, "utf8"), rows, coldRows, where))
}
say(
  `\n${Math.round((performance.now() - begun) / 1000)} s; ${file === undefined ? "not written" : `written to ${file}`}`
)
process.exit(0)
