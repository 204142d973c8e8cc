/**
 * The servers of a pool: which there are, which of them new work goes to, and what is looked at while others wait.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Scope from "effect/Scope"
import { RWKVConnectionError, type RWKVValidationError } from "../../RWKVError.js"
import { bare } from "../input/failure.js"
import * as Endpoints from "./endpoints.js"
import * as Id from "./id.js"
import * as Policy from "./policy.js"
import * as Queue from "./queue.js"
import { sameRequests, type Server, type Spec } from "./server.js"
import type * as HttpClient from "../../HttpClient.js"

export interface Pool extends Effect.Effect.Success<ReturnType<typeof make>> {}

/** How often what nobody asks about is looked at while others wait for its place, and who leaves is seen off. */
const roundEvery = "10 seconds"

/** Rounds without any server that takes work, by which whoever waits gives up. */
const patience = 3

/** How servers come to be. */
interface Making {
  readonly connect: (spec: Spec) => Effect.Effect<HttpClient.Service, RWKVValidationError>
  readonly start: (
    spec: Spec,
    http: HttpClient.Service,
    changed: (able: number) => void
  ) => Effect.Effect<Server, never, Scope.Scope>
}

export const make = (queueLimit: number, queueTimeout: Duration.Duration, { connect, start }: Making) =>
  Effect.gen(function*() {
    const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.parallel)
    const servers = new Map<string, Server>()
    /** Those that are not in the list any more, and leave once nothing runs there. */
    const leaving = new Set<Server>()
    const stirred = Effect.unsafeMakeLatch(false)
    let rounds = 0
    /** How many servers have room: if none has, the policy is not asked. */
    let able = 0

    const all = () => [...servers.values(), ...leaving]
    const loads = () => Array.from(servers.values(), ({ tally }) => tally.load())
    const unreachable = (operation: string) => {
      const failures = all().flatMap(({ lost, name }) => {
        const failure = lost()
        return failure === undefined ? [] : [`; ${name}: ${bare(failure)}`]
      })
      return new RWKVConnectionError({
        operation,
        description: `no server of the pool takes work: they are lost, draining or gone${failures[0] ?? ""}`,
        requestSent: false,
        retryable: true
      })
    }
    const isOut = () => loads().every(({ open }) => !open)
    const queue = Queue.make(
      queueLimit,
      queueTimeout,
      (work, draws) => {
        const server = able === 0 ? undefined : servers.get(Policy.pick(loads(), work, draws)?.name ?? "")
        return server && { server, place: server.tally.place(work) }
      },
      () => stirred.unsafeOpen()
    )
    const serve = () => {
      queue.serve()
      if (rounds > 0 && !isOut()) rounds = 0
      if (queue.size() + leaving.size > 0) stirred.unsafeOpen()
    }
    let isChanging = false
    const changed = (by: number) => {
      able += by
      if (!isChanging) serve()
    }

    const find = (id: string): Server | undefined => {
      const { name } = Id.split(id)
      // A name may have got another address while what was made at the one before still runs there.
      const left = Array.from(leaving).filter((server) => server.name === name)
      return left.find(({ tally }) => tally.entries().has(id)) ?? servers.get(name) ?? left[0]
    }
    const { endpoints, ownerOf } = Endpoints.make(
      find,
      (operation) =>
        Effect.suspend(() => {
          const found = all().filter(({ isLost }) => !isLost())
          return found.length === 0 ? Effect.fail(unreachable(operation)) : Effect.succeed(found)
        })
    )

    const leave = (server: Server | undefined) => {
      if (server === undefined) return
      if (servers.get(server.name) === server) servers.delete(server.name)
      leaving.add(server)
      server.drain(true)
    }

    /** A place of a task that nobody has asked about for a round: it may have ended, and one that has makes room. */
    const look = ({ tally }: Server) => {
      tally.rest()
      return Effect.forEach(tally.entries(), ([id, entry]) =>
        Effect.suspend((): Effect.Effect<unknown, unknown> => {
          const options = { operation: Endpoints.look }
          const { idle, running } = entry
          entry.idle = true
          if (!idle || tally.isUsed(id)) return Effect.void
          if (running) return endpoints.status(id, options)
          return id.startsWith("TMP_") ? endpoints.delete(id, options) : Effect.sync(() => tally.gone(id))
        }).pipe(Effect.ignore), { concurrency: 8, discard: true })
    }

    const round = Effect.gen(function*() {
      for (const server of leaving) {
        if (server.tally.isBusy() && !server.isLost()) continue
        leaving.delete(server)
        const successor = Effect.sync(() => servers.get(server.name)?.tally.set({}))
        yield* Effect.forkIn(Effect.zipRight(server.close, successor), scope)
      }
      rounds = isOut() ? rounds + 1 : 0
      if (rounds > patience) queue.giveUp(unreachable)
      const full = Array.from(servers.values()).filter(({ isLost, tally }) =>
        queue.size() > 0 && !isLost() && !Policy.hasRoom(tally.load())
      )
      yield* Effect.forEach([...full, ...leaving], look, { concurrency: "unbounded", discard: true }).pipe(
        // One that does not answer holds up nobody but itself, and that not for ever.
        Effect.timeoutOption(roundEvery)
      )
      if (queue.size() + leaving.size === 0) stirred.unsafeClose()
    })
    yield* stirred.await.pipe(
      Effect.zipRight(Effect.sleep(roundEvery)),
      Effect.zipRight(round),
      Effect.forever,
      Effect.forkIn(scope)
    )

    /** What a list says of one server, checked: nothing has changed before what this yields is run. */
    const prepare = (spec: Spec) =>
      Effect.gen(function*() {
        // One that comes back before it has left has its work still.
        const known = () => all().find((server) => server.name === spec.name && server.spec().baseUrl === spec.baseUrl)
        const before = known()
        const http = before !== undefined && sameRequests(before.spec(), spec) ? before.http() : yield* connect(spec)
        const started = Scope.extend(start(spec, http, changed), scope)
        return Effect.map(
          Effect.suspend(() => Effect.orElse(Effect.fromNullable(known()), () => started)),
          (server) => {
            const other = servers.get(spec.name)
            if (other !== server) leave(other)
            leaving.delete(server)
            servers.set(spec.name, server)
            server.update(spec, http)
          }
        )
      })

    return {
      endpoints,
      find,
      ownerOf,
      queued: queue.size,
      giveUp: queue.giveUp,
      all,
      size: () => servers.size + leaving.size,
      /** Those of the list. */
      servers: () => servers.values(),
      place: (...[restore, asked]: Parameters<typeof queue.place>) =>
        Effect.suspend(() =>
          rounds > patience && isOut() ? Effect.fail(unreachable(asked.operation)) : queue.place(restore, asked)
        ),
      /** The servers that there are from now on. */
      apply: (specs: ReadonlyArray<Spec>) =>
        Effect.gen(function*() {
          const changes = yield* Effect.forEach(specs, prepare)
          isChanging = true
          const names = new Set(specs.map(({ name }) => name))
          for (const server of servers.values()) if (!names.has(server.name)) leave(server)
          yield* Effect.all(changes)
          isChanging = false
          rounds = 0
          serve()
        })
    }
  })
