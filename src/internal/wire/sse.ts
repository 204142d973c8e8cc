/**
 * Decodes the bytes of an event stream to frames, one synchronous step for each chunk, wherever the chunks are cut.
 */
import * as Option from "effect/Option"
import { createParser } from "eventsource-parser"
import { isRecord, parse } from "../input/json.js"

/**
 * One frame. `Unreadable`: text was lost on the way. `Failed`: the server reported a failure. `TooLarge`: reading
 * stopped at `maxFrameSize`.
 */
export type Frame =
  | {
    readonly _tag: "Head"
    readonly taskId: string
    readonly prefillTime: number
    /** The id that a proxy gave the request that is answered. */
    readonly requestId?: string
  }
  | {
    readonly _tag: "Data"
    readonly text: string
    /** POST streams only: seconds since the frame before, and tokens per second in this one. */
    readonly generationTime?: number
    readonly speed?: number
  }
  | { readonly _tag: "Done" }
  | { readonly _tag: "Unreadable"; readonly description: string }
  | { readonly _tag: "Failed"; readonly description: string }
  | { readonly _tag: "TooLarge" }

/** What the server sends for a stretch of tokens that it cannot decode (H10). */
export const undecodable = "\uFFFD"

const done: Frame = { _tag: "Done" }
const tooLarge: Frame = { _tag: "TooLarge" }
const unreadable = (description: string): Frame => ({ _tag: "Unreadable", description })

/** UTF-16 units of the longest frame that `plain` is tried on: on longer ones it may exhaust the stack. */
const longestPlain = 64 * 1024

/** Matches a frame of text alone, as most are, at a third of the cost of JSON. */
const plain = /^\{"data": ?"([^"\\\p{Cc}\p{Cs}]*)"\}$/u

/** Decodes a frame without Schema, for speed; a property test holds the two to agree. */
const frameOf = (payload: string, say: (text: string) => string): Frame => {
  const text = payload.length > longestPlain ? undefined : plain.exec(payload)?.[1]
  if (text !== undefined) return { _tag: "Data", text }
  if (payload === "[DONE]") return done
  const parsed = parse(payload)
  if (Option.isNone(parsed)) return unreadable("a frame that is not JSON")
  const json = parsed.value
  if (!isRecord(json)) return unreadable("a frame that is no object")
  const { data, gen_time: generationTime, prefill_time: prefillTime, speed, task_id: taskId } = json
  if (typeof data === "string") {
    if (!data.isWellFormed()) return unreadable("a frame with half a character")
    return typeof generationTime === "number" && typeof speed === "number"
      ? { _tag: "Data", text: data, generationTime, speed }
      : { _tag: "Data", text: data }
  }
  if (typeof taskId === "string" && typeof prefillTime === "number") return { _tag: "Head", taskId, prefillTime }
  if (!("error" in json || "detail" in json)) return unreadable("a frame without data")
  const told = json["error"] ?? json["detail"]
  return { _tag: "Failed", description: typeof told === "string" ? say(told) : "no explanation" }
}

export type Decoder = ReturnType<typeof makeDecoder>

/** UTF-16 units that the parser buffers besides the data: a field's name, and the CR of an unfinished line end. */
const overhead = 8

/**
 * @param maxFrameSize the most UTF-16 units of one event's data
 * @param say makes an excerpt of what the server says
 * @param requestId the id that a proxy gave the request, for `Head`
 */
export const makeDecoder = (maxFrameSize: number, say: (text: string) => string, requestId?: string) => {
  const utf8 = new TextDecoder("utf-8", { fatal: true })
  const decode = Option.liftThrowable((bytes: Uint8Array | undefined) =>
    bytes === undefined ? utf8.decode() : utf8.decode(bytes, { stream: true })
  )
  let frames: Array<Frame> = []
  let ended = false
  let endsInCR = false
  const add = (frame: Frame) => {
    ended = frame._tag === "Done" || frame._tag === "TooLarge"
    frames.push(frame)
  }
  const parser = createParser({
    // The parser limits only what it buffers between two chunks.
    maxBufferSize: maxFrameSize + overhead,
    // Events with a name or without data come from a proxy, to keep the connection alive.
    onEvent: ({ data, event = "message" }) => {
      if (ended || event !== "message" && data !== "[DONE]") return
      if (data.length > maxFrameSize) add(tooLarge)
      else if (/\S/.test(data)) {
        const frame = frameOf(data, say)
        add(frame._tag === "Head" && requestId !== undefined ? { ...frame, requestId } : frame)
      }
    },
    onError: ({ type }) => {
      if (!ended && type === "max-buffer-size-exceeded") add(tooLarge)
    }
  })
  const take = () => {
    const taken = frames
    frames = []
    return taken
  }
  const damaged = () => {
    // The server sends UTF-8 only, so these bytes were damaged on their way and the text has to be read again.
    ended = true
    frames.push(unreadable("bytes that are not UTF-8"))
    return take()
  }
  /**
   * Adds an LF to a CR at the end of a chunk: the parser would hold the line back until the next chunk shows whether
   * an LF follows.
   */
  const feed = (text: string) => {
    const rest = endsInCR && text.startsWith("\n") ? text.slice(1) : text
    endsInCR = text === "" ? endsInCR : text.endsWith("\r")
    if (rest !== "") parser.feed(endsInCR ? `${rest}\n` : rest)
    return take()
  }
  return {
    ended: () => ended,
    /** The frames that these bytes complete. Nothing comes after `Done` or `TooLarge`. */
    push: (bytes: Uint8Array): ReadonlyArray<Frame> => {
      if (ended) return []
      const text = decode(bytes)
      return Option.isNone(text) ? damaged() : feed(text.value)
    },
    /** At the end of the bytes: `Unreadable` if they end inside a character. */
    flush: (): ReadonlyArray<Frame> => ended || Option.isSome(decode(undefined)) ? [] : damaged()
  }
}
