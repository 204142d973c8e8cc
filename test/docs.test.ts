/** What a reader of the pages relies on: links lead somewhere, and both languages of the README say the same. */
import { describe, expect, it } from "@effect/vitest"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, normalize } from "node:path"
import { fileURLToPath } from "node:url"
import { languages } from "../docs/site/languages.js"
import { brokenLinks } from "../docs/site/links.js"
import { hosts } from "./runtimes/hosts.js"
import { tables } from "./runtimes/table.js"

const root = fileURLToPath(new URL("../", import.meta.url))

const read = (path: string) => readFileSync(join(root, path), "utf8")

const markdownIn = (folder: string) =>
  readdirSync(join(root, folder)).filter((name) => name.endsWith(".md")).map((name) => normalize(join(folder, name)))

const pages = [".", "docs", "test", ".github"].flatMap(markdownIn)

const withoutCode = (text: string) => text.replaceAll(/^```[\s\S]*?^```$/gm, "").replaceAll(/`[^`\n]+`/g, "code")

const linksOf = (text: string) =>
  Array.from(withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g), ([, target = ""]) => target)
    .filter((target) => !/^[a-z]+:/.test(target))

/** The anchors that forges give to headings. */
const anchorsOf = (text: string) =>
  Array.from(
    text.matchAll(/^#+ (.+)$/gm),
    ([, heading = ""]) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").trim().replaceAll(" ", "-")
  )

const leadsNowhere = (page: string, target: string) => {
  const [file = "", anchor] = target.split("#")
  const path = file === "" ? page : normalize(join(dirname(page), file))
  if (!existsSync(join(root, path))) return true
  return anchor !== undefined && path.endsWith(".md") && !anchorsOf(read(path)).includes(anchor)
}

const blocksOf = (text: string) => Array.from(text.matchAll(/^```\w+\n[\s\S]*?^```$/gm), ([block]) => block)

const rowsOf = (text: string) => text.split("\n").filter((line) => line.startsWith("|")).length

describe("the pages", () => {
  it("have no relative link that leads nowhere", () => {
    expect(pages.length).toBeGreaterThan(10)
    expect(
      pages.flatMap((page) => linksOf(read(page)).map((target) => ({ page, target })))
        .filter(({ page, target }) => leadsNowhere(page, target))
    ).toEqual([])
  })

  it("have code of languages that the site colours", () => {
    const others = pages.flatMap((page) =>
      Array.from(read(page).matchAll(/^```(\w+)/gm), ([, language = ""]) => language)
        .filter((language) => !languages.includes(language))
        .map((language) => `${page}: ${language}`)
    )
    expect(others).toEqual([])
  })

  it("are all reached from the README", () => {
    const reached = new Set<string>()
    const visit = (page: string): void => {
      if (reached.has(page)) return
      reached.add(page)
      for (const target of linksOf(read(page))) {
        const path = normalize(join(dirname(page), target.split("#")[0] ?? ""))
        if (pages.includes(path)) visit(path)
      }
    }
    visit("README.md")
    expect(pages.filter((page) => page.startsWith("docs/") && !reached.has(page))).toEqual([])
  })
})

describe("the README", () => {
  const [english, chinese] = [read("README.md"), read("README.zh-CN.md")]

  it("has at most 250 lines", () => {
    for (const text of [english, chinese]) expect(text.trimEnd().split("\n").length).toBeLessThanOrEqual(250)
  })

  it("has the same code in both languages", () => {
    expect(blocksOf(english).length).toBeGreaterThan(4)
    expect(blocksOf(chinese)).toEqual(blocksOf(english))
  })

  it("has the same sections, rows and links in both languages, and each links to the other at its top", () => {
    const links = (text: string) => linksOf(text).filter((target) => !target.startsWith("README")).sort()
    const headings = (text: string) => Array.from(text.matchAll(/^#+ /gm), ([level]) => level)
    expect(links(chinese)).toEqual(links(english))
    expect(rowsOf(chinese)).toBe(rowsOf(english))
    expect(headings(withoutCode(chinese))).toEqual(headings(withoutCode(english)))
    expect(linksOf(english)[0]).toBe("README.zh-CN.md")
    expect(linksOf(chinese)[0]).toBe("README.md")
  })
})

describe("the README's table of runtimes", () => {
  it("has the rows and the columns that `npm run test:runtimes` plays, and the same cells in both languages", () => {
    for (const { cells, columns, rows, titles } of tables) {
      expect(rows).toEqual(titles)
      expect(columns).toEqual(hosts.map(({ name }) => name))
      expect(cells).toEqual(tables[0]?.cells)
      expect(cells.flat().filter((cell) => cell !== "✓" && cell !== "hidden")).toEqual([])
    }
  })
})

describe("the check of the site's links", () => {
  it("finds pages, pictures and headings that are not there, and no others", () => {
    const folder = mkdtempSync(join(tmpdir(), "effect-rwkv-links-"))
    mkdirSync(join(folder, "sub"))
    writeFileSync(
      join(folder, "index.html"),
      "<a href=\"sub/page.html#there\"></a><a href=\"sub/page.html#gone\"></a><a href=\"https://a.example\"></a><img src=\"no.svg\">"
    )
    writeFileSync(
      join(folder, "sub", "page.html"),
      "<h2 id=\"there\"></h2><a href=\"../index.html\"></a><a href=\"index.html\"></a>"
    )
    const found = brokenLinks(folder)
    rmSync(folder, { recursive: true })
    expect([...found].sort()).toEqual([
      "index.html: no.svg",
      "index.html: sub/page.html#gone",
      "sub/page.html: index.html"
    ])
  })
})
