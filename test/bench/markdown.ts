/**
 * The figures as `docs/performance.md` shows them: between two marks of its own, so that nobody copies them by hand.
 */
import type { ColdRow } from "./cold.js"
import type { Row } from "./measure.js"

const opening = "<!-- figures of the last `npm run bench` -->"
const closing = "<!-- end of the figures -->"

const table = (header: ReadonlyArray<string>, lines: ReadonlyArray<ReadonlyArray<string>>) =>
  [header, header.map(() => "---"), ...lines].map((line) => `| ${line.join(" | ")} |`).join("\n")

const columns = ["undici", "fetch", "openai", "vercel", "effectAi", "python"] as const

const names: Readonly<Record<string, string>> = {
  undici: "undici layer",
  fetch: "fetch layer",
  openai: "`openai`",
  vercel: "`ai`",
  effectAi: "`@effect/ai-openai`",
  python: "`rwkv-api`"
}

/** The rows of the table, and how this SDK is used in each. */
const shown = [
  ["1 stream, a frame per HTTP chunk", "Chunk", "1 stream at full speed, by chunk"],
  ["1 stream, a frame per HTTP chunk", "Element", "the same, by element"],
  ["1 stream, 64 frames per HTTP chunk", "Element", "1 stream, 64 frames per HTTP chunk, by element"],
  ["1 stream, a frame a millisecond", "Element", "1 stream, a frame a millisecond, by element"],
  ["1 stream, a frame a millisecond", "Run", "the same, waited for"],
  ["256 streams of 400 frames", "Chunk", "256 streams of 400 frames at full speed, by chunk"],
  ["256 streams of 400 frames", "Run", "the same, waited for"],
  ["256 streams, 10 frames a second each", "Chunk", "256 streams, 10 frames a second each, by chunk"],
  ["256 streams, 10 frames a second each", "Run", "the same, waited for"],
  ["one request", "Chunk", "one request"]
] as const

const ratios = (rows: ReadonlyArray<Row>) => {
  const ratio = (title: string, client: string) =>
    rows.find((row) => row.case === title && row.client === client)?.ratio?.median.toFixed(2) ?? ""
  const used = columns.filter((column) =>
    shown.some(([title, how]) => ratio(title, column) + ratio(title, column + how) !== "")
  )
  const lines = shown.map(([title, how, says]) =>
    Array.of<string>(says).concat(used.map((column) =>
      column === "undici" || column === "fetch"
        ? ratio(title, column + how)
        // Beside a way of using this SDK that others do not have, they are shown once.
        : says.startsWith("the same")
        ? ""
        : ratio(title, column)
    ))
  )
  return table(["CPU, as a multiple of a raw `fetch` loop's", ...used.map((column) => names[column] ?? column)], lines)
}

const waits = (rows: ReadonlyArray<Row>) => {
  const all = rows.filter(({ delays, client }) =>
    delays !== undefined && delays.length > 1 && ["raw", "undiciRun", "undiciChunk"].includes(client)
  )
  const lengths = [...new Set(all.flatMap(({ delays }) => delays?.map(({ duration }) => duration) ?? []))]
  const cell = (client: string, length: number) => {
    const found = all.filter((row) => row.client === client).flatMap(({ delays }) => delays ?? []).find((
      { duration }
    ) => duration === length)
    return found === undefined ? "" : `${Math.round(found.p50)} ms`
  }
  const titles: Readonly<Record<string, string>> = {
    raw: "a poll every 500 ms",
    undiciChunk: "`by: \"polling\"`",
    undiciRun: "by default"
  }
  return table(
    [
      "Median delay of a wait, for tasks of",
      ...lengths.map((length) => length < 1000 ? `${length} ms` : `${length / 1000} s`)
    ],
    Object.entries(titles).map(([client, title]) =>
      Array.of<string>(title).concat(lengths.map((length) => cell(client, length)))
    )
  )
}

const sizes = (rows: ReadonlyArray<Row>, cold: ReadonlyArray<ColdRow>) => {
  const heap = rows.filter((row) => row.heap !== undefined)
    .map((row) => `${row.title} ${row.heap?.median.toFixed(0)} KiB`).join(", ")
  const own = cold.find(({ title }) => title === "effect-rwkv, its own code")?.esbuild
  const time = cold.find(({ title }) => title === "effect-rwkv")
  return [
    heap === "" ? "" : `Heap of an open, silent stream: ${heap}.`,
    own === undefined
      ? ""
      : `The SDK's own code in a program that streams: ${(own.gzip / 1024).toFixed(1)} KiB, minified and compressed.`,
    time?.ratio === undefined
      ? ""
      : `Importing it takes ${
        time.ratio.median.toFixed(2)
      } times as long as the modules of Effect and its platform alone.`
  ].filter((line) => line !== "").join("\n")
}

/** The page with the figures of this run; as it was, if it has no place for them. */
export const withFigures = (
  page: string,
  rows: ReadonlyArray<Row>,
  cold: ReadonlyArray<ColdRow>,
  machine: string
): string => {
  const from = page.indexOf(opening)
  const to = page.indexOf(closing)
  if (from < 0 || to < from) return page
  const figures = [opening, ratios(rows), waits(rows), sizes(rows, cold), `Measured on ${machine}.`].join("\n\n")
  return `${page.slice(0, from)}${figures}\n\n${page.slice(to)}`
}
