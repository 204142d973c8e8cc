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
import type { Listener } from "./listener.js"
import type { Bytes, Reply } from "./reply.js"
import type { Incoming, RecordedRequest } from "./request.js"
import * as Routes from "./routes.js"
import { refused, type SocketError } from "./socket.js"

const decoder = new TextDecoder()

/** @internal */
export class Exchange {
  requests: Array<RecordedRequest> = []
  faults: ReadonlyArray<{ readonly fault: Faults.Fault; readonly times: number }> = []
  /** Streamed bodies that are being read. */
  open = 0
  /** Requests that wait for their answers. */
  unanswered = 0
  /** Whether new requests are refused. */
  down = false
  readonly listeners = new Set<Listener>()
  /** Open while nobody waits for an answer or reads one. */
  readonly idle = Effect.unsafeMakeLatch(true)

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
   * Carries out a request even if its client leaves meanwhile, for instance while a prompt is read. The scheduler sees
   * new work before the client sees the answer.
   */
  run(request: Incoming): Effect.Effect<Reply, SocketError> {
    const { background, settings } = this.machine
    const answer = Routes.handle(this.machine, request)
    if (settings.prefillPerToken > 0) return Effect.flatMap(background(answer), Fiber.join)
    return Effect.zipLeft(request.method === "POST" ? Effect.uninterruptible(answer) : answer, Effect.yieldNow())
  }

  handle(incoming: Incoming): Effect.Effect<Reply, SocketError> {
    return Effect.suspend(() => {
      if (this.down) return Effect.fail(refused)
      const request: RecordedRequest = { ...incoming, body: decoder.decode(incoming.body) }
      const kind = this.takeFault(request)
      if (kind?._tag !== "Refuse") this.requests.push(request)
      const run = this.run(incoming)
      this.unanswered++
      this.idle.unsafeClose()
      return Effect.ensuring(
        kind === undefined ? run : Faults.apply(kind, run, this.machine.death),
        Effect.sync(() => {
          this.unanswered--
          this.rest()
        })
      )
    })
  }

  count(body: Bytes): Bytes {
    return Stream.suspend(() => {
      this.open++
      this.idle.unsafeClose()
      return Stream.ensuring(
        body,
        Effect.sync(() => {
          this.open--
          this.rest()
        })
      )
    })
  }

  rest(): void {
    if (this.unanswered === 0 && this.open === 0) this.idle.unsafeOpen()
  }

  /** Waits until nobody is served. A client reads an answer some yields after it was given. */
  readonly drained: Effect.Effect<void> = Effect.suspend(() =>
    this.idle.await.pipe(
      Effect.zipRight(Effect.repeatN(Effect.yieldNow(), 100)),
      Effect.repeat({ until: () => this.unanswered === 0 && this.open === 0 })
    )
  )

  /** Shuts down as the server does on a signal. A restart meanwhile cuts off the clients that are still served. */
  readonly shutdown: Effect.Effect<void> = Effect.suspend(() => {
    const { machine } = this
    const life = machine.life()
    this.down = true
    for (const listener of this.listeners) listener.close()
    return Effect.zipRight(
      this.drained,
      Effect.suspend(() => this.down && machine.life() === life ? machine.restart("graceful") : Effect.void)
    )
  })

  restart(how: "graceful" | "kill"): Effect.Effect<void> {
    return Effect.gen(this, function*() {
      yield* this.machine.restart(how)
      if (!this.down) return
      this.down = false
      yield* Effect.forEach(this.listeners, (listener) => listener.open)
    })
  }
}
