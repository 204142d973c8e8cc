/**
 * The ways a run starts: a create or FIM, a continue, a fork. Each says what has to hold before, what is sent over
 * either transport, and what happens to the task at the end.
 */
import * as Effect from "effect/Effect"
import { hasProperty } from "effect/Predicate"
import type * as Stream from "effect/Stream"
import * as Generation from "../../Generation.js"
import type { CallOptions, Frame, Service as HttpService } from "../../HttpClient.js"
import type { TaskResult } from "../../Protocol.js"
import type { BranchFailure, CallFailure } from "../../RWKVError.js"
import type { StreamOptions } from "../../Task.js"
import * as Options from "../input/options.js"
import type { Override } from "../input/override.js"
import { encoder, withDefaults } from "../input/request.js"
import * as Ledger from "../owner/ledger.js"
import { note } from "../wire/telemetry.js"
import type { Launch } from "./launch.js"
import type { Preconditions } from "./preconditions.js"

const encodeContinue = encoder(Generation.ContinueRequest)
const encodeFork = encoder(Generation.ForkRequest)

const chosen = (operation: string, options: StreamOptions | undefined, usual: StreamOptions) =>
  Effect.map(Options.ofStream(operation, options), (chosen): StreamOptions => ({ ...usual, ...chosen }))

export type Cleanup = "delete" | "keep"

/** Whether a request is for a FIM; otherwise it is for a create. */
export const isFim = (request: Generation.CreateRequest | Generation.FimRequest): request is Generation.FimRequest =>
  hasProperty(request, "prefix")

/** How a task is made: by a create or a FIM. */
export interface Creation<A> {
  readonly operation: string
  readonly cleanup: Cleanup
  readonly create: (request: A, options: CallOptions) => Effect.Effect<TaskResult, CallFailure>
  readonly stream: (request: A, options: CallOptions) => Stream.Stream<Frame, CallFailure>
}

export const creating = <A extends Generation.GenerationOptions>(
  { cleanup, create, operation, stream }: Creation<A>,
  settings: Override,
  request: A,
  options: StreamOptions | undefined
): Launch<CallFailure> => {
  const complete = Effect.suspend(() => withDefaults(operation, settings, request))
  return {
    operation,
    options: chosen(operation, options, { cleanup }),
    before: Effect.map(complete, (request) => ({
      maxTokens: request.maxTokens,
      request,
      create: () => create(request, { operation }),
      stream: () => stream(request, { operation })
    })),
    explain: Effect.fail,
    fresh: true
  }
}

export const make = (http: HttpService, ledger: Ledger.Service, preconditions: Preconditions) => {
  const explain = (id: string) => (error: BranchFailure): Effect.Effect<never, BranchFailure> =>
    error._tag === "RWKVServerError" ? preconditions.explain(error, id) : Effect.fail(error)

  /** The tasks that share a buffer with this one, from its first fork on (H15). */
  const groupOf = (id: string) => {
    const group = ledger.sharing.get(id) ?? Ledger.makeGroup()
    ledger.sharing.set(id, group)
    return group
  }

  /** Reads the options once, and refuses to go on past a stop sequence. */
  const chosenFor = (operation: string, id: string, options: StreamOptions | undefined, usual: StreamOptions) =>
    Effect.tap(
      chosen(operation, options, usual),
      ({ allowPastStop }) => preconditions.mayGoOn(operation, id, allowPastStop)
    )

  return {
    /** A task that shares its buffer is read from its own `POST` stream (H15). */
    continuing: (
      operation: string,
      id: string,
      request: Generation.ContinueRequest,
      options?: StreamOptions
    ): Launch => {
      const group = ledger.sharing.get(id)
      return {
        operation,
        options: chosenFor(operation, id, options, {
          cleanup: "keep",
          transport: group === undefined ? "subscribe" : "direct"
        }),
        before: Effect.gen(function*() {
          const { max_tokens: maxTokens } = yield* encodeContinue(operation, request)
          const mute = yield* preconditions.ready(operation, id)
          return {
            group,
            mute,
            maxTokens,
            request,
            create: () => http.continue(id, request, { operation }),
            stream: () => http.continueStream(id, request, { operation })
          }
        }),
        explain: explain(id),
        fresh: false,
        source: id
      }
    },
    forking: (operation: string, id: string, request: Generation.ForkRequest, options?: StreamOptions): Launch => ({
      operation,
      options: chosenFor(operation, id, options, { cleanup: "keep", transport: "direct" }),
      before: Effect.gen(function*() {
        const { max_tokens: maxTokens } = yield* encodeFork(operation, request)
        const mute = yield* preconditions.ready(operation, id)
        // Made before the source is read, because another fork of it may begin meanwhile.
        const group = groupOf(id)
        yield* note(({ forks }) => forks(id))
        yield* preconditions.preserve(operation, id, group)
        return {
          group,
          mute,
          maxTokens,
          request,
          create: () => http.fork(id, request, { operation }),
          stream: () => http.forkStream(id, request, { operation })
        }
      }),
      explain: explain(id),
      fresh: true,
      source: id
    })
  }
}
