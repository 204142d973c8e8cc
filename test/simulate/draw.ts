/** The picture of `docs/scale.md`: tokens a second, before and after the loss of servers. Readable on light and on dark. */
import type { Outcome } from "./scenarios.js"
import { after, before } from "./timeline.js"

const width = 720
const height = 300
const left = 46
const right = 12
const top = 56
const bottom = 36

export const draw = (outcome: Outcome): string => {
  const { tasks, world } = outcome
  const end = Math.floor(tasks.at(-1)?.submitted ?? 0)
  const lost = world.lostAt ?? 0
  const [whole, rest] = [before(outcome).ideal, after(outcome).ideal]
  const most = 1.1 * whole
  const x = (seconds: number) => (left + (width - left - right) * seconds / end).toFixed(1)
  const y = (tokens: number) => (height - bottom - (height - top - bottom) * tokens / most).toFixed(1)
  const line = (points: ReadonlyArray<readonly [number, number]>) =>
    points.map(([seconds, tokens]) => `${x(seconds)},${y(tokens)}`).join(" ")
  const made = world.timeline.slice(0, end).map((tokens, second) => [second + 0.5, tokens] as const)
  const step = Math.max(1, Math.round(end / 8))
  const ticks = Array.from({ length: Math.floor(end / step) + 1 }, (_, at) => at * step)
  const millions = Array.from({ length: Math.floor(most / 2e6) + 1 }, (_, at) => at * 2)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>Tokens a second of 1,000 servers, a third of which is lost</title>
<style>
text { font: 12px system-ui, sans-serif; fill: #57606a }
.head { font-weight: 600; fill: #24292f }
.made { stroke: #2f81f7; stroke-width: 2; fill: none }
.ideal { stroke: #8c959f; stroke-width: 1.5; stroke-dasharray: 5 4; fill: none }
.lost { stroke: #bf8700; stroke-width: 1.5 }
.axis { stroke: #8c959f; stroke-width: 1; opacity: .4 }
@media (prefers-color-scheme: dark) { text { fill: #9198a1 } .head { fill: #e6edf3 } }
</style>
<text class="head" x="0" y="16">Million tokens a second: made (blue), and what the servers that are there could make (dashed)</text>
${
    millions.map((value) =>
      `<line class="axis" x1="${left}" x2="${width - right}" y1="${y(value * 1e6)}" y2="${y(value * 1e6)}"/>`
      + `<text x="${left - 8}" y="${Number(y(value * 1e6)) + 4}" text-anchor="end">${value}</text>`
    ).join("\n")
  }
${
    ticks.map((tick) => `<text x="${x(tick)}" y="${height - bottom + 18}" text-anchor="middle">${tick} s</text>`).join(
      "\n"
    )
  }
<polyline class="ideal" points="${line([[0, whole], [lost, whole], [lost, rest], [end, rest]])}"/>
<line class="lost" x1="${x(lost)}" x2="${x(lost)}" y1="${top - 12}" y2="${height - bottom}"/>
<text x="${Number(x(lost)) - 6}" y="${top - 16}" text-anchor="middle">a third of the servers is lost</text>
<polyline class="made" points="${line(made)}"/>
</svg>
`
}
