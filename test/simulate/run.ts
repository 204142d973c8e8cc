/**
 * `npm run simulate`: what a pool does with 1,000 servers and 10^6 tasks, by its own policy and a model of the servers that is
 * compared with the emulator first. Writes `docs/scale.svg` and the figures of `docs/scale.md`; `-- --quick` simulates a
 * tenth and writes nothing, `-- --only lost` simulates the tables whose titles have the word, and writes no figures.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { calibrate, type Calibration } from "./calibrate.js"
import { draw } from "./draw.js"
import * as Figures from "./figures.js"
import * as Memory from "./memory.js"
import { type Outcome, type Scenario, servers, simulate } from "./scenarios.js"
import { markdown, type Table, text } from "./table.js"
import { after, before } from "./timeline.js"

const { values: { only, quick } } = parseArgs({
  options: { quick: { type: "boolean", default: false }, only: { type: "string", default: "" } }
})
const scale = quick ? 0.1 : 1

const say = (line: string) => process.stdout.write(`${line}\n`)

const number = (value: number, digits = 0) =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })
const percent = (value: number) => `${number(100 * value, 1)} %`
const seconds = (value: number) => value >= 1000 ? `${number(value)} s` : `${value.toFixed(2)} s`

const calibrationTitle = "The model beside 4 emulators"
const lostTitle = "A third of 1,000 servers is lost at 60 % (90 % of those that stay)"
const memoryTitle = "Memory of the client, measured on its heap"

const calibrations: ReadonlyArray<readonly [string, Parameters<typeof calibrate>[0]]> = [
  ["all at once, speeds 1, 1, 2, 4", { speeds: [1, 1, 2, 4], count: 2000 * scale, arrivals: Infinity }],
  ["90 a second, equal speeds", { speeds: [1, 1, 1, 1], count: 1000 * scale, arrivals: 90 }]
]

const calibrated = async (): Promise<Table> => {
  const rows: Array<ReadonlyArray<string>> = []
  for (const [title, options] of calibrations) {
    const { agreed, emulated, modelled }: Calibration = await calibrate(options)
    const line = (what: string, of: (side: typeof emulated) => number, digits: number) => {
      const [one, other] = [of(modelled), of(emulated)]
      rows.push([`${title}: ${what}`, number(other, digits), number(one, digits), percent(one / other - 1)])
    }
    line("tokens a second", ({ throughput }) => throughput, 0)
    line("wait for a slot, p50, s", ({ waits }) => waits.p50, 3)
    line("wait for a slot, p99, s", ({ waits }) => waits.p99, 3)
    line("until the result, p50, s", ({ stays }) => stays.p50, 3)
    line("until the result, p99, s", ({ stays }) => stays.p99, 3)
    line("requests per task", ({ requestsPerTask }) => requestsPerTask, 3)
    rows.push([`${title}: tasks on the same server`, "", percent(agreed), ""])
  }
  return { title: calibrationTitle, head: ["", "emulators", "model", "difference"], rows }
}

const spread = ({ world }: Outcome) => {
  const shares = Figures.shares(world, world.from, world.to)
  const mean = Figures.sum(shares) / shares.length
  const sorted = [...shares].sort((one, other) => one - other).map((share) => share / mean)
  return `${number(sorted[0] ?? 0, 3)} .. ${number(sorted.at(-1) ?? 0, 3)}`
}

/** Outcomes are big: what is not of use any more is let go with each line. */
const row = (title: string, outcome: Outcome): ReadonlyArray<string> => {
  const { measured, tasks, throughput, world } = outcome
  const waits = Figures.waits(measured)
  return [
    title,
    percent(throughput),
    number(Figures.jain(Figures.shares(world, world.from, world.to)), 4),
    spread(outcome),
    outcome.scenario.load === Infinity ? "" : seconds(waits.p50),
    outcome.scenario.load === Infinity ? "" : seconds(waits.p99),
    seconds(Figures.paces(measured).p50 === 0 ? 0 : 1 / Figures.paces(measured).p50 * 100),
    number(Figures.requests(world) / tasks.length, 2),
    // Who knows all needs no limits, and loses nothing.
    outcome.scenario.way === "queue" ? "" : number(Figures.evicted(world))
  ]
}

const head = [
  "",
  "throughput, of the ideal",
  "Jain",
  "least .. most by server",
  "wait p50",
  "wait p99",
  "100 tokens p50",
  "requests per task",
  "running, evicted"
]

interface Line extends Scenario {
  readonly title: string
}

const lines = (title: string, all: ReadonlyArray<Line>): Table => ({
  title,
  head,
  rows: all.map((line) => {
    const begun = performance.now()
    const result = row(line.title, simulate({ ...line, count: Math.round(line.count * scale) }))
    say(`  ${line.title}: ${number((performance.now() - begun) / 1000, 1)} s`)
    return result
  })
})

const thousand = servers(1000 * scale)
const big = { speeds: thousand, count: 1_000_000 }
const hundred = { speeds: servers(100 * scale), count: 100_000 }
const uneven = { speeds: servers(4, [1, 1, 2, 4]), count: 40_000 }

const groups: ReadonlyArray<readonly [string, ReadonlyArray<Line>]> = [
  ["1,000 servers, 10^6 tasks", [
    { ...big, title: "all at once, pool", way: "pool", load: Infinity },
    { ...big, title: "95 % asked for, pool", way: "pool", load: 0.95 },
    { ...big, title: "95 % asked for, one queue for all", way: "queue", load: 0.95 }
  ]],
  ["4 servers of speeds 1, 1, 2, 4, 40,000 tasks", [
    { ...uneven, title: "all at once, pool, speeds measured", way: "pool", load: Infinity },
    { ...uneven, title: "all at once, one queue for all", way: "queue", load: Infinity },
    { ...uneven, title: "95 %, pool, speeds measured", way: "pool", load: 0.95 },
    { ...uneven, title: "95 %, one queue for all", way: "queue", load: 0.95 },
    { ...uneven, title: "80 %, pool, speeds measured", way: "pool", load: 0.8 },
    { ...uneven, title: "80 %, pool, speeds told", way: "pool", told: true, load: 0.8 },
    { ...uneven, title: "80 %, one queue for all", way: "queue", load: 0.8 }
  ]],
  ["Ways to choose: 100 servers, 100,000 tasks, 90 % asked for", [
    { ...hundred, title: "pool: the better of two", way: "pool", load: 0.9 },
    { ...hundred, title: "any that has room", way: "random", load: 0.9 },
    { ...hundred, title: "the least loaded of all", way: "least", load: 0.9 },
    { ...hundred, title: "one queue for all", way: "queue", load: 0.9 },
    { ...hundred, title: "any, and no limit", way: "flood", load: 0.9 }
  ]],
  ["What limits the pool: 100 servers, 100,000 tasks at once", [
    { ...hundred, title: "the pool", way: "pool", load: Infinity },
    { ...hundred, title: "one queue for all", way: "queue", load: Infinity },
    {
      ...hundred,
      title: "cache of 512, capacity 288",
      way: "pool",
      load: Infinity,
      capacity: 288,
      model: { cache: 512 }
    },
    {
      ...hundred,
      title: "each fifth task kept for 20 s",
      way: "pool",
      load: Infinity,
      workload: { kept: 0.2, keptFor: 20 }
    },
    { ...hundred, title: "prompts of 1,600 units", way: "pool", load: Infinity, workload: { prompt: 1600 } }
  ]]
]

const lost = (): Outcome =>
  simulate({ ...big, count: big.count * scale, way: "pool", load: 0.6, loss: { servers: 1 / 3, after: 0.5 } })

const lossTable = (outcome: Outcome): Table => {
  const [first, then] = [before(outcome), after(outcome)]
  return {
    title: lostTitle,
    head: ["", "before", "after"],
    rows: [
      ["tokens a second, of the ideal of those there", percent(first.throughput), percent(then.throughput)],
      ["wait p50", seconds(first.waits.p50), seconds(then.waits.p50)],
      ["wait p99", seconds(first.waits.p99), seconds(then.waits.p99)],
      ["Jain", "", number(then.jain, 4)],
      ["tasks made anew", "", number(outcome.world.replayed)],
      ["requests per task, in all", "", number(Figures.requests(outcome.world) / outcome.tasks.length, 2)]
    ]
  }
}

const memoryTable = async (): Promise<Table> => {
  const [ofRun, ofServer] = [await Memory.ofRun(), Memory.ofServer()]
  const runs = 256 * thousand.length
  return {
    title: memoryTitle,
    head: ["", "measured"],
    rows: [
      ["a run that is followed, its sockets apart", `${number(ofRun / 1024, 1)} KiB`],
      ["a server in the policy", `${number(ofServer)} bytes`],
      [
        `${number(runs)} runs at once, which fill ${number(thousand.length)} servers`,
        `${number(runs * ofRun / 2 ** 30, 1)} GiB`
      ]
    ]
  }
}

const pageOf = (page: string, tables: ReadonlyArray<Table>) => {
  const [from, to] = ["<!-- figures of the last `npm run simulate` -->", "<!-- end of the figures -->"]
  const [head, tail] = [page.slice(0, page.indexOf(from) + from.length), page.slice(page.indexOf(to))]
  return `${head}\n\n${tables.map(markdown).join("\n\n")}\n\n${tail}`
}

const main = async () => {
  const begun = performance.now()
  let picture = ""
  const parts: ReadonlyArray<readonly [string, () => Table | Promise<Table>]> = [
    [calibrationTitle, calibrated],
    ...groups.map(([title, all]) => [title, () => lines(title, all)] as const),
    [lostTitle, () => {
      const outcome = lost()
      picture = draw(outcome)
      return lossTable(outcome)
    }],
    [memoryTitle, memoryTable]
  ]
  const tables: Array<Table> = []
  for (const [, make] of parts.filter(([title]) => title.includes(only))) {
    const table = await make()
    tables.push(table)
    say(`\n${text(table)}\n`)
  }
  say(`${number((performance.now() - begun) / 1000)} s`)
  if (quick) return
  const docs = fileURLToPath(new URL("../../docs/", import.meta.url))
  if (picture !== "") writeFileSync(`${docs}scale.svg`, picture)
  if (only !== "") return
  writeFileSync(`${docs}scale.md`, pageOf(readFileSync(`${docs}scale.md`, "utf8"), tables))
}

await main()
