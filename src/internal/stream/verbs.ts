/**
 * The verbs of streams, over the ways in which their runs start: those of one server, or those of a pool of them.
 */
import * as Effect from "effect/Effect"
import type * as Generation from "../../Generation.js"
import type { Service as HttpService } from "../../HttpClient.js"
import type { StreamEvent, TaskId } from "../../Protocol.js"
import type { StreamOptions, SubscribeOptions } from "../../Task.js"
import * as validate from "../input/validate.js"
import * as Ledger from "../owner/ledger.js"
import type { Launch } from "./launch.js"
import { opened } from "./open.js"
import type * as Runs from "./runs.js"
import type { FollowFailure } from "./signals.js"
import { isFim } from "./starts.js"
import { events, type Opening, pulled, type Telling, texts } from "./telling.js"

type Request = Generation.CreateRequest | Generation.FimRequest

type Creating<Request, A> = (
  request: Request,
  options?: StreamOptions,
  detached?: Launch["detached"]
) => Opening<A, FollowFailure>

/** How runs start, and how those that run are listened to, under the name of an operation. */
export interface Starts {
  readonly created: <A>(
    operation: string,
    telling: Telling<A>
  ) => Creating<Generation.CreateRequest, A>
  readonly filled: <A>(
    operation: string,
    telling: Telling<A>
  ) => Creating<Generation.FimRequest, A>
  readonly continued: Runs.Runs["continued"]
  readonly forked: <A>(
    operation: string,
    telling: Telling<A>
  ) => (id: string, request: Generation.ForkRequest, options?: StreamOptions) => Opening<A>
  readonly subscribed: <A>(
    operation: string,
    telling: Telling<A>
  ) => (id: string, options?: SubscribeOptions) => Opening<A>
  readonly requestIds: { readonly get: (id: TaskId) => string | undefined }
}

/** How runs start on one server. */
export const startsOf = (http: HttpService, runs: Runs.Runs): Starts => ({
  ...runs,
  created: (operation, telling) =>
    runs.created({ operation, cleanup: "delete", create: http.create, stream: http.createStream }, telling),
  filled: (operation, telling) =>
    runs.created({ operation, cleanup: "delete", create: http.fim, stream: http.fimStream }, telling),
  forked: (operation, telling) => runs.forked(operation, "delete", telling),
  requestIds: runs.ledger.requestIds
})

/** The verbs fail once the service is closed; what is refused has a span too. */
export const make = (
  { continued, created, filled, forked, requestIds, subscribed }: Starts,
  { ledger, spans }: Pick<Runs.Runs, "ledger" | "spans">
) =>
  Effect.map(Ledger.gate(ledger), (gate) => {
    const usable = (operation: string, about: unknown) =>
      spans.checked(
        operation,
        operation.startsWith("StreamService.subscribe") ? "call" : "run",
        about,
        gate(operation, about)
      )
    /** A verb that returns a Stream. */
    const streamed = <Args extends ReadonlyArray<unknown>, A>(
      operation: string,
      opened: (operation: string) => (...args: Args) => Opening<A>
    ) => {
      const open = opened(operation)
      return (...args: Args) => pulled(Effect.zipRight(usable(operation, args[0]), open(...args)))
    }
    const open = <Args extends ReadonlyArray<unknown>>(
      operation: string,
      opening: (operation: string) => (...args: Args) => Opening<StreamEvent>
    ) =>
    (...args: Args) =>
      opened(operation, requestIds, Effect.zipRight(usable(operation, args[0]), opening(operation)(...args)))
    const either = (name: string) => {
      const [create, fim] = [created(name, events), filled(name, events)]
      return (request: Request, options?: StreamOptions) =>
        Effect.flatten(spans.checked(
          name,
          "run",
          undefined,
          validate.attempt(name, "", () => isFim(request) ? fim(request, options) : create(request, options))
        ))
    }
    return {
      create: streamed("StreamService.create", (name) => created(name, texts)),
      createEvents: streamed("StreamService.createEvents", (name) => created(name, events)),
      fim: streamed("StreamService.fim", (name) => filled(name, texts)),
      fimEvents: streamed("StreamService.fimEvents", (name) => filled(name, events)),
      subscribe: streamed("StreamService.subscribe", (name) => subscribed(name, texts)),
      subscribeEvents: streamed("StreamService.subscribeEvents", (name) => subscribed(name, events)),
      continue: streamed("StreamService.continue", (name) => continued(name, texts)),
      continueEvents: streamed("StreamService.continueEvents", (name) => continued(name, events)),
      fork: streamed("StreamService.fork", (name) => forked(name, texts)),
      forkEvents: streamed("StreamService.forkEvents", (name) => forked(name, events)),
      open: open("StreamService.open", either),
      openContinue: open("StreamService.openContinue", (name) => continued(name, events)),
      openFork: open("StreamService.openFork", (name) => forked(name, events))
    }
  })
