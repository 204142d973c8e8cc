/**
 * The picture for `docs/performance.md`: how much CPU each client takes of what a raw fetch loop takes. Readable on
 * light and on dark.
 */
import type { Row } from "./measure.js"

const width = 720
const left = 250
const right = 60
const bar = 18
const gap = 34

const escape = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

const isOwn = (row: Row) => row.title.startsWith("effect-rwkv")

const colour = (row: Row) => row.client === "raw" ? "raw" : isOwn(row) ? "own" : "peer"

/** The cases that the picture shows. */
const shown = [
  "1 stream, a frame per HTTP chunk",
  "1 stream, a frame a millisecond",
  "256 streams of 400 frames",
  "256 streams, 10 frames a second each",
  "one request"
]

export const draw = (rows: ReadonlyArray<Row>, machine: string): string => {
  const groups = shown.map((title) => ({ title, rows: rows.filter((row) => row.case === title && row.ratio) }))
    .filter((group) => group.rows.length > 0)
  const parts: Array<string> = []
  let y = 44
  for (const group of groups) {
    parts.push(`<text class="head" x="0" y="${y}">${escape(group.title)}</text>`)
    y += 10
    const most = Math.max(...group.rows.map((row) => row.ratio?.median ?? 0))
    for (const row of group.rows) {
      const ratio = row.ratio?.median ?? 0
      const long = Math.max(2, (width - left - right) * ratio / most)
      const middle = y + bar / 2 + 4
      parts.push(
        `<text x="${left - 8}" y="${middle}" text-anchor="end">${escape(row.title)}</text>`,
        `<rect class="${colour(row)}" x="${left}" y="${y}" width="${long.toFixed(1)}" height="${bar - 4}" rx="2"/>`,
        `<text x="${(left + long + 6).toFixed(1)}" y="${middle}">${ratio.toFixed(2)}</text>`
      )
      y += bar
    }
    y += gap
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" width="${width}" height="${y}" role="img">
<title>CPU of each client as a multiple of a raw fetch loop's</title>
<style>
text { font: 12px system-ui, sans-serif; fill: #57606a }
.head { font-weight: 600; fill: #24292f }
.raw { fill: #8c959f }
.own { fill: #2f81f7 }
.peer { fill: #bf8700 }
@media (prefers-color-scheme: dark) { text { fill: #9198a1 } .head { fill: #e6edf3 } }
</style>
<text class="head" x="0" y="16">CPU, as a multiple of a raw fetch loop (less is better)</text>
<text x="${width}" y="16" text-anchor="end">Node ${escape(machine)}</text>
${parts.join("\n")}
</svg>
`
}
