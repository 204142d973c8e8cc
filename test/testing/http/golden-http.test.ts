import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { json, post, send, standIn, tick } from "../../support/emulator.js"
import { exchanges, idPattern } from "../../support/golden.js"
import { origin } from "../../support/wire.js"

/** Ids by order of appearance, floats that were measured, and the server's start. */
const mask = (body: string): string =>
  body
    .replace(idPattern, (id) => id.slice(0, id.lastIndexOf("_")))
    .replace(/"(prefill_time|gen_time|speed)":\d+\.\d+(e-\d+)?/g, "\"$1\":0.0")
    .replace(/"created":\d+/, "\"created\":0")

describe("golden http recordings", () => {
  it.scoped("all 125 exchanges are answered as the real server answered them", () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ reply: standIn, cacheCapacity: 8, maxBatchSize: 8 })
      const ids = new Map<string, string>()
      // Made by the recorder outside of the file, just before they are first named.
      const fixture = (recorded: string) =>
        Effect.gen(function*() {
          const made = yield* json(post(emulator, "/v1/tasks/create", { prompt: [60001, 50], max_tokens: 5 }))
          ids.set(recorded, made.task_id)
          yield* tick(1000)
        })

      for (const { name, request, response } of exchanges) {
        const named = request.path.match(idPattern)?.[0]
        if (named !== undefined && !ids.has(named)) yield* fixture(named)
        const path = request.path.replace(idPattern, (id) => ids.get(id) ?? id)
        const actual = yield* send(emulator, { ...request, path })
        const body = yield* actual.text
        expect({ name, status: actual.status }).toEqual({ name, status: response.status })
        expect(actual.headers["content-type"] ?? null, name).toBe(response.contentType)
        expect(actual.headers["allow"] ?? null, name).toBe(response.allow)
        // Recorded without its origin.
        expect(actual.headers["location"]?.replace(origin, "") ?? null, name).toBe(response.location)
        expect(mask(body), name).toBe(mask(response.body))
        const recordedIds = response.body.match(idPattern) ?? []
        const actualIds = body.match(idPattern) ?? []
        recordedIds.forEach((id, index) => {
          const mine = actualIds[index] ?? ""
          if (ids.has(id)) expect(mine, name).toBe(ids.get(id))
          else ids.set(id, mine)
        })
      }
      expect(exchanges).toHaveLength(125)
    }))
})
