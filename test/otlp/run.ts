/**
 * `npm run test:otlp`: exports spans and metrics by a real exporter to a collector on localhost, and holds their names,
 * units and buckets against the table below. It exits with 1 if one differs. Where the exporter cannot be installed, as
 * without a network, it says so and skips; in a workflow (`CI`) that is a failure.
 */
import { build } from "esbuild"
import { spawn, spawnSync } from "node:child_process"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"

const here = fileURLToPath(new URL("./", import.meta.url))
const root = fileURLToPath(new URL("../../", import.meta.url))
const output = `${here}node_modules/.cache/program.mjs`

const say = (text: string) => process.stdout.write(`${text}\n`)

const seconds = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
const tokens = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]

/** Written out here once more, so that no name changes unnoticed. */
const metrics: Readonly<Record<string, readonly [unit: string, kind: "up" | "both" | ReadonlyArray<number>]>> = {
  "gen_ai.client.inference.duration": ["s", seconds],
  "gen_ai.client.inference.time_to_first_chunk": ["s", seconds],
  "gen_ai.client.inference.time_per_output_chunk": ["s", seconds],
  "gen_ai.client.inference.usage.output_tokens": ["{token}", "up"],
  "gen_ai.client.inference.operation.output_tokens": ["{token}", tokens],
  "rwkv.client.tasks.running": ["{task}", "both"],
  "rwkv.client.retries": ["{request}", "up"],
  "rwkv.client.reconnects": ["{connection}", "up"],
  "rwkv.client.tasks.running_on": ["{task}", "up"]
}

const attributes = {
  "gen_ai.operation.name": { stringValue: "text_completion" },
  "gen_ai.provider.name": { stringValue: "rwkv" },
  "gen_ai.request.model": { stringValue: "rwkv-7" },
  "gen_ai.request.max_tokens": { intValue: 320 },
  "gen_ai.request.temperature": { doubleValue: 0.5 },
  "gen_ai.request.top_k": { intValue: 3 },
  "gen_ai.request.stream": { boolValue: true },
  "gen_ai.response.finish_reasons": { arrayValue: { values: [{ stringValue: "length" }] } },
  "server.address": { stringValue: "localhost" },
  "server.port": { intValue: 8000 },
  "rwkv.operation": { stringValue: "StreamService.createEvents" },
  "rwkv.reconnects": { intValue: 1 }
}

interface Point {
  readonly explicitBounds?: ReadonlyArray<number>
  readonly attributes: ReadonlyArray<{ readonly key: string; readonly value: object }>
}

interface Metric {
  readonly name: string
  readonly unit: string
  readonly sum?: { readonly isMonotonic: boolean; readonly dataPoints: ReadonlyArray<Point> }
  readonly histogram?: { readonly dataPoints: ReadonlyArray<Point> }
}

interface Span extends Point {
  readonly name: string
  readonly kind: number
  readonly spanId: string
  readonly parentSpanId?: string
  readonly events: ReadonlyArray<{ readonly name: string }>
  readonly status: { readonly code: number }
}

const bodies: Array<string> = []
const spans: Array<Span> = []
const found = new Map<string, Metric>()

const read = (path: string | undefined, body: string) => {
  bodies.push(body)
  const told = JSON.parse(body)
  if (path === "/v1/traces") {
    for (const { scopeSpans } of told.resourceSpans) for (const scope of scopeSpans) spans.push(...scope.spans)
  }
  if (path === "/v1/metrics") {
    for (const { scopeMetrics } of told.resourceMetrics) {
      for (const scope of scopeMetrics) for (const metric of scope.metrics) found.set(metric.name, metric)
    }
  }
}

const complaints: Array<string> = []
const expect = (what: string, is: unknown, wanted: unknown) => {
  const same = JSON.stringify(is) === JSON.stringify(wanted)
  if (!same) complaints.push(`${what}: ${JSON.stringify(is)}, expected ${JSON.stringify(wanted)}`)
}

const check = () => {
  for (const [name, [unit, kind]] of Object.entries(metrics)) {
    const metric = found.get(name)
    expect(`${name}, unit`, metric?.unit, unit)
    if (typeof kind !== "string") expect(`${name}, buckets`, metric?.histogram?.dataPoints[0]?.explicitBounds, kind)
    else expect(`${name}, monotonic`, metric?.sum?.isMonotonic, kind === "up")
  }
  for (const name of found.keys()) {
    if (/^(gen_ai|rwkv)\./.test(name)) expect(`${name}, in the table`, name in metrics, true)
  }
  const streams = spans.filter(({ name }) => name === "text_completion rwkv-7")
  const [stream] = streams
  expect("spans of runs", streams.length, 3)
  expect("their kind", stream?.kind, 3)
  for (const [name, value] of Object.entries(attributes)) {
    expect(`attribute ${name}`, stream?.attributes.find(({ key }) => key === name)?.value, value)
  }
  expect("events", stream?.events.map(({ name }) => name).slice(0, 3), [
    "rwkv.retry",
    "rwkv.reconnect",
    "rwkv.first_text"
  ])
  const failed = spans.find(({ name }) => name === "TaskService.status")
  expect("error.type", failed?.attributes.find(({ key }) => key === "error.type")?.value, {
    stringValue: "TaskNotFoundError"
  })
  expect("the status of a failure", failed?.status.code, 2)
  const missed = spans.filter(({ events }) => events.some(({ name }) => name === "rwkv.stop_missed"))
  expect("spans with a missed stop", missed.map(({ name }) => name), ["rwkv.release"])
  const ids = new Set(spans.map(({ spanId }) => spanId))
  const lost = spans.filter(({ name, parentSpanId }) => name.startsWith("http.client") && !ids.has(parentSpanId ?? ""))
  expect("requests outside of a span of ours", lost.length, 0)
  expect("secrets", bodies.filter((body) => /a secret|a private prompt/.test(body)).length, 0)
}

/** Why the exporter is not there, if it is not. */
const install = (): string | undefined => {
  const given = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--loglevel=error"]
  const { status, stderr } = spawnSync("npm", given, {
    cwd: here,
    encoding: "utf8",
    timeout: 180_000,
    shell: process.platform === "win32"
  })
  return status === 0 ? undefined : /code (E\w+)/.exec(stderr ?? "")?.[1] ?? "npm said nothing, or did not end in time"
}

const run = async () => {
  await build({
    entryPoints: [`${here}program.ts`],
    outfile: output,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    alias: { "effect-rwkv": `${root}src/index.ts`, "effect-rwkv/testing": `${root}src/testing/index.ts` },
    external: ["effect", "@effect/*"]
  })
  const collector = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      read(request.url, Buffer.concat(chunks).toString())
      response.setHeader("content-type", "application/json").end("{}")
    })
  })
  await new Promise<void>((listening) => collector.listen(0, "127.0.0.1", listening))
  const address = collector.address()
  const port = typeof address === "object" ? address?.port : undefined
  const child = spawn(process.execPath, [output, `http://127.0.0.1:${port}`], { stdio: "inherit", timeout: 60_000 })
  const code = await new Promise((resolve) => child.on("close", resolve))
  collector.close()
  if (code !== 0) complaints.push(`the program ended with ${String(code)}`)
  check()
}

const missing = install()
if (missing !== undefined) {
  say(`SKIPPED: the exporter could not be installed (${missing}), so nothing was tested`)
  process.exit(process.env["CI"] === undefined ? 0 : 1)
}
await run()
say(`${spans.length} spans and ${found.size} metrics were exported`)
for (const complaint of complaints) say(`FAILED: ${complaint}`)
say(complaints.length === 0 ? "all names, units and buckets are those of the table" : `${complaints.length} differ`)
process.exitCode = complaints.length === 0 ? 0 : 1
