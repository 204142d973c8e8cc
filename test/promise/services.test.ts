/** Promises over services that a program brings: a pool of servers, and telemetry. */
import { HttpClient } from "@effect/platform"
import { expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { RWKV, Telemetry } from "effect-rwkv"
import { createClient, RWKVConnectionError, RWKVPoolError, RWKVValidationError } from "effect-rwkv/promise"
import * as RWKVPool from "effect-rwkv/RWKVPool"
import { Emulator } from "effect-rwkv/testing"
import { type Cluster, emulator, server, start } from "../pool/cluster.js"
import { eventually, rejection } from "../support/promises.js"
import * as Tracing from "../support/tracing.js"

const options = { pulse: 0, reply: Emulator.chat(({ messages, turn }) => `message ${messages.length}: ${turn}`) }

const two = start({ a: { seed: 1, ...options }, b: { seed: 2, ...options } })

const services = RWKVPool.layer({ servers: [server("a"), server("b")] })

const program = async (cluster: Cluster) => {
  const held = () =>
    Promise.all(["a", "b"].map((name) => Effect.runPromise(emulator(cluster, name).tasks).then(({ length }) => length)))
  const client = createClient({ services, httpClient: Layer.succeed(HttpClient.HttpClient, cluster.client) })
  expect((await client.generate({ prompt: "one", maxTokens: 9 })).taskId).toMatch(/~[ab]$/)
  const tasks = await Promise.all(Array.from({ length: 8 }, () => client.create({ prompt: "two", maxTokens: 9 })))
  expect(Array.from(new Set(tasks.map(({ id }) => id.slice(-2)))).sort()).toEqual(["~a", "~b"])
  for (const task of tasks) {
    expect((await client.task(task.id).wait()).taskId).toBe(task.id)
    await task.delete()
  }
  for await (const { result } of client.generateAll([{ prompt: "three", maxTokens: 9 }])) {
    expect(result?.taskId).toMatch(/~[ab]$/)
  }
  const chat = await client.chat({ strategy: "continue", generation: { maxTokens: 99 } })
  await chat.send("Hi")
  expect((await chat.send("And?")).strategy).toBe("continue")
  expect(await rejection(client.task("TMP_1~c").status())).toBeInstanceOf(RWKVPoolError)
  await client.close()
  await eventually(async () => (await held()).join() === "0,0")
  expect(await rejection(client.models())).toBeInstanceOf(RWKVConnectionError)
}

it.scopedLive("of a pool's client go to the server that has the task, and leave nothing on any", () =>
  Effect.flatMap(two, (cluster) => Effect.promise(() => program(cluster))))

it("of services that are no layer, or have an option beside them, reject with what is wrong", async () => {
  const httpClient = Emulator.layer()
  const wrong: ReadonlyArray<[object, RegExp]> = [
    [{ services: "a pool" }, /services.*layer/],
    [{ services, httpClient, baseUrl: "http://a" }, /baseUrl.*services/],
    [{ services, httpClient, apiKey: "secret" }, /apiKey.*services/],
    [{ services: RWKVPool.layer({ servers: [] }), httpClient }, /servers/]
  ]
  for (const [given, says] of wrong) {
    const error = await rejection(createClient(given).models())
    expect(error).toBeInstanceOf(RWKVValidationError)
    expect(String(error)).toMatch(says)
    expect(String(error)).not.toContain("secret")
  }
  const mine = new Error("mine")
  const fails = Layer.merge(RWKV.layer(), Layer.fail(mine))
  expect(await rejection(createClient({ services: fails }).models())).toBe(mine)
})

it("with telemetry are counted, and their spans go to the program's tracer", async () => {
  const { one, tracer } = Tracing.make()
  const services = Layer.mergeAll(RWKV.layer(), Telemetry.layer({ model: "mine" }), Layer.setTracer(tracer))
  const client = createClient({ services, httpClient: Emulator.layer(options) })
  await client.generate({ prompt: "one", maxTokens: 9 })
  await client.close()
  expect(one("text_completion mine").exit).toMatchObject({ _tag: "Success" })
  const metrics = Effect.runSync(Tracing.metricsOf("gen_ai.request.model", "mine"))
  expect(metrics.get("gen_ai.client.inference.usage.output_tokens")).toMatchObject({ count: 9 })
})
