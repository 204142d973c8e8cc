/** Programs against the emulator in process, where all time is virtual. */
import { it } from "@effect/vitest"
import { Clock as Time, Effect, Layer, type Scope, Stream } from "effect"
import { RWKV, type RWKVConfig, type RWKVError, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as Clock from "./clock.js"

export const { FaultKind } = Emulator

export type Env = RWKV.RWKV | Emulator.Emulator | Scope.Scope

export const live = (options: Emulator.Options = {}, config: RWKVConfig.Options = {}) =>
  Layer.provideMerge(RWKV.layer(config), Emulator.layer(options))

export const against =
  (options: Emulator.Options = {}, config: RWKVConfig.Options = {}) =>
  <A, E>(program: Effect.Effect<A, E, Env>): Effect.Effect<A, E | RWKVError.RWKVError> =>
    program.pipe(
      Effect.scoped,
      Effect.provide(live(options, config)),
      Clock.run()
    )

export const inject = (fault: Emulator.Fault) => Effect.flatMap(Emulator.Emulator, (self) => self.inject(fault))

/** `"POST tmp"`, `"POST delete?force=true"` ...: the requests so far. */
export const calls = Effect.flatMap(
  Emulator.Emulator,
  (self) => Effect.map(self.requests, (all) => all.map(({ method, path }) => `${method} ${path.split("/").at(-1)}`))
)

const verbOf = (call: string) => call.replace(/\?.*/, "")

/** The same without their queries. */
export const verbs = Effect.map(calls, (all) => all.map(verbOf))

/** How many there were, with this query or, if it names none, with any. */
export const count = (call: string) =>
  Effect.map(calls, (all) => all.filter((each) => each === call || verbOf(each) === call).length)

export const running = Effect.flatMap(Emulator.Emulator, (self) => self.running)

export const openStreams = Effect.flatMap(Emulator.Emulator, (self) => self.openStreams)

export const tasks = Effect.flatMap(Emulator.Emulator, (self) => self.tasks)

export const request = { prompt: "Tell me", maxTokens: 2000 }

/** 320 letters: ten frames. */
export const long = "abcdefghijklmnopqrstuvwxyz012345".repeat(10)

export const says = (reply: string | Emulator.Script): Emulator.Options => ({ reply: () => reply })

export const endless: Emulator.Options = { reply: () => ({ tokens: ["a", "b"], end: "loop" }) }

export const onStream = { method: "GET", path: "/stream" } as const
export const onCreate = { method: "POST", path: "/v1/tasks/tmp" } as const

export const transports = ["subscribe", "direct"] as const
export type Transport = (typeof transports)[number]

/** One test for each transport. */
export const byBoth = (
  name: string,
  test: (transport: Transport) => Effect.Effect<void, unknown>
): void => {
  for (const transport of transports) it.effect(`${name} (${transport})`, () => test(transport))
}

/** The faults that hit the connection a transport reads its text from. */
export const onText = (transport: Transport) => transport === "direct" ? onCreate : onStream

export const textOf = (transport: Transport, options: Parameters<typeof StreamService.create>[1] = {}) =>
  Stream.mkString(StreamService.create(request, { transport, ...options }))

export const created = TaskService.create(request)

/** How long it took by the clock of the program, and how it ended. */
export const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const begun = yield* Time.currentTimeMillis
    const outcome = yield* Effect.either(effect)
    return { outcome, millis: (yield* Time.currentTimeMillis) - begun }
  })
