import { describe, expect, it } from "@effect/vitest"
import { createClient } from "effect-rwkv/promise"
import { Emulator } from "effect-rwkv/testing"

describe("a", () => {
  it("works", async () => {
    const client = createClient({ httpClient: Emulator.layer({ reply: () => "Hello you", pulse: 5 }) })
    expect((await client.generate({ prompt: "Hi" })).text).toBe("Hello you")
    let text = ""
    for await (const piece of client.stream({ prompt: "Hi" })) text += piece
    expect(text).toBe("Hello you")
    const run = await client.open({ prompt: "Hi" })
    expect((await run.finished()).text).toBe("Hello you")
    await client.close()
  })
})
