/**
 * The yardstick: a loop over `fetch`, as one would write it by hand for a server that makes no mistakes.
 */
import { setTimeout as sleep } from "node:timers/promises"
import type { Make } from "./consumer.js"

interface Answer {
  readonly task_id: string
  readonly result: string
  readonly finished: boolean
  readonly data?: string
}

const parse = (text: string): Answer => JSON.parse(text)

export const read = async (response: Response, onPayload: (payload: string) => void) => {
  if (response.body === null) throw new Error("no body")
  const reader = response.body.getReader()
  const utf8 = new TextDecoder()
  let rest = ""
  let endsInNewline = false
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    const text = utf8.decode(chunk.value, { stream: true })
    if (!text.includes("\n\n") && !(endsInNewline && text.startsWith("\n"))) {
      rest += text
      endsInNewline = text.endsWith("\n")
      continue
    }
    const events = (rest + text).split("\n\n")
    rest = events.pop() ?? ""
    endsInNewline = rest.endsWith("\n")
    for (const event of events) {
      if (event.startsWith("data: ")) onPayload(event.slice(6))
    }
  }
}

export const raw: Make = async (baseUrl) => {
  const ask = async (path: string, init?: RequestInit) => {
    const response = await fetch(`${baseUrl}/v1/tasks/${path}`, init)
    return parse(await response.text())
  }
  return {
    stream: async (id, onText) =>
      read(await fetch(`${baseUrl}/v1/tasks/${id}/stream`), (payload) => {
        if (payload === "[DONE]") return
        const { data } = parse(payload)
        if (typeof data === "string") onText(data)
      }),
    ask: (id) => ask(`${id}/status`),
    // A fixed poll every 500 ms, as the Python SDK has it.
    wait: async (prompt) => {
      const { task_id } = await ask("tmp", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ prompt })
      })
      while (true) {
        const answer = await ask(`${task_id}/get_result`)
        if (answer.finished) return answer.result
        await sleep(500)
      }
    }
  }
}
