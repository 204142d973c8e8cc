/** RWKV-Server in this process, behind a port of its own; the runners that are killed are other processes. */
import { HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Clock, Context, Effect, Layer, Runtime } from "effect"
import { Emulator } from "effect-rwkv/testing"
import { createServer } from "node:http"

/** A task that the server has made. */
export interface Created {
  readonly prompt: string
  readonly taskId: string
  readonly at: number
}

/** The server under test, and every task it has made, in order. */
export class Server extends Context.Tag("test/kills/Server")<Server, {
  readonly url: string
  readonly emulator: Emulator.Service
  readonly created: ReadonlyArray<Created>
}>() {}

/** One word for the prompt and some more, so that runs take between half a second and two. */
const brief = (text: string) => {
  const length = 5 + Array.from(text).reduce((sum, character) => sum * 31 + character.charCodeAt(0), 7) % 30
  return { tokens: [`<${text}>`, ...Array.from({ length }, () => ".")] }
}

const endless = () => ({ tokens: ["x"], end: "loop" as const })

/** What a text must begin with. */
export const answer = (prompt: string) => `<${prompt}>.`

/**
 * `"endless"`: each run goes on to its `maxTokens`, two tokens a second; `"mixed"`: each third one does. A server of
 * today stops slots, and runs move between them (H29), so that what must be stopped is stopped on the documented one.
 */
export const layer = (replies: "brief" | "endless" | "mixed", profile: Emulator.Profile) =>
  Layer.scoped(
    Server,
    Effect.gen(function*() {
      const runtime = yield* Effect.runtime<never>()
      const created: Array<Created> = []
      const reply = ({ taskId, text }: Emulator.PromptRequest) => {
        created.push({ prompt: text, taskId, at: Runtime.runSync(runtime)(Clock.currentTimeMillis) })
        const isBrief = replies === "brief" || replies === "mixed" && created.length % 3 > 0
        return isBrief ? brief(text) : endless()
      }
      // More tasks than a real server keeps: what is evicted is made anew, and here each task is counted.
      const pulse = replies === "endless" ? "500 millis" : "50 millis"
      const emulator = yield* Emulator.make({ profile, reply, pulse, tokensPerPulse: 1, cacheCapacity: 4096 })
      const server = yield* HttpServer.HttpServer
      yield* server.serve(emulator.httpApp)
      const port = server.address._tag === "TcpAddress" ? server.address.port : 0
      return { url: `http://127.0.0.1:${port}`, emulator, created }
    })
  ).pipe(Layer.provide(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" })))
