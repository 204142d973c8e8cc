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
const failing = ["Effect", "Stream", "Layer"]

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
  if (failing.includes(type.getSymbol()?.name ?? "")) {
    const error = checker.getTypeArguments(type as ts.TypeReference)[1]
    return error === undefined ? [] : namesOf(error)
  }
  return depth > 1 ? [] : type.getCallSignatures().flatMap((call) => errorsOf(call.getReturnType(), depth + 1))
}

const errors = program.getSourceFile(`${root}src/RWKVError.ts`)
const errorExports = errors === undefined ? [] : checker.getExportsOfModule(checker.getSymbolAtLocation(errors)!)

/** Which errors a name stands for: an error for itself, a union for its members. */
const meanings = new Map(errorExports.flatMap((symbol) =>
  symbol.flags & (ts.SymbolFlags.TypeAlias | ts.SymbolFlags.Class)
    ? [[symbol.name, namesOf(checker.getDeclaredTypeOfSymbol(symbol))] as const]
    : []
))

const said = (text: string) =>
  new Set(Array.from(text.matchAll(/\w+/g), ([word]) => word).flatMap((word) => meanings.get(word) ?? [word]))

/** The docstring of an export: at its declaration, or where it is exported under another name. */
const docOf = (symbol: ts.Symbol, target: ts.Symbol) =>
  [...new Set([...symbol.declarations ?? [], ...target.declarations ?? []])].map((declaration) => {
    const node = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration
    const text = node.getSourceFile().getFullText()
    const ranges = ts.getLeadingCommentRanges(text, node.getFullStart()) ?? []
    return ranges.slice(-1).map(({ end, pos }) => text.slice(pos, end)).filter((doc) => doc.startsWith("/**")).join("")
  }).join("\n")

const complaints: Array<string> = []

const checkErrors = (name: string, type: ts.Type, doc: string) => {
  // One docstring is enough where others link to it.
  if (/^\/\*\* \{@link \w+\} \*\/$/.test(doc.trim())) return
  const known = said(doc)
  const missing = [...new Set(errorsOf(type))].filter((error) => !known.has(error))
  if (missing.length > 0) complaints.push(`${name} does not say that it may fail with ${missing.join(", ")}`)
}

let count = 0
for (const path of publicModules) {
  const file = program.getSourceFile(`${root}${path}`)
  const module = file === undefined ? undefined : checker.getSymbolAtLocation(file)
  if (file === undefined || module === undefined) throw new Error(`${path} is no module`)
  for (const symbol of checker.getExportsOfModule(module)) {
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
    const name = `${path} ${symbol.name}`
    const doc = docOf(symbol, target)
    count++
    if (target.flags & ts.SymbolFlags.Value) {
      if (!doc.includes("@example")) complaints.push(`${name} has no example`)
      checkErrors(name, checker.getTypeOfSymbolAtLocation(target, file), doc)
    }
    if (target.flags & ts.SymbolFlags.Interface) {
      for (const member of checker.getDeclaredTypeOfSymbol(target).getProperties()) {
        if (member.declarations?.some((node) => node.getSourceFile().fileName.startsWith(`${root}src/`)) !== true) continue
        checkErrors(`${name}.${member.name}`, checker.getTypeOfSymbolAtLocation(member, file), docOf(member, member))
      }
    }
  }
}
process.stdout.write(`${complaints.map((complaint) => `${complaint}\n`).join("")}`)
process.stdout.write(`${count} exports of ${publicModules.length} modules, ${complaints.length} complaints\n`)
process.exitCode = complaints.length === 0 && count > 100 ? 0 : 1
