/** Programs against the emulator in process, where all time is virtual. */
import { it } from "@effect/vitest"
import { Effect, Layer, type Scope, Stream } from "effect"
import { RWKV, type RWKVConfig, type RWKVError, StreamService, TaskService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as Clock from "./clock.js"

export const { FaultKind } = Emulator

export type Env = RWKV.RWKV | Emulator.Emulator | Scope.Scope

export const against =
  (options: Emulator.Options = {}, config: RWKVConfig.Options = {}) =>
  <A, E>(program: Effect.Effect<A, E, Env>): Effect.Effect<A, E | RWKVError.RWKVError> =>
    program.pipe(
      Effect.scoped,
      Effect.provide(Layer.provideMerge(RWKV.layer(config), Emulator.layer(options))),
      Clock.run()
    )

export const inject = (fault: Emulator.Fault) => Effect.flatMap(Emulator.Emulator, (self) => self.inject(fault))

/** `"POST tmp"`, `"GET status"` ...: the requests so far. */
export const verbs = Effect.flatMap(
  Emulator.Emulator,
  (self) =>
    Effect.map(
      self.requests,
      (all) => all.map(({ method, path }) => `${method} ${path.split("?")[0]?.split("/").at(-1)}`)
    )
)

export const count = (verb: string) => Effect.map(verbs, (all) => all.filter((each) => each === verb).length)

export const running = Effect.flatMap(Emulator.Emulator, (self) => self.running)

export const openStreams = Effect.flatMap(Emulator.Emulator, (self) => self.openStreams)

export const tasks = Effect.flatMap(Emulator.Emulator, (self) => self.tasks)

export const request = { prompt: "Tell me", maxTokens: 2000 }

/** 320 letters: ten frames. */
export const long = "abcdefghijklmnopqrstuvwxyz012345".repeat(10)

export const says = (reply: string | Emulator.Script): Emulator.Options => ({ reply: () => reply })

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

export const failure = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.flip(effect)

export const created = TaskService.create(request)
