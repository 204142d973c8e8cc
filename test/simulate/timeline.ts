/** Before and after the loss of servers. */
import * as Figures from "./figures.js"
import type { Outcome } from "./scenarios.js"

export interface Phase {
  /** Whole seconds. */
  readonly from: number
  readonly to: number
  /** Tokens a second that the servers of that time make if they never lack work. */
  readonly ideal: number
  readonly throughput: number
  readonly waits: Figures.Times
  readonly jain: number
}

const phase = (
  { ideal, tasks, world }: Outcome,
  from: number,
  to: number,
  servers: Outcome["world"]["servers"]
): Phase => {
  const all = ideal * servers.length / world.servers.length
  const measured = tasks.filter(({ started, submitted }) => submitted >= from && submitted < to && started >= from)
  const made = new Map(servers.map((server) => [server, 0]))
  for (const task of measured) {
    const server = world.servers[task.server]
    const before = server === undefined ? undefined : made.get(server)
    if (server !== undefined && before !== undefined) made.set(server, before + task.tokens)
  }
  return {
    from,
    to,
    ideal: all,
    throughput: Figures.sum(world.timeline.slice(from, to)) / (to - from) / all,
    waits: Figures.waits(measured),
    jain: Figures.jain(Array.from(made.values()))
  }
}

const lostAt = ({ world }: Outcome) => Math.floor(world.lostAt ?? 0)

/** The ten seconds before. */
export const before = (outcome: Outcome): Phase =>
  phase(outcome, Math.max(0, lostAt(outcome) - 10), lostAt(outcome), outcome.world.servers)

/** From two seconds afterwards to the last task that came. */
export const after = (outcome: Outcome): Phase =>
  phase(
    outcome,
    lostAt(outcome) + 2,
    Math.floor(outcome.tasks.at(-1)?.submitted ?? 0),
    outcome.world.servers.filter(({ alive }) => alive)
  )
