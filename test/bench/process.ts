/**
 * Child processes that answer line by line.
 */
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { bench, ownOutput, peersOutput } from "./setup.js"
import type { Figures, Job } from "./work.js"

export interface Child {
  readonly ask: <A>(message: object) => Promise<A>
  readonly end: () => void
}

const start = async <A>(command: string, args: ReadonlyArray<string>): Promise<{ child: Child; greeting: A }> => {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async () => {
    const line = await lines.next()
    if (line.done === true) throw new Error(`${args[0]?.split("/").pop()} ${args[1] ?? ""} died`)
    return JSON.parse(line.value)
  }
  child.stdin.on("error", () => undefined)
  const greeting: A = await next()
  return {
    greeting,
    child: {
      ask: async (message) => {
        child.stdin.write(`${JSON.stringify(message)}\n`)
        return next()
      },
      end: () => child.kill()
    }
  }
}

export interface Server {
  readonly url: string
  /** What was asked of it and the CPU microseconds it took, since the last time. */
  readonly taken: () => Promise<{ readonly requests: number; readonly cpu: number }>
  readonly end: () => void
}

export const startServer = async (): Promise<Server> => {
  const { child, greeting } = await start<{ readonly port: number }>("node", [`${ownOutput}/server.mjs`])
  return { url: `http://127.0.0.1:${greeting.port}`, taken: () => child.ask({}), end: child.end }
}

export interface Worker {
  readonly name: string
  readonly does: ReadonlyArray<string>
  readonly perform: (job: Job) => Promise<Figures>
  readonly end: () => void
}

export interface Client {
  /** Its name in the measuring program. */
  readonly name: string
  /** Its name in the table. */
  readonly title: string
  readonly home: "own" | "peers" | "python"
}

export const startWorker = async (
  client: Client,
  url: string,
  python: string | undefined,
  flags: ReadonlyArray<string> = []
): Promise<Worker> => {
  const program = client.home === "own" ? `${ownOutput}/work-own.mjs` : `${peersOutput}/work-peers.mjs`
  const { child, greeting } = client.home === "python"
    ? await start<{ readonly ready: ReadonlyArray<string> }>(python ?? "python3", [`${bench}consumer.py`, "", url])
    : await start<{ readonly ready: ReadonlyArray<string> }>("node", [...flags, program, client.name, url])
  return {
    name: client.name,
    does: greeting.ready,
    perform: async (job) => {
      const answer = await child.ask<Figures & { readonly error?: string }>(job)
      if (answer.error !== undefined) throw new Error(`${client.title}: ${answer.error}`)
      return answer
    },
    end: child.end
  }
}
