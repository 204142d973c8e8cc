/**
 * Foreign text, shortened for messages.
 */

/** UTF-16 units of a text that are examined: more than are shown, few enough to be fast. */
export const searched = 4096

/** One line of at most 160 UTF-16 units. */
export const excerpt = (text: string): string => {
  const line = text.slice(0, searched).toWellFormed().replace(/[\s\p{Cc}]+/gu, " ").trim()
  return line.length > 160 ? `${line.slice(0, 160).toWellFormed()}...` : line
}
