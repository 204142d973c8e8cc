/** The model beside emulators, on the same tasks with the same client. */
import * as Emulated from "./emulated.js"
import * as Figures from "./figures.js"
import type { Model } from "./server.js"
import { type Task, tasksOf, type Workload } from "./tasks.js"
import { run } from "./world.js"

/** The pulse of an emulator does not depend on how many tasks run; a smaller batch gives more of its life to see. */
export const model: Model = {
  slots: 64,
  cache: 80,
  pulse: 0.5,
  perTask: 0,
  tokensPerPulse: 32,
  perUnit: 0.000_05,
  poll: 0.25
}

export interface Side {
  /** Tokens a second, from the first task to the last result. */
  readonly throughput: number
  readonly waits: Figures.Times
  readonly stays: Figures.Times
  readonly requestsPerTask: number
}

const side = (tasks: ReadonlyArray<Task>, requests: number): Side => ({
  throughput: Figures.sum(tasks.map(({ tokens }) => tokens)) /
    tasks.reduce((end, task) => Math.max(end, task.ended), 0),
  waits: Figures.waits(tasks),
  stays: Figures.stays(tasks),
  requestsPerTask: requests / tasks.length
})

export interface Calibration {
  readonly emulated: Side
  readonly modelled: Side
  /** The share of the tasks that both sent to the same server. */
  readonly agreed: number
  /** Entries in the fullest cache of an emulator. */
  readonly entries: number
}

export interface Options {
  readonly speeds: ReadonlyArray<number>
  readonly count: number
  /** Tasks a second; Infinity = all at once. */
  readonly arrivals: number
  readonly tokens?: number
  readonly model?: Partial<Model>
}

export const calibrate = async (options: Options): Promise<Calibration> => {
  const { arrivals, count, speeds } = options
  const servers = { ...model, ...options.model }
  const work: Workload = {
    seed: 3,
    count,
    arrivals,
    prompt: 200,
    tokens: options.tokens ?? 96,
    maxTokens: [64, 128, 256],
    kept: 0.1,
    keptFor: 3
  }
  const [real, mimic] = [tasksOf(work), tasksOf(work)]
  const common = { seed: 4, model: servers, speeds, capacity: servers.slots }
  const emulated = await Emulated.run({ ...common, tasks: real })
  const world = run({ ...common, way: "pool", told: false, tasks: mimic, warmUp: 0 })
  return {
    emulated: side(real, emulated.requests),
    modelled: side(mimic, Figures.requests(world)),
    agreed: real.filter((task, at) => task.server === mimic[at]?.server).length / count,
    entries: emulated.entries
  }
}
