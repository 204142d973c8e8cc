/**
 * What a pool knows of the work on one server, from what it sent there and was answered.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type { TaskResult } from "../../Protocol.js"
import type { RWKVConnectionError, RWKVServerError, RWKVStatusError } from "../../RWKVError.js"
import { property } from "../input/json.js"
import type { Telling } from "../stream/telling.js"
import * as Policy from "./policy.js"

/** What a request without `maxTokens` is taken for: the server's own default. */
const usualTokens = 4096

/** Tokens of a text that nobody has counted: about so many UTF-16 units each. */
const unitsPerToken = 3

/** Unreadable requests are refused later, by those that send them. */
export const workOf = (request: unknown, defaults?: object): Policy.Work => {
  const tokens = property(request, "maxTokens") ?? property(defaults, "maxTokens")
  const text = property(request, "prompt") ?? property(request, "prefix")
  const units = typeof text === "string" ? text.length : property(text, "length")
  return {
    tokens: typeof tokens === "number" && tokens >= 0 ? tokens : usualTokens,
    prompt: typeof units === "number" && units >= 0 ? units : 0
  }
}

export interface Entry {
  tokens: number
  running: boolean
  /** Nobody has asked about it since the last look. */
  idle: boolean
}

/** A place on a server, from before the request that takes it until the answer to that. */
export interface Place {
  readonly work: Policy.Work
  /** Whether the work may go to another server if this one surely has not begun it. */
  readonly movable: boolean
  /** Whether the request was sent: its answer says what becomes of the place then. */
  sent: boolean
  /** The failure of a request that surely was not carried out, so that another server may be asked. */
  refused: RWKVServerError | RWKVStatusError | RWKVConnectionError | undefined
}

/** The place that a request is made for; requests of which nobody said it make one of their own. */
export class Placed extends Context.Reference<Placed>()("effect-rwkv/Placed", {
  defaultValue: (): Place | undefined => undefined
}) {}

export type Tally = ReturnType<typeof make>

/** `changed` is told of every change, and whether room came (1) or went (-1). */
export const make = (server: Policy.Said, changed: (able: number) => void) => {
  let load = Policy.make(server)
  /** By the ids of the pool. */
  const entries = new Map<string, Entry>()
  /** How many listen to a task, or have it go on. */
  const users = new Map<string, number>()
  let had = 0
  const set = (next: Policy.Load) => {
    load = next
    const has = Number(Policy.hasRoom(load))
    const by = has - had
    had = has
    changed(by)
  }
  const end = (entry: Entry, kept: boolean) => {
    if (entry.running) set(Policy.finished(load, { tokens: entry.tokens, prompt: 0 }, kept))
    else if (!kept) set(Policy.released(load))
    entry.running = false
    entry.tokens = 0
  }
  const done = (entry: Entry | undefined, tokens: number, seconds: number) => {
    if (entry?.running !== true) return
    const part = Math.min(entry.tokens, tokens)
    entry.tokens -= part
    load = Policy.progressed(load, { tokens: part, prompt: 0 }, seconds)
  }
  const tally = {
    load: () => load,
    entries: (): ReadonlyMap<string, Entry> => entries,
    set: (changes: Partial<Policy.Load>) => set({ ...load, ...changes }),
    place: (work: Policy.Work, movable: boolean): Place => {
      set(Policy.placed(load, work))
      return { work, movable, sent: false, refused: undefined }
    },
    leave: ({ work }: Place) => set(Policy.finished(load, work, false)),
    /** The server has read the prompt and named the task: a new one, or one that it goes on with. */
    began: (id: string, { work }: Place) => {
      const before = entries.get(id)
      if (before !== undefined) end(before, false)
      entries.set(id, { tokens: work.tokens, running: true, idle: false })
      set(Policy.progressed(load, { tokens: 0, prompt: work.prompt }, 0))
    },
    heard: (id: string) => {
      const entry = entries.get(id)
      if (entry !== undefined) entry.idle = false
    },
    entered: (id: string) => void users.set(id, (users.get(id) ?? 0) + 1),
    left: (id: string) => {
      const others = (users.get(id) ?? 1) - 1
      if (others > 0) users.set(id, others)
      else users.delete(id)
      tally.heard(id)
    },
    isUsed: (id: string) => users.has(id),
    /** Whether anything runs, or is listened to, or was asked about since the last look. */
    isBusy: () => load.running > 0 || users.size > 0 || Array.from(entries.values()).some(({ idle }) => !idle),
    ended: (id: string, result?: TaskResult) => {
      const entry = entries.get(id)
      if (entry === undefined) return
      if (result !== undefined) {
        done(entry, 1, unitsPerToken * Duration.toSeconds(result.generationTime) / Math.max(1, result.text.length))
      }
      entry.idle = false
      if (entry.running) end(entry, true)
    },
    gone: (id: string) => {
      const entry = entries.get(id)
      if (entry === undefined) return
      entries.delete(id)
      end(entry, false)
    },
    /** The same telling, which is counted as it is told. */
    counting: <A>({ counts, element }: Telling<A>): Telling<A> => ({
      counts,
      element: (told, taskId) => {
        if (told._tag === "Text") {
          const entry = entries.get(taskId)
          // One token stays, for the speed to be measured by.
          if (entry !== undefined) done(entry, Math.min(entry.tokens - 1, told.text.length / unitsPerToken), 0)
        }
        return element(told, taskId)
      }
    })
  }
  return tally
}
