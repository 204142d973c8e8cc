/**
 * The servers of a pool, and who waits for a place on one of them.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import { RWKVConnectionError, type RWKVError, RWKVPoolError, type RWKVValidationError } from "../../RWKVError.js"
import { isTaskId, taskId } from "../input/validate.js"
import { closed, closedBefore, isClosed as isClosedError } from "../wire/closed.js"
import { limited } from "../wire/limit.js"
import { unknown } from "./endpoints.js"
import * as Id from "./id.js"
import * as Policy from "./policy.js"
import * as Queue from "./queue.js"
import { sameServer, type Server, type Spec } from "./server.js"
import type { Place } from "./tally.js"

/** A place on a server. */
interface Seat {
  readonly server: Server
  readonly place: Place
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** What a place is asked for. */
interface Asked {
  readonly operation: string
  readonly work: Policy.Work
  /** Whether it counts against the limit of the queue. */
  readonly bounded: boolean
  /** Whether it had a place on a server that is lost. */
  readonly returns: boolean
}

interface Waiter extends Asked {
  readonly random: readonly [number, number]
  readonly turn: Deferred.Deferred<Seat, RWKVConnectionError>
  seat: Seat | undefined
}

export type Pool = Effect.Effect.Success<ReturnType<typeof make>>

/** How often what nobody asks about is looked at while others wait for its place, and who leaves is seen off. */
const roundEvery = "10 seconds"

/** Rounds without any server that takes work, by which whoever waits gives up. */
const patience = 3

const unreachable = (operation: string) =>
  new RWKVConnectionError({
    operation,
    description: "no server of the pool takes work: they are lost, draining or gone",
    requestSent: false,
    retryable: true
  })

export const make = (
  queueLimit: number,
  queueTimeout: Duration.Duration,
  start: (spec: Spec, changed: (able: number) => void) => Effect.Effect<Server, RWKVValidationError, Scope.Scope>
) =>
  Effect.gen(function*() {
    const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.parallel)
    const servers = new Map<string, Server>()
    /** Those that are not in the list any more, and leave once nothing runs there. */
    const leaving = new Set<Server>()
    const waiting = Queue.make<Waiter>()
    const stirred = Effect.unsafeMakeLatch(false)
    let rounds = 0
    /** How many servers have room: if none has, the policy is not asked. */
    let able = 0

    const find = (id: string): Server | undefined => {
      const { name } = Id.split(id)
      // A name may have got another address while what was made at the one before still runs there.
      const left = Array.from(leaving).filter(({ spec }) => spec.name === name)
      return left.find(({ tally }) => tally.entries().has(id)) ?? servers.get(name) ?? left[0]
    }
    const loads = () => Array.from(servers.values(), ({ tally }) => tally.load())
    const isOut = () => loads().every(({ open }) => !open)
    const take = (work: Policy.Work, random: readonly [number, number]): Seat | undefined => {
      if (able === 0) return undefined
      const server = servers.get(Policy.pick(loads(), work, random)?.name ?? "")
      return server && { server, place: server.tally.place(work, true) }
    }
    let serving = false
    /** Serves who waits, once a change is whole. Taking a place is a change as well, and does not begin this anew. */
    const serve = () => {
      serving = true
      for (let waiter = waiting.head(); waiter !== undefined; waiter = waiting.head()) {
        waiter.seat = take(waiter.work, waiter.random)
        if (waiter.seat === undefined) break
        waiting.remove(waiter)
        Deferred.unsafeDone(waiter.turn, Effect.succeed(waiter.seat))
      }
      serving = false
      if (rounds > 0 && !isOut()) rounds = 0
      if (waiting.size() + leaving.size > 0) stirred.unsafeOpen()
    }
    const changed = (by: number) => {
      able += by
      if (!serving) serve()
    }
    const giveUp = (error: (operation: string) => RWKVConnectionError) => {
      for (let waiter = waiting.head(); waiter !== undefined; waiter = waiting.head()) {
        waiting.remove(waiter)
        Deferred.unsafeDone(waiter.turn, Effect.fail(error(waiter.operation)))
      }
    }
    yield* Effect.addFinalizer(() => Effect.sync(() => giveUp(closedBefore)))
    // The last that is added is the first to run: whoever comes while the servers end is not let in.
    const isClosed = yield* closed

    const leave = (server: Server) => {
      if (servers.get(server.spec.name) === server) servers.delete(server.spec.name)
      leaving.add(server)
      server.drain(true)
    }

    /** A place of a task that nobody has asked about for a round: it may have ended, and one that has makes room. */
    const look = ({ endpoints, tally }: Server) =>
      Effect.forEach(tally.entries(), ([id, entry]) =>
        Effect.suspend((): Effect.Effect<unknown, unknown> => {
          const options = { operation: "RWKVPool.look" }
          const { idle, running } = entry
          entry.idle = true
          if (!idle || tally.isUsed(id)) return Effect.void
          if (running) return endpoints.status(id, options)
          return id.startsWith("TMP_") ? endpoints.delete(id, options) : Effect.sync(() => tally.gone(id))
        }).pipe(Effect.ignore), { concurrency: 8, discard: true })

    const round = Effect.gen(function*() {
      for (const server of leaving) {
        if (server.tally.isBusy() && !server.isLost()) continue
        leaving.delete(server)
        yield* Effect.forkIn(server.close, scope)
      }
      rounds = isOut() ? rounds + 1 : 0
      if (rounds > patience) giveUp(unreachable)
      const full = Array.from(servers.values()).filter(({ tally }) =>
        waiting.size() > 0 && !Policy.hasRoom(tally.load())
      )
      yield* Effect.forEach([...full.filter(({ isLost }) => !isLost()), ...leaving], look, {
        concurrency: "unbounded",
        discard: true
      })
        // One that does not answer holds up nobody but itself, and that not for ever.
        .pipe(Effect.timeoutOption(roundEvery))
      if (waiting.size() + leaving.size === 0) stirred.unsafeClose()
    })
    yield* stirred.await.pipe(
      Effect.zipRight(Effect.sleep(roundEvery)),
      Effect.zipRight(round),
      Effect.forever,
      Effect.forkIn(scope)
    )

    return {
      servers,
      isClosed,
      queued: waiting.size,
      all: () => [...servers.values(), ...leaving],
      /** A place for new work, where only `restore` can be interrupted: who leaves the queue is not there. */
      place: (restore: Restore, asked: Asked) =>
        Effect.gen(function*() {
          const { bounded, operation, returns, work } = asked
          if (isClosed()) return yield* closedBefore(operation)
          const random = [yield* Random.next, yield* Random.next] as const
          const seat = returns || waiting.size() === 0 ? take(work, random) : undefined
          if (seat !== undefined) return seat
          if (rounds > patience && isOut()) return yield* unreachable(operation)
          if (bounded && waiting.bounded() >= queueLimit) {
            const description = `as many wait for a place in the pool as may: ${queueLimit}`
            return yield* new RWKVPoolError({ operation, kind: "full", description })
          }
          const turn = yield* Deferred.make<Seat, RWKVConnectionError>()
          const waiter: Waiter = { ...asked, random, turn, seat: undefined }
          waiting.add(waiter)
          stirred.unsafeOpen()
          const awaited = restore(limited(Deferred.await(turn), queueTimeout, { operation, kind: "queue" }))
          return yield* Effect.onError(awaited, () =>
            Effect.sync(() => {
              waiting.remove(waiter)
              if (waiter.seat !== undefined) waiter.seat.server.tally.leave(waiter.seat.place)
            }))
        }),
      find,
      /** The end of a server is not that of the pool, for those who tell them apart. */
      departed: <E extends RWKVError>(error: E): E | RWKVConnectionError =>
        error._tag === "RWKVConnectionError" && isClosedError(error) && !isClosed()
          ? new RWKVConnectionError({
            operation: error.operation,
            taskId: error.taskId,
            description: "the server has left the pool",
            requestSent: error.requestSent,
            retryable: true
          })
          : error,
      /** Where a task lives. */
      owner: Effect.fnUntraced(function*(operation: string, id: string) {
        if (isClosed()) return yield* closedBefore(operation, isTaskId(id) ? id : undefined)
        return find(yield* taskId(operation, id)) ?? (yield* unknown(operation, id, Id.split(id).name))
      }),
      /** The servers that there are from now on. */
      apply: (specs: ReadonlyArray<Spec>) =>
        Effect.gen(function*() {
          const isNew = (spec: Spec) => !sameServer(servers.get(spec.name)?.spec, spec)
          const made: Array<Server> = []
          yield* Effect.forEach(
            specs.filter(isNew),
            (spec) => Effect.map(Scope.extend(start(spec, changed), scope), (server) => made.push(server))
          ).pipe(Effect.onError(() => Effect.forEach(made, ({ close }) => close)))
          serving = true
          const listed = new Map(specs.map((spec) => [spec.name, spec]))
          for (const server of servers.values()) if (!listed.has(server.spec.name)) leave(server)
          for (const server of made) {
            const before = servers.get(server.spec.name)
            if (before !== undefined) leave(before)
            servers.set(server.spec.name, server)
          }
          for (const server of servers.values()) server.update(listed.get(server.spec.name) ?? server.spec)
          rounds = 0
          serve()
        })
    }
  })
