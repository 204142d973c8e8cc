/**
 * What lies between a transport and the routes: requests are recorded, faults injected, open bodies counted.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { Machine } from "../server/machine.js"
import * as Faults from "./faults.js"
import type { Bytes, Reply } from "./reply.js"
import type { Incoming, RecordedRequest } from "./request.js"
import * as Routes from "./routes.js"
import type { SocketError } from "./socket.js"

const decoder = new TextDecoder()

/** @internal */
export class Exchange {
  requests: Array<RecordedRequest> = []
  faults: ReadonlyArray<{ readonly fault: Faults.Fault; readonly times: number }> = []
  /** Streamed bodies that are being read. */
  open = 0

  readonly machine: Machine

  constructor(machine: Machine) {
    this.machine = machine
  }

  inject(fault: Faults.Fault): void {
    this.faults = [...this.faults, { fault, times: fault.times ?? 1 }]
  }

  takeFault(request: RecordedRequest): Faults.FaultKind | undefined {
    const hit = this.faults.find(({ fault }) => Faults.isHit(fault, request))
    if (hit === undefined) return undefined
    this.faults = this.faults
      .map((queued) => queued === hit ? { fault: queued.fault, times: queued.times - 1 } : queued)
      .filter(({ times }) => times > 0)
    return hit.fault.kind
  }

  /**
   * What a request asks for is done although its client may leave meanwhile, for instance while a prompt is read. The
   * scheduler sees new work before the client sees the answer.
   */
  run(request: Incoming): Effect.Effect<Reply, SocketError> {
    const { background, settings } = this.machine
    const answer = Routes.handle(this.machine, request)
    if (settings.prefillPerToken > 0) return Effect.flatMap(background(answer), Fiber.join)
    return Effect.zipLeft(request.method === "POST" ? Effect.uninterruptible(answer) : answer, Effect.yieldNow())
  }

  handle(incoming: Incoming): Effect.Effect<Reply, SocketError> {
    return Effect.suspend(() => {
      const request: RecordedRequest = { ...incoming, body: decoder.decode(incoming.body) }
      const kind = this.takeFault(request)
      if (kind?._tag !== "Refuse") this.requests.push(request)
      const run = this.run(incoming)
      return kind === undefined ? run : Faults.apply(kind, run)
    })
  }

  count(body: Bytes): Bytes {
    return Stream.suspend(() => {
      this.open++
      return Stream.ensuring(body, Effect.sync(() => this.open--))
    })
  }
}
