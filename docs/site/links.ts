/** Links between pages of a folder, and to their headings. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, join, normalize } from "node:path"

const outside = /^([a-z]+:|\/\/)/i

/** The targets of links and pictures in a page. */
const targetsOf = (html: string) =>
  Array.from(html.matchAll(/\s(?:href|src)="([^"]*)"/g), ([, target = ""]) => target.replaceAll("&amp;", "&"))
    .filter((target) => target !== "" && !outside.test(target))

const anchorsOf = (html: string) => new Set(Array.from(html.matchAll(/\s(?:id|name)="([^"]*)"/g), ([, id = ""]) => id))

/** Every link in the pages of a folder that leads to no file, or to no heading of one, as `page: target`. */
export const brokenLinks = (folder: string): ReadonlyArray<string> => {
  const pages = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".html"))
  const texts = new Map(pages.map((path) => [normalize(path), readFileSync(join(folder, path), "utf8")]))
  const anchors = new Map(Array.from(texts, ([path, html]) => [path, anchorsOf(html)]))
  return Array.from(texts).flatMap(([page, html]) =>
    targetsOf(html).filter((target) => {
      const [file = "", anchor = ""] = target.split("#").map((part) => decodeURIComponent(part))
      const path = file === "" ? page : normalize(join(dirname(page), file.split("?")[0] ?? ""))
      const whole = join(folder, path)
      if (!existsSync(whole) || statSync(whole).isDirectory()) return true
      return anchor !== "" && anchors.get(path)?.has(anchor) === false
    }).map((target) => `${page}: ${target}`)
  )
}
