/**
 * The battery's cases seen from the server: what it is to do, what the program has to say, and what has come to it.
 */
import { Effect, Schedule } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { nobody, type Servers } from "./servers.js"
import type { Told } from "./told.js"

const { FaultKind } = Emulator

/** Characters of one to four bytes, and long enough for many frames. */
export const story = (name: string) => `<${name}> ` + "The sky is blue, 天空是蓝色的, ça va 🙂. ".repeat(8)

const greeting = Emulator.chat(({ turn }) => ({ reasoning: "A greeting.", text: `You said ${turn}. 你好!` }))

export const options: Emulator.Options = {
  reply: (request) =>
    request.text === "endless" ? { tokens: ["x"], end: "loop" } : greeting(request) ?? story(request.text),
  pulse: "20 millis",
  tokensPerPulse: 16,
  pollInterval: "20 millis"
}

/** What a runtime says of a request that had no answer: why, or only that it "may" have been sent. */
export type Reasons = "told" | "hidden"

/** What the cases show together: the rows of the README's table. */
export const rows = {
  texts: "streams, waits, runs",
  chats: "chat sessions",
  leaving: "leaving and aborting stop the task",
  cuts: "a stream that is cut completes",
  three: "three runtimes at once",
  types: "failures by type",
  reasons: "connections never made are told apart"
}

export interface Case {
  readonly row: keyof typeof rows
  readonly name: string
  /** What the battery runs, and where, if not on the emulator. */
  readonly run: string
  readonly url?: string
  readonly prepare?: (emulator: Emulator.Service) => Effect.Effect<void>
  /** What is wrong with what was said, if anything. */
  readonly complaint: (told: Told, reasons: Reasons) => string | undefined
  /** What is wrong with what the server saw. */
  readonly seen?: (emulator: Emulator.Service) => Effect.Effect<string | undefined>
}

const says = (expected: string): Case["complaint"] => (told) =>
  told.text === expected ? undefined : `said ${JSON.stringify(told)}`

/** A browser hides why there was no answer. So the work may have begun, and must not be repeated by itself. */
const hidden = ({ failure }: Told) =>
  failure?.tag === "RWKVConnectionError" && !failure.isSafeToRepeat && failure.isTransient &&
    failure.message.includes("may have started the task")
    ? undefined
    : `not a hidden failure: ${JSON.stringify(failure ?? "success")}`

/** A connection that was never made: nothing was sent, where the runtime says so. */
const neverMade = (isTransient?: boolean): Case["complaint"] => (told, reasons) => {
  if (reasons === "hidden") return hidden(told)
  const { failure } = told
  return failure?.tag === "RWKVConnectionError" && failure.isSafeToRepeat &&
      (isTransient === undefined || failure.isTransient === isTransient)
    ? undefined
    : `not a connection that was never made: ${JSON.stringify(failure ?? "success")}`
}

const fails =
  (tag: string, also: (failure: NonNullable<Told["failure"]>) => boolean = () => true): Case["complaint"] =>
  ({ failure }) =>
    failure?.tag === tag && also(failure) ? undefined : `not ${tag}: ${JSON.stringify(failure ?? "success")}`

const paths = (emulator: Emulator.Service) =>
  Effect.map(emulator.requests, (requests) => requests.map(({ method, path }) => `${method} ${path}`))

/** Nothing runs and nobody reads, within a while. */
export const idle = (emulator: Emulator.Service) =>
  Effect.all([emulator.running, emulator.openStreams]).pipe(
    Effect.repeat({
      until: ([running, open]) => running + open === 0,
      schedule: Schedule.intersect(Schedule.spaced("50 millis"), Schedule.recurs(100))
    }),
    Effect.flatMap(() => Effect.all([emulator.running, emulator.openStreams])),
    Effect.map(([running, open]) => running + open === 0 ? undefined : `${running} tasks run, ${open} streams are open`)
  )

const stopped = (emulator: Emulator.Service) =>
  Effect.all([idle(emulator), paths(emulator)]).pipe(
    Effect.map(([complaint, paths]) =>
      complaint ?? (paths.some((path) => path.endsWith("/stop")) ? undefined : "no stop was sent")
    )
  )

const creates = (emulator: Emulator.Service, counts: ReadonlyArray<number>) =>
  Effect.map(paths(emulator), (paths) => {
    const sent = paths.filter((path) => path === "POST /v1/tasks/tmp").length
    return counts.includes(sent) ? undefined : `${sent} creates`
  })

const whole = says(`piece by piece: ${story("Hello")}`)

/** What has to work wherever a program may read the server's answers. */
export const everywhere: ReadonlyArray<Case> = [
  { row: "texts", name: "a stream, piece by piece", run: "stream", complaint: whole, seen: idle },
  { row: "texts", name: "wait", run: "wait", complaint: says(story("Hello")) },
  { row: "texts", name: "run", run: "run", complaint: says(story("Hello")), seen: idle },
  { row: "texts", name: "run by polling", run: "poll", complaint: says(story("Hello")) },
  {
    row: "chats",
    name: "a session of two turns, whole and as a stream",
    run: "chat",
    complaint: says("A greeting.|You said Hi. 你好!\nA greeting.|You said Bye. 你好!"),
    seen: idle
  },
  { row: "leaving", name: "leaving a stream stops its task", run: "left", complaint: says("left"), seen: stopped },
  { row: "leaving", name: "an abort stops the task", run: "aborted", complaint: says("Failure"), seen: stopped },
  {
    row: "three",
    name: "three runtimes at once",
    run: "three",
    complaint: says([1, 2, 3].map((n) => story(`Hello ${n}`)).join("\n"))
  },
  {
    row: "cuts",
    name: "a stream that is cut twice completes",
    run: "stream",
    prepare: (emulator) =>
      emulator.inject({ on: { path: "/stream" }, times: 2, kind: FaultKind.Cut({ afterBytes: 900, clean: false }) }),
    complaint: whole,
    seen: (emulator) =>
      Effect.map(paths(emulator), (paths) => {
        const opened = paths.filter((path) => path.includes("/stream")).length
        return opened >= 3 ? undefined : `${opened} connections`
      })
  },
  {
    row: "types",
    name: "a 500 is told by type",
    run: "create",
    prepare: (emulator) => emulator.inject({ on: { method: "POST" }, kind: FaultKind.Status({ status: 500 }) }),
    complaint: fails("RWKVServerError")
  },
  { row: "types", name: "a 404 is told by type", run: "status", complaint: fails("TaskNotFoundError") }
]

/** Connections that are never made or break, as far as the runtime tells them apart, and a stream with heartbeats. */
export const connections = (servers: Servers): ReadonlyArray<Case> => [
  { row: "reasons", name: "F94 refused", run: "create", url: servers.refused, complaint: neverMade(true) },
  ...(servers.hasNames
    ? [{
      row: "reasons" as const,
      name: "F94 no such host",
      run: "create",
      url: `http://${nobody}`,
      complaint: neverMade(false)
    }]
    : []),
  // Bun connects to any port, and is refused.
  { row: "reasons", name: "F94 a bad port", run: "create", url: "http://127.0.0.1:9", complaint: neverMade() },
  ...(servers.selfSigned === undefined ? [] : [{
    row: "reasons" as const,
    name: "F94 a self-signed certificate",
    run: "create",
    url: servers.selfSigned,
    complaint: neverMade(false)
  }]),
  { row: "types", name: "F94 reset before an answer", run: "create", url: servers.reset, complaint: hidden },
  {
    row: "texts",
    name: "F96 heartbeats that are events",
    run: "text",
    url: servers.beating,
    complaint: says("whole and once"),
    seen: () =>
      Effect.sync(() => {
        const streams = servers.streams()
        return streams === 1 ? undefined : `${streams} connections`
      })
  }
]

const named = fails("RWKVServerError", ({ requestId }) => requestId !== undefined)

/** A page that reaches a server with CORS. */
export const direct = (withoutCors: string): ReadonlyArray<Case> => [
  {
    row: "types",
    name: "a request's id can be read",
    run: "models",
    prepare: (emulator) =>
      emulator.inject({ kind: FaultKind.Status({ status: 503, headers: { "x-request-id": "one" } }) }),
    complaint: named
  },
  {
    row: "types",
    name: "F94 in mid-request: a reset of a reused connection makes Chromium send a create again, once",
    run: "create",
    prepare: (emulator) =>
      emulator.inject({ on: { method: "POST" }, times: 9, kind: FaultKind.Reset({ executed: true }) }),
    complaint: hidden,
    seen: (emulator) => creates(emulator, [1, 2])
  },
  { row: "reasons", name: "F94 a server without CORS", run: "create", url: withoutCors, complaint: hidden }
]

/** A page that reaches its server through the proxy of docs/browsers.md. */
export const proxied: ReadonlyArray<Case> = [
  {
    row: "types",
    name: "the id that the proxy gave a request can be read",
    run: "models",
    prepare: (emulator) => emulator.inject({ kind: FaultKind.Status({ status: 503 }) }),
    complaint: named
  },
  {
    row: "types",
    name: "a create whose connection was reset is a 502, and is sent once",
    run: "create",
    prepare: (emulator) =>
      emulator.inject({ on: { method: "POST" }, times: 9, kind: FaultKind.Reset({ executed: true }) }),
    complaint: fails("RWKVServerError"),
    seen: (emulator) => creates(emulator, [1])
  }
]
