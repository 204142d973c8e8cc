/**
 * What a program pays before it does anything: the time of its imports in a fresh process, and the size of its bundle.
 */
import { build, type Plugin } from "esbuild"
import { execFileSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { pathToFileURL } from "node:url"
import { gzipSync } from "node:zlib"
import { bench, ownOutput, peersOutput, reason, root, say } from "./setup.js"
import { type Spread, spread } from "./stats.js"

export interface ColdRow {
  readonly title: string
  /** Milliseconds, beyond those of an empty program; the ratio is to Effect and the platform's client alone. */
  readonly time?: Spread
  readonly ratio?: Spread
  /** Bytes, minified: plain and after gzip. */
  readonly esbuild?: Size
  readonly vite?: Size
}

interface Size {
  readonly min: number
  readonly gzip: number
}

interface Program {
  readonly title: string
  readonly home: "own" | "peers"
  readonly imports: ReadonlyArray<string>
  readonly code: string
  /** Left out of the bundle. */
  readonly external?: ReadonlyArray<string>
}

const platform = ["@effect/platform/FetchHttpClient", "@effect/platform/HttpClient"]
const bare = ["effect/Effect", "effect/Layer", "effect/Stream", "effect/Schema", "effect/Schedule", ...platform]

/** Creates a task and streams its text: the smallest program of each SDK. */
const own = `
import { RWKV, StreamService } from "effect-rwkv"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
const live = Layer.provide(RWKV.layer({ baseUrl: "http://localhost:8000" }), FetchHttpClient.layer)
Effect.runFork(Effect.provide(
  Stream.runForEach(StreamService.create({ prompt: "Hello" }), (text) => Effect.log(text)),
  live
))`

export const ownProgram = own

const programs: ReadonlyArray<Program> = [
  { title: "nothing", home: "own", imports: [], code: "" },
  {
    title: "effect + @effect/platform, by module",
    home: "own",
    imports: bare,
    code: `
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
const get = Effect.flatMap(HttpClient.get("http://localhost:8000"), (response) =>
  Stream.runForEach(Stream.decodeText(response.stream), (text) => Effect.log(text)))
Effect.runFork(Effect.provide(get, FetchHttpClient.layer))`
  },
  { title: "effect-rwkv", home: "own", imports: [`${ownOutput}/package/index.js`], code: own },
  {
    title: "effect-rwkv, its own code",
    home: "own",
    imports: [],
    code: own,
    external: ["effect", "effect/*", "@effect/platform", "@effect/platform/*"]
  },
  { title: "effect + @effect/platform, whole", home: "own", imports: ["effect", "@effect/platform"], code: "" },
  {
    title: "openai",
    home: "peers",
    imports: ["openai"],
    code: `
import OpenAI from "openai"
const client = new OpenAI({ baseURL: "http://localhost:8000/v1", apiKey: "none" })
const messages = [{ role: "user", content: "Hello" }]
for await (const chunk of await client.chat.completions.create({ model: "rwkv", stream: true, messages })) {
  console.log(chunk.choices[0]?.delta.content)
}`
  },
  {
    title: "ai + @ai-sdk/openai-compatible",
    home: "peers",
    imports: ["ai", "@ai-sdk/openai-compatible"],
    code: `
import { streamText } from "ai"
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
const provider = createOpenAICompatible({ name: "rwkv", baseURL: "http://localhost:8000/v1" })
for await (const text of streamText({ model: provider("rwkv"), prompt: "Hello" }).textStream) console.log(text)`
  },
  {
    title: "@effect/ai-openai",
    home: "peers",
    imports: ["@effect/ai-openai/OpenAiClient", ...platform, "effect/Effect", "effect/Stream"],
    code: `
import * as OpenAiClient from "@effect/ai-openai/OpenAiClient"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
const live = Layer.provide(OpenAiClient.layer({ apiUrl: "http://localhost:8000/v1" }), FetchHttpClient.layer)
const program = Effect.flatMap(OpenAiClient.OpenAiClient, (client) =>
  Stream.runForEach(client.createResponseStream({ model: "rwkv", input: "Hello" }), (event) => Effect.log(event)))
Effect.runFork(Effect.provide(program, live))`
  }
]

const folder = ({ home }: Program) => home === "own" ? ownOutput : peersOutput

const importTime = (program: Program): number => {
  const file = `${folder(program)}/import.mjs`
  const lines = program.imports.map((name) =>
    `await import(${JSON.stringify(name.startsWith("/") ? pathToFileURL(name).href : name)})`
  )
  writeFileSync(
    file,
    ["const begun = performance.now()", ...lines, "process.stdout.write(String(performance.now() - begun))"].join("\n")
  )
  return Number(execFileSync("node", [file], { encoding: "utf8" }))
}

const sizeOf = (code: string | Uint8Array): Size => ({
  min: Buffer.byteLength(code),
  gzip: gzipSync(code, { level: 9 }).length
})

/** Marked pure by their packages' own `sideEffects`; Node's modules are not for a browser and cost nothing here. */
const noNode: Plugin = {
  name: "no-node",
  setup: ({ onResolve }) => onResolve({ filter: /^node:/ }, ({ path }) => ({ path, external: true }))
}

const withEsbuild = async (program: Program): Promise<Size> => {
  const { outputFiles } = await build({
    stdin: { contents: program.code, resolveDir: folder(program), loader: "js" },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "browser",
    target: "es2022",
    alias: { "effect-rwkv": `${root}src/index.ts` },
    external: [...program.external ?? []],
    plugins: [noNode]
  })
  return sizeOf(outputFiles[0]?.contents ?? "")
}

interface Vite {
  readonly build: (options: object) => Promise<
    { readonly output: ReadonlyArray<{ readonly code?: string }> } | ReadonlyArray<unknown>
  >
}

const withVite = async (program: Program): Promise<Size> => {
  const path = createRequire(`${bench}package.json`).resolve("vite/package.json").replace(/package\.json$/, "")
  const vite: Vite = await import(pathToFileURL(`${path}dist/node/index.js`).href)
  const entry = `${folder(program)}/size.mjs`
  writeFileSync(entry, program.code)
  const external = (id: string) =>
    id.startsWith("node:") || (program.external !== undefined && /^(effect|@effect\/platform)(\/|$)/.test(id))
  const result = await vite.build({
    root: folder(program),
    configFile: false,
    logLevel: "silent",
    resolve: { alias: { "effect-rwkv": `${root}src/index.ts` } },
    build: {
      write: false,
      target: "es2022",
      modulePreload: { polyfill: false },
      rollupOptions: { input: entry, external, output: { format: "es" } }
    }
  })
  const { output } = result as { readonly output: ReadonlyArray<{ readonly code?: string }> }
  return sizeOf(output.map(({ code }) => code ?? "").join(""))
}

const attempt = async <A>(what: string, run: () => A | Promise<A>): Promise<A | undefined> => {
  try {
    return await run()
  } catch (error) {
    say(`SKIPPED: ${what} (${reason(error)})`)
    return undefined
  }
}

export const cold = async (rounds: number, withPeers: boolean): Promise<ReadonlyArray<ColdRow>> => {
  const chosen = programs.filter(({ home }) => home === "own" || withPeers)
  for (const program of chosen) mkdirSync(folder(program), { recursive: true })
  const times = new Map(chosen.map((program) => [program, new Array<number>()]))
  for (let round = -1; round < rounds; round++) {
    for (const program of chosen) {
      const time = await attempt(`the import of ${program.title}`, () => importTime(program))
      if (round >= 0 && time !== undefined && program.imports.length > 0) times.get(program)?.push(time)
    }
  }
  const yardstick = times.get(programs[1] ?? { title: "", home: "own", imports: [], code: "" }) ?? []
  const rows: Array<ColdRow> = []
  for (const program of chosen) {
    if (program.title === "nothing") continue
    const time = times.get(program) ?? []
    const sizes = program.code === "" ? {} : {
      esbuild: await attempt(`esbuild of ${program.title}`, () => withEsbuild(program)),
      vite: withPeers ? await attempt(`vite of ${program.title}`, () => withVite(program)) : undefined
    }
    rows.push({
      title: program.title,
      ...(time.length === 0 ? {} : {
        time: spread(time),
        ratio: spread(time.map((one, index) => one / (yardstick[index] ?? Number.NaN)))
      }),
      ...(sizes.esbuild === undefined ? {} : { esbuild: sizes.esbuild }),
      ...(sizes.vite === undefined ? {} : { vite: sizes.vite })
    })
  }
  return rows
}
