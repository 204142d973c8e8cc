/**
 * The client: a queue, what it knows of each server by the pool's own policy, and where it sends a task. It asks nobody
 * and knows no time, so that the model's servers and emulators can be behind it.
 */
import * as Policy from "../../src/internal/pool/policy.js"
import { randomOf, type Task } from "./tasks.js"

/**
 * `pool`: by the pool's own policy. `random`: any that has room. `least`: the least loaded of all, as the client knows it.
 * `flood`: any, however full. A function: one that knows more than a client can.
 */
export type Way = "pool" | "random" | "least" | "flood" | ((task: Task) => number | undefined)

export interface Options {
  readonly seed: number
  readonly way: Way
  readonly servers: ReadonlyArray<
    { readonly weight: number | undefined; readonly capacity: number; readonly keeps: number }
  >
  /** Sends a task to a server. */
  readonly send: (task: Task, server: number) => void
}

/** First in, first out, and those that come back before all others. */
class Queue {
  private items: ReadonlyArray<Task> = []
  private more: Array<Task> = []
  private head = 0

  get length(): number {
    return this.items.length - this.head + this.more.length
  }

  peek(): Task | undefined {
    if (this.head === this.items.length && this.more.length > 0) {
      this.items = this.more
      this.more = []
      this.head = 0
    }
    return this.items[this.head]
  }

  push(task: Task): void {
    this.more.push(task)
  }

  take(): void {
    this.head++
  }

  putBack(tasks: ReadonlyArray<Task>): void {
    this.items = [...tasks, ...this.items.slice(this.head)]
    this.head = 0
  }
}

const workOf = (task: Task): Policy.Work => ({ tokens: task.maxTokens, prompt: task.prompt })

export class Client {
  readonly options: Options
  readonly loads: Array<Policy.Load>
  readonly queue = new Queue()
  /** Tasks on their way. */
  readonly sent = new Set<Task>()
  /** Tasks that were on their way at once, at most. */
  most = 0

  private readonly random: () => number
  /** Servers that have room: if there is none, the policy is not asked. */
  private able: number

  constructor(options: Options) {
    this.options = options
    this.random = randomOf(options.seed)
    this.loads = options.servers.map((server, at) => Policy.make({ name: `${at}`, ...server }))
    this.able = this.loads.length
  }

  submit(task: Task): void {
    this.queue.push(task)
    this.drain()
  }

  drain(): void {
    for (let task = this.queue.peek(); task !== undefined; task = this.queue.peek()) {
      const at = this.choose(task)
      if (at === undefined) return
      this.queue.take()
      this.sent.add(task)
      this.most = Math.max(this.most, this.sent.size)
      task.server = at
      this.change(task, (load) => Policy.placed(load, workOf(task)))
      this.options.send(task, at)
    }
  }

  onRead(task: Task): void {
    this.change(task, (load) => Policy.progressed(load, { tokens: 0, prompt: task.prompt }, 0))
  }

  onTokens(task: Task, tokens: number): void {
    // One token stays, for the speed to be measured by.
    const done = Math.min(tokens, task.maxTokens - 1 - task.told)
    task.told += done
    this.change(task, (load) => Policy.progressed(load, { tokens: done, prompt: 0 }, 0))
  }

  /** It had its slot for so many seconds. Its entry is kept until it is deleted. */
  onEnded(task: Task, seconds: number): void {
    this.sent.delete(task)
    const left = { tokens: task.maxTokens - task.told, prompt: 0 }
    this.change(
      task,
      (load) =>
        Policy.finished(Policy.progressed(load, { tokens: 1, prompt: 0 }, seconds / task.tokens), {
          ...left,
          tokens: left.tokens - 1
        }, true)
    )
    this.drain()
  }

  onDeleted(task: Task): void {
    this.change(task, Policy.released)
    this.drain()
  }

  /** These servers are gone; what they had is made anew elsewhere, before all that waits. */
  lose(servers: ReadonlySet<number>): ReadonlyArray<Task> {
    for (const [at, load] of this.loads.entries()) if (servers.has(at)) this.set(at, { ...load, open: false })
    const lost = Array.from(this.sent).filter(({ server }) => servers.has(server))
    for (const task of lost) {
      this.sent.delete(task)
      task.told = 0
    }
    this.queue.putBack(lost)
    return lost
  }

  private choose(task: Task): number | undefined {
    const { loads, options: { way }, random } = this
    if (typeof way === "function") return way(task)
    if (way === "flood") return Math.floor(random() * loads.length)
    if (this.able === 0) return undefined
    if (way === "pool") return this.indexOf(Policy.pick(loads, workOf(task), [random(), random()]))
    const able = loads.filter(Policy.hasRoom)
    return this.indexOf(
      way === "random"
        ? able[Math.floor(random() * able.length)]
        : able.reduce((one, other) => Policy.better(one, other, workOf(task)))
    )
  }

  private indexOf(load: Policy.Load | undefined): number | undefined {
    return load === undefined ? undefined : Number(load.name)
  }

  private change(task: Task, by: (load: Policy.Load) => Policy.Load): void {
    const load = this.loads[task.server]
    if (load !== undefined) this.set(task.server, by(load))
  }

  private set(at: number, load: Policy.Load): void {
    const before = this.loads[at]
    this.able += Number(Policy.hasRoom(load)) - Number(before !== undefined && Policy.hasRoom(before))
    this.loads[at] = load
  }
}
