import { it } from "vitest"
import { Effect, Stream } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { post, get, json } from "./utils.js"
it("live", async () => {
  await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const e = yield* Emulator.make({ pulse: "5 millis" })
    const t0 = Date.now()
    const rs = yield* Effect.forEach(Array.from({length:1000},(_, i)=>i), (i) => Effect.gen(function*() {
      const r = yield* post(e, "/v1/tasks/tmp", { prompt: `Hello ${i}`, max_tokens: 100, stream: true })
      return yield* Stream.runCollect(r.stream)
    }), { concurrency: "unbounded" })
    console.log("1000 streams", Date.now() - t0, rs.length, yield* e.running, yield* e.openStreams)
    const t1 = Date.now()
    for (let i = 0; i < 5000; i++) { const m = yield* json(post(e, "/v1/tasks/tmp", { prompt: "x", max_tokens: 1 })); yield* get(e, `/v1/tasks/${m.task_id}/status`) }
    console.log("10000 requests", Date.now() - t1)
  })))
}, 60000)
