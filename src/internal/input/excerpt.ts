/**
 * Text of others as it may appear in a message.
 */

/** Makes one line of a text, and cuts it. */
export const excerpt = (text: string): string => {
  const line = text.replace(/[\s\p{Cc}]+/gu, " ").trim()
  return line.length > 160 ? `${line.slice(0, 160).toWellFormed()}...` : line
}
