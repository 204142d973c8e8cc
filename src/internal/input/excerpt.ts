/**
 * Text of others as it may appear in a message.
 */

/** How much of a text is looked at: more than is shown, and little enough to be fast. */
export const searched = 4096

/** Makes one line of a text, and cuts it. */
export const excerpt = (text: string): string => {
  const line = text.slice(0, searched).toWellFormed().replace(/[\s\p{Cc}]+/gu, " ").trim()
  return line.length > 160 ? `${line.slice(0, 160).toWellFormed()}...` : line
}
