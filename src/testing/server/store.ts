/**
 * Where tasks are kept: one LRU cache for all kinds of ids, and the database behind it.
 *
 * @since 0.1.0
 */
import type { Settings } from "./options.js"
import { copy, FINISHED, type Task } from "./task.js"

const databaseRows = 10000

/** @internal */
export class Store {
  /** Least recently used first. */
  readonly cache = new Map<string, Task>()
  /** Oldest written first. */
  readonly database = new Map<string, Task>()

  readonly settings: Settings

  constructor(settings: Settings) {
    this.settings = settings
  }

  isDurable(id: string): boolean {
    return !id.startsWith("TMP_") && (this.settings.profile === "documented" || !id.startsWith("_"))
  }

  get(id: string): Task | undefined {
    const cached = this.cache.get(id)
    if (cached !== undefined) {
      this.cache.delete(id)
      this.cache.set(id, cached)
      return cached
    }
    const stored = this.isDurable(id) ? this.database.get(id) : undefined
    if (stored === undefined) return undefined
    const task = copy(stored, { buffer: stored.buffer.slice(), handle: true })
    this.put(id, task)
    return task
  }

  put(id: string, task: Task): void {
    const oldest = this.evictable()
    if (this.cache.size >= this.settings.cacheCapacity && oldest !== undefined) {
      this.cache.delete(oldest[0])
      this.save(oldest[0], oldest[1])
    }
    this.cache.set(id, task)
  }

  /** The current server evicts running tasks like any other. */
  evictable(): readonly [string, Task] | undefined {
    for (const entry of this.cache) {
      if (this.settings.profile === "current" || entry[1].status === FINISHED) return entry
    }
    return undefined
  }

  save(id: string, task: Task): void {
    if (!this.isDurable(id)) return
    this.database.delete(id)
    this.database.set(id, copy(task, { buffer: task.buffer.slice() }))
    const [oldest] = this.database.keys()
    if (this.database.size > databaseRows && oldest !== undefined) this.database.delete(oldest)
  }

  remove(id: string): void {
    this.cache.delete(id)
    this.database.delete(id)
  }

  saveAll(): void {
    for (const [id, task] of this.cache) this.save(id, task)
  }
}
