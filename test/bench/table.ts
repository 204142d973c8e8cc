/**
 * The figures as text, one table for each case.
 */
import type { ColdRow } from "./cold.js"
import type { Row } from "./measure.js"
import type { Spread } from "./stats.js"

const number = (value: number) =>
  value >= 1000 ? Math.round(value).toLocaleString("en-US") : value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)

const ranged = (spread: Spread | undefined) =>
  spread === undefined ? "" : `${number(spread.median)} (${number(spread.min)}..${number(spread.max)})`

const pair = (given: { readonly p50: number; readonly p99: number } | undefined) =>
  given === undefined ? "" : `${number(given.p50)} / ${number(given.p99)}`

const length = (millis: number) => millis < 1000 ? `${millis} ms` : `${millis / 1000} s`

const aligned = (header: ReadonlyArray<string>, lines: ReadonlyArray<ReadonlyArray<string>>) => {
  const used = header.map((_, column) => column === 0 || lines.some((line) => line[column] !== ""))
  const all = [header, ...lines].map((line) => line.filter((_, column) => used[column]))
  const widths = all[0]?.map((_, column) => Math.max(...all.map((line) => line[column]?.length ?? 0))) ?? []
  return all.map((line) =>
    line.map((cell, column) => column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))
      .join("  ").trimEnd()
  )
}

export const table = (title: string, rows: ReadonlyArray<Row>): string => {
  const unit = rows[0]?.unit ?? "frame"
  const header = [
    "",
    `CPU us/${unit}`,
    `ratio to ${rows[0]?.yardstick ?? "raw"}`,
    `${unit}s/s`,
    "first text p50 / p99 ms",
    "latency p50 / p99 ms",
    "delay p50 / p99 ms by length",
    "requests/task",
    "heap KiB",
    "server/wall"
  ]
  const lines = rows.map((row) => [
    row.title,
    ranged(row.cpu),
    ranged(row.ratio),
    row.perSecond === undefined ? "" : number(row.perSecond.median),
    pair(row.firstText),
    pair(row.latency),
    row.delays?.map((delay) => `${length(delay.duration)}: ${pair(delay)}`).join(", ") ?? "",
    row.requests === undefined ? "" : number(row.requests),
    ranged(row.heap),
    row.server === undefined ? "" : row.server.toFixed(2)
  ])
  return ["", title, ...aligned(header, lines)].join("\n")
}

const kilobytes = (size: ColdRow["esbuild"]) =>
  size === undefined ? "" : `${number(size.min / 1024)} / ${number(size.gzip / 1024)}`

export const coldTable = (rows: ReadonlyArray<ColdRow>): string => {
  const header = ["", "import ms", "ratio to effect + platform", "esbuild KiB min / gzip", "vite KiB min / gzip"]
  const lines = rows.map((row) => [
    row.title,
    ranged(row.time),
    ranged(row.ratio),
    kilobytes(row.esbuild),
    kilobytes(row.vite)
  ])
  return ["", "cold start", ...aligned(header, lines)].join("\n")
}
