/**
 * The cases of F94 and F96 as servers on local sockets, and what has to come of them.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer as createHttpServer, type RequestListener } from "node:http"
import { createServer as createHttpsServer } from "node:https"
import { createServer, type Server } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Told } from "../browser/told.js"

export interface Task {
  readonly name: string
  readonly url: string
  readonly verb: "create" | "stream"
}

export interface Report extends Told {
  readonly name: string
}

export interface Case extends Task {
  /** What is wrong with a report, if anything. */
  readonly complaint: (report: Report) => string | undefined
}

const listen = (server: Server) =>
  new Promise<number>((resolve) =>
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resolve(typeof address === "object" && address !== null ? address.port : 0)
    })
  )

const fails = (isSafeToRepeat: boolean, isTransient?: boolean): Case["complaint"] => ({ failure }) =>
  failure?.tag !== "RWKVConnectionError"
    ? `not a connection error: ${JSON.stringify(failure ?? "success")}`
    : failure.isSafeToRepeat !== isSafeToRepeat
    ? `safe to repeat: ${failure.isSafeToRepeat}`
    : isTransient !== undefined && failure.isTransient !== isTransient
    ? `retryable: ${failure.isTransient}`
    : undefined

const id = "TMP_1"
const result = (text: string, finished: boolean) => ({
  task_id: id,
  result: text,
  prefill_time: 0.1,
  gen_time: finished ? 1 : 0,
  speed: 10,
  finished
})

/** A task whose stream has heartbeats of all kinds between its frames. */
const heartbeats = (streams: { opened: number }): RequestListener => (request, response) => {
  const path = request.url ?? ""
  if (path.endsWith("/stream")) {
    streams.opened++
    response.writeHead(200, { "content-type": "text/event-stream" })
    const beats = "event: ping\ndata: {\"type\": \"ping\"}\n\n: comment\n\ndata:\n\nevent: heartbeat\ndata: {}\n\n"
    for (const text of ["whole ", "and ", "once"]) response.write(`${beats}data: ${JSON.stringify({ data: text })}\n\n`)
    response.end(`${beats}data: [DONE]\n\n`)
    return
  }
  const body = path.endsWith("/get_result")
    ? result("whole and once", true)
    : path.endsWith("/tmp")
    ? result("", false)
    : { task_id: id, generated_buf: 3, status: 3 }
  response.writeHead(200, { "content-type": "application/json" })
  response.end(JSON.stringify(body))
}

/** A certificate that nobody trusts; undefined where there is no openssl to make one. */
const certificate = () => {
  const folder = mkdtempSync(join(tmpdir(), "rwkv-"))
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")]
  try {
    const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    const files = ["-keyout", key, "-out", cert]
    execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", ...names, ...files], {
      stdio: "pipe"
    })
    return { key: readFileSync(key), cert: readFileSync(cert) }
  } catch {
    return undefined
  } finally {
    rmSync(folder, { recursive: true })
  }
}

export const start = async (skipped: (what: string) => void) => {
  const closed = createServer()
  const refused = await listen(closed)
  closed.close()
  const reset = createServer((socket) => {
    socket.on("error", () => {})
    socket.once("data", () => socket.resetAndDestroy())
  })
  const streams = { opened: 0 }
  const beating = createHttpServer(heartbeats(streams))
  const pem = certificate()
  const tls = pem && createHttpsServer(pem, (_, response) => response.end("{}"))
  tls?.on("tlsClientError", () => {})
  if (tls === undefined) skipped("self-signed certificate, for there is no openssl")
  const create = (name: string, url: string, complaint: Case["complaint"]): Case => ({
    name,
    url,
    verb: "create",
    complaint
  })
  const cases: ReadonlyArray<Case> = [
    create("F94 refused", `http://127.0.0.1:${refused}`, fails(true, true)),
    create("F94 no such host", "http://no-such-host.invalid", fails(true, false)),
    ...(tls === undefined
      ? []
      : [create("F94 self-signed certificate", `https://localhost:${await listen(tls)}`, fails(true, false))]),
    // Bun connects to any port, and is refused.
    create("F94 a bad port", "http://127.0.0.1:9", fails(true)),
    create("F94 reset before an answer", `http://127.0.0.1:${await listen(reset)}`, fails(false, true)),
    {
      name: "F96 heartbeats that are events",
      url: `http://127.0.0.1:${await listen(beating)}`,
      verb: "stream",
      complaint: ({ failure, text }) => {
        const opened = streams.opened
        streams.opened = 0
        return failure !== undefined
          ? failure.message
          : text !== "whole and once"
          ? `another text: ${text}`
          : opened === 1
          ? undefined
          : `${opened} connections`
      }
    }
  ]
  const stop = () => {
    for (const server of [reset, beating, tls]) server?.close()
  }
  return { cases, stop }
}
