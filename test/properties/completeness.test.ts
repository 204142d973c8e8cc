/**
 * What a stream delivers is the task's text, once, or it fails by type: whatever the characters, the borders of frames, the
 * cuts and the consumer. FC_RUNS sets the number of runs.
 */
import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, Exit, FastCheck as fc, Option, Stream } from "effect"
import { type RWKV, RWKVError, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as Clock from "../support/clock.js"
import { live } from "../support/program.js"

const { FaultKind } = Emulator
const numRuns = Number(process.env["FC_RUNS"] ?? 100)
const encoder = new TextEncoder()

const character = fc.oneof(
  fc.constantFrom(..."abc xyz\n\"\\{}:[DONE]"),
  fc.constantFrom(..."漢字かな。，龍"),
  fc.constantFrom(..."한국어각힣"),
  fc.constantFrom("😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "𝒳", "🇩🇪", "👍🏽"),
  fc.constantFrom("e\u0301", "ñ", "שלום", "\u200f", "क्षि", "\u2028", "\u0085", "\uFEFF", "a\uFFFDb")
)

/** A text as tokens of one to six bytes: characters are cut anywhere. */
const script = fc.record({
  text: fc.array(character, { maxLength: 120 }).map((parts) => parts.join("")),
  sizes: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 10 })
}).map(({ sizes, text }) => {
  const bytes = encoder.encode(text)
  const tokens: Array<Uint8Array> = []
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1
    tokens.push(bytes.subarray(at, at + size))
    at += size
  }
  return { text, tokens }
})

const at = fc.integer({ min: 0, max: 900 })

const bodyFault = fc.oneof(
  fc.record({ afterBytes: at, clean: fc.boolean() }).map(FaultKind.Cut),
  fc.record({ afterBytes: at }).map(FaultKind.Stall),
  fc.record({ size: fc.integer({ min: 1, max: 9 }) }).map(FaultKind.Split),
  fc.record({ chunk: fc.nat(5), byte: fc.nat(120), mask: fc.integer({ min: 1, max: 255 }) }).map(
    ({ byte, chunk, mask }) =>
      FaultKind.Corrupt({
        transform: (bytes, index) =>
          index !== chunk ? bytes : bytes.map((value, at) => at === byte % bytes.length ? value ^ mask : value)
      })
  )
)

const answerFault = fc.oneof(
  fc.constantFrom(500, 502, 503, 429).map((status) => FaultKind.Status({ status })),
  fc.constant(FaultKind.Refuse()),
  fc.boolean().map((executed) => FaultKind.Reset({ executed })),
  fc.integer({ min: 1, max: 60_000 }).map((duration) => FaultKind.Delay({ duration })),
  fc.constant(FaultKind.Hang({ executed: false }))
)

const fault: fc.Arbitrary<Emulator.Fault> = fc.oneof(
  { weight: 4, arbitrary: bodyFault.map((kind) => ({ on: { method: "GET", path: "/stream" }, kind })) },
  { weight: 2, arbitrary: bodyFault.map((kind) => ({ on: { method: "POST", path: "/tmp" }, kind })) },
  {
    weight: 1,
    arbitrary: fc.nat(4).map((index) => ({ on: { path: "/tmp" }, kind: FaultKind.DropFrame({ index }) }))
  },
  { weight: 2, arbitrary: answerFault.map((kind) => ({ on: { method: "GET", path: "/stream" }, kind })) },
  { weight: 2, arbitrary: answerFault.map((kind) => ({ on: { path: /get_result|status/ }, kind })) },
  {
    weight: 1,
    arbitrary: fc.record({ afterBytes: at, clean: fc.constant(false) }).map((cut) => ({
      on: { path: /get_result|status/ },
      kind: FaultKind.Cut(cut)
    }))
  }
)

const scenario = fc.record({
  script,
  faults: fc.array(fault, { maxLength: 5 }),
  tokensPerPulse: fc.integer({ min: 1, max: 40 }),
  pollInterval: fc.constantFrom(10, 100, 1000),
  lateTokens: fc.constantFrom(0, 0, 150, 1500),
  prefillPerToken: fc.constantFrom(0, 0, 20),
  pace: fc.constantFrom(0, 0, 30, 5000),
  leaveAfter: fc.option(fc.nat(5), { nil: undefined, freq: 4 })
})

type Scenario = typeof scenario extends fc.Arbitrary<infer A> ? A : never

interface Outcome {
  readonly exit: Exit.Exit<void, unknown>
  readonly delivered: string
}

const play = (
  { faults, leaveAfter, pace, script, ...server }: Scenario,
  stream: Stream.Stream<string, unknown, RWKV.RWKV>,
  check: (outcome: Outcome) => void
) =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.Emulator
    for (const fault of faults) yield* emulator.inject(fault)
    let delivered = ""
    const taken = leaveAfter === undefined ? stream : Stream.take(stream, leaveAfter)
    const exit = yield* taken.pipe(
      Stream.runForEach((text) => {
        expect(text.isWellFormed()).toBe(true)
        delivered += text
        return pace === 0 ? Effect.void : Effect.sleep(pace)
      }),
      Effect.exit
    )
    check({ exit, delivered })
    yield* Effect.sleep("1 minute")
    expect([yield* emulator.openStreams, yield* emulator.running]).toEqual([0, 0])
    const stops = (yield* emulator.requests).filter(({ path }) => path.endsWith("/stop")).length
    expect(stops).toBeLessThanOrEqual(1)
  }).pipe(
    Effect.provide(live({ ...server, reply: () => script })),
    Clock.run("1 hour"),
    Effect.runPromise
  )

const holds = ({ faults, leaveAfter, script: { text } }: Scenario, { delivered, exit }: Outcome) => {
  if (Exit.isSuccess(exit)) {
    if (leaveAfter === undefined) expect(delivered).toBe(text)
  } else {
    expect(RWKVError.isRWKVError(Option.getOrNull(Cause.failureOption(exit.cause)))).toBe(true)
  }
  // What is damaged without a trace, or left out by the server, is only found out at the end.
  const silent = faults.some(({ kind }) => kind._tag === "Corrupt" || kind._tag === "DropFrame")
  if (!silent) expect(text.startsWith(delivered)).toBe(true)
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const decode = Option.liftThrowable((bytes: Uint8Array) => strict.decode(bytes))

/** From this token on, or from the one where its character begins. */
const textFrom = (tokens: ReadonlyArray<Uint8Array>, fromToken: number): string => {
  for (let token = fromToken; token >= Math.max(0, fromToken - 3); token--) {
    const text = decode(Uint8Array.from(tokens.slice(token).flatMap((bytes) => Array.from(bytes))))
    if (Option.isSome(text)) return text.value
  }
  return ""
}

describe("completeness", () => {
  for (const transport of ["subscribe", "direct"] as const) {
    it(`a created stream delivers the text once, or fails by type (${transport})`, () =>
      fc.assert(
        fc.asyncProperty(scenario, (scenario) =>
          play(
            scenario,
            StreamService.create({ prompt: "a" }, { transport }),
            (outcome) => holds(scenario, outcome)
          )),
        { numRuns }
      ), 1_000_000)
  }

  it("a subscription delivers the text from its token on, or fails by type", () =>
    fc.assert(
      fc.asyncProperty(scenario, fc.nat(200), (scenario, fromToken) => {
        const text = textFrom(scenario.script.tokens, fromToken)
        const stream = Stream.unwrap(Effect.map(
          TaskService.create({ prompt: "a", maxTokens: 4000 }),
          (task) => task.stream({ fromToken })
        ))
        const faults = scenario.faults.filter(({ on }) => on?.path !== "/tmp")
        const expected = { ...scenario, faults, script: { ...scenario.script, text } }
        return play({ ...scenario, faults }, stream, (outcome) => holds(expected, outcome))
      }),
      { numRuns }
    ), 1_000_000)
})
