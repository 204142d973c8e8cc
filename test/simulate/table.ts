/** Tables, for a terminal and for a page. */
export interface Table {
  readonly title: string
  readonly head: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<string>>
}

export const text = ({ head, rows, title }: Table): string => {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  const line = (row: ReadonlyArray<string>) =>
    row.map((cell, column) => column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)).join(
      "  "
    )
  return [title, ...all.map(line)].join("\n")
}

export const markdown = ({ head, rows, title }: Table): string => {
  const line = (row: ReadonlyArray<string>) => `| ${row.join(" | ")} |`
  return [
    `**${title}**`,
    "",
    line(head),
    line(head.map((_, column) => column === 0 ? "---" : "---:")),
    ...rows.map(line)
  ]
    .join("\n")
}
