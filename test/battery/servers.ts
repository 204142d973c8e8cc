/**
 * Servers on local sockets for what the emulator cannot do: connections that are never made or break (F94), and an answer with
 * heartbeats that are events (F96). Pages of any origin may read what they answer.
 */
import { execFileSync } from "node:child_process"
import { lookup } from "node:dns/promises"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer as createHttpServer, type RequestListener } from "node:http"
import { createServer as createHttpsServer } from "node:https"
import { createServer, type Server } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

const listen = (server: Server) =>
  new Promise<string>((resolve) =>
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resolve(`127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`)
    })
  )

const id = "TMP_1"
const result = (text: string, finished: boolean) => ({
  task_id: id,
  result: text,
  prefill_time: 0.1,
  gen_time: finished ? 1 : 0,
  speed: 10,
  finished
})

const cors = { "access-control-allow-origin": "*", "access-control-allow-headers": "*" }

/** A task whose stream has heartbeats of all kinds between its frames. */
const heartbeats = (onStream: () => void): RequestListener => (request, response) => {
  const path = request.url ?? ""
  if (request.method === "OPTIONS") {
    response.writeHead(204, cors)
    response.end()
    return
  }
  if (path.endsWith("/stream")) {
    onStream()
    response.writeHead(200, { ...cors, "content-type": "text/event-stream" })
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
  response.writeHead(200, { ...cors, "content-type": "application/json" })
  response.end(JSON.stringify(body))
}

/** A certificate that nobody trusts; undefined where there is no openssl to make one. */
const certificate = () => {
  const folder = mkdtempSync(join(tmpdir(), "rwkv-"))
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")]
  try {
    const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
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

export const nobody = "no-such-host.invalid"

/** Whether somebody says that a name is nobody's; without a network nobody may. */
const hasNames = () =>
  Promise.race([
    lookup(nobody).then(() => false, ({ code }) => code === "ENOTFOUND"),
    new Promise<boolean>((resolve) => setTimeout(resolve, 3000, false).unref())
  ])

export const start = async () => {
  const closed = createServer()
  const refused = `http://${await listen(closed)}`
  closed.close()
  const reset = createServer((socket) => {
    socket.on("error", () => {})
    socket.once("data", () => socket.resetAndDestroy())
  })
  let opened = 0
  const beating = createHttpServer(heartbeats(() => opened++))
  const pem = certificate()
  const tls = pem && createHttpsServer(pem, (_, response) => response.end("{}"))
  tls?.on("tlsClientError", () => {})
  return {
    refused,
    reset: `http://${await listen(reset)}`,
    beating: `http://${await listen(beating)}`,
    hasNames: await hasNames(),
    /** Undefined where no certificate could be made. */
    selfSigned: tls && `https://${await listen(tls)}`,
    /** How often the stream with heartbeats was opened since this was asked last. */
    streams: () => {
      const streams = opened
      opened = 0
      return streams
    },
    stop: () => {
      for (const server of [reset, beating, tls]) server?.close()
    }
  }
}

export type Servers = Awaited<ReturnType<typeof start>>
