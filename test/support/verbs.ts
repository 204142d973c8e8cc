/** Verbs of all kinds, and a server that answers each of them at once. */
import { type Effect, Stream } from "effect"
import { StreamService, TaskService } from "effect-rwkv"
import * as wire from "./wire.js"

export const id = "TMP_1"
export const request = { prompt: "a", maxTokens: 5 }

const head = `{"task_id": "${id}", "prefill_time": 0.01}`
const text = `{"data": "text"}`

/** A server whose only task has ended. */
export const respond = (path: string, body: string): Response => {
  const streams = body !== "" && JSON.parse(body).stream === true
  if (streams) return wire.events(head, text, "[DONE]")
  if (path.includes("/stream")) return wire.events(text, "[DONE]")
  if (path.includes("/get_result")) {
    return wire.json({ ...wire.created, result: "text", gen_time: 1.5, finished: true })
  }
  return path.includes("/list")
    ? wire.json(wire.list)
    : path.includes("/models")
    ? wire.json(wire.models)
    : /\/(status|stop|delete)/.test(path)
    ? wire.json(wire.info)
    : wire.json(wire.created)
}

export type Verb = Effect.Effect<unknown, unknown, TaskService.TaskService | StreamService.StreamService>

const drained = Stream.runDrain

export const reads: Readonly<Record<string, Verb>> = {
  status: TaskService.status(id),
  result: TaskService.result(id),
  list: TaskService.list,
  models: TaskService.models,
  "wait by polling": TaskService.wait(id, { by: "polling" }),
  "wait by subscription": TaskService.wait(id, { by: "subscription" }),
  "wait with a limit": TaskService.wait(id, { by: "polling", timeout: "1 minute" }),
  subscribe: drained(StreamService.subscribe(id)),
  subscribeEvents: drained(StreamService.subscribeEvents(id, { fromToken: 0 }))
}

export const works: Readonly<Record<string, Verb>> = {
  stop: TaskService.stop(id),
  delete: TaskService.delete(id),
  continue: TaskService.continue(id, request),
  fork: TaskService.fork(id, request),
  asTemplate: TaskService.asTemplate("TASK_1"),
  create: TaskService.create(request),
  createPersistent: TaskService.createPersistent(request),
  fim: TaskService.fim({ prefix: "a" }),
  "create, subscribed": drained(StreamService.createEvents(request, { transport: "subscribe" })),
  "create, direct": drained(StreamService.createEvents(request, { transport: "direct" })),
  "continue, subscribed": drained(StreamService.continue(id, request, { transport: "subscribe" })),
  "continue, direct": drained(StreamService.continue(id, request, { transport: "direct" })),
  "fork, direct": drained(StreamService.forkEvents(id, request))
}

/** These tell the server at their end what to do with the task, in a fiber of the service. */
export const tidy: Readonly<Record<string, Verb>> = {
  run: TaskService.run(request),
  "create as text": drained(StreamService.create(request)),
  runAll: drained(TaskService.runAll([request]))
}

export const verbs = { ...reads, ...works }
