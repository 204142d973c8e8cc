/** The emulator behind the page: chats and one prompt are answered by a script, all others by the toy model. */
import { Effect } from "effect"
import { Emulator } from "effect-rwkv/testing"

const quoted = (turn: string) => turn.length > 80 ? `${turn.slice(0, 79)}…` : turn

const first = (turn: string) =>
  `You said “${
    quoted(turn)
  }”. I am no model: I am RWKV-Server's emulator reading from a script, so please do not ask me ` +
  "for advice.\n\nEverything around my words is real, though. A task was created over HTTP. Its text comes to this page " +
  "as server-sent events, a few tokens at a time, and is counted as it arrives. Stop me and the task is stopped on the " +
  "server too. Cut the connection while I talk: the SDK reads what is missing anew, and you will find every word in " +
  "its place, once.\n\nOpen the events below to see it happen."

const later = (turn: string, turns: number) =>
  `That was your message number ${turns}, “${quoted(turn)}”. ` + (
    turn.endsWith("?")
      ? "I am sure of this much: the text that you read is the text that the server has, be the connection whole or cut. " +
        "Where that could not be had, this card would say so, by the name of an error and not by silence."
      : "The prompt that brought it holds our whole conversation, rendered as RWKV-7 G1 was trained on it, and no text of " +
        "yours can forge a turn in it. Fork here, and two answers will go on from the same words side by side."
  )

const chat = Emulator.chat(({ messages, turn }) => {
  const turns = messages.filter(({ _tag }) => _tag === "User").length
  return {
    reasoning: `The user wrote ${turn.length} characters. This is message ${turns}. I have a line for that.`,
    text: turns === 1 ? first(turn) : later(turn, turns)
  }
})

const opening = "The river in spring"

const sentences = [
  " The heron on the far bank moved only when nobody looked.",
  " Snow from the hills had made the water loud, and it carried branches past the mill as if it had a day to keep.",
  " A boy counted the arches of the bridge and came to a different number each time.",
  " Downstream somebody was mending a boat with more patience than wood.",
  " By noon the ice had let go of the last reeds, and the whole valley smelled of wet earth.",
  " What the flood had taken in autumn it now brought back, one plank at a time.",
  " The ferryman said that it had never been so high, as he had said every year.",
  " At night the sound of it filled the houses, and people slept better than they would admit."
]

/** The sentences in an order of the task's own, a few of them. */
const told = (taskId: string, count: number) => {
  const start = Array.from(taskId).reduce((sum, character) => sum * 31 + character.charCodeAt(0) | 0, 7) >>> 0
  const step = [1, 3, 5, 7][start % 4] ?? 1
  return Array.from({ length: count }, (_, index) => sentences[(start + index * step) % sentences.length]).join("")
}

const reply = (request: Emulator.PromptRequest) => {
  const origin = request.before[0]?.prompt ?? request.text
  if (!origin.startsWith(opening)) return chat(request)
  return request.before.length > 0
    ? ` went on as before.${told(request.taskId, 4)}`
    : ` was late.${told(request.taskId, 7)}`
}

/** About 150 tokens per second, each of them a byte. */
export const emulated = Effect.map(
  Emulator.make({
    reply,
    // Stops and forks as the server promises them. The default has the bugs of today's server.
    profile: "documented",
    pulse: "40 millis",
    tokensPerPulse: 6,
    pollInterval: "40 millis",
    prefillPerToken: "200 micros"
  }),
  ({ httpApp }) => httpApp
)
