/**
 * What a pool knows of the work on one server, from what it sent there and was answered.
 */
import * as Duration from "effect/Duration"
import type { TaskResult } from "../../Protocol.js"
import type { Frame } from "../wire/sse.js"
import { property } from "../input/json.js"
import * as Policy from "./policy.js"

/** What a request without `maxTokens` is taken for: the server's own default. */
const usualTokens = 4096

/** Tokens of a text that nobody has counted: about so many UTF-16 units each. */
const unitsPerToken = 3

/** More than any request may ask for: what is added is taken off again to the token. */
const most = 2 ** 31

/** Requests that are unreadable, or out of range, are refused later, by those that send them. */
export const workOf = (request: unknown, defaults?: object): Policy.Work => {
  const tokens = property(request, "maxTokens") ?? property(defaults, "maxTokens")
  const text = property(request, "prompt") ?? property(request, "prefix")
  const units = typeof text === "string" ? text.length : property(text, "length")
  return {
    tokens: typeof tokens === "number" && tokens >= 0 && tokens < most ? tokens : usualTokens,
    prompt: typeof units === "number" && units >= 0 && units < most ? units : 0
  }
}

export interface Entry {
  /** Tokens that it may still generate. */
  tokens: number
  /** UTF-16 units of its text that were told of. */
  told: number
  running: boolean
  /** Nobody has asked about it since the last look. */
  idle: boolean
}

/** A place on a server, from before the request that takes it until the answer to that. */
export interface Place {
  readonly work: Policy.Work
  /** Whether the request was sent, whose answer says what becomes of the place, or the place was given back before. */
  isSpent: boolean
}

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
  const done = (entry: Entry, tokens: number, seconds: number) => {
    if (!entry.running) return
    const part = Math.min(entry.tokens, tokens)
    entry.tokens -= part
    load = Policy.progressed(load, { tokens: part, prompt: 0 }, seconds)
  }
  /** Whether any task was asked about since the last look, those of other programs included. */
  let asked = false
  const heard = (id: string) => {
    asked = true
    const entry = entries.get(id)
    if (entry !== undefined) entry.idle = false
    return entry
  }
  const use = (id: string) => {
    users.set(id, (users.get(id) ?? 0) + 1)
    return () => {
      const others = (users.get(id) ?? 1) - 1
      if (others > 0) users.set(id, others)
      else users.delete(id)
      heard(id)
    }
  }
  return {
    load: () => load,
    entries: (): ReadonlyMap<string, Entry> => entries,
    set: (changes: Partial<Policy.Load>) => set({ ...load, ...changes }),
    place: (work: Policy.Work): Place => {
      set(Policy.placed(load, work))
      return { work, isSpent: false }
    },
    leave: (place: Place) => {
      place.isSpent = true
      set(Policy.finished(load, place.work, false))
    },
    /** The server has read the prompt and named the task: a new one, or one that it goes on with. */
    began: (id: string, { work }: Place) => {
      const before = entries.get(id)
      if (before !== undefined) end(before, false)
      entries.set(id, { tokens: work.tokens, told: 0, running: true, idle: false })
      set(Policy.progressed(load, { tokens: 0, prompt: work.prompt }, 0))
    },
    heard,
    /** Who uses a task does not let it be taken for one that nobody asks about; what is returned ends that. */
    use,
    isUsed: (id: string) => users.has(id),
    /** Whether anything runs, or is listened to, or was asked about since the last look. */
    isBusy: () => load.running > 0 || users.size > 0 || asked,
    /** Another look begins. */
    rest: () => {
      asked = false
    },
    /** One connection tells a text from its beginning, which another may have told further. */
    listening: (id: string) => {
      let at = 0
      return {
        end: use(id),
        hear: (frame: Frame) => {
          at += frame._tag === "Data" ? frame.text.length : 0
          const entry = entries.get(id)
          if (entry === undefined || at <= entry.told) return frame
          // One token stays, for the speed to be measured by.
          done(entry, Math.min(entry.tokens - 1, (at - entry.told) / unitsPerToken), 0)
          entry.told = at
          return frame
        }
      }
    },
    ended: (id: string, result?: TaskResult) => {
      const entry = heard(id)
      if (entry === undefined) return
      if (result !== undefined) {
        done(entry, 1, unitsPerToken * Duration.toSeconds(result.generationTime) / Math.max(1, result.text.length))
      }
      if (entry.running) end(entry, true)
    },
    gone: (id: string) => {
      const entry = entries.get(id)
      if (entry === undefined) return
      entries.delete(id)
      end(entry, false)
    }
  }
}
