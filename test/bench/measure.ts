/**
 * Runs a case: all its clients in turn, round by round, each in its own process.
 */
import { type Case, titleOf } from "./cases.js"
import { type Client, type Server, startServer, startWorker, type Worker } from "./process.js"
import { reason, say } from "./setup.js"
import { quantile, type Spread, spread } from "./stats.js"
import type { Figures, Job } from "./work.js"

export interface Row {
  readonly group: string
  readonly case: string
  readonly unit: string
  readonly client: string
  readonly title: string
  /** Microseconds of CPU for one unit, and its ratio to that of the yardstick in the same round. */
  readonly cpu?: Spread
  readonly ratio?: Spread
  readonly yardstick?: string
  readonly perSecond?: Spread
  /** Milliseconds. */
  readonly firstText?: { readonly p50: number; readonly p99: number }
  readonly latency?: { readonly p50: number; readonly p99: number }
  readonly delays?: ReadonlyArray<{ readonly duration: number; readonly p50: number; readonly p99: number }>
  readonly requests?: number
  /** KiB. */
  readonly heap?: Spread
  /** CPU of the server as a part of the client's wall time: far from 1, the server is not the limit. */
  readonly server?: number
}

interface Sample extends Figures {
  readonly requests: number
  readonly serverCpu: number
}

const needs = (job: Job) => job.kind === "idle" ? "stream" : job.kind

const percentiles = (samples: ReadonlyArray<Sample>, of: (figures: Figures) => ReadonlyArray<number> | undefined) => {
  const all = samples.flatMap((sample) => of(sample) ?? [])
  return all.length === 0 ? undefined : { p50: quantile(all, 0.5) / 1000, p99: quantile(all, 0.99) / 1000 }
}

const delaysOf = (samples: ReadonlyArray<Sample>) => {
  const all = samples.flatMap(({ delay }) => delay ?? [])
  return [...new Set(all.map(({ duration }) => duration))].sort((a, b) => a - b).map((duration) => {
    const delays = all.filter((one) => one.duration === duration).map(({ delay }) => delay / 1000)
    return { duration, p50: quantile(delays, 0.5), p99: quantile(delays, 0.99) }
  })
}

const row = (
  one: Case,
  client: Client,
  samples: ReadonlyArray<Sample>,
  raw: ReadonlyArray<Sample>
): Row => {
  const perUnit = (sample: Sample) => sample.cpu / sample.units
  const { group, job, title, unit } = one
  const what = { group, case: title, unit, client: client.name, title: titleOf(client, one) }
  if (job.kind === "idle") return { ...what, heap: spread(samples.map(({ heap }) => (heap ?? 0) / 1024)) }
  const ratios = samples.flatMap((sample, index) => {
    const yardstick = raw[index]
    return yardstick === undefined ? [] : [perUnit(sample) / perUnit(yardstick)]
  })
  const firstText = percentiles(samples, (figures) => figures.firstText)
  const latency = percentiles(samples, (figures) => figures.latency)
  const isRun = client.name.endsWith("Run")
  return {
    ...what,
    cpu: spread(samples.map(perUnit)),
    ...(ratios.length === 0 ? {} : { ratio: spread(ratios) }),
    ...(one.yardstick === undefined ? {} : { yardstick: one.yardstick }),
    perSecond: spread(samples.map(({ units, wall }) => units / wall * 1e6)),
    // Who waits for the whole text has no first piece.
    ...(firstText === undefined || isRun ? {} : { firstText }),
    ...(latency === undefined || isRun ? {} : { latency }),
    ...(job.kind === "wait"
      ? { delays: delaysOf(samples), requests: quantile(samples.map((sample) => sample.requests / sample.units), 0.5) }
      : {}),
    server: quantile(samples.map(({ serverCpu, wall }) => serverCpu / wall), 0.5)
  }
}

/** The processes of clients live on from case to case; those that are left with open streams do not. */
export type Pool = Map<Client, Worker>

interface Context {
  readonly pool: Pool
  readonly server: Server
  readonly clients: ReadonlyArray<Client>
  readonly python: string | undefined
}

const sampled = async (server: Server, worker: Worker, job: Job): Promise<Sample> => {
  await server.taken()
  const figures = await worker.perform(job)
  const taken = await server.taken()
  return { ...figures, requests: taken.requests, serverCpu: taken.cpu }
}

export const measure = async (one: Case, { clients, pool, python, server }: Context): Promise<ReadonlyArray<Row>> => {
  const chosen = clients.filter(({ name }) => one.clients.includes(name))
  const samples = new Map(chosen.map((client) => [client, new Array<Sample>()]))
  const isFresh = one.job.kind === "idle" || one.sideBySide === true
  const workers: Pool = isFresh ? new Map() : pool
  const drop = (client: Client, error: unknown) => {
    say(`SKIPPED: ${client.title} in "${one.title}" (${reason(error)})`)
    samples.delete(client)
    workers.get(client)?.end()
    workers.delete(client)
  }
  const open = async (client: Client, server: Server) => {
    const flags = one.job.kind === "idle" ? ["--expose-gc"] : []
    workers.set(client, await startWorker(client, server.url, python, flags))
  }
  const attempt = async (client: Client, counts: boolean, server: Server) => {
    try {
      if (!workers.has(client)) await open(client, server)
      const worker = workers.get(client)
      if (worker === undefined || !worker.does.includes(needs(one.job))) return void samples.delete(client)
      const sample = await sampled(server, worker, one.job)
      if (counts) samples.get(client)?.push(sample)
      if (!isFresh) return
      worker.end()
      workers.delete(client)
    } catch (error) {
      drop(client, error)
    }
  }
  const alone = async (client: Client) => {
    const server = await startServer()
    await attempt(client, true, server)
    server.end()
  }
  for (let round = -one.warmUp; round < one.rounds; round++) {
    // Nobody is always first, and nobody always follows the same one.
    const turn = [...samples.keys()]
    const order = round % 2 === 0 ? turn : turn.toReversed()
    const first = Math.abs(round) % Math.max(1, order.length)
    const clients = [...order.slice(first), ...order.slice(0, first)]
    if (one.sideBySide === true) await Promise.all(clients.map(alone))
    else for (const client of clients) await attempt(client, round >= 0, server)
  }
  const raw = [...samples].find(([client]) => client.name === (one.yardstick ?? "raw"))?.[1] ?? []
  return [...samples].filter(([, all]) => all.length > 0).map(([client, all]) => row(one, client, all, raw))
}
