/** What a client did to the tasks of an emulator, and what it said of them. */
import { HttpClient, HttpClientRequest } from "@effect/platform"
import { Effect, Logger, LogLevel, Predicate } from "effect"
import type { RWKVConfig } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"

const mark = "x-probe"

const idOf = (url: string): string => /TMP_\w+|TASK_\w+/.exec(url)?.[0] ?? url

export type Probe = ReturnType<typeof make>

export const make = () => {
  let emulator: Emulator.Service | undefined
  const warnings: Array<string> = []
  const deletedRunning: Array<string> = []
  const look = ({ url }: HttpClientRequest.HttpClientRequest) =>
    emulator === undefined || !url.includes("/delete") ?
      Effect.void :
      HttpClientRequest.get(url.replace(/delete.*/, "status")).pipe(
        HttpClientRequest.setHeader(mark, "1"),
        emulator.httpClient.execute,
        Effect.flatMap(({ json }) => json),
        Effect.map((answer) => {
          if (Predicate.hasProperty(answer, "status") && answer.status !== 3) deletedRunning.push(idOf(url))
        }),
        Effect.ignore
      )
  const logger = Logger.make(({ logLevel, message }) => {
    if (LogLevel.greaterThan(logLevel, LogLevel.Info)) warnings.push(String(message))
  })
  return {
    /** For the client that is watched. */
    config: { transformClient: HttpClient.tapRequest(look) } satisfies RWKVConfig.Options,
    /** Around the program. */
    watching: <A, E, R>(program: Effect.Effect<A, E, R>) =>
      Emulator.Emulator.pipe(
        Effect.tap((service) =>
          Effect.sync(() => {
            emulator = service
          })
        ),
        Effect.zipRight(program),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      ),
    warnings,
    /** Ids of tasks that ran when they were deleted. */
    deletedRunning,
    warnedOf: () => warnings.map(idOf).sort()
  }
}

const requests = Effect.flatMap(Emulator.Emulator, (self) => self.requests)

/** How often each task was asked to do something. */
export const timesAsked = (verb: "stop" | "delete" | "status") =>
  Effect.map(requests, (all) => {
    const times = new Map<string, number>()
    for (const { headers, path } of all) {
      if (path.includes(`/${verb}`) && headers[mark] === undefined) {
        times.set(idOf(path), (times.get(idOf(path)) ?? 0) + 1)
      }
    }
    return times
  })

/** Ids of the tasks that run, known to the server's cache or not. */
export const runningIds = Effect.flatMap(
  Emulator.Emulator,
  (self) =>
    Effect.map(
      self.tasks,
      (tasks) => tasks.filter(({ status }) => status === 1 || status === 2).map(({ taskId }) => taskId).sort()
    )
)
