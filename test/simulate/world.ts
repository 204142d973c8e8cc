/** A client of many servers of the model that runs many tasks, from the first to the last. */
import { Client, type Way } from "./client.js"
import { Events } from "./events.js"
import { type Model, Server } from "./server.js"
import { forget, type Task } from "./tasks.js"

export interface Options {
  readonly seed: number
  /** `queue`: one queue for all, whose head goes at once to the server that truly begins with it first. */
  readonly way: Exclude<Way, (task: Task) => number | undefined> | "queue"
  readonly model: Model
  readonly speeds: ReadonlyArray<number>
  /** Whether the client is told the speeds; otherwise it measures. */
  readonly told: boolean
  /** Tasks that the client runs on a server at most. */
  readonly capacity: number
  readonly tasks: ReadonlyArray<Task>
  /** The share of the servers that are lost, and after how many of the tasks have ended. */
  readonly loss?: { readonly servers: number; readonly after: number }
  /** The share of the tasks that have ended before anything is measured. */
  readonly warmUp: number
}

/** What the servers have done up to a time. */
export interface Mark {
  readonly at: number
  readonly tokens: ReadonlyArray<number>
}

export interface World {
  readonly servers: ReadonlyArray<Server>
  readonly client: Client
  /** From the warm-up's end to when the last task was sent for the first time. */
  readonly from: Mark
  readonly to: Mark
  /** When all was done. */
  readonly seconds: number
  /** Tokens made in each second. */
  readonly timeline: ReadonlyArray<number>
  readonly lostAt: number | undefined
  /** Tasks that were made anew, and tasks whose results came. */
  readonly replayed: number
  readonly ended: number
}

class Run {
  readonly options: Options
  readonly events = new Events()
  readonly servers: ReadonlyArray<Server>
  readonly client: Client
  readonly timeline: Array<number> = []

  arrived = 0
  begun = 0
  ended = 0
  replayed = 0
  lostAt: number | undefined
  from: Mark = { at: 0, tokens: [] }
  to: Mark = { at: 0, tokens: [] }

  constructor(options: Options) {
    const { capacity, model, seed, speeds, told, way } = options
    this.options = options
    const listener = {
      onTokens: (task: Task, tokens: number) => this.onTokens(task, tokens),
      onRead: (task: Task) => this.client.onRead(task),
      onFreed: () => {
        if (way === "queue") this.client.drain()
      },
      onEnded: (task: Task) => this.onEnded(task),
      onDeleted: (task: Task) => this.client.onDeleted(task)
    }
    // Who knows all needs no limits of a client.
    const keeps = way === "queue" ? Infinity : model.cache
    const most = way === "queue" ? Infinity : capacity
    this.servers = speeds.map((speed) => new Server(this.events, model, speed, listener))
    this.client = new Client({
      seed,
      way: way === "queue" ? () => this.soonest() : way,
      servers: speeds.map((speed) => ({ weight: told ? speed : undefined, capacity: most, keeps })),
      send: (task, at) => this.send(task, at)
    })
  }

  /** Of the servers with a free slot the one that begins first with one more task, of those the one with the shortest pulses. */
  soonest(): number | undefined {
    let best: number | undefined
    let [bestFree, bestLoad] = [Infinity, Infinity]
    for (let at = 0; at < this.servers.length; at++) {
      const server = this.servers[at]
      if (server === undefined || !server.alive || server.busy >= this.options.model.slots) continue
      const free = Math.max(server.free, this.events.now)
      const load = (server.busy + 1) / server.speed
      if (free > bestFree || (free === bestFree && load >= bestLoad)) continue
      best = at
      bestFree = free
      bestLoad = load
    }
    return best
  }

  mark(): Mark {
    return { at: this.events.now, tokens: this.servers.map(({ count }) => count.tokens) }
  }

  /** The next task of the program. */
  arrive(): void {
    const task = this.options.tasks[this.arrived]
    if (task === undefined) return
    this.arrived++
    this.client.submit(task)
    const next = this.options.tasks[this.arrived]
    if (next !== undefined) this.events.plan(next.submitted, () => this.arrive())
  }

  send(task: Task, at: number): void {
    this.servers[at]?.create(task)
    if (!task.replayed && ++this.begun === this.options.tasks.length) this.to = this.mark()
  }

  onTokens(task: Task, tokens: number): void {
    this.client.onTokens(task, tokens)
    const second = Math.floor(this.events.now)
    this.timeline[second] = (this.timeline[second] ?? 0) + tokens
  }

  onEnded(task: Task): void {
    const { loss, tasks, warmUp } = this.options
    const server = this.servers[task.server]
    if (task.keptFor > 0) this.events.plan(this.events.now + task.keptFor, () => server?.delete(task))
    else server?.delete(task)
    this.ended++
    if (this.ended === Math.ceil(tasks.length * warmUp)) this.from = this.mark()
    if (loss !== undefined && this.ended === Math.ceil(tasks.length * loss.after)) this.lose(loss.servers)
    this.client.onEnded(task, task.finished - task.started)
  }

  /** A share of the servers, evenly among them, dies. */
  lose(share: number): void {
    this.lostAt = this.events.now
    const lost = new Set<number>()
    for (const [at, server] of this.servers.entries()) {
      if (Math.floor((at + 1) * share) === Math.floor(at * share)) continue
      server.alive = false
      lost.add(at)
    }
    const back = this.client.lose(lost)
    for (const task of back) forget(task)
    this.replayed += back.length
  }

  all(): World {
    this.arrive()
    this.events.run()
    return { ...this, seconds: this.events.now }
  }
}

export const run = (options: Options): World => new Run(options).all()
