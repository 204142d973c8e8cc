/**
 * The serving process: RWKV-Server's routes with fixed answers, as fast as Node can write prepared buffers.
 *
 * Streams that are not paced are encoded once, HTTP chunks included, and written in blocks, so that the server costs next to
 * nothing beside any client. The runner measures its CPU with every figure, and how fast it feeds a socket that only reads.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { createInterface } from "node:readline"
import { decode, encode, micros, period, type Scenario, stamp, taskId, textOf, wholeText } from "./scenario.js"

type Shape = (text: string) => string

const prefill = { prefill_time: 0.001 }
const done = "data: [DONE]\n\n"

const taskFrame: Shape = (text) => `data: ${JSON.stringify({ data: text })}\n\n`

const chatFrame: Shape = (text) =>
  `data: ${
    JSON.stringify({
      id: "chatcmpl-1",
      object: "chat.completion.chunk",
      created: 1,
      model: "rwkv",
      choices: [{ index: 0, delta: { content: text }, finish_reason: null }]
    })
  }\n\n`

const chatEnd = `data: ${
  JSON.stringify({
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: "rwkv",
    choices: [{ index: 0, delta: {}, finish_reason: "stop" }]
  })
}\n\n`

const httpChunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`

const blockSize = 64 * 1024

const encodeStream = ({ frames, perWrite, size }: Scenario, shape: Shape): ReadonlyArray<Buffer> => {
  const texts = Array.from({ length: Math.min(frames, period) }, (_, index) => shape(textOf(index, size)))
  const chunks: Array<string> = []
  for (let index = 0; index < frames; index += perWrite) {
    const count = Math.min(perWrite, frames - index)
    chunks.push(httpChunk(Array.from({ length: count }, (_, more) => texts[(index + more) % period]).join("")))
  }
  const whole = Buffer.from(chunks.join(""))
  return Array.from(
    { length: Math.ceil(whole.length / blockSize) },
    (_, index) => whole.subarray(index * blockSize, (index + 1) * blockSize)
  )
}

const cached = <A>(make: (scenario: Scenario) => A) => {
  const known = new Map<string, A>()
  return (scenario: Scenario): A => {
    const key = encode(scenario)
    const value = known.get(key) ?? make(scenario)
    known.set(key, value)
    return value
  }
}

const taskBlocks = cached((scenario) => encodeStream(scenario, taskFrame))
const chatBlocks = cached((scenario) => encodeStream(scenario, chatFrame))
const texts = cached(wholeText)

/** When each task with a duration ends, and the texts of paced streams as they were sent. */
const ends = new Map<string, number>()
const sent = new Map<string, string>()
let nonce = 0
let requests = 0

const drained = (response: ServerResponse) =>
  new Promise<void>((resolve) => {
    const settle = () => {
      response.off("drain", settle).off("close", settle)
      resolve()
    }
    response.on("drain", settle).on("close", settle)
  })

/** Writes blocks that hold their HTTP chunks already. */
const writeBlocks = async (response: ServerResponse, blocks: ReadonlyArray<Buffer>, tail: string) => {
  response.chunkedEncoding = false
  for (const block of blocks) {
    if (!response.write(block)) await drained(response)
    if (response.destroyed) return
  }
  response.end(`${httpChunk(tail)}0\r\n\r\n`)
}

interface Paced {
  readonly id: string
  readonly scenario: Scenario
  readonly response: ServerResponse
  readonly shape: Shape
  readonly tail: string
  due: number
  left: number
}

const paced = new Set<Paced>()
/** The ids of paced streams that have not ended. */
const open = new Set<string>()

const tick = () => {
  for (const stream of paced) {
    if (stream.response.destroyed) {
      paced.delete(stream)
      open.delete(stream.id)
      continue
    }
    const now = micros()
    if (now < stream.due) continue
    const text = stamp(now, stream.scenario.size)
    sent.set(stream.id, (sent.get(stream.id) ?? "") + text)
    stream.response.write(stream.shape(text))
    stream.due += stream.scenario.pace * 1000
    if (--stream.left > 0) continue
    paced.delete(stream)
    open.delete(stream.id)
    stream.response.end(stream.tail)
  }
}

let ticking: NodeJS.Timeout | undefined
const pace = (stream: Omit<Paced, "due" | "left">) => {
  open.add(stream.id)
  paced.add({ ...stream, due: micros(), left: stream.scenario.frames })
  ticking ??= setInterval(tick, 1)
}

const stream = (response: ServerResponse, id: string, scenario: Scenario, kind: "task" | "chat") => {
  response.writeHead(200, {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "transfer-encoding": "chunked"
  })
  response.flushHeaders()
  const shape = kind === "task" ? taskFrame : chatFrame
  const tail = kind === "task" ? done : chatEnd + done
  if (kind === "task") response.write(`data: ${JSON.stringify({ task_id: id, ...prefill })}\n\n`)
  if (scenario.pace > 0) return pace({ id, scenario, response, shape, tail })
  if (scenario.duration > 0) {
    const end = ends.get(id) ?? micros()
    return setTimeout(() => response.end(shape(stamp(end)) + tail), Math.max(0, (end - micros()) / 1000))
  }
  return void writeBlocks(response, (kind === "task" ? taskBlocks : chatBlocks)(scenario), tail)
}

const json = (response: ServerResponse, body: unknown, status = 200) => {
  const bytes = Buffer.from(JSON.stringify(body))
  response.writeHead(status, { "content-type": "application/json", "content-length": bytes.length })
  response.end(bytes)
}

const read = (request: IncomingMessage) =>
  new Promise<string>((resolve) => {
    let body = ""
    request.setEncoding("utf8")
    request.on("data", (text: string) => {
      body += text
    }).on("end", () => resolve(body))
  })

const task = (response: ServerResponse, id: string, verb: string) => {
  const wanted = decode(id)
  if (wanted === undefined) return json(response, { detail: "no such scenario" }, 404)
  const end = ends.get(id)
  const finished = end === undefined ? !open.has(id) : micros() >= end
  const info = { task_id: id, status: finished ? 3 : 2, generated_buf: 1 }
  switch (verb) {
    case "stream":
      return stream(response, id, wanted, "task")
    case "get_result": {
      const text = end === undefined ? sent.get(id) ?? texts(wanted) : finished ? stamp(end) : ""
      return json(response, {
        task_id: id,
        result: text,
        ...prefill,
        gen_time: finished ? 1 : 0,
        speed: 100,
        finished
      })
    }
    case "delete":
      ends.delete(id)
      sent.delete(id)
      return json(response, info)
    default:
      return json(response, info)
  }
}

const create = async (request: IncomingMessage, response: ServerResponse) => {
  const body = await read(request)
  const wanted = decode(body)
  if (wanted === undefined) return json(response, { detail: "no such scenario" }, 422)
  const id = taskId(wanted, `c${nonce++}`)
  if (wanted.duration > 0) ends.set(id, micros() + wanted.duration * 1000)
  return json(response, { task_id: id, result: "", ...prefill, gen_time: 0, speed: 0, finished: false })
}

const chat = async (request: IncomingMessage, response: ServerResponse) => {
  const wanted = decode(await read(request))
  return wanted === undefined
    ? json(response, { error: { message: "no such scenario" } }, 422)
    : stream(response, `chat${nonce++}`, wanted, "chat")
}

const server = createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
  requests++
  const path = request.url ?? ""
  if (path === "/v1/chat/completions") return void chat(request, response)
  if (path === "/v1/tasks/tmp") return void create(request, response)
  const [, id = "", verb = ""] = /^\/v1\/tasks\/([^/]+)\/(\w+)/.exec(path) ?? []
  request.resume()
  return void task(response, id, verb)
})

/** Answers the runner, one line each: what was asked of the server, and what it cost, since the line before. */
let before = process.cpuUsage()
createInterface(process.stdin).on("line", () => {
  const { system, user } = process.cpuUsage(before)
  process.stdout.write(`${JSON.stringify({ requests, cpu: user + system })}\n`)
  before = process.cpuUsage()
  requests = 0
  if (paced.size === 0) sent.clear()
}).on("close", () => process.exit(0))

server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  const address = server.address()
  process.stdout.write(`${JSON.stringify({ port: typeof address === "object" ? address?.port : 0 })}\n`)
})
