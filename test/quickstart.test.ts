/** The quickstart's screen: what a terminal gets, and what a file gets. `test/scratchpad.ts` runs the whole program. */
import { Terminal } from "@effect/platform"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect } from "effect"
import { duration, fit, make } from "../scratchpad/quickstart/screen.js"

const shown = (isTerminal: boolean, environment: ReadonlyArray<readonly [string, string]>) =>
  Effect.gen(function*() {
    const written: Array<string> = []
    const terminal = Terminal.Terminal.of({
      columns: Effect.succeed(60),
      rows: Effect.succeed(20),
      isTTY: Effect.succeed(isTerminal),
      readInput: Effect.never,
      readLine: Effect.never,
      display: (text) => Effect.sync(() => void written.push(text))
    })
    const screen = yield* Effect.provideService(make(isTerminal), Terminal.Terminal, terminal)
    yield* screen.title("A title", "a.call()")
    yield* screen.bar(5, 10, "tokens")
    yield* screen.bar(10, 10, "tokens", "last")
    return written.join("")
  }).pipe(Effect.withConfigProvider(ConfigProvider.fromMap(new Map(environment))))

const plain = "\nA title\na.call()\n  [##########..........] 5 of 10 tokens\n  [####################] 10 of 10 tokens\n"

describe("the quickstart's screen", () => {
  it.effect("writes plain lines where there is no terminal", () =>
    Effect.gen(function*() {
      expect(yield* shown(false, [])).toBe(plain)
    }))

  it.effect("has colours on a terminal, and a bar that stays in its line", () =>
    Effect.gen(function*() {
      const text = yield* shown(true, [])
      expect(text).toContain("\u001b[1mA title\u001b[0m")
      expect(text.split("\n")).toHaveLength(5)
      expect(text.match(/\r/g)).toHaveLength(2)
    }))

  it.effect("has no colours where NO_COLOR is set, and nothing that moves on a dumb terminal", () =>
    Effect.gen(function*() {
      expect(yield* shown(true, [["NO_COLOR", "1"]])).not.toContain("\u001b[1m")
      expect(yield* shown(true, [["NO_COLOR", ""]])).toContain("\u001b[1m")
      expect(yield* shown(true, [["TERM", "dumb"]])).toBe(plain)
    }))

  it("tells durations in one unit", () => {
    expect([0.4, 454.4, 999.6, 1500, 61_000].map((millis) => duration(Duration.millis(millis)))).toEqual([
      "0 ms",
      "454 ms",
      "1.0 s",
      "1.5 s",
      "61.0 s"
    ])
  })

  it("cuts texts to columns between characters, and keeps the terminal's own commands out", () => {
    expect(fit("short", 10)).toBe("short")
    expect(fit("天空是蓝色的", 7)).toBe("天空是…")
    expect(fit("天空是蓝色的", 12)).toBe("天空是蓝色的")
    expect(fit("👩‍🚀👩‍🚀👩‍🚀", 5)).toBe("👩‍🚀👩‍🚀…")
    expect(fit(" a\n\n  b\u001b[31m ", 20)).toBe("a b [31m")
  })
})
