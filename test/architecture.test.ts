/** What docs/ says of files has to be true: each file of the internal rooms has its line, and no line is of a file that is gone. */
import { describe, expect, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../", import.meta.url))

const read = (path: string) => readFileSync(`${root}${path}`, "utf8")

const files = readdirSync(`${root}src`, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => path.replaceAll("\\", "/"))

/** The files that a text names, whole or without `internal/`. */
const namedIn = (text: string) =>
  Array.from(text.matchAll(/`((?:[\w-]+\/)*\w+\.ts)`/g), ([, path = ""]) => path)
    .filter((path) => !path.endsWith(".test.ts"))

const isFile = (path: string) => files.includes(path) || files.includes(`internal/${path}`)

describe("the documents of the source", () => {
  it("architecture.md has a line for each file of the internal rooms, and for none that is gone", () => {
    const text = read("docs/architecture.md")
    const rooms = files.filter((path) => path.startsWith("internal/")).map((path) => path.replace("internal/", ""))
    const lines = text.split("\n").filter((line) => line.startsWith("| `"))
    for (const path of rooms) {
      expect(lines.some((line) => line.split(" | ")[0]?.includes(`\`${path}\``)), path).toBe(true)
    }
    // The emulator's rooms are named by their last part.
    const emulator = /^(testing|http|server|python|model)\//
    for (const path of namedIn(text).filter((path) => !emulator.test(path))) expect(isFile(path), path).toBe(true)
    for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(120)
  })

  it("hazards.md names files that are there", () => {
    for (const path of namedIn(read("docs/hazards.md"))) expect(isFile(path), path).toBe(true)
  })
})
