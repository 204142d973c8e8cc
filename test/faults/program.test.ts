/** The README's first program, run as a reader runs it. */
import { Command, FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { fileURLToPath } from "node:url"
import * as Tcp from "../support/tcp.js"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** The program with another URL in it, as a process of its own. */
const run = (baseUrl: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const readme = yield* fs.readFileString(`${root}/README.md`)
    const [code = ""] = readme.slice(readme.indexOf("## The program")).match(/(?<=```ts\n)[\s\S]*?(?=```)/) ?? []
    expect(code).toContain("http://localhost:8000")
    const folder = yield* fs.makeTempDirectoryScoped({ directory: root, prefix: ".readme-" })
    yield* fs.writeFileString(`${folder}/program.ts`, code.replace("http://localhost:8000", baseUrl))
    const { exitCode, stderr, stdout } = yield* Command.start(
      Command.make("node_modules/.bin/tsx", `${folder}/program.ts`).pipe(Command.workingDirectory(root))
    )
    const text = (bytes: typeof stdout) => Stream.mkString(Stream.decodeText(bytes))
    return yield* Effect.all({ out: text(stdout), error: text(stderr), code: exitCode }, { concurrency: 3 })
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

describe("the README's program", () => {
  it.live("F115 with a bad URL says so, and exits with 1", () =>
    Effect.gen(function*() {
      for (const url of ["localhost", "ftp://localhost", ""]) {
        const { code, error, out } = yield* run(url)
        expect({ code, out }).toEqual({ code: 1, out: "" })
        expect(error).toMatch(/^\S.*baseUrl.*\n$/)
      }
    }), 60_000)

  it.live("F115 at a server that refuses says so, and exits with 1", () =>
    Effect.scoped(Effect.gen(function*() {
      const server = yield* Tcp.serve(() => Tcp.answer("401 Unauthorized", `{"detail":"who are you?"}`))
      const { code, error, out } = yield* run(server.baseUrl)
      expect({ code, out }).toEqual({ code: 1, out: "" })
      expect(error).toMatch(/^TaskService.create: .*401.*\n$/)
    })), 60_000)

  it.live(
    "F115 at a server writes its texts in one piece, deletes its task, and exits with 0",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const server = yield* Tcp.serve(Tcp.task("one two", { stream: () => Tcp.stream("one ", "two") }))
        expect(yield* run(server.baseUrl)).toEqual({ code: 0, out: "one two\none two\n", error: "" })
        expect(server.requests.some(({ path }) => path.endsWith("/delete"))).toBe(true)
      })),
    60_000
  )
})
