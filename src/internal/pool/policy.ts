/**
 * Where new work goes: to the better of two servers, by what is outstanding there. Pure, so that the pool and
 * `npm run simulate` use this very code.
 */

/** What a task still asks of its server. */
export interface Work {
  /** Tokens that it may still generate: `maxTokens` at first. */
  readonly tokens: number
  /** UTF-16 units of its prompt, or token ids, that were not read yet. */
  readonly prompt: number
}

/** A server as the client sees it. */
export interface Load {
  readonly name: string
  /** Its speed beside the others', as the program says it; undefined = as measured. */
  readonly weight: number | undefined
  /** Tasks that run there at most. */
  readonly capacity: number
  /** Entries of its cache that are used at most, those of running tasks included. */
  readonly keeps: number
  /** Healthy, and not draining. */
  readonly open: boolean
  /** Tasks that were placed there and have not ended. */
  readonly running: number
  /** Entries of its cache whose tasks have ended and are kept. */
  readonly kept: number
  /** Tokens that its tasks may still generate. */
  readonly outstanding: number
  /** Units of prompts that it was sent and has not read. */
  readonly unread: number
  /** Tokens a second of one task there, over the last few reports; 0 = not measured yet. */
  readonly rate: number
}

/** As many tokens as reading one unit of a prompt takes of a server's time. */
const tokensPerUnit = 0.25

/** How much a report counts beside those before it. */
const newest = 1 / 16

/** What a program says of a server. */
export interface Said {
  readonly name: string
  readonly weight?: number | undefined
  readonly capacity?: number | undefined
  readonly keeps?: number | undefined
}

/** A server that nothing runs on. */
export const make = (server: Said): Load => ({
  name: server.name,
  weight: server.weight,
  capacity: server.capacity ?? 256,
  keeps: server.keeps ?? 256,
  open: true,
  running: 0,
  kept: 0,
  outstanding: 0,
  unread: 0,
  rate: 0
})

export const hasRoom = (load: Load): boolean =>
  load.open && load.running < load.capacity && load.running + load.kept < load.keeps

/** What a server would have to do, in tokens, if it were given the work too. */
const cost = (load: Load, work: Work): number =>
  load.outstanding + work.tokens + (load.unread + work.prompt) * tokensPerUnit

/** Speeds of two servers that can be compared: told of either, or measured of both. */
const speeds = (one: Load, other: Load): readonly [number, number] => {
  if (one.weight !== undefined || other.weight !== undefined) return [one.weight ?? 1, other.weight ?? 1]
  return one.rate > 0 && other.rate > 0 ? [one.rate, other.rate] : [1, 1]
}

/** The server that would sooner be done with all it has if it were given the work. */
export const better = (one: Load, other: Load, work: Work): Load => {
  const [speed, otherSpeed] = speeds(one, other)
  return cost(other, work) * speed < cost(one, work) * otherSpeed ? other : one
}

/** Two of the servers, by two numbers of [0, 1), and what these are still good for as numbers of that kind. */
const draw = (
  loads: ReadonlyArray<Load>,
  [first, second]: readonly [number, number]
): readonly [Load | undefined, Load | undefined, readonly [number, number]] => {
  const one = first * loads.length
  const other = second * (loads.length - 1)
  const at = Math.floor(other)
  return [loads[Math.floor(one)], loads[at < Math.floor(one) ? at : at + 1], [one % 1, Math.max(0, other) % 1]]
}

/**
 * The better of two servers that have room, which two numbers of [0, 1) choose; undefined = none has room, and the work
 * has to wait.
 */
export const pick = (
  loads: ReadonlyArray<Load>,
  work: Work,
  random: readonly [number, number]
): Load | undefined => {
  const [one, other, rest] = draw(loads, random)
  // Most often both have room, and no other has to be looked at.
  if (one !== undefined && other !== undefined && hasRoom(one) && hasRoom(other)) return better(one, other, work)
  const [able, otherAble] = draw(loads.filter(hasRoom), rest)
  return able === undefined || otherAble === undefined ? able : better(able, otherAble, work)
}

/** The work was given to the server. A task that was kept and goes on is `released` first: it needs no room. */
export const placed = (load: Load, work: Work): Load => ({
  ...load,
  running: load.running + 1,
  outstanding: load.outstanding + work.tokens,
  unread: load.unread + work.prompt
})

const measured = (rate: number, sample: number): number => rate > 0 ? rate + (sample - rate) * newest : sample

/** A part of a task's work is done, `seconds` after the part before it; 0 = that is not known, and measures nothing. */
export const progressed = (load: Load, done: Work, seconds: number): Load => ({
  ...load,
  outstanding: Math.max(0, load.outstanding - done.tokens),
  unread: Math.max(0, load.unread - done.prompt),
  rate: seconds > 0 && done.tokens > 0 ? measured(load.rate, done.tokens / seconds) : load.rate
})

/** A task has ended, and what is left of its work is not asked for any more; its entry is kept, or is not. */
export const finished = (load: Load, left: Work, kept: boolean): Load => ({
  ...progressed(load, left, 0),
  running: Math.max(0, load.running - 1),
  kept: load.kept + (kept ? 1 : 0)
})

/** A kept entry is not needed any more, or its task goes on. */
export const released = (load: Load): Load => ({ ...load, kept: Math.max(0, load.kept - 1) })
