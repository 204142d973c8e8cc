/**
 * RWKV-Server as far as times go: its event loop does one thing after another, prefill included; its engine makes up to 32
 * tokens for all running tasks in a pulse, and takes tasks in only between pulses; its cache forgets who was not looked at
 * for longest, even if it runs.
 */
import type { Events } from "./events.js"
import type { Task } from "./tasks.js"

export interface Model {
  /** Tasks that run at once. */
  readonly slots: number
  /** Entries of the cache. */
  readonly cache: number
  /** Seconds of a full pulse of one task. */
  readonly pulse: number
  /** Seconds by which each further task makes it longer. */
  readonly perTask: number
  readonly tokensPerPulse: number
  /** Seconds to read one UTF-16 unit of a prompt. */
  readonly perUnit: number
  /** Seconds between two looks of a stream for new tokens; 0 = it is told at once. */
  readonly poll: number
}

/** Who is told what a server does. */
export interface Listener {
  /** A part of its tokens was made. */
  readonly onTokens: (task: Task, tokens: number) => void
  /** Its prompt was read, and it waits for a slot. */
  readonly onRead: (task: Task) => void
  /** Its slot is free; the client does not know yet. */
  readonly onFreed: () => void
  /** Its client has its result. */
  readonly onEnded: (task: Task) => void
  /** Its entry in the cache is free, and the client knows. */
  readonly onDeleted: (task: Task) => void
}

interface Job {
  readonly at: number
  readonly carryOut: () => void
}

/** The end of a text takes a step too, but no step follows the last of `maxTokens`. */
const stepsLeft = (task: Task): number => task.tokens - task.made + (task.tokens < task.maxTokens ? 1 : 0)

export class Server {
  readonly events: Events
  readonly model: Model
  readonly speed: number
  readonly listener: Listener

  alive = true
  /** Tasks that have not got their slot yet, in order. */
  waiting: Array<Task> = []
  running: Array<Task> = []
  /** Tasks whose prompts are read or wait for that. */
  reading = 0
  /** When the event loop will have done all that it was asked. */
  free = 0
  /** Tokens made, tasks ended, requests, entries that were lost while their tasks ran. */
  readonly count = { tokens: 0, ended: 0, requests: 0, evicted: 0 }

  private pulsing = false
  /** What the event loop was asked and has not done, in order. */
  private asked: Array<Job> = []
  private done = 0
  /** Least recently looked at first. */
  private readonly cache = new Map<number, Task>()

  constructor(events: Events, model: Model, speed: number, listener: Listener) {
    this.events = events
    this.model = model
    this.speed = speed
    this.listener = listener
  }

  get busy(): number {
    return this.reading + this.waiting.length + this.running.length
  }

  /** Behind all that the event loop was asked before; nothing, if it dies meanwhile. */
  private behind(seconds: number, then: () => void): void {
    this.free = Math.max(this.free, this.events.now) + seconds
    this.asked.push({ at: this.free, carryOut: then })
    if (this.asked.length - this.done === 1) this.events.plan(this.free, this.next)
  }

  private readonly next = (): void => {
    const job = this.asked[this.done]
    if (job === undefined || !this.alive) return
    job.carryOut()
    this.done++
    const following = this.asked[this.done]
    if (following !== undefined) return this.events.plan(following.at, this.next)
    this.asked = []
    this.done = 0
  }

  private request(seconds: number, then: () => void): void {
    this.count.requests++
    this.behind(seconds, then)
  }

  create(task: Task): void {
    this.reading++
    this.request(task.prompt * this.model.perUnit / this.speed, () => {
      this.reading--
      this.remember(task)
      this.waiting.push(task)
      this.listener.onRead(task)
      if (!this.pulsing) this.pulse()
      this.request(0, () => {
        task.opened = this.events.now
        this.look(task)
      })
    })
  }

  delete(task: Task): void {
    this.request(0, () => {
      this.cache.delete(task.id)
      this.listener.onDeleted(task)
    })
  }

  private remember(task: Task): void {
    const [oldest] = this.cache.values()
    if (this.cache.size >= this.model.cache && oldest !== undefined) {
      this.cache.delete(oldest.id)
      if (Number.isNaN(oldest.ended)) this.count.evicted++
    }
    this.cache.set(task.id, task)
  }

  private look(task: Task): void {
    if (this.cache.delete(task.id)) this.cache.set(task.id, task)
  }

  private pulse(): void {
    const { model } = this
    while (this.running.length < model.slots) {
      const task = this.waiting.shift()
      if (task === undefined) break
      if (!task.replayed) task.started = this.events.now
      this.running.push(task)
    }
    this.pulsing = this.running.length > 0
    if (!this.pulsing) return
    let steps = 0
    for (const task of this.running) steps = Math.max(steps, Math.min(model.tokensPerPulse, stepsLeft(task)))
    const full = (model.pulse + model.perTask * (this.running.length - 1)) / this.speed
    this.events.plan(this.events.now + full * steps / model.tokensPerPulse, () => {
      if (this.alive) this.collect(steps)
    })
  }

  private collect(steps: number): void {
    const goingOn: Array<Task> = []
    const ended: Array<Task> = []
    for (const task of this.running) {
      const isEnd = stepsLeft(task) <= steps
      const tokens = Math.min(steps, task.tokens - task.made)
      task.made += tokens
      this.count.tokens += tokens
      this.listener.onTokens(task, tokens)
      if (isEnd) ended.push(task)
      else goingOn.push(task)
    }
    this.running = goingOn
    for (const task of ended) this.end(task)
    if (ended.length > 0) this.listener.onFreed()
    this.pulse()
  }

  /** The stream looks, says so, and the result is asked for. */
  private end(task: Task): void {
    const { now } = this.events
    const { poll } = this.model
    this.count.ended++
    task.finished = now
    const next = poll > 0 ? task.opened + Math.ceil((now - task.opened) / poll) * poll : now
    this.events.plan(next, () =>
      this.behind(0, () =>
        this.request(0, () => {
          this.look(task)
          if (task.keptFor === 0) return this.tell(task)
          // Its tokens are counted; the answer to a deletion tells them.
          this.request(0, () => this.tell(task))
        })))
  }

  private tell(task: Task): void {
    task.ended = this.events.now
    this.listener.onEnded(task)
  }
}
