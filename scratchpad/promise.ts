// Without Effect: `npx tsx scratchpad/promise.ts "Tell me a story"`, at RWKV_BASE_URL. Ctrl-C stops the task.
import { createClient, RWKVConnectionError } from "effect-rwkv/promise"

const client = createClient({ baseUrl: process.env["RWKV_BASE_URL"] })
const abort = new AbortController()
process.on("SIGINT", () => abort.abort("stopped"))
try {
  const stream = client.stream({ prompt: process.argv[2] ?? "Tell me a story" }, { signal: abort.signal })
  for await (const text of stream) process.stdout.write(text)
} catch (error) {
  process.stderr.write(`${error instanceof RWKVConnectionError ? `Is the server up? ${error.message}` : error}\n`)
} finally {
  await client.close()
}
