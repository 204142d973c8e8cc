/** Replies by messages: `Emulator.chat`. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { RWKV, StreamService, TaskService } from "effect-rwkv"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import { Emulator } from "effect-rwkv/testing"

const { assistant, system, toolCall, toolResult, user } = RWKVChat

const weather: RWKVChat.Tool = { name: "weather", description: "Tells the weather", arguments: {} }

type Options = Omit<Emulator.Options, "reply">

/** The SDK over an emulator that answers so, and what that was asked. */
const emulated = (say: (chat: Emulator.Chat) => Emulator.Said, options: Options = {}) => {
  const chats: Array<Emulator.Chat> = []
  const reply = Emulator.chat((chat) => {
    chats.push(chat)
    return say(chat)
  })
  return { chats, layer: Layer.provideMerge(RWKV.layer(), Emulator.layer({ pulse: 0, ...options, reply })) }
}

const textOf = (prompt: string, maxTokens = 1000) => Stream.mkString(StreamService.create({ prompt, maxTokens }))

const ask = (messages: ReadonlyArray<RWKVChat.Message>, options: RWKVChat.PromptOptions = {}) =>
  Effect.gen(function*() {
    const text = yield* textOf(yield* RWKVChat.prompt(messages, options))
    return RWKVChat.reply(text, options)
  })

const full: RWKVChat.Reply = {
  reasoning: "Hm.",
  text: "Let me see. 🌧",
  toolCalls: [toolCall("weather", { city: "Oslo" }), toolCall("weather", {})],
  malformedToolCalls: []
}

const modes = ["off", "fake", "fake-compact", "on", "short", "medium", "long"] as const

const hi = "User: Hi\n\nAssistant:"

describe("Emulator.chat to whole prompts", () => {
  it.effect.each(modes)("gives the reply as a model writes it with think: %j", (think) => {
    const { chats, layer } = emulated(() => full)
    return Effect.gen(function*() {
      const messages = [system("Be brief."), user("Hi"), assistant("Ho"), user("Rain?")]
      expect(yield* ask(messages, { think, tools: [weather] })).toEqual(full)
      expect(chats).toMatchObject([{
        messages,
        options: { think, toolChoice: "auto", tools: [weather] },
        turn: "Rain?",
        request: { endpoint: "tmp", before: [] }
      }])
    }).pipe(Effect.provide(layer))
  })

  it.effect("gives the call that a prompt requires", () => {
    const { layer } = emulated(() => ({ toolCalls: full.toolCalls }))
    return Effect.gen(function*() {
      const reply = yield* ask([user("Rain?")], { tools: [weather], toolChoice: "required" })
      expect(reply).toEqual({ ...full, reasoning: "", text: "" })
    }).pipe(Effect.provide(layer))
  })

  it.effect("takes text for the answer, and tells what the user said before a result", () => {
    const { chats, layer } = emulated(({ messages, turn }) => `${turn} ${messages.length}`)
    return Effect.gen(function*() {
      const messages = [user("Rain?"), toolCall("weather", {}), toolResult({ rain: true })]
      expect((yield* ask(messages, { think: "on" })).text).toBe("Rain? 3")
      expect((yield* ask([toolCall("weather", {}), toolResult(1)])).text).toBe("2")
      expect(chats[0]?.messages).toEqual(messages)
    }).pipe(Effect.provide(layer))
  })

  it.effect("ends where the server does, at the user's turn, and where a script says", () => {
    const { layer } = emulated(({ turn }) => turn === "Hi" ? "Ho" : { tokens: [" H", "o"] })
    return Effect.gen(function*() {
      const emulator = yield* Emulator.Emulator
      expect(yield* textOf(hi)).toBe(" Ho\n")
      expect(yield* textOf("User: Exactly\n\nAssistant:")).toBe(" Ho")
      expect((yield* emulator.tasks).map(({ endedBy }) => endedBy)).toEqual([])
      const [tmp, exact] = yield* Effect.forEach(
        [hi, "User: Exactly\n\nAssistant:"],
        (prompt) => Effect.tap(TaskService.createPersistent({ prompt }), (task) => task.wait())
      )
      const ends = new Map((yield* emulator.tasks).map(({ endedBy, taskId }) => [taskId, endedBy]))
      expect([ends.get(tmp?.id ?? ""), ends.get(exact?.id ?? "")]).toEqual(["user", "eos"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("leaves it to the toy model where nothing is said, and where the prompt is no chat", () => {
    const { chats, layer } = emulated(() => undefined)
    const toy = Layer.provideMerge(RWKV.layer(), Emulator.layer({ pulse: 0 }))
    const all = Effect.forEach([hi, "Once upon", "User: Hi"], (prompt) => textOf(prompt, 40))
    return Effect.gen(function*() {
      expect(yield* Effect.provide(all, layer)).toEqual(yield* Effect.provide(all, toy))
      expect(chats).toHaveLength(1)
    })
  })
})

/** A task of a chat, and what it is continued or forked with. */
const first = (prompt: string, maxTokens = 1000) =>
  Effect.tap(TaskService.createPersistent({ prompt, maxTokens }), (task) => task.wait())

const next = (id: string, prompt: string, maxTokens = 1000) =>
  Stream.mkString(StreamService.continue(id, { prompt, maxTokens }))

for (const profile of ["current", "documented"] as const) {
  describe(`Emulator.chat to what a task is continued with (${profile})`, () => {
    it.effect("knows what the task has read and said, each by the options of its time", () => {
      const { chats, layer } = emulated(({ turn }) => ({ ...full, text: `You said ${turn}` }), { profile })
      const said = (turn: string) => [assistant(`You said ${turn}`, "Hm."), ...full.toolCalls]
      return Effect.gen(function*() {
        const options = { tools: [weather], think: "long" } as const
        const task = yield* first(yield* RWKVChat.prompt([system("Be."), user("a")], options))
        yield* next(task.id, "User: b (think a bit)\n\nAssistant: <think")
        const text = yield* next(task.id, "User: Function output:\n1\n\nAssistant: <think>\n</think")
        expect(RWKVChat.reply(text, { think: "fake" })).toEqual({ ...full, text: "You said b" })
        const messages = [system("Be."), user("a"), ...said("a"), user("b"), ...said("b"), toolResult(1)]
        expect(chats.at(-1)).toMatchObject({ messages, options: { think: "fake", tools: [weather] }, turn: "b" })
        expect(chats[1]?.options).toEqual({ think: "short", toolChoice: "auto", tools: [weather] })
        expect(chats[2]?.request).toMatchObject({ endpoint: "continue", taskId: task.id })
        expect(chats[2]?.request.before.map(({ ended, prompt }) => [ended, prompt.slice(-19)])).toEqual([
          [true, "\n\nAssistant: <think"],
          [true, "\n\nAssistant: <think"]
        ])
      }).pipe(Effect.provide(layer))
    })

    it.effect("knows an answer and a thought that were cut by max_tokens, whatever the gap", () => {
      const { chats, layer } = emulated(({ turn }) => ({ reasoning: "Hm, a thought", text: `Long ${turn}` }), {
        profile
      })
      return Effect.gen(function*() {
        const task = yield* first("User: a\n\nAssistant: <think", 5)
        yield* next(task.id, "\n\nUser: b\n\nAssistant:", 37)
        yield* next(task.id, "\n\nUser: c\n\nAssistant:")
        yield* next(task.id, "\nUser: d\n\nAssistant:")
        expect(chats.at(-1)?.messages).toEqual([
          user("a"),
          assistant("", "Hm,"),
          user("b"),
          assistant("Long", "Hm, a thought"),
          user("c"),
          assistant("Long c", "Hm, a thought"),
          user("d")
        ])
        expect(chats.at(-1)?.request.before.map(({ ended }) => ended)).toEqual([false, false, true])
      }).pipe(Effect.provide(layer))
    })

    it.effect("begins anew where a text that was no chat has ended", () => {
      const reply = Emulator.chat(({ messages }) => `${messages.length}`)
      const layer = Layer.provideMerge(
        RWKV.layer(),
        Emulator.layer({ pulse: 0, profile, reply: (request) => reply(request) ?? "The end." })
      )
      return Effect.gen(function*() {
        const task = yield* first("Once upon")
        expect(yield* next(task.id, hi)).toBe(" 1\n")
        const cut = yield* first("Once upon", 3)
        expect(yield* next(cut.id, hi)).toBe("The end.")
      }).pipe(Effect.provide(layer))
    })

    it.effect("knows what the source of a fork has said, and not what its other forks say", () => {
      const { chats, layer } = emulated(({ turn }) => `You said ${turn}`, { profile })
      return Effect.gen(function*() {
        const task = yield* first(hi)
        for (const turn of ["b", "c"]) {
          const fork = yield* task.fork({ prompt: `User: ${turn}\n\nAssistant:` })
          yield* fork.wait()
          yield* Effect.ignore(fork.delete())
        }
        const heard = [user("Hi"), assistant("You said Hi")]
        expect(chats.map(({ messages }) => messages)).toEqual([
          [user("Hi")],
          [...heard, user("b")],
          [...heard, user("c")]
        ])
        expect(chats[1]?.request.endpoint).toBe("fork")
      }).pipe(Effect.provide(layer))
    })

    it.effect("knows the chat of a task that comes from the database", () => {
      const { chats, layer } = emulated(({ turn }) => `You said ${turn}`, { profile })
      return Effect.gen(function*() {
        const { restart } = yield* Emulator.Emulator
        const task = yield* first(hi)
        yield* restart("graceful")
        expect(yield* next(task.id, "User: b\n\nAssistant:")).toBe(" You said b\n")
        expect(chats.at(-1)?.messages).toHaveLength(3)
      }).pipe(Effect.provide(layer))
    })
  })
}

describe("Emulator.chat to what the current server cannot go on with (H4, H16)", () => {
  it.effect("knows a beginning that was only read (documented)", () => {
    const { chats, layer } = emulated(() => "Ho", { profile: "documented" })
    return Effect.gen(function*() {
      const prompt = "System: Be brief.\n\nUser: a\n\nAssistant: Yes\n\nUser: b"
      const task = yield* TaskService.createPersistent({ prompt, maxTokens: 0 })
      expect(chats).toEqual([])
      expect(yield* next(task.id, "\n\nUser: c\n\nAssistant:")).toBe(" Ho\n")
      const messages = [system("Be brief."), user("a"), assistant("Yes"), user("b"), user("c")]
      expect(chats[0]?.messages).toEqual(messages)
    }).pipe(Effect.provide(layer))
  })

  it.effect("knows the chat of the task that a template was made of (documented)", () => {
    const { chats, layer } = emulated(({ turn }) => `You said ${turn}`, { profile: "documented" })
    return Effect.gen(function*() {
      const template = yield* (yield* first(hi)).asTemplate
      const fork = yield* TaskService.fork(template.id, { prompt: "User: b\n\nAssistant:" })
      expect((yield* fork.wait()).text).toBe(" You said b\n")
      expect(chats.at(-1)?.messages).toEqual([user("Hi"), assistant("You said Hi"), user("b")])
    }).pipe(Effect.provide(layer))
  })
})
