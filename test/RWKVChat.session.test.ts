/** Sessions: chats with a memory. */
import { describe, expect, it } from "@effect/vitest"
import { Chunk, Effect, Either, Exit, Fiber, Schema, Scope, Stream } from "effect"
import { StreamService } from "effect-rwkv"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import { Emulator } from "effect-rwkv/testing"
import { against, FaultKind, inject, onCreate, running, tasks } from "./support/program.js"

const { assistant, toolCall, toolResult, user } = RWKVChat

const says = (say: (chat: Emulator.Chat) => Emulator.Said, options: Emulator.Options = {}) =>
  against({ ...options, reply: Emulator.chat(say) })

const echo = says(({ turn }) => `You said ${turn}`)

const generation = { maxTokens: 1000 }

/** What was sent, in order: the prompts of creates and continues. */
const sent = Effect.flatMap(
  Emulator.Emulator,
  (self) =>
    Effect.map(self.requests, (all) =>
      all.flatMap(({ body, method, path }) => {
        const verb = path.split("/").at(-1) ?? ""
        if (method !== "POST" || !["tmp", "continue", "create"].includes(verb)) return []
        const { prompt }: { readonly prompt: string } = JSON.parse(String(body))
        return [`${verb} ${prompt}`]
      }))
)

const exchange = (text: string) => [user(text), assistant(`You said ${text}`)]

const left = Effect.gen(function*() {
  yield* Effect.sleep("1 minute")
  return [yield* running, (yield* tasks).length]
})

describe("what a session refuses", () => {
  it.effect("histories, budgets and options that are none, when it is made", () =>
    Effect.gen(function*() {
      const refused = (options: RWKVChat.SessionOptions) =>
        Effect.map(Effect.flip(RWKVChat.session(options)), ({ issues, operation }) => [operation, issues[0]?.path])
      const at = (path: string) => ["RWKVChat.session", path]
      expect(yield* refused({ system: " " })).toEqual(at("system.content"))
      expect(yield* refused({ history: [user("a"), user("")] })).toEqual(at("history.1.content"))
      expect(yield* refused({ system: "Be.", history: [toolResult(1)] })).toEqual(at("history.0"))
      expect(yield* refused({ toolChoice: "required" })).toEqual(at("toolChoice"))
      expect(yield* refused({ budget: { maxTurns: 0 } })).toEqual(at("budget"))
      const untyped: ReadonlyArray<object> = [{ budget: {} }, { strategy: "x" }, { onInterrupt: 1 }, { thinks: "on" }]
      for (const options of untyped) expect((yield* refused(options))[0]).toBe("RWKVChat.session")
    }).pipe(echo))

  it.effect("input that no prompt can hold, and sends nothing", () =>
    Effect.gen(function*() {
      const session = yield* RWKVChat.session()
      const refused = (input: RWKVChat.Input, options?: RWKVChat.TurnOptions) =>
        Effect.map(Effect.flip(session.send(input, options)), (error) =>
          error._tag === "RWKVValidationError" && error.issues[0]?.path)
      expect(yield* refused("")).toBe("input.content")
      expect(yield* refused([])).toBe("input")
      expect(yield* refused(RWKVChat.system("Be."))).toBe("input")
      expect(yield* refused([user("a"), toolResult(1)])).toBe("input.1")
      expect(yield* refused("a", { stop: [""] })).toBe("stop")
      expect(yield* refused("a", { generation: { maxTokens: -1 } })).toBe("maxTokens")
      expect([yield* sent, yield* session.history]).toEqual([[], []])
    }).pipe(echo))

  it.effect("a budget that throws, or gives what is no prompt", () =>
    Effect.gen(function*() {
      const refused = (budget: RWKVChat.Budget) =>
        Effect.gen(function*() {
          const session = yield* RWKVChat.session({ budget, history: [user("a"), toolCall("f", {})] })
          return yield* Effect.flip(session.send(toolResult(1)))
        })
      const broken = refused(() => {
        throw new Error("mine")
      })
      expect(yield* broken).toMatchObject({ _tag: "RWKVValidationError", issues: [{ path: "budget" }] })
      expect(yield* refused(() => [])).toMatchObject({ issues: [{ path: "input" }] })
      expect(yield* refused(() => [toolCall("f", {}), user("")])).toMatchObject({
        issues: [{ path: "budget.1.content" }]
      })
      expect(yield* sent).toEqual([])
    }).pipe(echo))

  it.effect("turns after its Scope was closed, and those that wait or are read then", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const session = yield* Scope.extend(RWKVChat.session(), scope)
      const [present, waiting] = yield* Effect.forEach(["a", "b"], (text) =>
        Effect.tap(Effect.fork(Effect.either(session.send(text))), Effect.sleep("500 millis")))
      yield* Scope.close(scope, Exit.void)
      const closed = { _tag: "RWKVConnectionError", description: "the session was closed" }
      for (const fiber of [present, waiting, yield* Effect.fork(Effect.either(session.send("c")))]) {
        if (fiber !== undefined) {
          expect(yield* Fiber.join(fiber)).toMatchObject({ _tag: "Left", left: closed })
        }
      }
      expect((yield* sent).length).toBe(1)
      expect([yield* session.history, yield* left]).toEqual([[], [0, 0]])
    }).pipe(says(() => ({ tokens: ["a"], end: "loop" }))))
})

describe("a turn that fails", () => {
  it.effect("leaves nothing, and lets the next one in", () =>
    Effect.gen(function*() {
      const session = yield* RWKVChat.session()
      yield* inject({ on: onCreate, kind: FaultKind.Status({ status: 401 }) })
      const opened = yield* Effect.either(session.open("a"))
      expect(Either.isLeft(opened) && opened.left).toMatchObject({ _tag: "RWKVStatusError", status: 401 })
      yield* inject({ on: { method: "GET", path: "/stream" }, kind: FaultKind.Status({ status: 401 }) })
      expect(yield* Effect.flip(session.send("b"))).toMatchObject({ status: 401 })
      expect(yield* session.history).toEqual([])
      yield* session.send("c")
      expect(yield* session.history).toEqual(exchange("c"))
      expect(yield* left).toEqual([0, 0])
    }).pipe(echo))
})

describe("a turn that is left", () => {
  const talks = says(({ turn }) => ({ reasoning: "Let me think.", text: `${turn}: ${"word ".repeat(50)}` }), {
    tokensPerPulse: 5
  })

  for (const onInterrupt of ["drop", "keep"] as const) {
    it.effect(`leaves ${onInterrupt === "keep" ? "the parts that were delivered" : "nothing"} (${onInterrupt})`, () =>
      Effect.gen(function*() {
        const session = yield* RWKVChat.session({ onInterrupt, think: "on" })
        const parts = yield* Stream.runCollect(Stream.take(session.stream("a"), 9))
        const kept = [user("a"), ...RWKVChat.replyMessages(RWKVChat.replyFromParts(parts))]
        expect(kept[1]).toMatchObject({ reasoning: "Let me think." })
        const history = onInterrupt === "keep" ? kept : []
        expect(yield* session.history).toEqual(history)
        const fiber = yield* Effect.fork(session.send("b"))
        yield* Effect.sleep("1 second")
        yield* Fiber.interrupt(fiber)
        expect((yield* session.history).length).toBe(onInterrupt === "keep" ? 4 : 0)
        yield* session.undo
        yield* session.send("c")
        expect((yield* session.history).slice(0, -2)).toEqual(history)
        expect(yield* left).toEqual([0, 0])
      }).pipe(talks))

    it.effect(`leaves nothing before its first part (${onInterrupt})`, () =>
      Effect.gen(function*() {
        const session = yield* RWKVChat.session({ onInterrupt })
        yield* Effect.scoped(session.open("a"))
        const fiber = yield* Effect.fork(session.send("b"))
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(fiber)
        expect([yield* session.history, yield* left]).toEqual([[], [0, 0]])
      }).pipe(talks))
  }

  it.effect("fails whoever waits for its end, and is read on for whoever waits though its reader has left", () =>
    Effect.gen(function*() {
      const session = yield* RWKVChat.session({ think: "on" })
      const opened = yield* Effect.scoped(session.open("a"))
      expect(yield* Effect.flip(opened.turn)).toMatchObject({ _tag: "StreamTruncatedError" })
      const { parts, turn } = yield* session.open("b")
      yield* Stream.runDrain(Stream.take(parts, 1))
      expect((yield* turn).reply.text).toContain("b: word")
      expect(yield* turn).toBe(yield* turn)
      expect(yield* session.history).toHaveLength(2)
      expect(yield* Effect.flip(Stream.runDrain(parts))).toMatchObject({ _tag: "RWKVValidationError" })
    }).pipe(talks))

  it.effect("is kept without a call that was not told to its end", () =>
    Effect.gen(function*() {
      const session = yield* RWKVChat.session({ onInterrupt: "keep" })
      const fiber = yield* Effect.fork(Stream.runDrain(session.stream("a")))
      yield* Effect.sleep("2 seconds")
      yield* Fiber.interrupt(fiber)
      const [, answer, ...calls] = yield* session.history
      expect([answer, calls]).toEqual([assistant("Let me see."), []])
    }).pipe(says(() => ({ tokens: [..." Let me see.\n```json\n{\"name\":\"f\",\"arguments\":{}".padEnd(2000)] }))))
})

describe("turns", () => {
  it.effect("are sent one after the other, in the order in which they came", () =>
    Effect.gen(function*() {
      const session = yield* RWKVChat.session()
      const texts = ["a", "b", "c", "d"]
      const again = Effect.zipRight(session.send("a"), session.send("e"))
      const rest = texts.slice(1).map((text) => session.send(text))
      const gone = yield* Effect.fork(Effect.zipRight(Effect.yieldNow(), session.send("gone")))
      yield* Effect.all([again, ...rest, Effect.zipRight(Effect.sleep(1), Fiber.interrupt(gone))], {
        concurrency: "unbounded"
      })
      // Whoever sends just after a turn has ended comes after those that waited.
      expect(yield* session.history).toEqual([...texts, "e"].flatMap(exchange))
    }).pipe(echo))

  it.effect("are the whole chat to a new task, and nothing stays of it", () =>
    Effect.gen(function*() {
      const session = yield* RWKVChat.session({ system: "Be brief.", generation, think: "fake" })
      const turn = yield* session.send("a")
      expect(turn).toMatchObject({
        messages: exchange("a"),
        finishReason: "stop",
        strategy: "replay",
        reply: { text: "You said a" }
      })
      expect(turn.usage.outputTokens).toBeGreaterThan(0)
      yield* session.send("b")
      const prompts = yield* Effect.forEach(
        [[user("a")], [...exchange("a"), user("b")]],
        (messages) => RWKVChat.prompt([RWKVChat.system("Be brief."), ...messages], { think: "fake" })
      )
      expect(yield* sent).toEqual(prompts.map((prompt) => `tmp ${prompt}`))
      expect(yield* left).toEqual([0, 0])
    }).pipe(echo))

  it.effect("may each have options of their own, and are told in parts", () =>
    Effect.gen(function*() {
      const session = yield* RWKVChat.session({ generation })
      const parts = yield* Stream.runCollect(session.stream("a", { think: "on", generation: { temperature: 0 } }))
      expect(Chunk.toReadonlyArray(parts).map(({ _tag }) => _tag)).toContain("Reasoning")
      const { requests } = yield* Emulator.Emulator
      const [first] = yield* requests
      expect(JSON.parse(String(first?.body))).toMatchObject({ max_tokens: 1000, temperature: 0 })
      expect((yield* sent)[0]).toContain("<think")
    }).pipe(says(() => ({ reasoning: "Hm.", text: "Yes." }))))

  it.effect("go through tools", () =>
    Effect.gen(function*() {
      const tools = [{ name: "f", description: "", arguments: {} }]
      const session = yield* RWKVChat.session({ tools, budget: { maxTurns: 1 } })
      yield* session.send("before")
      let turn = yield* session.send("a")
      while (turn.reply.toolCalls.length > 0) turn = yield* session.send(turn.reply.toolCalls.map(() => toolResult(1)))
      expect(turn.reply.text).toBe("It is 1.")
      // The call was sent with its result, and nothing of the turn before.
      expect((yield* sent).at(-1)).toMatch(
        /User: a\n\nAssistant: ```json\n.*\n```\n\nUser: Function output:\n1\n\nAssistant:$/
      )
      expect((yield* sent).at(-1)).not.toContain("before")
      expect(yield* session.undo).toEqual([user("a"), toolCall("f", {}), toolResult(1), assistant("It is 1.")])
      expect(yield* session.history).toHaveLength(2)
    }).pipe(says(({ messages, turn }) =>
      turn === "before"
        ? "Ok"
        : messages.at(-1)?._tag === "ToolResult"
        ? "It is 1."
        : { toolCalls: [toolCall("f", {})] }
    )))

  it.effect("are branched, undone, stored and resumed", () =>
    Effect.gen(function*() {
      const session = yield* RWKVChat.session({ history: [RWKVChat.system("Be."), ...exchange("a")] })
      yield* session.send("b")
      const branch = yield* session.branch({ onInterrupt: "keep" })
      expect(yield* session.undo).toEqual(exchange("b"))
      expect(yield* session.history).toEqual(exchange("a"))
      yield* branch.send("c")
      expect(yield* branch.history).toEqual(["a", "b", "c"].flatMap(exchange))
      const Stored = Schema.parseJson(RWKVChat.SessionState)
      const stored = yield* Schema.encode(Stored)(yield* branch.state)
      expect(JSON.parse(stored)).toMatchObject({ version: 1, system: "Be." })
      const resumed = yield* RWKVChat.resume(yield* Schema.decode(Stored)(stored))
      yield* Effect.all([resumed.send("d"), branch.send("d")])
      const [one, two] = (yield* sent).slice(-2)
      expect(one).toBe(two)
      expect(one).toContain("System: Be.\n\nUser: a")
      yield* Effect.replicateEffect(resumed.undo, 9)
      expect([yield* resumed.undo, yield* resumed.history]).toEqual([[], []])
    }).pipe(echo))

  it.effect("send what a budget leaves of the history, which stays whole", () =>
    Effect.gen(function*() {
      const history = ["a", "b", "c"].flatMap(exchange)
      const last = yield* RWKVChat.session({ history, budget: { maxTurns: 2 } })
      const own = yield* RWKVChat.session({ history, budget: () => [user("x")] })
      yield* last.send("d")
      yield* own.send("d")
      expect(yield* sent).toEqual([
        "tmp User: c\n\nAssistant: You said c\n\nUser: d\n\nAssistant:",
        "tmp User: x\n\nUser: d\n\nAssistant:"
      ])
      expect([yield* last.history, yield* own.history].map((all) => all.length)).toEqual([8, 8])
    }).pipe(echo))
})

describe("a session that continues", () => {
  const continuing = { strategy: "continue", generation } as const

  it.effect("sends what is new to the task before: after an end of its own without a gap", () =>
    Effect.gen(function*() {
      const session = yield* RWKVChat.session({ ...continuing, system: "Be." })
      const strategies = yield* Effect.forEach(
        ["a", "b", "c"],
        (text) => Effect.map(session.send(text), ({ strategy }) => strategy)
      )
      expect(strategies).toEqual(["replay", "continue", "continue"])
      expect(yield* sent).toEqual([
        "tmp System: Be.\n\nUser: a\n\nAssistant:",
        "continue User: b\n\nAssistant:",
        "continue User: c\n\nAssistant:"
      ])
      expect(yield* session.history).toEqual(["a", "b", "c"].flatMap(exchange))
      expect((yield* tasks).length).toBe(1)
    }).pipe(Effect.scoped, Effect.zipRight(left), Effect.map((left) => expect(left).toEqual([0, 0])), echo))

  it.effect("puts a gap where a reply was cut by maxTokens, but for the line breaks that are there", () =>
    Effect.gen(function*() {
      const session = yield* RWKVChat.session(continuing)
      for (const maxTokens of [2, 3, 4, 5]) {
        const turn = yield* session.send("a", { generation: { maxTokens } })
        expect(turn.finishReason).toBe("length")
      }
      yield* session.send("a")
      expect((yield* sent).map((each) => each.replace("User: a\n\nAssistant:", ""))).toEqual([
        "tmp ",
        "continue \n\n",
        "continue \n",
        "continue ",
        "continue "
      ])
    }).pipe(says(() => ({ tokens: [..." x\n\n\n\n"] }))))

  it.effect("puts a whole gap where a reply was cut within a character, though what is known of it ends in a line break", () =>
    Effect.gen(function*() {
      const session = yield* RWKVChat.session(continuing)
      yield* session.send("a", { generation: { maxTokens: 3 } })
      yield* session.send("b")
      expect((yield* sent).at(-1)).toBe("continue \n\nUser: b\n\nAssistant:")
    }).pipe(says(() => ({ tokens: [" x", "\n", Uint8Array.of(0xe2), Uint8Array.of(0x80, 0xa8)] }))))

  const falls = (
    name: string,
    between: (
      session: RWKVChat.Session,
      emulator: Emulator.Service
    ) => Effect.Effect<unknown, unknown, StreamService.StreamService | Scope.Scope>,
    options: RWKVChat.SessionOptions = {},
    next: RWKVChat.TurnOptions = {}
  ) =>
    it.effect(`replays where ${name}`, () =>
      Effect.gen(function*() {
        const session = yield* RWKVChat.session({ ...continuing, ...options })
        yield* session.send("a")
        yield* between(session, yield* Emulator.Emulator)
        expect((yield* session.send("b", next)).strategy).toBe("replay")
        expect((yield* sent).at(-1)).toMatch(/^tmp /)
        expect((yield* session.send("c", next)).strategy).toBe(
          options.budget === undefined && options.generation === undefined ? "continue" : "replay"
        )
        yield* Effect.sleep("1 minute")
        expect((yield* tasks).length).toBeLessThanOrEqual(1)
      }).pipe(Effect.scoped, Effect.zipRight(left), Effect.map((left) => expect(left).toEqual([0, 0])), echo))

  const nothing = () => Effect.void
  falls("the task is gone", (_, { restart }) => restart("kill"))
  falls("the task is busy", (_, { tasks }) =>
    Effect.gen(function*() {
      const [task] = yield* tasks
      const other = yield* StreamService.openContinue(task?.taskId ?? "", { prompt: "x", maxTokens: 5000 })
      yield* Effect.sleep("1 second")
      return other
    }))
  falls("the last turn was undone", (session) => session.undo)
  falls("the budget leaves something out", nothing, { budget: { maxTurns: 1 } })
  falls("nobody knows how the run ended", nothing, { generation: {} })
  falls("the tools are others", nothing, {}, { tools: [{ name: "f", description: "", arguments: {} }] })
  falls("a turn was left", (session) => Effect.scoped(session.open("left")))
  falls(
    "what was set is to be the server's again",
    (session) => session.send("hot", { generation: { temperature: 2 } })
  )

  it.effect("replays where a stop sequence ended the reply", () =>
    Effect.gen(function*() {
      const session = yield* RWKVChat.session({ ...continuing, stop: ["Assistant"] })
      const turn = yield* session.send("a")
      expect(turn).toMatchObject({ finishReason: "stop-sequence", reply: { text: "x" } })
      expect((yield* session.send("b")).strategy).toBe("replay")
      expect(yield* left).toEqual([0, 0])
    }).pipe(says(() => ({ tokens: [" x\n", "Assistant", ": y"], end: "loop" }))))

  it.effect("is left in its continue, and nothing stays", () =>
    Effect.gen(function*() {
      const session = yield* RWKVChat.session(continuing)
      for (const millis of [0, 1, 50, 100, 500, 1000]) {
        yield* session.send("short")
        const fiber = yield* Effect.fork(session.send("long"))
        yield* Effect.sleep(millis)
        yield* Fiber.interrupt(fiber)
        expect(yield* left).toEqual([0, 0])
      }
      yield* session.send("short")
      expect((yield* session.history).length).toBe(14)
    }).pipe(says(({ turn }) => turn === "short" ? "Yes" : { tokens: ["x"], end: "loop" }, { prefillPerToken: 10 })))
})
