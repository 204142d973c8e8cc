import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import {
  act,
  create,
  data,
  done,
  frames,
  get,
  isOpen,
  json,
  post,
  prompt,
  start,
  status,
  tick
} from "../../support/emulator.js"

const refused = { _tag: "RequestError", reason: "Transport", cause: { code: "ECONNREFUSED" } }

describe("F99 a shutdown in good order", () => {
  it.scoped("serves streams of both kinds to their end, refuses newcomers at once, and is over then", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const pushed = yield* frames(post(emulator, "/v1/tasks/create", { ...prompt(0, 320), stream: true }))
      yield* tick(110)
      const [{ taskId = "" } = {}] = yield* emulator.tasks
      const polled = yield* frames(get(emulator, `/v1/tasks/${taskId}/stream`))
      const down = yield* Effect.fork(emulator.shutdown)
      yield* tick(10)
      expect(yield* Effect.flip(get(emulator, "/v1/models"))).toMatchObject(refused)
      expect([yield* isOpen(pushed), yield* isOpen(polled), (yield* down.poll)._tag]).toEqual([true, true, "None"])
      yield* tick(1000)
      yield* down
      for (const { chunks } of [pushed, polled]) {
        expect(data(chunks).join("")).toHaveLength(320)
        expect(chunks.at(-1)).toBe(done)
      }
      expect(yield* Effect.flip(get(emulator, `/v1/tasks/${taskId}/get_result`))).toMatchObject(refused)
      expect((yield* emulator.requests).some(({ path }) => path === "/v1/models")).toBe(false)
    }))

  it.scoped("then stops what nobody reads, writes TASK_ and forgets TMP_; a restart brings it up again", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const kept = yield* create(emulator, 0, 4000)
      const lost = yield* create(emulator, 0, 4000, "tmp")
      yield* tick(110)
      yield* emulator.shutdown
      expect(yield* emulator.running).toBe(0)
      yield* emulator.restart("graceful")
      expect(yield* status(emulator, kept)).toMatchObject({ status: 3, generated_buf: 70 })
      expect((yield* get(emulator, `/v1/tasks/${lost}/status`)).status).toBe(404)
      yield* act(emulator, kept, "continue", prompt(1, 5))
      yield* tick(1000)
      expect((yield* status(emulator, kept)).generated_buf).toBe(5)
    }))

  it.scoped("waits for answers that are still to come, and for the streams that they become", () =>
    Effect.gen(function*() {
      const emulator = yield* start({ prefillPerToken: 100 })
      const plain = yield* Effect.fork(json(post(emulator, "/v1/tasks/create", prompt(0, 5))))
      const opening = yield* Effect.fork(frames(post(emulator, "/v1/tasks/tmp", { ...prompt(0, 64), stream: true })))
      yield* tick(10)
      const down = yield* Effect.fork(emulator.shutdown)
      yield* tick(5000)
      expect((yield* plain).task_id).toMatch(/^TASK_/)
      expect((yield* opening).chunks.at(-1)).toBe(done)
      yield* down
    }))

  it.scoped("waits for ever for a stream that never ends, until a restart cuts it", () =>
    Effect.gen(function*() {
      const emulator = yield* start()
      const hung = yield* frames(post(emulator, "/v1/tasks/tmp", { ...prompt(0, 0), stream: true }))
      const down = yield* Effect.fork(emulator.shutdown)
      yield* tick(600_000)
      expect([(yield* down.poll)._tag, yield* isOpen(hung)]).toEqual(["None", true])
      yield* emulator.restart("kill")
      expect(yield* Effect.flip(Fiber.join(hung.fiber))).toMatchObject({ cause: { code: "ECONNRESET" } })
      yield* down
      expect((yield* get(emulator, "/v1/models")).status).toBe(200)
    }))
})
