/**
 * What docs/ says of files has to be true: each file of the internal rooms has its line, and no line is of a file that is
 * gone. And what these files export is what others import.
 */
import { describe, expect, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../", import.meta.url))

const read = (path: string) => readFileSync(`${root}${path}`, "utf8")

const filesOf = (folder: string) =>
  readdirSync(`${root}${folder}`, { recursive: true, encoding: "utf8" })
    .filter((path) => /^(?!.*node_modules).*\.ts$/.test(path))
    .map((path) => path.replaceAll("\\", "/"))

const files = filesOf("src")

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

  it("architecture.md answers its questions by functions that are there", () => {
    const answers = read("docs/architecture.md").matchAll(/^\| [^|]*\? \| `([^`]*)` \| `(\w+)`/gm)
    const found = Array.from(answers, ([, path = "", name = ""]) => [path, name] as const)
    expect(found.length).toBeGreaterThan(20)
    for (const [path, name] of found) expect(read(`src/${path}`)).toMatch(new RegExp(`\\b${name}\\b`))
  })

  it("hazards.md names files that are there", () => {
    for (const path of namedIn(read("docs/hazards.md"))) expect(isFile(path), path).toBe(true)
  })
})

it("no line of the source is longer than 120 columns, but for the corpus", () => {
  for (const path of files.filter((path) => !path.endsWith("corpus.ts"))) {
    read(`src/${path}`).split("\n").forEach((line, index) =>
      expect(line.length, `${path}:${index + 1}`).toBeLessThanOrEqual(120)
    )
  }
})

/** What a file imports, as `path name`. */
const importedBy = (path: string) => {
  const text = read(path)
  return Array.from(
    text.matchAll(/^import (?:type )?(?:\{([^}]*)\}|\* as (\w+)) from "(\.[^"]*)\.js"/gm),
    ([, names = "", space = "", from = ""]) => {
      const file = new URL(`${from}.ts`, `file:///${path}`).pathname.slice(1)
      const members = space === "" ? [] : Array.from(text.matchAll(new RegExp(`\\b${space}\\.(\\w+)`, "g")))
      const named = names.split(",").map((name) => name.trim().replace(/^type /, "").replace(/ as .*/, ""))
      return [...named, ...members.map(([, name]) => name)].map((name) => `${file} ${name}`)
    }
  ).flat()
}

/** What nobody imports, and declarations have to name: a part of a type that is inferred elsewhere. */
const parts = [
  "src/internal/durable/schemas.ts RequestEncoded",
  "src/internal/owner/lifetime.ts Release",
  "src/internal/pool/queue.ts Asked",
  "src/internal/pool/tally.ts Entry"
]

describe("the internal rooms and the emulator", () => {
  it("export what another file imports, and no more", () => {
    const all = ["src", "test"].flatMap((folder) => filesOf(folder).map((path) => `${folder}/${path}`))
    const imported = new Set(all.flatMap(importedBy))
    const exported = files
      .filter((path) => /^(internal|testing)\//.test(path) && path !== "testing/Emulator.ts")
      .flatMap((path) =>
        Array.from(
          read(`src/${path}`).matchAll(/^export (?:const|function|class|interface|type) (\w+)/gm),
          ([, name = ""]) => `src/${path} ${name}`
        )
      )
    expect(exported.length).toBeGreaterThan(300)
    expect(exported.filter((name) => !imported.has(name)).sort()).toEqual(parts)
  })
})
