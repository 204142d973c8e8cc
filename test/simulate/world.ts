/** A client of many servers that runs many tasks, from the first to the last. */
import * as Policy from "../../src/internal/pool/policy.js"
import { Events } from "./events.js"
import { type Model, Server } from "./server.js"
import { randomOf, type Task } from "./tasks.js"

/**
 * `pool`: by the pool's own policy. `random`: any that has room. `least`: the least loaded of all, as the client knows it.
 * `queue`: one queue for all, whose head goes at once to the server that truly begins with it first. `flood`: all at once to
 * any, however full.
 */
export type Way = "pool" | "random" | "least" | "queue" | "flood"

export interface Options {
  readonly seed: number
  readonly way: Way
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
interface Mark {
  readonly at: number
  readonly tokens: ReadonlyArray<number>
}

export interface World {
  readonly servers: ReadonlyArray<Server>
  /** From the warm-up's end to when the last task was placed for the first time. */
  readonly from: Mark
  readonly to: Mark
  /** When all was done. */
  readonly seconds: number
  /** Tokens made in each second. */
  readonly timeline: ReadonlyArray<number>
  /** Tasks that waited in the client when each second began. */
  readonly queued: ReadonlyArray<number>
  readonly lostAt: number | undefined
  /** Tasks that were made anew. */
  readonly replayed: number
  /** Tasks that were on their way at once, at most. */
  readonly most: number
}

/** First in, first out, and those that come back before all others. */
class Queue {
  private items: Array<Task> = []
  private head = 0

  get length(): number {
    return this.items.length - this.head
  }

  peek(): Task | undefined {
    return this.items[this.head]
  }

  push(task: Task): void {
    this.items.push(task)
  }

  take(): void {
    this.head++
    if (this.head < 4096 || this.head * 2 < this.items.length) return
    this.items = this.items.slice(this.head)
    this.head = 0
  }

  putBack(tasks: ReadonlyArray<Task>): void {
    this.items = [...tasks, ...this.items.slice(this.head)]
    this.head = 0
  }
}

const workOf = (task: Task): Policy.Work => ({ tokens: task.maxTokens, prompt: task.prompt })

class Run {
  readonly events = new Events()
  readonly queue = new Queue()
  readonly placed = new Set<Task>()
  readonly timeline: Array<number> = []
  readonly queued: Array<number> = []
  readonly random: () => number
  readonly servers: ReadonlyArray<Server>
  readonly loads: Array<Policy.Load>
  readonly options: Options

  /** Servers that have room, as the client knows it. */
  able = 0
  arrived = 0
  ended = 0
  begun = 0
  most = 0
  replayed = 0
  lostAt: number | undefined
  from: Mark | undefined
  to: Mark | undefined

  constructor(options: Options) {
    const { capacity, model, speeds, told } = options
    this.options = options
    this.random = randomOf(options.seed)
    const listener = {
      onTokens: (task: Task, tokens: number) => this.onTokens(task, tokens),
      onRead: (task: Task) => this.change(task, (load) => Policy.progressed(load, { tokens: 0, prompt: task.prompt }, 0)),
      onFreed: () => {
        if (options.way === "queue") this.drain()
      },
      onEnded: (task: Task) => this.onEnded(task)
    }
    this.servers = speeds.map((speed) => new Server(this.events, model, speed, listener))
    this.loads = speeds.map((speed, at) =>
      Policy.make({ name: `${at}`, weight: told ? speed : undefined, capacity, keeps: model.cache })
    )
    this.able = this.loads.length
  }

  /** Which of the servers is given the task; undefined if it has to wait. */
  choose(task: Task): number | undefined {
    const { able: few, loads, random } = this
    if (few === 0 && this.options.way !== "queue" && this.options.way !== "flood") return undefined
    switch (this.options.way) {
      case "pool": {
        const load = Policy.pick(loads, workOf(task), [random(), random()])
        return load === undefined ? undefined : Number(load.name)
      }
      case "random": {
        const able = loads.filter(Policy.hasRoom)
        return able.length === 0 ? undefined : Number(able[Math.floor(random() * able.length)]?.name)
      }
      case "least": {
        const able = loads.filter(Policy.hasRoom)
        const [first] = able
        const least = able.reduce((one, other) => Policy.better(one, other, workOf(task)), first ?? Policy.make({ name: "" }))
        return first === undefined ? undefined : Number(least.name)
      }
      case "flood":
        return Math.floor(random() * loads.length)
      case "queue":
        return this.soonest()
    }
  }

  /** The server that truly begins first with one more task, of those the one with the shortest pulses. */
  soonest(): number | undefined {
    const { capacity, model } = this.options
    let best: number | undefined
    let [bestFree, bestLoad] = [Infinity, Infinity]
    for (let at = 0; at < this.servers.length; at++) {
      const server = this.servers[at]
      const kept = this.loads[at]?.kept ?? 0
      if (server === undefined || !server.alive) continue
      if (server.busy >= Math.min(capacity, model.slots) || server.busy + kept >= model.cache) continue
      const free = Math.max(server.free, this.events.now)
      const load = (server.busy + 1) / server.speed
      if (free > bestFree || (free === bestFree && load >= bestLoad)) continue
      best = at
      bestFree = free
      bestLoad = load
    }
    return best
  }

  change(task: Task, by: (load: Policy.Load) => Policy.Load): void {
    const load = this.loads[task.server]
    if (load !== undefined) this.set(task.server, by(load))
  }

  set(at: number, load: Policy.Load): void {
    const before = this.loads[at]
    this.able += Number(Policy.hasRoom(load)) - (before !== undefined && Policy.hasRoom(before) ? 1 : 0)
    this.loads[at] = load
  }

  mark(): Mark {
    return { at: this.events.now, tokens: this.servers.map(({ count }) => count.tokens) }
  }

  /** The next task of the program; those that come at once come lazily, as those of `runAll` do. */
  arrive(): void {
    const task = this.options.tasks[this.arrived]
    if (task === undefined) return
    this.arrived++
    this.queue.push(task)
    this.drain()
    const next = this.options.tasks[this.arrived]
    if (next !== undefined) this.events.plan(next.submitted, () => this.arrive())
  }

  drain(): void {
    for (let task = this.queue.peek(); task !== undefined; task = this.queue.peek()) {
      const at = this.choose(task)
      if (at === undefined) return
      this.queue.take()
      this.place(task, at)
    }
  }

  place(task: Task, at: number): void {
    const isFirst = task.server < 0
    task.server = at
    task.heard = this.events.now
    this.placed.add(task)
    this.most = Math.max(this.most, this.placed.size)
    this.change(task, (load) => Policy.placed(load, workOf(task)))
    this.servers[at]?.create(task)
    if (isFirst && ++this.begun === this.options.tasks.length) this.to = this.mark()
  }

  onTokens(task: Task, tokens: number): void {
    const { now } = this.events
    const done = { tokens, prompt: 0 }
    this.change(task, (load) => Policy.progressed(load, done, now - task.heard))
    task.heard = now
    const second = Math.floor(now)
    this.timeline[second] = (this.timeline[second] ?? 0) + tokens
    this.queued[second] ??= this.queue.length
  }

  onEnded(task: Task): void {
    const { loss, tasks, warmUp } = this.options
    const server = this.servers[task.server]
    this.placed.delete(task)
    const kept = task.keptFor > 0
    this.change(task, (load) => Policy.finished(load, { tokens: task.maxTokens - task.made, prompt: 0 }, kept))
    if (kept) this.events.plan(this.events.now + task.keptFor, () => this.release(task))
    else server?.delete(task)
    this.ended++
    if (this.ended === Math.ceil(tasks.length * warmUp)) this.from = this.mark()
    if (loss !== undefined && this.ended === Math.ceil(tasks.length * loss.after)) this.lose(loss.servers)
    this.drain()
  }

  release(task: Task): void {
    this.change(task, Policy.released)
    this.servers[task.server]?.delete(task)
    this.drain()
  }

  /** Every so many-th server dies; what it had is made anew elsewhere, before all that waits. */
  lose(share: number): void {
    this.lostAt = this.events.now
    const lost = new Set<number>()
    for (const [at, load] of this.loads.entries()) {
      if (Math.floor((at + 1) * share) === Math.floor(at * share)) continue
      lost.add(at)
      this.servers[at]?.die()
      this.set(at, { ...load, open: false })
    }
    const back = Array.from(this.placed).filter((task) => lost.has(task.server))
    for (const task of back) {
      this.placed.delete(task)
      task.made = 0
      task.read = false
    }
    this.replayed += back.length
    this.queue.putBack(back)
  }

  all(): World {
    this.arrive()
    this.events.run()
    const nothing: Mark = { at: 0, tokens: [] }
    return {
      servers: this.servers,
      from: this.from ?? nothing,
      to: this.to ?? nothing,
      seconds: this.events.now,
      timeline: this.timeline,
      queued: this.queued,
      lostAt: this.lostAt,
      replayed: this.replayed,
      most: this.most
    }
  }
}

export const run = (options: Options): World => new Run(options).all()
