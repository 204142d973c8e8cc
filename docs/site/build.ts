/**
 * `npm run docs`: the guides, the reference of every public module and a search, as pages in `site/` that need no server. It
 * installs what builds them beside this file. A link that leads nowhere fails the build.
 */
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { fileURLToPath } from "node:url"
import { languages } from "./languages.js"
import { brokenLinks } from "./links.js"
import { index, whole } from "./llms.js"
import { publicModules as modules } from "./modules.js"

const here = fileURLToPath(new URL("./", import.meta.url))
const root = fileURLToPath(new URL("../../", import.meta.url))
const site = `${root}site/`
const scratch = mkdtempSync(`${tmpdir()}/effect-rwkv-site-`)

const say = (text: string) => process.stdout.write(`${text}\n`)
const read = (path: string) => readFileSync(`${root}${path}`, "utf8")
const run = (command: string, ...args: ReadonlyArray<string>) =>
  execFileSync(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] })

/** The guides in the order in which they are read; what is not named here comes after. */
const order = ["tasks", "stopping", "streaming", "chat", "errors", "generation", "configuration", "pool", "testing", "telemetry", "reliability"]
const guides = readdirSync(`${root}docs`).filter((file) => file.endsWith(".md")).map((file) => file.replace(/\.md$/, ""))
const documents = [
  ...order.filter((guide) => guides.includes(guide)),
  ...guides.filter((guide) => !order.includes(guide))
].map((guide) => `docs/${guide}.md`)
const project = ["README.zh-CN.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "test/README.md"]
  .filter((file) => existsSync(`${root}${file}`))

const absolute = (paths: ReadonlyArray<string>) => paths.map((path) => `${root}${path}`)

const options = {
  name: "effect-rwkv",
  entryPoints: absolute(modules),
  tsconfig: `${root}tsconfig.build.json`,
  basePath: `${root}src`,
  displayBasePath: `${root}src`,
  plugin: [`${here}plugin.mjs`],
  out: site,
  readme: `${root}README.md`,
  projectDocuments: absolute([...documents, ...project]),
  includeVersion: true,
  excludeExternals: true,
  excludeReferences: false,
  includeHierarchySummary: false,
  disableSources: true,
  hideGenerator: true,
  categorizeByGroup: false,
  defaultCategory: "models",
  navigation: { includeCategories: true, includeGroups: true, compactFolders: false },
  groupOrder: ["Guides", "Modules", "Project"],
  sort: ["documents-first", "kind", "alphabetical-ignoring-documents"],
  searchInComments: true,
  searchInDocuments: true,
  highlightLanguages: languages,
  lightHighlightTheme: "github-light-high-contrast",
  darkHighlightTheme: "github-dark-high-contrast",
  customCss: `${here}style.css`,
  treatValidationWarningsAsErrors: true,
  treatWarningsAsErrors: true,
  validation: { invalidLink: true, invalidPath: true, notExported: false, rewrittenLink: true, unusedMergeModuleWith: true }
}

if (!existsSync(`${here}node_modules/typedoc`)) {
  say("installing typedoc beside docs/site/package.json")
  run("npm", "install", "--prefix", here, "--no-package-lock", "--no-audit", "--no-fund", "--silent")
}
const optionsFile = `${scratch}/typedoc.json`
writeFileSync(optionsFile, JSON.stringify(options))
run(`${here}node_modules/.bin/typedoc`, "--options", optionsFile)

run("npx", "tsc", "-p", "tsconfig.build.json", "--emitDeclarationOnly", "--declarationMap", "false", "--outDir", scratch)
const pages = JSON.parse(readFileSync(`${site}pages.json`, "utf8"))
rmSync(`${site}pages.json`)
const declarations = modules.map((path) => ({
  path,
  text: read(path),
  types: readFileSync(`${scratch}/${path.replace(/^src\//, "").replace(/ts$/, "d.ts")}`, "utf8")
}))
const guideTexts = ["README.md", ...documents].map((path) => ({ path, text: read(path) }))
writeFileSync(`${site}llms.txt`, index(pages, guideTexts, declarations))
writeFileSync(`${site}llms-full.txt`, whole(guideTexts, declarations))
rmSync(scratch, { recursive: true })

const broken = brokenLinks(site)
for (const link of broken) say(`BROKEN ${link}`)
say(`${modules.length} modules and ${documents.length} guides: open ${site}index.html`)
process.exitCode = broken.length === 0 ? 0 : 1
