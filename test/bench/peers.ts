/**
 * Other SDKs, on the same server: the same texts, in the frames of their own protocol where they cannot read others.
 *
 * They are installed beside this file and not in the project, so their types are written down here as far as they are used.
 */
import type * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Make } from "./consumer.js"
import { decode, encode } from "./scenario.js"

/** Imported at run time only: the project compiles without them. */
const load = (name: string): Promise<unknown> => import(name)

const model = (id: string) => {
  const wanted = decode(id)
  if (wanted === undefined) throw new Error(`no scenario in ${id}`)
  return encode(wanted)
}

interface Chunk {
  readonly choices: ReadonlyArray<{ readonly delta: { readonly content?: string | null } }>
}

interface OpenAI {
  readonly chat: {
    readonly completions: { readonly create: (request: object) => Promise<AsyncIterable<Chunk>> }
  }
}

export const openai: Make = async (baseUrl) => {
  const { default: Client } = await load("openai") as {
    readonly default: new(options: object) => OpenAI
  }
  const client = new Client({ baseURL: `${baseUrl}/v1`, apiKey: "none", maxRetries: 0 })
  return {
    stream: async (id, onText) => {
      const chunks = await client.chat.completions.create({
        model: model(id),
        stream: true,
        messages: [{ role: "user", content: "Hello" }]
      })
      for await (const { choices } of chunks) {
        const text = choices[0]?.delta.content
        if (typeof text === "string") onText(text)
      }
    }
  }
}

interface StreamText {
  readonly streamText: (options: object) => { readonly textStream: AsyncIterable<string> }
}

interface Compatible {
  readonly createOpenAICompatible: (options: object) => (model: string) => unknown
}

export const vercel: Make = async (baseUrl) => {
  const { streamText } = await load("ai") as StreamText
  const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible") as Compatible
  const provider = createOpenAICompatible({ name: "rwkv", baseURL: `${baseUrl}/v1`, apiKey: "none" })
  return {
    stream: async (id, onText) => {
      const { textStream } = streamText({ model: provider(model(id)), prompt: "Hello", maxRetries: 0 })
      for await (const text of textStream) onText(text)
    }
  }
}

interface Frame {
  readonly data?: string | undefined
}

interface EffectClient {
  readonly streamRequest: (
    request: HttpClientRequest.HttpClientRequest,
    schema: Schema.Schema<Frame>
  ) => Stream.Stream<Frame, Error>
}

interface EffectOpenAi {
  readonly make: (options: object) => Effect.Effect<EffectClient>
}

export const effectAi: Make = async (baseUrl) => {
  const client = await load("@effect/ai-openai/OpenAiClient") as EffectOpenAi
  const effect = await load("effect/Effect") as typeof Effect
  const stream = await load("effect/Stream") as typeof Stream
  const schema = await load("effect/Schema") as typeof Schema
  const scope = await load("effect/Scope") as typeof Scope
  const platform = await load("@effect/platform/FetchHttpClient") as typeof FetchHttpClient
  const requests = await load("@effect/platform/HttpClientRequest") as typeof HttpClientRequest
  const frame = schema.Struct({ data: schema.optional(schema.String) })
  const { streamRequest } = await client.make({ apiUrl: baseUrl }).pipe(
    effect.provide(platform.layer),
    effect.provideService(scope.Scope, effect.runSync(scope.make())),
    effect.runPromise
  )
  return {
    stream: (id, onText) =>
      effect.runPromise(
        stream.runForEach(streamRequest(requests.get(`/v1/tasks/${id}/stream`), frame), ({ data }) =>
          effect.sync(() => {
            if (data !== undefined) onText(data)
          }))
      )
  }
}
