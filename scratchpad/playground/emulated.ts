/** The emulator behind the page: chats are answered by a script, prompts by the toy model. */
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
  "its place, once. 每个字都在，不多也不少。\n\nOpen the events below to see it happen."

const later = (turn: string, turns: number) =>
  `That was your message number ${turns}, “${
    quoted(turn)
  }”. The prompt that brought it holds our whole conversation, ` +
  "rendered as RWKV-7 G1 was trained on it, and no text of yours can forge a turn in it. Branch here, and two answers " +
  "will go on from the same words side by side."

const reply = Emulator.chat(({ messages, turn }) => {
  const turns = messages.filter(({ _tag }) => _tag === "User").length
  return {
    reasoning: `The user wrote ${turn.length} characters. This is message ${turns}. I have a line for that.`,
    text: turns === 1 ? first(turn) : later(turn, turns)
  }
})

/** About 150 tokens per second, each of them a byte. */
export const emulated = Effect.map(
  Emulator.make({
    reply,
    pulse: "40 millis",
    tokensPerPulse: 6,
    pollInterval: "40 millis",
    prefillPerToken: "200 micros"
  }),
  ({ httpApp }) => httpApp
)
