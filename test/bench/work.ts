/**
 * A consuming process: one client, which does jobs as the runner asks for them, line by line, and tells what they cost.
 */
import { createInterface } from "node:readline"
import type { Consumer, Make } from "./consumer.js"
import { encode, micros, type Scenario, stamped, taskId } from "./scenario.js"

/** What the runner asks for. `streams`, `tasks` and `requests` at once; only `requests` one after the other. */
export type Job =
  | { readonly kind: "stream"; readonly scenario: Scenario; readonly streams: number }
  | { readonly kind: "idle"; readonly scenario: Scenario; readonly streams: number }
  | { readonly kind: "ask"; readonly requests: number }
  | { readonly kind: "decode"; readonly what: keyof typeof hostile }
  | {
    readonly kind: "wait"
    readonly durations: ReadonlyArray<number>
    readonly tasks: number
    readonly atOnce: number
  }

/** Microseconds, but for `heap`, which is bytes for one stream. */
export interface Figures {
  readonly cpu: number
  readonly wall: number
  /** Frames, requests or tasks. */
  readonly units: number
  readonly firstText?: ReadonlyArray<number>
  readonly latency?: ReadonlyArray<number>
  readonly delay?: ReadonlyArray<{ readonly duration: number; readonly delay: number }>
  readonly heap?: number
}

let nonce = 0

const bytes = (text: string) => new TextEncoder().encode(text)

const cut = (whole: Uint8Array, size: number) =>
  Array.from({ length: Math.ceil(whole.length / size) }, (_, index) => whole.subarray(index * size, (index + 1) * size))

/** What makes parsers slow that look at everything again with every chunk. */
const hostile = {
  frame: () => cut(bytes(`data: ${JSON.stringify({ data: "x".repeat(10_000_000) })}\n\n`), 1024),
  comments: () => cut(bytes(": ping\n\n".repeat(200_000)), 16_384)
}

const decoding = (consumer: Consumer, job: Extract<Job, { kind: "decode" }>) => {
  const chunks = hostile[job.what]()
  return measured(async () => {
    consumer.decode?.(chunks)
    return { units: 1 }
  })
}

const measured = async (run: () => Promise<Omit<Figures, "cpu" | "wall">>): Promise<Figures> => {
  const before = process.cpuUsage()
  const begun = micros()
  const figures = await run()
  const { system, user } = process.cpuUsage(before)
  return { ...figures, cpu: user + system, wall: micros() - begun }
}

const streaming = (consumer: Consumer, job: Extract<Job, { kind: "stream" }>) =>
  measured(async () => {
    const firstText: Array<number> = []
    const latency: Array<number> = []
    const { frames, pace, size } = job.scenario
    await Promise.all(Array.from({ length: job.streams }, async () => {
      const id = taskId(job.scenario, `${process.pid}-${nonce++}`)
      const begun = micros()
      let length = 0
      await consumer.stream?.(id, (text) => {
        if (length === 0) firstText.push(micros() - begun)
        length += text.length
        if (pace === 0) return
        const sent = stamped(text)
        if (sent !== undefined) latency.push(micros() - sent)
      })
      if (length !== frames * size) throw new Error(`${length} characters of ${frames * size}`)
    }))
    return { units: job.streams * frames, firstText, latency }
  })

/** Opens streams and leaves them: the process is of no use afterwards. */
const idling = async (consumer: Consumer, job: Extract<Job, { kind: "idle" }>): Promise<Figures> => {
  const collect = async () => {
    for (let round = 0; round < 4; round++) {
      globalThis.gc?.()
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    const { arrayBuffers, heapUsed } = process.memoryUsage()
    return heapUsed + arrayBuffers
  }
  const open = (count: number) =>
    Promise.all(Array.from({ length: count }, () =>
      new Promise<void>((resolve, reject) => {
        void consumer.stream?.(taskId(job.scenario, `${process.pid}-${nonce++}`), () => resolve()).catch(reject)
      })))
  // The first streams bring code and caches with them.
  await open(32)
  const before = await collect()
  await open(job.streams)
  const after = await collect()
  return { cpu: 0, wall: 0, units: job.streams, heap: (after - before) / job.streams }
}

const asking = (consumer: Consumer, job: Extract<Job, { kind: "ask" }>) =>
  measured(async () => {
    const id = taskId({ frames: 1, size: 1, perWrite: 1, pace: 0, duration: 0 }, "ask")
    for (let request = 0; request < job.requests; request++) await consumer.ask?.(id)
    return { units: job.requests }
  })

const waiting = (consumer: Consumer, job: Extract<Job, { kind: "wait" }>) =>
  measured(async () => {
    const delay: Array<{ readonly duration: number; readonly delay: number }> = []
    const queue = Array.from({ length: job.tasks }, (_, index) => job.durations[index % job.durations.length] ?? 0)
    const next = async (): Promise<void> => {
      const duration = queue.pop()
      if (duration === undefined) return
      const text = await consumer.wait?.(encode({ frames: 1, size: 1, perWrite: 1, pace: 0, duration }))
      const ended = stamped(text ?? "")
      if (ended === undefined) throw new Error("a task without its end")
      delay.push({ duration, delay: micros() - ended })
      return next()
    }
    await Promise.all(Array.from({ length: job.atOnce }, async (_, index) => {
      // Not all in step.
      await new Promise((resolve) => setTimeout(resolve, index * 503 / job.atOnce))
      await next()
    }))
    return { units: job.tasks, delay }
  })

const perform = (consumer: Consumer, job: Job): Promise<Figures> => {
  switch (job.kind) {
    case "stream":
      return streaming(consumer, job)
    case "idle":
      return idling(consumer, job)
    case "ask":
      return asking(consumer, job)
    case "wait":
      return waiting(consumer, job)
    case "decode":
      return decoding(consumer, job)
  }
}

/** Serves the runner with the client that the command line names. */
export const serve = async (clients: Readonly<Record<string, Make>>): Promise<void> => {
  const [, , name = "", baseUrl = ""] = process.argv
  const make = clients[name]
  if (make === undefined) throw new Error(`no client ${name}`)
  const consumer = await make(baseUrl)
  const say = (message: object) => process.stdout.write(`${JSON.stringify(message)}\n`)
  createInterface(process.stdin).on("line", (line) => {
    const job: Job = JSON.parse(line)
    perform(consumer, job).then(say, (error: unknown) => say({ error: String(error) }))
  }).on("close", () => process.exit(0))
  say({ ready: Object.keys(consumer) })
}
