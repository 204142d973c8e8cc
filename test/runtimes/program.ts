/**
 * What is tried on each runtime: it prints one JSON line for each case. Plain `fetch`, nothing of any one runtime.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import { Effect, Layer, Stream } from "effect"
import { Polling, RWKV, type RWKVError, StreamService, TaskService } from "effect-rwkv"
import type { Report, Task } from "./cases.js"

const tasks: ReadonlyArray<Task> = JSON.parse(process.argv[2] ?? "[]")

const request = { prompt: "Hello", maxTokens: 5 }

const run = (verb: Task["verb"]): Effect.Effect<string, RWKVError.RWKVError, RWKV.RWKV> =>
  verb === "create"
    ? Effect.map(TaskService.create(request), ({ id }) => id)
    : Stream.mkString(StreamService.create(request))

const attempt = ({ name, url, verb }: Task) =>
  run(verb).pipe(
    Effect.match({
      onFailure: ({ _tag, isTransient, isSafeToRepeat, message }): Report => ({
        name,
        failure: { tag: _tag, message, isTransient, isSafeToRepeat }
      }),
      onSuccess: (text): Report => ({ name, text })
    }),
    Effect.provide(
      RWKV.layer({ baseUrl: url, retry: Polling.noRetry, requestTimeout: "5 seconds" }).pipe(
        Layer.provide(FetchHttpClient.layer)
      )
    )
  )

for (const task of tasks) {
  const report = await Effect.runPromise(attempt(task))
  process.stdout.write(`${JSON.stringify(report)}\n`)
}
