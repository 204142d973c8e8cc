// A batch job, a text for every line of a file:
// `npx tsx scratchpad/batch.ts prompts.txt results.jsonl`, at RWKV_BASE_URL. It tells how far it is.
// Started again it goes on with what is not done, after a failure, Ctrl-C or a crash.
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Array, Console, Effect, Either, Layer, Schema, Stream } from "effect"
import { RWKV, TaskService } from "effect-rwkv"

const [input = "prompts.txt", output = "results.jsonl"] = process.argv.slice(2)
const decode = Schema.decodeOption(Schema.parseJson(Schema.Struct({ prompt: Schema.String, text: Schema.String })))

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const written = yield* fs.readFileString(output).pipe(Effect.orElseSucceed(() => ""))
  const done = new Set(Array.filterMap(written.split("\n"), (line) => decode(line)).map(({ prompt }) => prompt))
  const prompts = (yield* fs.readFileString(input)).split("\n").filter((line) => line !== "" && !done.has(line))
  yield* TaskService.runAll(prompts.map((prompt) => ({ prompt, maxTokens: 200 })), {
    onProgress: ({ done, failed }) => Console.log(`${done} of ${prompts.length}, ${failed} failed`)
  }).pipe(Stream.runForEach(({ index, result }) =>
    Either.match(result, {
      onLeft: (error) => Console.error(error.message),
      onRight: ({ text }) =>
        // The break stands before the line: a line that a crash has cut ends there.
        fs.writeFileString(output, `\n${JSON.stringify({ prompt: prompts[index], text })}`, { flag: "a" })
    })
  ))
})

NodeRuntime.runMain(
  Effect.provide(program, [Layer.provide(RWKV.layerConfig(), NodeHttpClient.layerUndici), NodeContext.layer])
)
