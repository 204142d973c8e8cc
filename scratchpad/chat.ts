// A chat in the terminal, with thoughts dimmed: `npx tsx scratchpad/chat.ts`, at RWKV_BASE_URL. Ctrl-C ends it.
import { Terminal } from "@effect/platform"
import { NodeHttpClient, NodeRuntime, NodeTerminal } from "@effect/platform-node"
import { Effect, Layer, Stream } from "effect"
import { RWKV } from "effect-rwkv"
import * as RWKVChat from "effect-rwkv/RWKVChat"

const dimmed = (text: string) => `\u001b[2m${text}\u001b[22m`
const shown = (part: RWKVChat.ReplyPart) =>
  part._tag === "Reasoning" ? dimmed(part.text) : part._tag === "Text" ? part.text : ""

const chat = Effect.gen(function*() {
  const { display, readLine } = yield* Terminal.Terminal
  const session = yield* RWKVChat.session({ think: "short", generation: RWKVChat.presets.rwkvPip })
  while (true) {
    yield* display("\n> ")
    yield* Stream.runForEach(session.stream(yield* readLine), (part) => display(shown(part)))
  }
})

const model = Layer.provide(RWKV.layerConfig(), NodeHttpClient.layerUndici)
NodeRuntime.runMain(Effect.provide(Effect.scoped(chat), Layer.merge(model, NodeTerminal.layer)))
