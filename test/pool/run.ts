/** `npm run test:pool`: streams over four servers on real sockets, then the balance of servers of other speeds. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import * as Clock from "../support/clock.js"
import { balance } from "./balance.js"
import { hold } from "./hold.js"

const [streams = 2000, pulse = 50] = process.argv.slice(2).map(Number)

NodeRuntime.runMain(Effect.gen(function*() {
  const { kills, requestsPerStream, tasks, took, violations } = yield* hold(streams, pulse)
  yield* Console.log(
    `${streams} streams in ${(took / 1000).toFixed(1)} s, ${kills} servers killed, tasks made: ${tasks}`
  )
  yield* Console.log(`${requestsPerStream.toFixed(2)} requests for each stream, ${violations.length} violations`)
  const { queue, throughput } = yield* Clock.run("2 hours")(balance(640, 8))
  yield* Console.log(`speeds 1, 1, 2, 4: ${(throughput * 100).toFixed(1)} % of the ideal throughput`)
  yield* Console.log(`p99 of queueing is ${queue.toFixed(3)} times that of one queue for all`)
  if (violations.length > 0) return yield* Effect.dieMessage(violations.slice(0, 20).join("\n"))
  if (throughput < 0.95 || queue > 1.5) return yield* Effect.dieMessage("the balance does not hold")
}))
