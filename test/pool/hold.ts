/** Streams over four emulators behind real sockets, while servers are killed, drained, added and slowed. */
import { HttpServer } from "@effect/platform"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { Clock, Context, Effect, Either, Layer, Logger, LogLevel, Queue, Random, Ref, Schedule, Stream } from "effect"
import { StreamService } from "effect-rwkv"
import * as RWKVPool from "effect-rwkv/RWKVPool"
import { Emulator } from "effect-rwkv/testing"
import { createServer } from "node:http"

const names = ["a", "b", "c", "d"]

const textOf = (prompt: string) => `${prompt} told at length. `.repeat(8)

/** What does not hold, and figures. */
export const hold = (streams: number, pulse: number) =>
  Effect.gen(function*() {
    const made = new Map<string, Set<string>>()
    const servers = yield* Effect.forEach(names, (name, seed) =>
      Effect.gen(function*() {
        const ids = new Set<string>()
        made.set(name, ids)
        const reply = ({ taskId, text }: Emulator.PromptRequest) => {
          ids.add(taskId)
          return textOf(text)
        }
        const served = Layer.provideMerge(
          Emulator.layerServer({ reply, seed, pulse: pulse * (1 + seed), tokensPerPulse: 16 }),
          NodeHttpServer.layer(createServer, { port: 0 })
        )
        const context = yield* Layer.build(served)
        const { address } = Context.get(context, HttpServer.HttpServer)
        const baseUrl = address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : ""
        return { name, emulator: Context.get(context, Emulator.Emulator), server: { name, baseUrl, capacity: 64 } }
      }))
    const lists = yield* Queue.unbounded<ReadonlyArray<RWKVPool.Server>>()
    yield* lists.offer(servers.slice(0, 3).map(({ server }) => server))
    const warnings: Array<string> = []
    const kills = yield* Ref.make(0)
    const logger = Logger.make(({ logLevel, message }) => {
      if (LogLevel.greaterThan(logLevel, LogLevel.Info)) warnings.push(String(message))
    })

    /** The first server is let alone, so that there is always one. */
    const disturb = Effect.gen(function*() {
      yield* Effect.sleep(pulse * 10)
      yield* lists.offer(servers.map(({ server }) => server))
      const at = yield* Random.nextIntBetween(1, servers.length)
      const victim = servers[at]
      if (victim === undefined) return
      const what = yield* Random.nextIntBetween(0, 3)
      if (what === 0) {
        yield* Ref.update(kills, (n) => n + 1)
        yield* victim.emulator.inject({ times: Infinity, kind: Emulator.FaultKind.Refuse() })
        yield* victim.emulator.restart("kill")
        yield* Effect.sleep(pulse * 10)
        return yield* victim.emulator.clearFaults
      }
      if (what === 1) {
        const kind = Emulator.FaultKind.Delay({ duration: pulse * 10 })
        return yield* victim.emulator.inject({ times: 20, kind })
      }
      yield* lists.offer(servers.filter((server) => server !== victim).map(({ server }) => server))
      yield* Effect.sleep(pulse * 20)
    })

    const began = yield* Clock.currentTimeMillis
    const violations: Array<string> = []
    const requests = { prompt: "", maxTokens: 400, seed: 1 }
    yield* Stream.range(1, streams).pipe(
      Stream.mapEffect((index) => {
        const request = { ...requests, prompt: `story ${index}` }
        return Effect.map(Effect.either(Stream.mkString(StreamService.create(request))), (told) => {
          if (Either.isLeft(told)) violations.push(`${index}: ${told.left.message}`)
          else if (told.right !== textOf(request.prompt)) violations.push(`${index}: another text: ${told.right}`)
        })
      }, { concurrency: "unbounded" }),
      Stream.runDrain,
      Effect.raceFirst(Effect.zipRight(Effect.repeat(disturb, Schedule.forever), Effect.never)),
      Effect.zipRight(Effect.forEach(servers, ({ emulator }) => emulator.clearFaults)),
      Effect.zipRight(Effect.sleep("3 seconds")),
      Effect.provide(Layer.provideMerge(
        Layer.provide(
          RWKVPool.layer({
            servers: Stream.fromQueue(lists),
            onServerLost: "replay",
            queueLimit: streams,
            probe: Schedule.spaced("200 millis")
          }),
          NodeHttpClient.layerUndici
        ),
        Logger.replace(Logger.defaultLogger, logger)
      ))
    )
    const took = (yield* Clock.currentTimeMillis) - began
    let asked = 0
    for (const { emulator, name } of servers) {
      for (const { status, taskId } of yield* emulator.tasks) {
        if (status !== 3 && !warnings.some((warning) => warning.includes(taskId))) violations.push(`${taskId} runs on`)
      }
      const all = yield* emulator.requests
      asked += all.length
      for (const { path } of all) {
        const id = /^\/v1\/tasks\/((?:TMP|TASK)_[^/]*)\//.exec(path)?.[1]
        if (id !== undefined && made.get(name)?.has(id) !== true) violations.push(`${name} was asked about ${id}`)
      }
    }
    return {
      violations,
      took,
      kills: yield* Ref.get(kills),
      requestsPerStream: asked / streams,
      tasks: names.map((name) => `${name} ${made.get(name)?.size}`).join(", ")
    }
  }).pipe(Effect.scoped)
