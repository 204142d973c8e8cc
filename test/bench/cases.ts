/**
 * What is measured.
 */
import type { Client } from "./process.js"
import { scenario } from "./scenario.js"
import type { Job } from "./work.js"

export const clients: ReadonlyArray<Client> = [
  { name: "raw", title: "raw fetch", home: "own" },
  { name: "undiciChunk", title: "effect-rwkv, undici, by chunk", home: "own" },
  { name: "undiciElement", title: "effect-rwkv, undici, by element", home: "own" },
  { name: "undiciRun", title: "effect-rwkv, undici, to the end", home: "own" },
  { name: "fetchChunk", title: "effect-rwkv, fetch, by chunk", home: "own" },
  { name: "fetchElement", title: "effect-rwkv, fetch, by element", home: "own" },
  { name: "fetchRun", title: "effect-rwkv, fetch, to the end", home: "own" },
  { name: "undiciMade", title: "effect-rwkv, undici, created", home: "own" },
  { name: "undiciStops", title: "effect-rwkv, undici, with three stop sequences", home: "own" },
  { name: "fetchMade", title: "effect-rwkv, fetch, created", home: "own" },
  { name: "fetchStops", title: "effect-rwkv, fetch, with three stop sequences", home: "own" },
  { name: "openai", title: "openai", home: "peers" },
  { name: "vercel", title: "ai + @ai-sdk/openai-compatible", home: "peers" },
  { name: "effectAi", title: "@effect/ai-openai streamRequest", home: "peers" },
  { name: "python", title: "rwkv-api (Python)", home: "python" }
]

export interface Case {
  readonly group: "stream" | "many" | "request" | "wait" | "heap" | "growth" | "decoder"
  readonly title: string
  /** What a figure is for: the CPU of one frame, request or task. */
  readonly unit: "frame" | "request" | "task" | "stream" | "run"
  readonly job: Job
  readonly clients: ReadonlyArray<string>
  /** The client that ratios are to; `raw` by default. */
  readonly yardstick?: string
  /** Runs that do not count. */
  readonly warmUp: number
  readonly rounds: number
  /** All clients at the same time, each with a server of its own: for tasks that take long and cost nothing. */
  readonly sideBySide?: boolean
}

const own = ["raw", "undiciChunk", "fetchChunk"]
const elements = ["undiciElement", "fetchElement"]
const runs = ["undiciRun", "fetchRun"]
const peers = ["openai", "vercel", "effectAi", "python"]
const fastPeers = ["openai", "effectAi"]

const stream = (
  group: Case["group"],
  title: string,
  given: Parameters<typeof scenario>[0],
  streams: number,
  clients: ReadonlyArray<string>,
  rounds: number,
  warmUp = 2
): Case => ({
  group,
  title,
  unit: "frame",
  job: { kind: "stream", scenario: scenario(given), streams },
  clients,
  warmUp,
  rounds
})

/** Text without a stop sequence against the same text in which three are looked for. */
const stops = (layer: "undici" | "fetch", rounds: number, warmUp: number): Case => {
  const title = `1 stream with three stop sequences, over ${layer}`
  const clients = [`${layer}Made`, `${layer}Stops`]
  const made = stream("stream", title, { frames: 10_000 }, 1, clients, rounds, warmUp)
  return { ...made, yardstick: `${layer}Made` }
}

/** `wait` reports the delays of tasks by their length instead of CPU. */
const waits = (title: string, durations: ReadonlyArray<number>, rounds: number): Case => ({
  group: "wait",
  title,
  unit: "task",
  job: { kind: "wait", durations, tasks: 25 * durations.length, atOnce: 25 * durations.length },
  clients: ["raw", ...runs, "undiciChunk", "fetchChunk", "python"],
  warmUp: 0,
  rounds
})

const hostile = [
  { title: "decoder alone: one frame of 10 MB in chunks of 1 KiB", what: "frame" },
  { title: "decoder alone: 200,000 comments", what: "comments" }
] as const

/** What a client does in a case, where its name alone would not say it. */
export const titleOf = ({ title }: Client, { job }: Case): string => {
  switch (job.kind) {
    case "wait":
      return title.replace("raw fetch", "raw fetch, a poll every 500 ms").replace("by chunk", "by polling").replace(
        "to the end",
        "by default"
      )
    case "ask":
    case "idle":
      return title.replace(", by chunk", "")
    case "decode":
      return "effect-rwkv"
    case "stream":
      return title
  }
}

export const cases = (quick: boolean): ReadonlyArray<Case> => {
  const rounds = quick ? 2 : 7
  const warm = quick ? 2 : 8
  const size = (full: number) => quick ? full / 4 : full
  const many = quick ? 64 : 256
  const growing = quick ? [1, 64] : [1, 4, 16, 64, 256, 1024]
  const texts = quick ? [10, 20] : [10, 12, 14, 16, 18, 20, 22, 24]
  return [
    stream(
      "stream",
      "1 stream, a frame per HTTP chunk",
      { frames: 10_000 },
      1,
      [...own, ...elements, ...runs, ...peers],
      rounds,
      warm
    ),
    stream(
      "stream",
      "1 stream, 64 frames per HTTP chunk",
      { frames: 10_000, perWrite: 64 },
      1,
      [...own, ...elements, ...fastPeers],
      rounds,
      warm
    ),
    stops("undici", quick ? rounds : 15, warm),
    stops("fetch", quick ? rounds : 15, warm),
    stream("stream", "1 frame of 4 MB", { frames: 1, size: 4 << 20 }, 1, [...own, ...runs, ...peers], rounds, 3),
    stream(
      "stream",
      "1 stream, a frame a millisecond",
      { frames: size(800), pace: 1 },
      1,
      [...own, ...elements, ...runs, "openai", "effectAi", "python"],
      rounds,
      1
    ),
    stream(
      "many",
      `${many} streams of ${size(400)} frames`,
      { frames: size(400) },
      many,
      [...own, ...runs, ...fastPeers],
      rounds,
      1
    ),
    stream(
      "many",
      `${many} streams, 10 frames a second each`,
      { frames: size(40), pace: 100, size: 40 },
      many,
      [...own, ...runs, "openai"],
      rounds,
      1
    ),
    {
      group: "request",
      title: "one request",
      unit: "request",
      job: { kind: "ask", requests: size(400) },
      clients: [...own, "python"],
      warmUp: warm,
      rounds
    },
    {
      group: "wait",
      title: `create and wait, tasks of 300 ms, ${many} at once`,
      unit: "task",
      job: { kind: "wait", durations: [300], tasks: many * 4, atOnce: many },
      clients: ["raw", ...runs, "undiciChunk", "fetchChunk", "python"],
      warmUp: 1,
      rounds
    },
    waits("create and wait, tasks of 50 ms and longer", quick ? [50, 300, 1200] : [50, 300, 1200, 3200], quick ? 1 : 2),
    ...(quick ? [] : [{ ...waits("create and wait, tasks of 10 s and 30 s", [10_300, 30_300], 1), sideBySide: true }]),
    ...hostile.map(({ title, what }): Case => ({
      group: "decoder",
      title,
      unit: "run",
      job: { kind: "decode", what },
      clients: ["undiciRun"],
      warmUp: 1,
      rounds
    })),
    {
      group: "heap",
      title: "heap of an open, silent stream",
      unit: "stream",
      job: { kind: "idle", scenario: scenario({ frames: 2, size: 40, pace: 3_600_000 }), streams: 256 },
      clients: [...own, "openai", "vercel", "effectAi"],
      warmUp: 0,
      rounds: quick ? 1 : 3
    },
    ...growing.map((streams) =>
      stream(
        "growth",
        `${streams} ${streams === 1 ? "stream" : "streams"} of 16,384 frames in all`,
        { frames: 16_384 / streams },
        streams,
        own,
        rounds,
        1
      )
    ),
    ...texts.map((power) =>
      stream(
        "growth",
        `a text of ${power < 20 ? `${2 ** (power - 10)} KB` : `${2 ** (power - 20)} MB`} in frames of 256 characters`,
        { frames: 2 ** power / 256, size: 256 },
        1,
        own,
        rounds,
        power > 21 ? 1 : 4
      )
    )
  ]
}
