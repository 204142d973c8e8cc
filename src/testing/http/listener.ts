/**
 * The listening socket behind a request, where there is one within reach: Node's.
 *
 * @since 0.1.0
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"

/** @internal */
export interface Listener {
  /** From now on connections are refused; those that are open stay so. */
  readonly close: () => void
  /** Listens at the same address again. */
  readonly open: Effect.Effect<void>
}

const known = new WeakMap<object, Listener>()

const method = (target: object, name: string) => {
  const value: unknown = Predicate.hasProperty(target, name) ? target[name] : undefined
  return (...args: ReadonlyArray<unknown>): unknown =>
    typeof value === "function" ? Reflect.apply(value, target, args) : undefined
}

const make = (server: object): Listener => {
  const address = method(server, "address")()
  return {
    close: method(server, "close"),
    open: Effect.async((resume) => {
      if (Predicate.hasProperty(server, "listening") && server.listening === true) return resume(Effect.void)
      if (!Predicate.hasProperty(address, "port") || !Predicate.hasProperty(address, "address")) {
        return resume(Effect.void)
      }
      method(server, "listen")(address.port, address.address, () => resume(Effect.void))
    })
  }
}

/** @internal */
export const of = (request: HttpServerRequest.HttpServerRequest): Listener | undefined => {
  const { source } = request
  if (!Predicate.hasProperty(source, "socket") || !Predicate.hasProperty(source.socket, "server")) return undefined
  const { server } = source.socket
  if (!Predicate.isObject(server)) return undefined
  const listener = known.get(server) ?? make(server)
  known.set(server, listener)
  return listener
}
