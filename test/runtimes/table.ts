/** The README's table of what works where, in both of its languages: rows of cases, columns of runtimes. */
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { rows } from "../battery/cases.js"

export type Row = keyof typeof rows

/** All of a row's cases hold; they do, and the runtime hides its reasons; one does not; the runtime was not there. */
export type Cell = "✓" | "hidden" | "✗" | "skipped"

export interface Column {
  readonly name: string
  readonly cells: Readonly<Record<Row, Cell>>
}

/** The same for each row. */
export const cells = (cell: (row: Row) => Cell): Column["cells"] => ({
  texts: cell("texts"),
  chats: cell("chats"),
  leaving: cell("leaving"),
  cuts: cell("cuts"),
  three: cell("three"),
  types: cell("types"),
  reasons: cell("reasons")
})

const keys = Object.keys(rows).filter((key): key is Row => key in rows)

const line = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`

const chinese: Readonly<Record<Row, string>> = {
  texts: "流式、等待、运行",
  chats: "对话会话",
  leaving: "离开或中止时停止任务",
  cuts: "断开的流仍得到全文",
  three: "三个运行时同时运行",
  types: "失败有类型",
  reasons: "能分辨从未建立的连接"
}

const pages = [["README.md", rows], ["README.zh-CN.md", chinese]] as const

const pathOf = (page: string) => fileURLToPath(new URL(`../../${page}`, import.meta.url))

/** The table follows a line that ends so. */
const place = /(`npm run test:runtimes`[^\n]*\n\n)((?:\|.*\n)+)/

const read = (page: string) => {
  const text = readFileSync(pathOf(page), "utf8")
  const [, , table] = place.exec(text) ?? []
  if (table === undefined) throw new Error(`${page} has no table of runtimes`)
  return { text, table }
}

export const render = (columns: ReadonlyArray<Column>, titles: Readonly<Record<Row, string>> = rows) =>
  [
    line(["", ...columns.map(({ name }) => name)]),
    line(["---", ...columns.map(() => "---")]),
    ...keys.map((row) => line([titles[row], ...columns.map(({ cells }) => cells[row])]))
  ].join("\n")

const split = (line: string) => line.split("|").slice(1, -1).map((cell) => cell.trim())

/** The tables as the README has them, and the titles of the rows that they are to have. */
export const tables = pages.map(([page, titles]) => {
  const [head = [], , ...body] = read(page).table.trim().split("\n").map(split)
  return {
    page,
    titles: keys.map((row) => titles[row]),
    columns: head.slice(1),
    rows: body.map(([title]) => title),
    cells: body.map(([, ...cells]) => cells)
  }
})

/** Where the README says something else than what has run here; what was skipped is not compared. */
export const differences = (columns: ReadonlyArray<Column>) =>
  tables.flatMap((table) =>
    columns.flatMap(({ cells, name }) =>
      keys.flatMap((row, index) => {
        const there = table.cells[index]?.[table.columns.indexOf(name)]
        return cells[row] === "skipped" || cells[row] === there
          ? []
          : [`${table.page}, ${name}, ${rows[row]}: it says ${there ?? "nothing"}, and here it is ${cells[row]}`]
      })
    )
  )

export const write = (columns: ReadonlyArray<Column>) => {
  for (const [page, titles] of pages) {
    const { text } = read(page)
    writeFileSync(pathOf(page), text.replace(place, (_, before: string) => `${before}${render(columns, titles)}\n`))
  }
}
