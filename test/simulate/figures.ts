/** Figures of what was simulated. */
import type { Task } from "./tasks.js"
import type { Mark, World } from "./world.js"

/** The value that this share of all is not above. */
export const quantile = (sorted: ReadonlyArray<number> | Float64Array, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN

export interface Times {
  readonly p50: number
  readonly p99: number
}

const times = (values: ReadonlyArray<number>): Times => {
  const sorted = Float64Array.from(values).sort()
  return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) }
}

/** Seconds from when a task was submitted to when it had a slot. */
export const waits = (tasks: ReadonlyArray<Task>): Times => times(tasks.map((task) => task.started - task.submitted))

/** Seconds from when a task was submitted to its result. */
export const stays = (tasks: ReadonlyArray<Task>): Times => times(tasks.map((task) => task.ended - task.submitted))

/** Tokens a second, by task, from its slot to its result. */
export const paces = (tasks: ReadonlyArray<Task>) => {
  const sorted = Float64Array.from(tasks, (task) => task.tokens / (task.ended - task.started)).sort()
  return { p1: quantile(sorted, 0.01), p50: quantile(sorted, 0.5) }
}

export const sum = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0)

/** 1 = all have the same, 1/n = one has all. */
export const jain = (values: ReadonlyArray<number>): number =>
  sum(values) ** 2 / (values.length * sum(values.map((value) => value ** 2)))

/** Tokens that each server made between two marks, by its speed. */
export const shares = ({ servers }: World, from: Mark, to: Mark): ReadonlyArray<number> =>
  servers.map(({ speed }, at) => ((to.tokens[at] ?? 0) - (from.tokens[at] ?? 0)) / speed)

/** Tokens a second of all servers between the marks. */
export const throughput = ({ from, to }: World): number => (sum(to.tokens) - sum(from.tokens)) / (to.at - from.at)

export const requests = ({ servers }: World): number => sum(servers.map(({ count }) => count.requests))

export const evicted = ({ servers }: World): number => sum(servers.map(({ count }) => count.evicted))
