/** The fault switch: breaks the connections of all streams that are open, as a bad network would. */
import { type HttpApp, HttpServerRequest, type HttpServerResponse } from "@effect/platform"
import { Effect, Predicate } from "effect"
import { Socket } from "node:net"

const socketOf = ({ source }: HttpServerRequest.HttpServerRequest) =>
  Predicate.hasProperty(source, "socket") && source.socket instanceof Socket ? source.socket : undefined

const isStream = ({ headers }: HttpServerResponse.HttpServerResponse) =>
  headers["content-type"]?.startsWith("text/event-stream") === true

export const cutting = <E, R>(served: HttpApp.Default<E, R>) =>
  Effect.sync(() => {
    const open = new Set<Socket>()
    const app = Effect.gen(function*() {
      const request = yield* HttpServerRequest.HttpServerRequest
      const response = yield* served
      const socket = socketOf(request)
      if (socket !== undefined && isStream(response)) {
        open.add(socket)
        yield* Effect.addFinalizer(() => Effect.sync(() => open.delete(socket)))
      }
      return response
    })
    /** How many there were. */
    const cut = Effect.sync(() => {
      const { size } = open
      for (const socket of open) socket.destroy()
      open.clear()
      return size
    })
    return { app, cut }
  })
