/**
 * Whatever a session goes through, its history is what a list of turns would be, and each request is the prompt of that list,
 * or the end of it to the task that has read the rest. FC_RUNS sets the number of runs.
 */
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, FastCheck as fc, Option, Schema, Stream } from "effect"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import { Emulator } from "effect-rwkv/testing"
import { write } from "../../src/internal/chat/write.js"
import { call, hostile, modes } from "../support/chat.js"
import { against, FaultKind, inject, onCreate, running, tasks } from "../support/program.js"

const numRuns = Number(process.env["FC_RUNS"] ?? 100)

const said = hostile.filter((text) => text.trim() !== "")

const turn = fc.record({
  said,
  options: fc.oneof(fc.record({ think: fc.constantFrom(...modes) }), fc.constant({ toolChoice: "required" as const })),
  reply: fc.record({ reasoning: hostile, text: hostile, toolCalls: fc.array(call, { maxLength: 2 }) }),
  maxTokens: fc.oneof(fc.constant(5000), fc.integer({ min: 1, max: 60 }), fc.constant(undefined)),
  end: fc.constantFrom("user", "eos" as const)
})

type Turn = typeof turn extends fc.Arbitrary<infer A> ? A : never

type Step =
  | { readonly _tag: "Send" | "Fail"; readonly turn: Turn }
  | { readonly _tag: "Take"; readonly turn: Turn; readonly parts: number }
  | { readonly _tag: "Both"; readonly turn: Turn; readonly other: Turn }
  | { readonly _tag: "Undo" | "Branch" | "Resume" | "Lose" }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: turn.map((turn) => ({ _tag: "Send" as const, turn })) },
  turn.map((turn) => ({ _tag: "Fail" as const, turn })),
  fc.record({ _tag: fc.constant("Take" as const), turn, parts: fc.nat(4) }),
  // The server knows by what was said which of the two it answers.
  fc.record({ _tag: fc.constant("Both" as const), turn, other: turn }).filter(({ other, turn }) =>
    RWKVChat.clean(turn.said).text !== RWKVChat.clean(other.said).text
  ),
  fc.constantFrom("Undo" as const, "Branch" as const, "Resume" as const, "Lose" as const).map((_tag) => ({ _tag }))
)

const tools: ReadonlyArray<RWKVChat.Tool> = [{ name: "f", description: "", arguments: {} }]

const Stored = Schema.parseJson(RWKVChat.SessionState)

const scenario = fc.record({
  steps: fc.array(step, { minLength: 1, maxLength: 8 }),
  system: fc.option(said, { nil: undefined }),
  onInterrupt: fc.constantFrom("drop" as const, "keep" as const),
  maxTurns: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
  tokensPerPulse: fc.integer({ min: 1, max: 40 }),
  profile: fc.constantFrom("current" as const, "documented" as const)
})

type Scenario = typeof scenario extends fc.Arbitrary<infer A> ? A : never

type Heard = { readonly request: Emulator.PromptRequest; readonly messages: ReadonlyArray<RWKVChat.Message> }

/** Runs the steps, beside a model of a session that is a list of messages, and hands each request to a check. */
const run = (
  { maxTurns, onInterrupt, profile, steps, system, tokensPerPulse }: Scenario,
  strategy: RWKVChat.Strategy,
  check: (heard: Heard, prompt: string) => void
) => {
  const heard: Array<Heard> = []
  const replies = new Map<string, Turn>()
  const reply = Emulator.chat(({ messages, request }) => {
    heard.push({ request, messages })
    const turn = replies.get(request.text.slice(request.text.lastIndexOf("User: ")))
    if (turn === undefined || turn.end === "user") return turn?.reply
    const bytes = new TextEncoder().encode(write(turn.reply, turn.options))
    return { tokens: Array.from(bytes, (byte) => Uint8Array.of(byte)) }
  })
  const begin = system === undefined ? [] : [RWKVChat.system(system)]
  const budget = maxTurns === undefined ? {} : { budget: { maxTurns } }
  const options = { ...budget, onInterrupt, strategy, stop: [], tools, think: "on" } as const
  const program = Effect.gen(function*() {
    const emulator = yield* Emulator.Emulator
    let session = yield* RWKVChat.session({ ...options, system })
    let history: ReadonlyArray<RWKVChat.Message> = []
    /** A stop may hit whoever is in the task's slot by then (H29), whose text ends early and says that the model ended it. */
    let stopped = false
    const expected = (turn: Turn) => {
      const users = [...history, RWKVChat.user("")].flatMap(({ _tag }, index) => _tag === "User" ? [index] : [])
      const from = maxTurns === undefined || users.length <= maxTurns ? 0 : users.at(-maxTurns)
      const all = [...begin, ...history.slice(from), RWKVChat.user(turn.said)]
      return RWKVChat.prompt(all, { tools, think: "off", ...turn.options })
    }
    const given = (turn: Turn) =>
      Effect.map(expected(turn), (prompt) => {
        replies.set(prompt.slice(prompt.lastIndexOf("User: ")), turn)
        const generation = turn.maxTokens === undefined ? {} : { maxTokens: turn.maxTokens }
        return { generation, think: "off", ...turn.options } as const
      })
    const checked = (turn: Turn) =>
      Effect.map(expected(turn), (prompt) => {
        const last = heard.pop()
        if (last === undefined) throw new Error("nothing was sent")
        check(last, prompt)
      })
    const send = (turn: Turn) =>
      Effect.gen(function*() {
        const sent = yield* session.send(turn.said, yield* given(turn))
        const text = write(turn.reply, turn.options)
        if (sent.finishReason === "stop" && !stopped) {
          expect(sent.reply).toEqual(RWKVChat.reply(turn.end === "user" ? `${text}\n` : text, turn.options))
        }
        expect(sent.messages).toEqual([RWKVChat.user(turn.said), ...RWKVChat.replyMessages(sent.reply)])
        return sent
      })
    for (const step of steps) {
      switch (step._tag) {
        case "Send": {
          const { messages } = yield* send(step.turn)
          yield* checked(step.turn)
          history = history.concat(messages)
          break
        }
        case "Both": {
          const [one, two] = yield* Effect.all([send(step.turn), send(step.other)], { concurrency: 2 })
          history = history.concat(one.messages)
          yield* checked(step.other)
          history = history.concat(two.messages)
          break
        }
        case "Fail": {
          yield* inject({ on: onCreate, kind: FaultKind.Status({ status: 401 }) })
          const exit = yield* Effect.either(send(step.turn))
          yield* emulator.clearFaults
          if (exit._tag === "Right") history = history.concat(exit.right.messages)
          break
        }
        case "Take": {
          const stream = session.stream(step.turn.said, yield* given(step.turn))
          const parts = Chunk.toReadonlyArray(yield* Stream.runCollect(Stream.take(stream, step.parts)))
          const whole = parts.length < step.parts
          stopped ||= !whole
          if (whole || onInterrupt === "keep" && parts.length > 0) {
            const messages = RWKVChat.replyMessages(RWKVChat.replyFromParts(parts))
            history = history.concat(RWKVChat.user(step.turn.said), messages)
          }
          break
        }
        case "Undo": {
          const at = Math.max(0, history.findLastIndex(({ _tag }) => _tag === "User"))
          expect(yield* session.undo).toEqual(history.slice(at))
          history = history.slice(0, at)
          break
        }
        case "Branch":
          session = yield* session.branch()
          break
        case "Resume":
          session = yield* RWKVChat.resume(
            yield* Schema.decode(Stored)(yield* Schema.encode(Stored)(yield* session.state)),
            options
          )
          break
        case "Lose":
          yield* emulator.restart("kill")
      }
      expect(yield* session.history).toEqual(history)
      // It always ends in whole turns, which a prompt can hold and give back.
      const again = yield* RWKVChat.promptWithChanges([...begin, ...history, RWKVChat.user("x")])
      expect(Option.getOrThrow(RWKVChat.parse(again.prompt)).messages).toEqual(again.messages)
    }
    const resumed = yield* RWKVChat.resume(
      yield* Schema.decode(Stored)(yield* Schema.encode(Stored)(yield* session.state)),
      { ...options, strategy: "replay" }
    )
    const branch = yield* session.branch({ strategy: "replay" })
    yield* Effect.forEach([resumed, branch], (session) => Stream.runDrain(Stream.take(session.stream("x"), 1)))
    const [one, two] = heard.slice(-2)
    expect(one?.request.text).toBe(two?.request.text)
  })
  return Effect.scoped(program).pipe(
    Effect.zipRight(Effect.sleep("5 minutes")),
    Effect.zipRight(Effect.gen(function*() {
      expect([yield* running, yield* tasks]).toEqual([0, []])
    })),
    against({ reply, tokensPerPulse, profile })
  )
}

describe("sessions", () => {
  it.effect.prop(
    "by replay send the prompt of their history, and leave nothing",
    { scenario },
    ({ scenario }) =>
      run(scenario, "replay", ({ request }, prompt) => {
        expect(request.endpoint).toBe("tmp")
        expect(request.text).toBe(prompt)
      }),
    { fastCheck: { numRuns }, timeout: 1_000_000 }
  )

  it.effect.prop(
    "by continue send its end, after the border that the server puts",
    { scenario },
    ({ scenario }) =>
      run(scenario, "continue", ({ request }, prompt) => {
        if (request.endpoint === "tmp") return expect(request.text).toBe(prompt)
        const turn = prompt.slice(prompt.lastIndexOf("\n\nUser: "))
        const before = request.before.at(-1)
        // Older servers say nothing of a last character that is not whole: nobody can know that it stands after a line break.
        const text = scenario.profile === "documented" ? before?.text.replace(/\uFFFD$/, "") : before?.text
        // After an end of its own a new document begins, otherwise one blank line ends the turn before.
        if (before?.ended) return expect(`\n\n${request.text}`).toBe(turn)
        expect(request.text.trimStart()).toBe(turn.trimStart())
        const gap = request.text.length - request.text.trimStart().length
        expect(gap).toBe(Math.max(0, 2 - (/\n*$/.exec(text ?? "")?.[0].length ?? 0)))
      }),
    { fastCheck: { numRuns }, timeout: 1_000_000 }
  )
})
