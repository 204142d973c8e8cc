/** What the quickstart shows: colour and a bar that moves where there is a terminal, plain lines everywhere else. */
import { Terminal } from "@effect/platform"
import { Config, Context, Duration, Effect, Layer, Option } from "effect"

interface Service {
  /** A piece of a text, with nothing after it and without what would command the terminal. */
  readonly piece: (text: string) => Effect.Effect<void>
  readonly line: (text: string) => Effect.Effect<void>
  readonly title: (text: string, code: string) => Effect.Effect<void>
  /** A label, and what it is about, shortened to a line. */
  readonly show: (label: string, text: string) => Effect.Effect<void>
  /** How much of something is done. On a terminal each bar takes the place of the one before. */
  readonly bar: (done: number, all: number, unit: string, last?: "last") => Effect.Effect<void>
}

export class Screen extends Context.Tag("quickstart/Screen")<Screen, Service>() {}

const colours = { bold: 1, dim: 2, green: 32, cyan: 36 }

/** Characters of Chinese, Japanese and Korean take two columns, and so do most pictures. */
const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Extended_Pictographic}/u

const segments = new Intl.Segmenter()

/** The beginning of a text that fits into a number of columns, cut between characters. */
export const fit = (text: string, columns: number): string => {
  const line = text.trim().replaceAll(/[\p{Cc}\s]+/gu, " ")
  let taken = ""
  let used = 0
  for (const { segment } of segments.segment(line)) {
    used += wide.test(segment) ? 2 : 1
    const more = taken.length + segment.length < line.length
    if (used > (more ? columns - 1 : columns)) return `${taken}…`
    taken += segment
  }
  return taken
}

/** In the unit of its size, as the messages of errors have it. */
export const duration = (given: Duration.Duration) => {
  const milliseconds = Math.round(Duration.toMillis(given))
  return milliseconds < 1000 ? `${milliseconds} ms` : `${(milliseconds / 1000).toFixed(1)} s`
}

export const make = (isTerminal: boolean) =>
  Effect.gen(function*() {
    const terminal = yield* Terminal.Terminal
    const columns = yield* terminal.columns
    const noColour = yield* Config.option(Config.string("NO_COLOR"))
    const isDumb = (yield* Config.option(Config.string("TERM"))).pipe(Option.contains("dumb"))
    const moves = isTerminal && !isDumb
    const hasColour = moves && Option.getOrElse(noColour, () => "") === ""
    const width = isTerminal && columns > 40 ? Math.min(columns, 100) : 80

    const paint = (colour: keyof typeof colours, text: string) =>
      hasColour ? `\u001b[${colours[colour]}m${text}\u001b[0m` : text
    const write = (text: string) => Effect.orDie(terminal.display(text))
    const line = (text: string) => write(`${text}\n`)

    return Screen.of({
      piece: (text) => write(text.replaceAll(/[^\P{Cc}\n]/gu, "")),
      line,
      title: (text, code) => line(`\n${paint("bold", text)}\n${paint("dim", code)}`),
      show: (label, text) => line(`  ${paint("cyan", label)} ${fit(text, width - label.length - 4)}`),
      bar: (done, all, unit, last) => {
        const filled = Math.round(20 * Math.min(1, done / all))
        const bar = `  [${paint("green", "#".repeat(filled))}${".".repeat(20 - filled)}] ${done} of ${all} ${unit}`
        return moves ? write(`\r\u001b[K${bar}${last === "last" ? "\n" : ""}`) : line(bar)
      }
    })
  })

export const layer = Layer.effect(Screen, Effect.suspend(() => make(process.stdout.isTTY)))
