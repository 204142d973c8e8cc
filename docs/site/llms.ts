/** The site for programs that read: an index of it, and all of it as one text. */

interface Page {
  readonly kind: string
  readonly name: string
  readonly path?: string
  readonly url: string
}

interface Text {
  readonly path: string
  readonly text: string
}

/** A module's source, and the declarations that are made of it. */
interface Module extends Text {
  readonly types: string
}

const sentence = (text: string) => text.replaceAll(/\s+/g, " ").replace(/^(.+?\.)(\s.*)?$/, "$1").trim()

/** The first sentence below the heading of a guide. */
const ofGuide = (text: string) => sentence(text.split(/\n\n+/).find((part) => /^[A-Za-z`*]/.test(part)) ?? "")

/** The first sentence of a module's docstring. */
const ofModule = (text: string) => sentence((/^\/\*\*([\s\S]*?)\n \*(?:\n|\/)/.exec(text)?.[1] ?? "").replaceAll(/^\s*\* ?/gm, ""))

const nameOf = (path: string) => path.replace(/^src\//, "").replace(/\.ts$/, "")

/** How a module is imported. */
const importOf = (name: string) =>
  name.startsWith("testing/")
    ? `import { ${name.replace("testing/", "")} } from "effect-rwkv/testing"`
    : `import * as ${name} from "effect-rwkv/${name}"`

/** `llms.txt`: what there is, a line each. */
export const index = (pages: ReadonlyArray<Page>, guides: ReadonlyArray<Text>, modules: ReadonlyArray<Module>): string => {
  const urlOf = (path: string) => pages.find((page) => page.path?.endsWith(`/${path}`))?.url
  const line = (name: string, url: string | undefined, about: string) => `- [${name}](${url ?? ""}): ${about}`
  const [readme, ...rest] = guides
  return [
    "# effect-rwkv",
    "",
    `> ${ofGuide(readme?.text ?? "")}`,
    "",
    "All of it in one text: [llms-full.txt](llms-full.txt).",
    "",
    "## Guides",
    "",
    line("Overview", "index.html", "what it is, and the shortest programs"),
    ...rest.map(({ path, text }) => line(/^# (.+)$/m.exec(text)?.[1] ?? path, urlOf(path), ofGuide(text))),
    "",
    "## Modules",
    "",
    ...modules.map(({ path, text }) => line(nameOf(path), urlOf(path), ofModule(text))),
    ""
  ].join("\n")
}

/** Links of guides to each other mean nothing in one text; their words stay. */
const unlinked = (text: string) => text.replaceAll(/\[([^\]]+)\]\((?!https?:)[^)]*\)/g, "$1")

/** `llms-full.txt`: the guides, then the types of each module with their docstrings. */
export const whole = (guides: ReadonlyArray<Text>, modules: ReadonlyArray<Module>): string =>
  [
    ...guides.map(({ text }) => unlinked(text).trim()),
    ...modules.map(({ path, types }) => {
      const name = nameOf(path)
      const shown = types.split("\n").filter((line) => !/^import |^\/\/# /.test(line)).join("\n").trim()
      return `# Module ${name}\n\n\`${importOf(name)}\`\n\n\`\`\`\`ts\n${shown}\n\`\`\`\``
    })
  ].join("\n\n---\n\n")
