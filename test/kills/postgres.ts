/** A PostgreSQL of its own: a new cluster in a folder, started and stopped here, by a user who is not root. */
import { Data, Effect, Schedule, type Scope } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { chownSync, existsSync, readdirSync } from "node:fs"
import { createServer } from "node:net"

/** Why there is none, in a line. */
export class PostgresMissing extends Data.TaggedError("PostgresMissing")<{ readonly message: string }> {}

const debian = "/usr/lib/postgresql"

/** Where `initdb` and `postgres` are: Debian keeps them out of the PATH. */
const binaries = Effect.suspend(() => {
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const folders = [...versions.map((version) => `${debian}/${version}/bin`), ...(process.env["PATH"] ?? "").split(":")]
  const found = folders.find((folder) => existsSync(`${folder}/initdb`) && existsSync(`${folder}/postgres`))
  return found === undefined
    ? new PostgresMissing({ message: "neither initdb nor postgres is here: `apt-get install postgresql`" })
    : Effect.succeed(found)
})

const run = (command: string, args: ReadonlyArray<string>) =>
  Effect.try({
    try: () => execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], cwd: "/" }).trim(),
    catch: (error) => new PostgresMissing({ message: `${command}: ${String(error).slice(0, 500)}` })
  })

/** PostgreSQL refuses to run as root, so that root runs it as the user that its package has made, or as nobody. */
const user = Effect.gen(function*() {
  if (process.getuid?.() !== 0) return undefined
  const name = yield* Effect.orElse(
    Effect.as(run("id", ["-u", "postgres"]), "postgres"),
    () => Effect.succeed("nobody")
  )
  const [uid, gid] = yield* Effect.all([run("id", ["-u", name]), run("id", ["-g", name])])
  return { uid: Number(uid), gid: Number(gid) }
})

/** A port that nobody listens at just now. */
export const freePort = Effect.async<number>((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() => resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0)))
  })
})

/** A cluster in the folder, which becomes its user's; it ends with the scope. */
export const make = (folder: string): Effect.Effect<{ readonly url: string }, PostgresMissing, Scope.Scope> =>
  Effect.gen(function*() {
    const bin = yield* binaries
    const owner = yield* user
    const port = yield* freePort
    if (owner !== undefined) yield* Effect.sync(() => chownSync(folder, owner.uid, owner.gid))
    const command = (name: string, ...args: ReadonlyArray<string>) =>
      spawn(`${bin}/${name}`, args, { ...owner, cwd: folder, stdio: ["ignore", "ignore", "pipe"] })
    const ended = (child: ReturnType<typeof command>) =>
      Effect.async<string>((resume) => {
        let said = ""
        child.stderr.on("data", (chunk: Buffer) => said += chunk.toString())
        child.on("error", (error) => resume(Effect.succeed(error.message)))
        child.on("close", (code) => resume(Effect.succeed(code === 0 ? "" : said.slice(-500) || `code ${code}`)))
      })
    const data = `${folder}/data`
    const wrong = yield* ended(command("initdb", "-D", data, "-U", "durable", "-A", "trust", "-E", "UTF8", "--no-sync"))
    if (wrong !== "") return yield* new PostgresMissing({ message: `initdb: ${wrong}` })
    // It is never cut off from power here: what a killed client has committed is in its memory.
    const settings = ["listen_addresses=127.0.0.1", `port=${port}`, `unix_socket_directories=${folder}`, "fsync=off"]
    const server = yield* Effect.acquireRelease(
      Effect.sync(() => command("postgres", "-D", data, ...settings.flatMap((setting) => ["-c", setting]))),
      (server) =>
        Effect.zipRight(
          Effect.sync(() => server.kill("SIGINT")),
          Effect.repeat(Effect.sync(() => server.exitCode !== null || server.signalCode !== null), {
            until: (over) => over,
            schedule: Schedule.spaced("50 millis")
          })
        )
    )
    server.stderr.resume()
    const ready = Effect.suspend(() =>
      server.exitCode === null
        ? run(`${bin}/pg_isready`, ["-h", "127.0.0.1", "-p", `${port}`])
        : new PostgresMissing({ message: "postgres ended when it had just begun" })
    )
    yield* Effect.retry(ready, { schedule: Schedule.spaced("100 millis"), times: 300 }).pipe(
      Effect.mapError(() => new PostgresMissing({ message: "it was started and never ready" }))
    )
    return { url: `postgres://durable@127.0.0.1:${port}/postgres` }
  })
