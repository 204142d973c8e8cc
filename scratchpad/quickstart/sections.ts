/** What the quickstart shows, a section for each thing to do. Each is a program of its own, and leaves no task behind. */
import { Effect, Either, Schedule, Stream } from "effect"
import { type RWKVError, StreamService, type Task, TaskService } from "effect-rwkv"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import { duration, Screen } from "./screen.js"

/** A task that is stopped and deleted when the section is over, however it ends. */
const owned = <E, R>(create: Effect.Effect<Task.Task, E, R>) =>
  Effect.acquireRelease(create, (task) => Effect.ignore(Effect.zipRight(task.stop(), task.delete())))

const stream = Effect.gen(function*() {
  const screen = yield* Screen
  yield* screen.title(
    "Text as it is generated",
    "StreamService.create({ prompt: \"Tell me a story.\", maxTokens: 120 })"
  )
  yield* screen.piece("  ")
  yield* StreamService.create({ prompt: "Tell me a story.", maxTokens: 120, seed: 3 }).pipe(
    Stream.runForEach(screen.piece)
  )
  yield* screen.line("")
})

const chat = Effect.gen(function*() {
  const screen = yield* Screen
  yield* screen.title("A chat", "RWKVChat.session({ think: \"short\" }), session.send(question)")
  const session = yield* RWKVChat.session({
    system: "Be brief.",
    think: "short",
    generation: { ...RWKVChat.presets.rwkvPip, maxTokens: 600 }
  })
  for (const question of ["Why is the sky blue?", "请用中文再说一遍。"]) {
    yield* screen.show("user     ", question)
    const { reply } = yield* session.send(question)
    if (reply.reasoning !== "") yield* screen.show("thought  ", reply.reasoning)
    yield* screen.show("assistant", reply.text === "" ? "(it thought until maxTokens)" : reply.text)
    if (reply.text === "") yield* session.undo
  }
}).pipe(Effect.scoped)

const wait = Effect.gen(function*() {
  const screen = yield* Screen
  const maxTokens = 60
  yield* screen.title("Create a task, and wait for it", "task.wait({ timeout: \"1 minute\", onProgress })")
  const task = yield* owned(TaskService.create({ prompt: "The river in spring", maxTokens, seed: 0 }))
  const result = yield* task.wait({
    timeout: "1 minute",
    schedule: Schedule.spaced("100 millis"),
    onProgress: (info) =>
      info.status === "Finished" ? Effect.void : screen.bar(info.generatedTokens, maxTokens, "tokens")
  })
  yield* screen.bar(result.usage.outputTokens ?? maxTokens, maxTokens, "tokens", "last")
  yield* screen.show("text  ", result.text)
  yield* screen.show("ended ", `by ${result.finishReason}, after ${duration(result.generationTime)}`)
  const { tokensPerSecond } = result
  if (tokensPerSecond !== undefined) yield* screen.show("speed ", `${Math.round(tokensPerSecond)} tokens per second`)
}).pipe(Effect.scoped)

const fim = Effect.gen(function*() {
  const screen = yield* Screen
  yield* screen.title(
    "Fill in the middle",
    "TaskService.run({ prefix: \"def add(a, b):\", suffix: \"return result\" })"
  )
  const request = { prefix: "def add(a, b):\n  ", suffix: "\n  return result", maxTokens: 24, seed: 1 }
  yield* screen.show("between", (yield* TaskService.run(request)).text)
})

const fork = Effect.gen(function*() {
  const screen = yield* Screen
  yield* screen.title("Fork twice at once, then continue", "task.fork({ prompt }), task.continue({ prompt })")
  const task = yield* owned(TaskService.create({ prompt: "The river in spring", maxTokens: 40, seed: 0 }))
  yield* task.wait()
  const endings = yield* Effect.forEach(
    [" A happy end:", " A sad end:"],
    (prompt) =>
      owned(task.fork({ prompt, maxTokens: 40, persistence: "temporary" })).pipe(
        Effect.flatMap((fork) => fork.wait()),
        Effect.map(({ text }) => ({ prompt, text }))
      ),
    { concurrency: "unbounded" }
  )
  for (const { prompt, text } of endings) yield* screen.show(prompt.trim(), text)
  const more = yield* task.continue({ prompt: " And then", maxTokens: 30 })
  yield* screen.show("And then", (yield* more.wait()).text)
}).pipe(Effect.scoped)

const batch = Effect.gen(function*() {
  const screen = yield* Screen
  const prompts = ["spring", "summer", "autumn", "winter"].map((season) => ({
    prompt: `A line about ${season}:`,
    maxTokens: 20,
    seed: 2
  }))
  yield* screen.title("Many at once", "TaskService.runAll(requests, { concurrency: 64 })")
  yield* TaskService.runAll(prompts, { timeout: "1 minute" }).pipe(
    Stream.runForEach(({ index, result }) =>
      screen.show(`${index}`, Either.match(result, { onLeft: ({ message }) => message, onRight: ({ text }) => text }))
    )
  )
})

const stop = Effect.gen(function*() {
  const screen = yield* Screen
  yield* screen.title("Stop", "task.stop()")
  const task = yield* owned(TaskService.create({ prompt: "Count to a million:", maxTokens: 40_000 }))
  yield* Effect.sleep("150 millis")
  const { generatedTokens } = yield* task.stop()
  yield* screen.show("stopped", `after ${generatedTokens} of 40000 tokens`)
}).pipe(Effect.scoped)

const errors = Effect.gen(function*() {
  const screen = yield* Screen
  yield* screen.title("Failures have types", "Effect.catchTag(\"RWKVValidationError\", (error) => ...)")
  yield* TaskService.create({ prompt: "Hello", temperature: 3 }).pipe(
    Effect.catchTag("RWKVValidationError", (error) => screen.line(`  ${error._tag}: ${error.message}`))
  )
  yield* TaskService.status("TMP_00000000000000000000000000000000").pipe(
    Effect.catchTag("TaskNotFoundError", (error) => screen.line(`  ${error._tag}: ${error.message}`))
  )
})

type Section = Effect.Effect<void, RWKVError.RWKVError, TaskService.TaskService | StreamService.StreamService | Screen>

export const sections: Readonly<Record<string, Section>> = { stream, chat, wait, fim, fork, batch, stop, errors }
