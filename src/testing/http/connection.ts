/**
 * One event stream on its way to a client. It waits on one latch for news of its task, the end of the server, and the
 * client's leaving, so that a pull needs no fiber.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Machine } from "../server/machine.js"
import * as Reply from "./reply.js"
import { reset, type SocketError } from "./socket.js"

/** @internal */
interface Source {
  /** Opened when there may be something new. */
  readonly wake: Effect.Latch
  /** Run before each look, so that other requests go first. */
  readonly turn: Effect.Effect<void>
  /** Run after a look that found nothing. */
  readonly wait: Effect.Effect<unknown>
  /** The set of latches that has this one while the stream is read. */
  readonly watches?: Set<Effect.Latch>
  /** The events since the last look. */
  readonly look: (connection: Connection) => ReadonlyArray<Uint8Array>
}

/** @internal */
export class Connection {
  /** The last event has been found. */
  ended = false
  broken: SocketError | undefined

  readonly machine: Machine
  readonly source: Source
  /** The server process that it belongs to; a restart breaks it. */
  readonly life: number

  constructor(machine: Machine, source: Source) {
    this.machine = machine
    this.source = source
    this.life = machine.life()
  }

  readonly cut = (cause: SocketError): void => {
    this.broken ??= cause
    this.source.wake.unsafeOpen()
  }

  readonly pull: Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<SocketError>> = Effect.suspend(() =>
    this.ended ? Effect.fail(Option.none()) : Effect.flatMap(this.source.turn, () => this.next())
  )

  /** The latch is closed before the look, so that news between the look and the wait is not missed. */
  next(): Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<SocketError>> {
    const { wake, wait } = this.source
    wake.unsafeClose()
    if (this.machine.life() !== this.life) this.broken ??= reset
    const events = this.broken === undefined ? this.source.look(this) : []
    if (events.length > 0) return Effect.succeed(Chunk.unsafeFromArray(events))
    if (this.broken !== undefined) return Effect.fail(Option.some(this.broken))
    return Effect.flatMap(wait, () => this.pull)
  }

  attach(): void {
    this.machine.listeners.add(this.source.wake)
    this.source.watches?.add(this.source.wake)
  }

  detach(): void {
    this.machine.listeners.delete(this.source.wake)
    this.source.watches?.delete(this.source.wake)
  }

  get reply(): Reply.Reply {
    const body = Stream.suspend(() => {
      this.attach()
      return Stream.ensuring(Stream.repeatEffectChunkOption(this.pull), Effect.sync(() => this.detach()))
    })
    return Reply.events(body, this.cut)
  }
}
