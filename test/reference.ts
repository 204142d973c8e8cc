/**
 * What the reference promises of every public export: a value has an example (docgen compiles and runs these), and whatever
 * can fail says with what.
 */
import { fileURLToPath } from "node:url"
import ts from "typescript"
import { publicModules } from "../docs/site/modules.js"

const root = fileURLToPath(new URL("../", import.meta.url))

const { config } = ts.readConfigFile(`${root}tsconfig.build.json`, ts.sys.readFile)
const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
const program = ts.createProgram(publicModules.map((path) => `${root}${path}`), { ...options, noEmit: true })
const checker = program.getTypeChecker()

/** What can fail: the second of three type arguments says with what. */
const failing = new Set(["Effect", "Stream", "Layer"])

const namesOf = (type: ts.Type): ReadonlyArray<string> => {
  const members = type.isUnion() ? type.types : [type]
  return members.flatMap((member) => {
    const symbol = member.getSymbol()
    if (member.flags & ts.TypeFlags.TypeParameter || symbol === undefined) return []
    const file = symbol.declarations?.[0]?.getSourceFile().fileName ?? ""
    return [file.includes("/ConfigError.") ? "ConfigError" : symbol.name]
  })
}

/** The errors of an Effect, Stream or Layer, or of what a function gives. */
const errorsOf = (type: ts.Type, depth = 0): ReadonlyArray<string> => {
  if (failing.has(type.getSymbol()?.name ?? "")) {
    const error = checker.getTypeArguments(type as ts.TypeReference)[1]
    return error === undefined ? [] : namesOf(error)
  }
  return depth > 1 ? [] : type.getCallSignatures().flatMap((call) => errorsOf(call.getReturnType(), depth + 1))
}

const exportsOf = (file: ts.SourceFile) => {
  const module = checker.getSymbolAtLocation(file)
  return module === undefined ? [] : checker.getExportsOfModule(module)
}

const errors = program.getSourceFile(`${root}src/RWKVError.ts`)
const errorExports = errors === undefined ? [] : exportsOf(errors)

/** Which errors a name stands for: an error for itself, a union for its members. */
const meanings = new Map(
  errorExports.flatMap((symbol) =>
    symbol.flags & (ts.SymbolFlags.TypeAlias | ts.SymbolFlags.Class)
      ? [[symbol.name, namesOf(checker.getDeclaredTypeOfSymbol(symbol))] as const]
      : []
  )
)

const said = (text: string) =>
  new Set(Array.from(text.matchAll(/\w+/g), ([word]) => word).flatMap((word) => meanings.get(word) ?? [word]))

/** Files whose examples nobody compiles: docgen.json leaves them out. */
const isHidden = (declaration: ts.Declaration) =>
  /\/src\/(internal|testing\/[^/]+)\//.test(declaration.getSourceFile().fileName)

/** The docstring of an export: at its declaration, and where it is exported under another name. */
const docOf = (symbol: ts.Symbol, target: ts.Symbol, hidden: "with what is hidden" | "compiled") =>
  [...new Set([...symbol.declarations ?? [], ...target.declarations ?? []])].filter((declaration) =>
    hidden === "with what is hidden" || !isHidden(declaration)
  ).map((declaration) => {
    const node = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration
    const text = node.getSourceFile().getFullText()
    const ranges = ts.getLeadingCommentRanges(text, node.getFullStart()) ?? []
    return ranges.slice(-1).map(({ end, pos }) => text.slice(pos, end)).filter((doc) => doc.startsWith("/**")).join("")
  }).join("\n")

/** One docstring is enough where others link to it. */
const isLink = (doc: string) => /^\/\*\* \{@link \w+\} \*\/$/.test(doc)

const complaints: Array<string> = []

const checkErrors = (name: string, type: ts.Type, doc: string) => {
  const known = said(doc)
  const missing = [...new Set(errorsOf(type))].filter((error) => !known.has(error))
  if (missing.length > 0) complaints.push(`${name} does not say that it may fail with ${missing.join(", ")}`)
}

let count = 0
for (const path of publicModules) {
  const file = program.getSourceFile(`${root}${path}`)
  if (file === undefined) throw new Error(`${path} is no module`)
  for (const symbol of exportsOf(file)) {
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
    const name = `${path} ${symbol.name}`
    const doc = docOf(symbol, target, "with what is hidden")
    count++
    if (target.flags & ts.SymbolFlags.Value) {
      if (!docOf(symbol, target, "compiled").includes("@example")) complaints.push(`${name} has no example`)
      checkErrors(name, checker.getTypeOfSymbolAtLocation(target, file), doc)
    }
    if (target.flags & ts.SymbolFlags.Interface) {
      for (const member of checker.getDeclaredTypeOfSymbol(target).getProperties()) {
        if (member.declarations?.some((node) => node.getSourceFile().fileName.startsWith(`${root}src/`)) !== true) {
          continue
        }
        const own = docOf(member, member, "with what is hidden")
        // An interface may say it for all of its members.
        if (!isLink(own)) {
          checkErrors(`${name}.${member.name}`, checker.getTypeOfSymbolAtLocation(member, file), own + doc)
        }
      }
    }
  }
}
process.stdout.write(`${complaints.map((complaint) => `${complaint}\n`).join("")}`)
process.stdout.write(`${count} exports of ${publicModules.length} modules, ${complaints.length} complaints\n`)
process.exitCode = complaints.length === 0 && count > 100 ? 0 : 1
