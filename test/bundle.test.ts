/**
 * What a program that uses the SDK has to load: how much of its own code, which other modules, and how they are imported.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { build, type Metafile } from "esbuild"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"

const KiB = 1024

/** The SDK's own code, minified and compressed. The aim is 19 KiB with tasks, and 15 KiB for streams alone. */
const budget = {
  tasksAndStreams: 37.25 * KiB,
  streamsAlone: 33.5 * KiB,
  chat: 39.8 * KiB,
  promptsAlone: 9.3 * KiB,
  languageModel: 40 * KiB,
  promise: 2 * KiB,
  durable: 39.25 * KiB,
  pool: 43.6 * KiB
}

const root = fileURLToPath(new URL("../", import.meta.url))

const tasksAndStreams = `
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { RWKV, StreamService } from "effect-rwkv"
const live = Layer.provide(RWKV.layer({ baseUrl: "http://localhost:8000" }), FetchHttpClient.layer)
const texts = StreamService.create({ prompt: "Hello" })
Effect.runFork(Effect.provide(Stream.runForEach(texts, (text) => Effect.log(text)), live))`

const streamsAlone = `
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { HttpClient, RWKVConfig, StreamService } from "effect-rwkv"
const live = StreamService.layer.pipe(
  Layer.provide(HttpClient.layer),
  Layer.provide([RWKVConfig.layer({ baseUrl: "http://localhost:8000" }), FetchHttpClient.layer])
)
const texts = StreamService.create({ prompt: "Hello" })
Effect.runFork(Effect.provide(Stream.runForEach(texts, (text) => Effect.log(text)), live))`

/** Every verb that a promise client has, without it. */
const services = `
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as RWKV from "./src/RWKV.ts"
import { resume, session } from "./src/RWKVSession.ts"
import * as StreamService from "./src/StreamService.ts"
import * as TaskService from "./src/TaskService.ts"
export const live = Layer.provide(RWKV.layer({}), FetchHttpClient.layer)
const { create, fim, open, openContinue, openFork, subscribe, subscribeEvents } = StreamService
export const streams = { create, fim, open, openContinue, openFork, subscribe, subscribeEvents }
const { asTemplate, continue: more, list, models, result, run, runAll, status, stop, wait } = TaskService
const tasks = { create: TaskService.create, fim: TaskService.fim, fork: TaskService.fork, delete: TaskService.delete }
export { asTemplate, list, models, more, result, resume, run, runAll, session, status, stop, tasks, wait }
export * from "./src/RWKVError.ts"`

const bundle = (code: string) =>
  Effect.promise(() =>
    build({
      stdin: { contents: code, resolveDir: root, loader: "js" },
      bundle: true,
      minify: true,
      write: false,
      metafile: true,
      format: "esm",
      platform: "browser",
      target: "es2022",
      alias: { "effect-rwkv": `${root}src/index.ts` },
      external: ["effect", "effect/*", "@effect/*"]
    })
  ).pipe(Effect.map(({ metafile, outputFiles }) => ({
    metafile,
    gzip: gzipSync(outputFiles[0]?.contents ?? new Uint8Array(), { level: 9 }).length
  })))

const inputs = ({ inputs }: Metafile) => Object.keys(inputs).map((path) => path.replaceAll("\\", "/"))

/** The modules of which something is left when what nobody uses is gone. */
const left = ({ outputs }: Metafile) =>
  Object.values(outputs).flatMap(({ inputs }) =>
    Object.entries(inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([path]) => path)
  )

const imports = ({ inputs }: Metafile) =>
  Object.entries(inputs).flatMap(([from, input]) => input.imports.map(({ path }) => ({ from, path })))

describe("the bundle", () => {
  it.effect.each(
    [
      ["tasks and streams", tasksAndStreams, budget.tasksAndStreams],
      ["streams alone", streamsAlone, budget.streamsAlone]
    ] as const
  )(
    "of a program with %s has no more of the SDK's own code than its budget",
    ([, program, limit]) =>
      Effect.gen(function*() {
        const { gzip } = yield* bundle(program)
        expect(gzip).toBeGreaterThan(limit / 2)
        expect(gzip).toBeLessThanOrEqual(limit)
      })
  )

  it.effect("has nothing of the emulator, and one dependency", () =>
    Effect.gen(function*() {
      const { metafile } = yield* bundle(tasksAndStreams)
      const paths = inputs(metafile)
      expect(paths.filter((path) => path.includes("/testing/"))).toEqual([])
      const packages = paths.filter((path) => path.includes("node_modules/"))
        .map((path) => path.replace(/.*node_modules\//, "").split("/")[0])
      expect([...new Set(packages)]).toEqual(["eventsource-parser"])
    }))

  it.effect("has nothing of the modules with an entry of their own, even if all of the main entry is kept", () =>
    Effect.gen(function*() {
      const { metafile } = yield* bundle("export * from \"effect-rwkv\"")
      const own =
        /EventResponse|RWKVChat|RWKVMessage|RWKVSession|RWKVLanguageModel|RWKVDurable|RWKVBatch|RWKVPool|promise|internal\/(chat|ai|durable|pool)/
      expect(inputs(metafile).filter((path) => own.test(path))).toEqual([])
      const chat = yield* bundle("export * from \"./src/RWKVChat.ts\"")
      expect(inputs(chat.metafile)).toContain("src/internal/chat/reply.ts")
      expect(imports(chat.metafile).filter(({ path }) => path === "effect" || path === "@effect/platform")).toEqual([])
      expect(chat.gzip).toBeLessThanOrEqual(budget.chat)
    }))

  it.effect("of prompts and replies has nothing of sessions, nor of services", () =>
    Effect.gen(function*() {
      const { gzip, metafile } = yield* bundle(`import { parse, prompt, reply, replyStream } from "./src/RWKVChat.ts"
        globalThis.chat = { parse, prompt, reply, replyStream }`)
      expect(
        left(metafile).filter((path) =>
          /Session|StreamService|chat\/(session|turn|strategy)|internal\/(stream|wire|owner)/.test(path)
        )
      ).toEqual([])
      expect(gzip).toBeLessThanOrEqual(budget.promptsAlone)
    }))

  it.effect("has nothing of @effect/ai, which only the language model imports, and by module", () =>
    Effect.gen(function*() {
      for (const entry of ["index", "RWKVChat", "EventResponse", "testing/index"]) {
        const { metafile } = yield* bundle(`export * from "./src/${entry}.ts"`)
        expect(imports(metafile).filter(({ path }) => path.startsWith("@effect/ai"))).toEqual([])
      }
      const model = yield* bundle("export * from \"./src/RWKVLanguageModel.ts\"")
      const all = imports(model.metafile).map(({ path }) => path)
      expect(all).toContain("@effect/ai/LanguageModel")
      expect(all.filter((path) => ["effect", "@effect/ai", "@effect/platform"].includes(path))).toEqual([])
      expect(all.filter((path) => /internal\/task|TaskService/.test(path))).toEqual([])
      expect(model.gzip).toBeLessThanOrEqual(budget.languageModel)
    }))

  it.effect("has nothing of the workflow engine, which only durable runs import, and by module", () =>
    Effect.gen(function*() {
      for (const entry of ["index", "RWKVChat", "RWKVLanguageModel", "promise", "testing/index"]) {
        const { metafile } = yield* bundle(`export * from "./src/${entry}.ts"`)
        expect(imports(metafile).filter(({ path }) => /@effect\/(workflow|cluster)/.test(path))).toEqual([])
      }
      const durable = yield* bundle("export * from \"./src/RWKVDurable.ts\"")
      const all = imports(durable.metafile).map(({ path }) => path)
      expect(all).toContain("@effect/workflow/Workflow")
      expect(all.filter((path) => /^(effect|@effect\/(platform|workflow|cluster|sql))$/.test(path))).toEqual([])
      expect(durable.gzip).toBeLessThanOrEqual(budget.durable)
    }))

  it.effect("of a program without Effect has little more than the services that it uses", () =>
    Effect.gen(function*() {
      const without = yield* bundle(services)
      const { gzip, metafile } = yield* bundle("export * from \"./src/promise.ts\"")
      expect(gzip - without.gzip).toBeGreaterThan(KiB)
      expect(gzip - without.gzip).toBeLessThanOrEqual(budget.promise)
      expect(imports(metafile).filter(({ path }) => path === "effect" || path === "@effect/platform")).toEqual([])
    }))

  it.effect("of a pool has little more than the services that it is of", () =>
    Effect.gen(function*() {
      const { gzip, metafile } = yield* bundle("export * from \"./src/RWKVPool.ts\"")
      expect(inputs(metafile)).toContain("src/internal/pool/policy.ts")
      expect(inputs(metafile).filter((path) => /RWKVChat|promise|internal\/(chat|ai)/.test(path))).toEqual([])
      expect(imports(metafile).filter(({ path }) => path === "effect" || path === "@effect/platform")).toEqual([])
      expect(gzip).toBeLessThanOrEqual(budget.pool)
    }))

  it.effect("of streams alone has nothing of tasks", () =>
    Effect.gen(function*() {
      const paths = left((yield* bundle(streamsAlone)).metafile)
      expect(paths).toContain("src/StreamService.ts")
      expect(paths.filter((path) => path.includes("internal/task/"))).toEqual([])
    }))

  it.effect("imports Effect and the platform by module: their barrels are half as large again", () =>
    Effect.gen(function*() {
      const testing = yield* bundle("export * from \"./src/testing/index.ts\"")
      const { metafile } = yield* bundle(tasksAndStreams)
      const all = [...imports(metafile), ...imports(testing.metafile)]
      expect(all.length).toBeGreaterThan(50)
      expect(all.filter(({ path }) => path === "effect" || path === "@effect/platform")).toEqual([])
    }))
})
