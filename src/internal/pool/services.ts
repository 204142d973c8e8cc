/**
 * The services of a pool: those of one server, over endpoints that are many.
 */
import * as Effect from "effect/Effect"
import type * as RWKVConfig from "../../RWKVConfig.js"
import * as validate from "../input/validate.js"
import * as Ledger from "../owner/ledger.js"
import * as Runs from "../stream/runs.js"
import * as Verbs from "../stream/verbs.js"
import * as Tasks from "../task/tasks.js"
import * as Admission from "./admission.js"
import type { Pool } from "./pool.js"
import * as Replay from "./replay.js"

export const make = (pool: Pool, replays: boolean, config: RWKVConfig.Service) =>
  Effect.gen(function*() {
    const { endpoints, find, servers } = pool
    const runs = yield* Runs.make(endpoints, config, Admission.make(pool, config))
    const anew = replays ? Replay.make(runs.ledger.lifetime.closing, config) : undefined
    const starts = Verbs.startsOf(endpoints, runs)
    const streams = Runs.carry(yield* Verbs.make(anew?.over(starts) ?? starts, runs), runs)
    const tasks = Tasks.make(endpoints, config, streams, runs, yield* Ledger.gate(runs.ledger), {
      again: anew?.again,
      // As many as the servers hold, and as many again for those that join; they wait for their places themselves.
      concurrency: () => Array.from(servers()).reduce((sum, { tally }) => sum + 2 * tally.load().capacity, 0)
    })
    return {
      streams,
      tasks: {
        ...tasks,
        task: (id: string) =>
          find(id) === undefined
            ? validate.invalid("TaskService.task", "taskId", "must be of a server of this pool")
            : tasks.task(id)
      }
    }
  })
