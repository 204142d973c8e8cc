/**
 * What the server is to send, written into the task's id, so that every client of one id reads the same bytes.
 */

export interface Scenario {
  /** Frames of text in the stream. */
  readonly frames: number
  /** Characters of one frame's text. */
  readonly size: number
  /** Frames in one HTTP chunk. */
  readonly perWrite: number
  /** Milliseconds between two frames; 0 is as fast as the client reads. */
  readonly pace: number
  /** Milliseconds from the creation of a task to its end, for tasks that are waited for. */
  readonly duration: number
}

export const scenario = (given: Partial<Scenario>): Scenario => ({
  frames: 1,
  size: 24,
  perWrite: 1,
  pace: 0,
  duration: 0,
  ...given
})

/** The part of an id that says what to send. */
export const encode = ({ duration, frames, pace, perWrite, size }: Scenario): string =>
  `n${frames}.s${size}.k${perWrite}.p${pace}.d${duration}`

export const taskId = (scenario: Scenario, nonce: string): string => `TMP_${encode(scenario)}.x${nonce}`

export const decode = (text: string): Scenario | undefined => {
  const [, frames, size, perWrite, pace, duration] = /n(\d+)\.s(\d+)\.k(\d+)\.p(\d+)\.d(\d+)/.exec(text) ?? []
  return duration === undefined ? undefined : {
    frames: Number(frames),
    size: Number(size),
    perWrite: Number(perWrite),
    pace: Number(pace),
    duration: Number(duration)
  }
}

/** Microseconds of a clock that all processes of one machine share. */
export const micros = (): number => Number(process.hrtime.bigint() / 1000n)

/** A text that tells when it was sent. */
export const stamp = (at: number, size = 0): string => `t${String(at).padStart(16, "0")} `.padEnd(size, "word ")

export const stamped = (text: string): number | undefined => {
  const [, at] = /^t(\d{16}) /.exec(text) ?? []
  return at === undefined ? undefined : Number(at)
}

const words = "the quick brown fox jumps over the lazy dog and 5 more tokens of plain text follow here, as ever; "

/** The text of one frame of a stream that is not paced. */
export const textOf = (index: number, size: number): string => {
  const from = index * 7 % words.length
  return (words.slice(from) + words.repeat(Math.ceil(size / words.length))).slice(0, size)
}

/** Frames repeat after so many. */
export const period = 16

export const wholeText = ({ frames, size }: Scenario): string =>
  Array.from({ length: Math.min(frames, period) }, (_, index) => textOf(index, size)).join("")
    .repeat(Math.ceil(frames / period)).slice(0, frames * size)
