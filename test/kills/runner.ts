/** A runner: one of the programs of scratchpad/durable as a process of its own. */
import { Clock, Data, Deferred, Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { createWriteStream } from "node:fs"
import { fileOf, type Program } from "./programs.js"

/** A folder to write what each runner says to, for whoever looks for a bug. */
const logs = process.env["DURABLE_LOGS"]

export class RunnerFailed extends Data.TaggedError("RunnerFailed")<{ readonly message: string }> {}

export interface Runner {
  /** Waits for a line of its output. Fails if it ends without one. */
  readonly said: (pattern: RegExp) => Effect.Effect<string, RunnerFailed>
  /** Its end: its exit code, or the signal that ended it. */
  readonly ended: Effect.Effect<number | string>
  /** Sends the signal and waits for its end. */
  readonly kill: (signal: "SIGKILL" | "SIGTERM" | "SIGINT") => Effect.Effect<number | string>
  readonly type: (line: string) => Effect.Effect<void>
  readonly output: Effect.Effect<string>
  /** When it said so: the moments of the lines that hold the words. */
  readonly moments: (words: string) => ReadonlyArray<number>
}

/** Starts a program, which is killed when the scope closes. */
export const start = (
  program: Program,
  env: Record<string, string>
): Effect.Effect<Runner, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.gen(function*() {
      const end = yield* Deferred.make<number | string>()
      const log = logs === undefined
        ? undefined
        : createWriteStream(`${logs}/${yield* Clock.currentTimeMillis}-${program}.log`)
      const child = spawn(process.execPath, [fileOf(program)], {
        env: { ...process.env, ...env },
        stdio: ["pipe", "pipe", "pipe"]
      })
      let output = ""
      const heardAt: Array<readonly [number, string]> = []
      const listeners = new Set<() => void>()
      const heard = (chunk: Buffer) => {
        output += chunk.toString()
        heardAt.push([Date.now(), chunk.toString()])
        log?.write(chunk)
        for (const listener of listeners) listener()
      }
      child.stdout.on("data", heard)
      child.stderr.on("data", heard)
      // Written to when it has just ended.
      child.stdin.on("error", () => undefined)
      child.on("close", (code, signal) => {
        log?.end(`ended: ${signal ?? code}, at ${new Date().toISOString()}`)
        Deferred.unsafeDone(end, Effect.succeed(signal ?? code ?? -1))
        for (const listener of listeners) listener()
      })
      const said = (pattern: RegExp) =>
        Effect.async<string, RunnerFailed>((resume) => {
          const look = () => {
            const found = pattern.exec(output)
            const over = child.exitCode !== null || child.signalCode !== null
            if (found !== null) resume(Effect.succeed(found[0]))
            else if (over) {
              resume(new RunnerFailed({ message: `it never said ${pattern}, but:\n${output.slice(-4000)}` }))
            } else return
            listeners.delete(look)
          }
          listeners.add(look)
          look()
          return Effect.sync(() => listeners.delete(look))
        })
      const runner: Runner = {
        said,
        ended: Deferred.await(end),
        kill: (signal) => Effect.zipRight(Effect.sync(() => child.kill(signal)), Deferred.await(end)),
        type: (line) => Effect.sync(() => child.stdin.write(`${line}\n`)),
        output: Effect.sync(() => output),
        moments: (words) => heardAt.flatMap(([at, text]) => text.includes(words) ? [at] : [])
      }
      return runner
    }),
    (runner) => runner.kill("SIGKILL")
  )
