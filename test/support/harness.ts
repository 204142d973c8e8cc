/** Programs against the emulator under the TestClock, which moves as a test says. */
import { Chunk, Duration, Effect, type Exit, Fiber, Option, Random, Stream, TestClock } from "effect"
import { type Protocol, type RWKVConfig, type RWKVError, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import { type Env, live, long, tasks } from "./program.js"

/**
 * No jitter, unless a test brings its own. Effect 3.22's TestClock cannot tell the nanoseconds of a time with a fraction that
 * is not exact, and dies.
 */
const withoutJitter = Effect.withRandom(Random.fixed([0.5]))

export const againstTestClock =
  (options: Emulator.Options = {}, config: RWKVConfig.Options = {}) =>
  <A, E>(program: Effect.Effect<A, E, Env>): Effect.Effect<A, E | RWKVError.RWKVError> =>
    program.pipe(Effect.scoped, withoutJitter, Effect.provide(live(options, config)))

/** Moves the TestClock until an effect is done. */
export const settle = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  step: Duration.DurationInput = "200 millis",
  limit: Duration.DurationInput = "10 minutes"
): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(withoutJitter(effect))
    const steps = Duration.toMillis(limit) / Duration.toMillis(step)
    for (let i = 0; i < steps; i++) {
      const exit = yield* Fiber.poll(fiber)
      if (Option.isSome(exit)) return yield* exit.value
      yield* TestClock.adjust(step)
    }
    yield* Fiber.interruptFork(fiber)
    return yield* Effect.dieMessage(`not done after ${Duration.format(limit)}`)
  })

/** The failure of an effect, as seen after moving the TestClock. */
export const failureOf = <A, E, R>(effect: Effect.Effect<A, E, R>, step?: Duration.DurationInput) =>
  settle(Effect.flip(effect), step)

export const exitOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Exit.Exit<A, E>, never, R> =>
  settle(Effect.exit(effect))

export const body = (index = 0) =>
  Effect.gen(function*() {
    const { requests } = yield* Emulator.Emulator
    const posts = (yield* requests).filter(({ body }) => body !== "")
    const found: unknown = JSON.parse(posts[index]?.body ?? "null")
    return found
  })

/** What the server holds of a task. */
export const held = (id: string) => Effect.map(tasks, (all) => all.find(({ taskId }) => taskId === id))

export const serverText = (id: string) => Effect.map(held(id), (task) => task?.text)

export const settledText = <E, R>(stream: Stream.Stream<string, E, R>) => settle(Stream.mkString(stream))

export const eventsOf = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.map(settle(Stream.runCollect(stream)), Chunk.toReadonlyArray)

/** Echoes the prompt, so that every run has a text of its own. */
export const echo: Emulator.Options = { reply: ({ text }) => `<${text}>` }

export const story: Emulator.Options = { reply: () => long }

export const ids = Effect.map(tasks, (all) => all.map(({ taskId }) => taskId))

/** A task that has ended. */
export const finished = (prompt = "source") =>
  Effect.flatMap(TaskService.createPersistent({ prompt }), (task) => settle(Effect.as(task.wait(), task)))

type Events = ReadonlyArray<Protocol.StreamEvent>

export const started = (events: Events) => events.find((event) => event._tag === "Started")?.taskId

export const joined = (events: Events) => events.map((event) => event._tag === "Text" ? event.text : "").join("")

export const last = (events: Events) => {
  const event = events.at(-1)
  return event?._tag === "Finished" ? event.result : undefined
}
