/**
 * Keeps header values and prompts out of messages.
 */
import { excerpt, searched } from "../input/excerpt.js"

/** Header values as a server may echo them, the longest first, for one may contain another. */
export const echoesOf = (headers: Readonly<Record<string, string>>): ReadonlyArray<string> =>
  Object.values(headers)
    .flatMap((value) => [value, value.replace(/^\w+ /, "")])
    .flatMap((value) => [value, JSON.stringify(value).slice(1, -1)])
    .filter((value) => value.length > 3)
    .sort((a, b) => b.length - a.length)

/** Removes white space and escapes: an echo may differ in them from what was sent. */
const bare = (text: string): string =>
  text
    .replace(/(?<!\\)\\+u([0-9a-f]{4})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
    .replace(/\\+[nrtbf]?|[\s\p{Cc}]+/gu, "")

/**
 * Whether two texts share a run of 16 characters. Such a run holds one of the blocks of 8 that the short text is cut
 * into, so it is enough to look for those in the long one.
 */
const shareRun = (short: string, long: string): boolean => {
  for (let block = 0; block + 8 <= short.length; block += 8) {
    if (!long.includes(short.slice(block, block + 8))) continue
    for (let start = Math.max(0, block - 8); start <= block && start + 16 <= short.length; start++) {
      if (long.includes(short.slice(start, start + 16))) return true
    }
  }
  return false
}

/** Whether a text repeats four consecutive token ids of the prompt. */
const shareIds = (short: string, ids: string): boolean =>
  Array.from(short.matchAll(/\d+(?:,\d+){3,}/g)).some(([run]) => {
    const found = run.split(",")
    return found.slice(3).some((_, start) => ids.includes(`,${found.slice(start, start + 4).join(",")},`))
  })

/**
 * Makes excerpts without a request's texts: a whole text is replaced, and an excerpt with a part of one is withheld.
 */
export const excerptWithout = (body: object = {}): (text: string) => string => {
  const read = () => {
    const values: ReadonlyArray<unknown> = Object.values(body)
    const texts = values.filter((value) => typeof value === "string").filter((text) => text.length >= 8)
    return {
      echoes: texts
        .flatMap((text) => text.length > searched ? [] : [JSON.stringify(text).slice(1, -1), text])
        .sort((a, b) => b.length - a.length),
      text: texts.map(bare).join("\n"),
      ids: values.filter((value) => Array.isArray(value)).map((ids) => `,${ids.join(",")},`).join("\n")
    }
  }
  // Computed at the first failure, for most requests do not fail.
  let known: ReturnType<typeof read> | undefined
  return (text) => {
    const { echoes, ids, text: whole } = known ??= read()
    const said = excerpt(
      echoes.reduce((text, echo) => text.replaceAll(echo, "<redacted>"), text.slice(0, searched).toWellFormed())
    )
    const short = bare(said)
    return shareRun(short, whole) || shareIds(short, ids) ? "no explanation that can be shown" : said
  }
}
