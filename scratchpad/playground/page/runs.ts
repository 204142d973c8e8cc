/** What a run does: it starts, its events go to its card, it is stopped, continued, forked. */
import { Effect, Exit, Fiber, Schedule, Schema, Stream } from "effect"
import { type Generation, Protocol, type RWKV, type RWKVError, StreamService, TaskService } from "effect-rwkv"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import { type Block, Card } from "./card.js"
import { type Line, log, type Runtime } from "./client.js"
import { announce, element, find } from "./dom.js"
import * as settings from "./settings.js"

type Events = Stream.Stream<Protocol.StreamEvent, RWKVError.RWKVError, RWKV.RWKV>

const encoded = Schema.encodeSync(Schema.parseJson(Protocol.StreamEvent))

/** Tasks stay, so that they can be continued and forked; a card that is removed deletes its own. */
const kept = { cleanup: "keep" } as const

/** A new task, or the task of the card. */
interface Start {
  readonly events: Events
  /** Forks that run at once share a buffer on today's server (H15): its figures are of nobody. */
  readonly isFork?: boolean
}

const container = find(document, "#runs", HTMLElement)

let count = 0

export const makeRuns = (runtime: Runtime) => {
  const runs = new Set<Run>()

  class Run {
    readonly card: Card
    messages: ReadonlyArray<RWKVChat.Message> = []
    taskId: string | undefined
    #fiber: Fiber.RuntimeFiber<void, unknown> | undefined
    #connections = 0

    constructor(title: string, blocks: ReadonlyArray<Block>, mayBranch: boolean) {
      this.card = new Card(title, blocks, mayBranch, {
        stop: () => this.stop(),
        close: () => this.close(),
        continue: (prompt) => this.continue(prompt),
        fork: (prompts) => this.fork(prompts)
      })
      runs.add(this)
    }

    get isRunning() {
      return this.#fiber !== undefined
    }

    readonly log = (line: Line) => {
      if (line.kind === "request" && /^GET .*\/stream/.test(line.text)) {
        this.card.mended(this.#connections)
        this.#connections++
      }
      this.card.log(line)
    }

    readonly #onEvent = (event: Protocol.StreamEvent) =>
      Effect.sync(() => {
        const { card } = this
        this.log({ kind: "event", text: encoded(event) })
        Protocol.StreamEvent.$match(event, {
          Started: ({ taskId }) => {
            this.taskId = taskId
          },
          Text: ({ text }) => {
            card.onText()
            card.append(text)
          },
          Finished: ({ result: { finishReason, tokensPerSecond, usage } }) => {
            if (usage.outputTokens !== undefined) card.figure("tokens", `${usage.outputTokens}`)
            if (tokensPerSecond !== undefined) card.figure("rate", tokensPerSecond.toFixed(0))
            card.state("ended", finishReason === "unknown" ? "ended" : `ended: ${finishReason}`)
          }
        })
      })

    /** The tokens so far, twice a second: the stream itself does not count them. */
    readonly #counted = Effect.suspend(() =>
      this.taskId === undefined
        ? Effect.void
        : Effect.map(TaskService.status(this.taskId), ({ generatedTokens }) => this.card.counted(generatedTokens))
    ).pipe(
      Effect.locally(log, () => {}),
      Effect.ignore,
      Effect.repeat(Schedule.spaced("500 millis")),
      Effect.asVoid
    )

    start({ events, isFork = false }: Start) {
      const { card } = this
      this.taskId = undefined
      this.#connections = 0
      card.fail(undefined)
      card.mended(0)
      card.begin()
      const followed = Stream.runForEach(events, this.#onEvent).pipe(
        Effect.raceFirst(isFork ? Effect.never : Effect.zipRight(this.#counted, Effect.never)),
        Effect.catchAll((error) =>
          Effect.sync(() => {
            card.fail(`${error._tag}: ${error.message}`)
            card.state("failed")
          })
        ),
        Effect.onInterrupt(() => Effect.sync(() => card.state("stopped"))),
        Effect.locally(log, this.log)
      )
      const fiber = runtime.runFork(followed)
      this.#fiber = fiber
      fiber.addObserver((exit) => {
        if (this.#fiber !== fiber) return
        this.#fiber = undefined
        if (Exit.isFailure(exit) && !Exit.isInterrupted(exit)) card.state("failed")
        announce(`${card.title} ${card.root.dataset["state"] ?? ""}`)
      })
    }

    /** Leaving a stream is all that it takes: the SDK stops the task. */
    stop() {
      if (this.#fiber !== undefined) runtime.runFork(Fiber.interrupt(this.#fiber))
    }

    close() {
      this.stop()
      runs.delete(this)
      const group = this.card.root.parentElement
      this.card.root.remove()
      if (group?.childElementCount === 0) group.remove()
      if (this.taskId === undefined) return
      // Until then the SDK has seen a task end that was stopped just now.
      const deleted = Effect.delay(Effect.ignore(TaskService.delete(this.taskId, { force: true })), "5 seconds")
      runtime.runFork(deleted)
    }

    /** The chat so far and what the user says now: one prompt that holds it all. */
    say(message: string, options: RWKVChat.PromptOptions) {
      const history = [...this.messages, ...this.#answered(), RWKVChat.user(message)]
      this.messages = history
      this.card.add({ kind: "user", text: message })
      this.card.add({ kind: "reply", text: "", options })
      const created = Effect.map(
        RWKVChat.prompt(history, options),
        (prompt) => StreamService.createEvents({ ...settings.forCreate(), prompt }, { ...kept, stop: RWKVChat.stops })
      )
      this.start({ events: Stream.unwrap(created) })
    }

    #answered() {
      const block = this.card.blocks.at(-1)
      return block?.kind === "reply" ? RWKVChat.replyMessages(RWKVChat.reply(block.text, block.options)) : []
    }

    continue(prompt: string) {
      if (this.messages.length > 0) return this.say(prompt, settings.values.chatOptions())
      const { taskId } = this
      if (taskId === undefined) return
      this.card.add({ kind: "given", text: prompt })
      this.card.add({ kind: "text", text: "" })
      this.start({ events: StreamService.continueEvents(taskId, { ...settings.forBranch(), prompt }) })
      this.taskId = taskId
    }

    /** A task is forked on the server; a chat goes on twice from the same messages. */
    fork(prompts: ReadonlyArray<string>) {
      const { taskId } = this
      const branches = prompts.map((_, index) =>
        new Run(`${this.card.title}${index === 0 ? "a" : "b"}`, structuredClone(this.card.blocks), true)
      )
      show(branches)
      branches.forEach((branch, index) => {
        const prompt = prompts[index] ?? ""
        if (this.messages.length > 0) {
          branch.messages = this.messages
          return branch.say(prompt, settings.values.chatOptions())
        }
        if (taskId === undefined) return
        branch.card.add({ kind: "given", text: prompt })
        branch.card.add({ kind: "text", text: "" })
        const request: Generation.ForkRequest = { ...settings.forBranch(), prompt, persistence: "temporary" }
        branch.start({ events: StreamService.forkEvents(taskId, request, kept), isFork: true })
      })
    }
  }

  const show = (group: ReadonlyArray<Run>) => {
    container.querySelector(".empty")?.remove()
    const section = element("section", "group")
    section.dataset["count"] = `${group.length}`
    section.append(...group.map(({ card }) => card.root))
    container.prepend(section)
    const smooth = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth"
    section.scrollIntoView({ block: "nearest", behavior: smooth })
  }

  const create = (seed?: number) => {
    count++
    const title = `Run ${count}`
    const { chatOptions, message, prefix, prompt, suffix, system } = settings.values
    if (settings.mode() === "chat") {
      const run = new Run(title, [], true)
      run.messages = system() === "" ? [] : [RWKVChat.system(system())]
      return { run, start: () => run.say(message(), chatOptions()) }
    }
    if (settings.mode() === "fim") {
      const run = new Run(title, [
        { kind: "given", text: prefix() },
        { kind: "text", text: "" },
        { kind: "given", text: suffix() }
      ], false)
      const request = { ...settings.forCreate(seed), prefix: prefix(), suffix: suffix() }
      return { run, start: () => run.start({ events: StreamService.fimEvents(request, kept) }) }
    }
    const run = new Run(title, [{ kind: "given", text: prompt() }, { kind: "text", text: "" }], true)
    const request = { ...settings.forCreate(seed), prompt: prompt() }
    return { run, start: () => run.start({ events: StreamService.createEvents(request, kept) }) }
  }

  const generate = (times: number) => {
    const made = Array.from({ length: times }, (_, index) => create(times === 1 ? undefined : index + 1))
    show(made.map(({ run }) => run))
    for (const { start } of made) start()
  }

  return {
    generate,
    stopAll: () => {
      for (const run of runs) run.stop()
    },
    clear: () => {
      for (const run of Array.from(runs)) run.close()
    },
    /** Tells the runs that are under way what was done to them. */
    tell: (line: Line) => {
      for (const run of runs) if (run.isRunning) run.log(line)
    }
  }
}
