/**
 * The nginx of the machine with the configuration of docs/browsers.md, in front of a server on this machine.
 */
import { execFileSync, spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const guide = fileURLToPath(new URL("../../docs/browsers.md", import.meta.url))

const freePort = () =>
  new Promise<number>((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

const replaced = (text: string, pairs: ReadonlyArray<readonly [string, string]>) =>
  pairs.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`the guide's configuration has no ${from}`)
    return text.replaceAll(from, to)
  }, text)

const answers = async (url: string): Promise<boolean> => {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (await fetch(url).then(() => true, () => false)) return true
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return false
}

/** Undefined where there is no nginx. */
export const start = async (upstream: string, origin: string) => {
  const path = "/usr/sbin/nginx"
  if (!existsSync(path)) return undefined
  const [, block = ""] = /^```nginx\n([\s\S]*?)^```$/m.exec(readFileSync(guide, "utf8")) ?? []
  const port = await freePort()
  const configuration = replaced(block, [
    ["listen 8080;", `listen 127.0.0.1:${port};`],
    ["127.0.0.1:8000", new URL(upstream).host],
    ["https://app.example", origin]
  ])
  const folder = mkdtempSync(join(tmpdir(), "rwkv-nginx-"))
  const file = join(folder, "nginx.conf")
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) =>
    `${name}_temp_path ${folder}/${name};`
  )
  const http = ["access_log off;", ...temporary, configuration].join("\n")
  const user = process.getuid?.() === 0 ? ["user root;"] : []
  const lines = ["daemon off;", "worker_processes 1;", ...user, `pid ${folder}/pid;`, `error_log ${folder}/error.log;`]
  writeFileSync(file, `${lines.join("\n")}\nevents {}\nhttp {\n${http}\n}\n`)
  execFileSync(path, ["-t", "-q", "-c", file, "-e", `${folder}/error.log`], { stdio: "inherit" })
  const child = spawn(path, ["-c", file, "-e", `${folder}/error.log`], { stdio: "inherit" })
  const url = `http://127.0.0.1:${port}`
  const stop = () =>
    new Promise<void>((resolve) => {
      child.on("exit", () => resolve())
      child.kill("SIGTERM")
    }).then(() => rmSync(folder, { recursive: true, force: true }))
  if (!await answers(url)) throw new Error("nginx does not answer")
  return { url, stop }
}
