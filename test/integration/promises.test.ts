/**
 * What the Python SDK's README promises, sample by sample: over real sockets with two clients, and in process.
 */
import { describe, expect } from "@effect/vitest"
import { Chunk, Console, Duration, Effect, Stream } from "effect"
import { StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { promising, story, wirings } from "../support/wirings.js"

const { FaultKind } = Emulator

const collect = <E, R>(stream: Stream.Stream<string, E, R>) =>
  Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

for (const [name, wiring] of wirings) {
  const promise = promising(wiring)

  describe(`samples of the Python README (${name})`, () => {
    promise(
      "quick start: create, wait, result",
      Effect.gen(function*() {
        const task = yield* TaskService.create({ prompt: "Hello world", maxTokens: 50 })
        const result = yield* task.wait()
        expect(result.text).toBe("Hello world!")
      })
    )

    promise(
      "quick start: FIM",
      Effect.gen(function*() {
        const task = yield* TaskService.fim({
          prefix: "def add(a, b):\n ",
          suffix: "\n return result",
          maxTokens: 30
        })
        expect((yield* task.wait()).text).toBe("return a + b")
      })
    )

    promise(
      "asynchronous calls: many at once",
      Effect.gen(function*() {
        const prompts = Array.from({ length: 20 }, (_, index) => `Hello ${index}`)
        const results = yield* Effect.forEach(prompts, (prompt) => TaskService.run({ prompt, maxTokens: 50 }), {
          concurrency: "unbounded"
        })
        expect(results.map(({ text }) => text)).toEqual(prompts.map((prompt) => `${prompt}!`))
      })
    )

    promise(
      "streaming at creation, both ways of asking for it",
      Effect.gen(function*() {
        for (const transport of ["subscribe", "direct"] as const) {
          const parts = yield* collect(StreamService.create({ prompt: "Tell me a story" }, { transport }))
          expect(parts.length).toBeGreaterThan(1)
          expect(parts.join("")).toBe(story)
        }
      })
    )

    promise(
      "subscribing to a task that was created before, by handle and by id",
      Effect.gen(function*() {
        const task = yield* TaskService.create({ prompt: "Tell me a story" })
        expect((yield* collect(task.stream())).join("")).toBe(story)
        expect((yield* collect(StreamService.subscribe(task.id))).join("")).toBe(story)
      })
    )

    promise(
      "the properties of a task",
      Effect.gen(function*() {
        const task = yield* TaskService.create({ prompt: "Tell me a story" })
        expect(task.id).toMatch(/^TMP_[0-9a-f]{32}$/)
        expect((yield* task.result).finished).toBe(false)
        const result = yield* task.wait()
        expect(result).toMatchObject({ taskId: task.id, text: story, finished: true })
        expect(result.speed).toBeGreaterThan(0)
        expect(Duration.toMillis(result.prefillTime)).toBeGreaterThanOrEqual(0)
        expect(Duration.toMillis(result.generationTime)).toBeGreaterThan(0)
      })
    )

    promise(
      "the operations of a task",
      Effect.gen(function*() {
        const task = yield* TaskService.create({ prompt: "Hello", maxTokens: 50 })
        yield* task.wait()
        yield* task.stop()
        const forked = yield* task.fork({ prompt: " and fork", maxTokens: 50 })
        expect((yield* forked.wait()).text).toBe(" and fork!")
        const continued = yield* task.continue({ prompt: " and more", maxTokens: 50 })
        expect((yield* continued.wait()).text).toBe(" and more!")
        const template = yield* task.asTemplate
        expect(template.id).toMatch(/^_TMPL_/)
        yield* task.delete()
        expect((yield* Effect.flip(task.status))._tag).toBe("TaskNotFoundError")
      }),
      { profile: "documented" }
    )

    promise(
      "several consumers of one stream, and the whole text at once when it is finished",
      Effect.gen(function*() {
        const task = yield* TaskService.create({ prompt: "Tell me a story" })
        const texts = yield* Effect.all(Array.from({ length: 5 }, () => Stream.mkString(task.stream())), {
          concurrency: "unbounded"
        })
        expect(texts).toEqual(Array.from({ length: 5 }, () => story))
        expect(yield* collect(task.stream())).toEqual([story])
      })
    )

    promise(
      "422, a timeout, a 500 and a lost connection are told apart",
      Effect.gen(function*() {
        const emulator = yield* Emulator.Emulator
        const program = (prompt: string) =>
          TaskService.create({ prompt, maxTokens: 5000 }).pipe(
            Effect.flatMap((task) => task.wait({ timeout: "50 millis" })),
            Effect.as("done"),
            Effect.catchTags({
              RWKVValidationError: (error) => Effect.succeed(`invalid: ${error.issues[0]?.path}`),
              RWKVTimeoutError: ({ kind }) => Effect.succeed(`timeout: ${kind}`),
              RWKVServerError: ({ status }) => Effect.succeed(`server: ${status}`),
              RWKVConnectionError: () => Effect.succeed("connection"),
              TaskNotFoundError: () => Effect.succeed("not found")
            })
          )
        expect(yield* program("")).toBe("invalid: prompt")
        expect(yield* program("endless")).toBe("timeout: wait")
        yield* emulator.inject({ kind: FaultKind.Status({ status: 500 }) })
        expect(yield* program("a")).toBe("server: 500")
        yield* emulator.inject({ kind: FaultKind.Reset({ executed: false }) })
        expect(yield* program("a")).toBe("connection")
        yield* emulator.inject({
          kind: FaultKind.Status({
            status: 422,
            body: "{\"detail\":[{\"type\":\"x\",\"loc\":[\"body\",\"top_k\"],\"msg\":\"too much\",\"input\":1}]}",
            headers: { "content-type": "application/json" }
          })
        })
        expect(yield* program("a")).toBe("invalid: topK")
      })
    )

    promise(
      "every parameter of the table travels",
      Effect.gen(function*() {
        const task = yield* TaskService.create({
          prompt: "a",
          maxTokens: 256,
          temperature: 1,
          topK: 0,
          topP: 0.8,
          presencePenalty: 0.1,
          repetitionPenalty: 0.2,
          penaltyDecay: 0.3,
          seed: 7
        })
        yield* task.wait()
        const { requests } = yield* Emulator.Emulator
        expect(JSON.parse((yield* requests)[0]?.body ?? "")).toEqual({
          prompt: "a",
          max_tokens: 256,
          temperature: 1,
          top_k: 0,
          top_p: 0.8,
          presence_penalty: 0.1,
          repetition_penalty: 0.2,
          penalty_decay: 0.3,
          seed: 7
        })
      })
    )
  })

  describe(`the program of the README (${name})`, () => {
    promise(
      "runs as written",
      Effect.gen(function*() {
        const lines: Array<string> = []
        const quiet: Console.Console = {
          ...(yield* Effect.console),
          log: (...args) => Effect.sync(() => lines.push(args.join(" ")))
        }
        yield* Effect.gen(function*() {
          const task = yield* TaskService.create({ prompt: "Hello world", maxTokens: 50 })
          const result = yield* task.wait({ timeout: "10 seconds" })
          yield* Console.log(result.text)
          yield* StreamService.create({ prompt: "Tell me a story", maxTokens: 200 }).pipe(
            Stream.runForEach((text) => Console.log(text))
          )
        }).pipe(
          Effect.catchTags({
            RWKVValidationError: (error) => Console.error(error.message),
            RWKVTimeoutError: (error) => Console.error(error.message)
          }),
          Effect.withConsole(quiet)
        )
        expect(lines[0]).toBe("Hello world!")
        expect(lines.length).toBeGreaterThan(1)
        expect(story.startsWith(lines.slice(1).join(""))).toBe(true)
      })
    )
  })
}
