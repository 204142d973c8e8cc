/** What is simulated: the servers, the work, and what is asked of them. */
import * as Figures from "./figures.js"
import type { Model } from "./server.js"
import { type Task, tasksOf, type Workload } from "./tasks.js"
import { type Options, run, type World } from "./world.js"

/** 32 tokens take 0.21 s for one task, and 256 tasks together make 11,081 tokens a second. */
export const model: Model = {
  slots: 256,
  cache: 256,
  pulse: 0.21,
  perTask: (32 * 256 / 11_081 - 0.21) / 255,
  tokensPerPulse: 32,
  perUnit: 0.000_02,
  poll: 0.1
}

export const workload: Omit<Workload, "count" | "arrivals"> = {
  seed: 1,
  prompt: 400,
  tokens: 256,
  maxTokens: [128, 256, 512, 1024],
  kept: 0,
  keptFor: 0
}

const warmUp = 0.3

/** Tokens a second of a server of speed 1 that never lacks tasks that are read: they wait in the server itself. */
const ideal = (model: Model, workload: Omit<Workload, "count" | "arrivals">): number => {
  const { timeline } = run({
    seed: 1,
    way: "flood",
    model: { ...model, cache: Infinity },
    speeds: [1],
    told: false,
    capacity: Infinity,
    tasks: tasksOf({ ...workload, count: 10_000, arrivals: Infinity }),
    warmUp
  })
  const middle = timeline.slice(Math.floor(timeline.length * 0.3), Math.floor(timeline.length * 0.7))
  return Figures.sum(middle) / middle.length
}

const ideals = new Map<string, number>()

/** The same, once for each kind of server and work. */
const idealOf = (model: Model, workload: Omit<Workload, "count" | "arrivals">): number => {
  const key = JSON.stringify([model, workload])
  const known = ideals.get(key) ?? ideal(model, workload)
  ideals.set(key, known)
  return known
}

export interface Scenario extends Pick<Options, "way" | "speeds"> {
  readonly count: number
  /** The share of the ideal throughput that is asked for; Infinity = all tasks at once, as by `runAll`. */
  readonly load: number
  readonly told?: boolean
  readonly capacity?: number
  readonly model?: Partial<Model>
  readonly workload?: Partial<Workload>
  readonly loss?: Options["loss"]
}

export interface Outcome {
  readonly scenario: Scenario
  readonly tasks: ReadonlyArray<Task>
  /** Those after the warm-up. */
  readonly measured: ReadonlyArray<Task>
  readonly world: World
  /** Of all servers, tokens a second. */
  readonly ideal: number
  /** As a share of the ideal. */
  readonly throughput: number
}

export const simulate = (scenario: Scenario): Outcome => {
  const { capacity, count, load, loss, speeds, told, way } = scenario
  const work = { ...workload, ...scenario.workload }
  const servers = { ...model, ...scenario.model }
  const all = idealOf(servers, work) * Figures.sum(speeds)
  const sample = tasksOf({ ...work, count: 20_000, arrivals: Infinity })
  const arrivals = load * all / (Figures.sum(sample.map(({ tokens }) => tokens)) / sample.length)
  const tasks = tasksOf({ ...work, count, arrivals })
  const world = run({
    seed: 2,
    way,
    model: servers,
    speeds,
    told: told ?? false,
    capacity: capacity ?? servers.slots,
    tasks,
    ...(loss === undefined ? {} : { loss }),
    warmUp
  })
  const measured = tasks.slice(Math.floor(count * warmUp))
  return { scenario, tasks, measured, world, ideal: all, throughput: Figures.throughput(world) / all }
}

/** So many servers, their speeds over and over. */
export const servers = (count: number, speeds: ReadonlyArray<number> = [1]): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, at) => speeds[at % speeds.length] ?? 1)
