/**
 * Finds exports whose type is `any`: what a declaration refers to and a compiler cannot resolve becomes `any`, and nobody is
 * told unless library files are checked.
 */
import ts from "typescript"

export interface Entry {
  readonly name: string
  readonly file: string
}

const isAny = (type: ts.Type) => (type.flags & ts.TypeFlags.Any) !== 0

const isReference = (type: ts.Type): type is ts.TypeReference =>
  "objectFlags" in type && (Number(type.objectFlags) & ts.ObjectFlags.Reference) !== 0

const isConditional = (type: ts.Type): type is ts.ConditionalType => (type.flags & ts.TypeFlags.Conditional) !== 0

const isIndexedAccess = (type: ts.Type): type is ts.IndexedAccessType => (type.flags & ts.TypeFlags.IndexedAccess) !== 0

const isIndex = (type: ts.Type): type is ts.IndexType => (type.flags & ts.TypeFlags.Index) !== 0

/**
 * The paths of all exports, members, parameters, results and type arguments that are `any`. Types that others declare are
 * not entered, because Effect's own hold `any` by design, but what they are applied to is.
 */
export const untyped = (
  program: ts.Program,
  entries: ReadonlyArray<Entry>,
  owns: (fileName: string) => boolean
): ReadonlyArray<string> => {
  const checker = program.getTypeChecker()
  const found = new Set<string>()
  const seen = new Set<ts.Type | ts.Symbol>()
  const owned = (node: ts.Node | undefined) => node !== undefined && owns(node.getSourceFile().fileName)
  const isOwned = (symbol: ts.Symbol | undefined) => symbol?.declarations?.some(owned) === true

  const visitAll = (types: ReadonlyArray<ts.Type> | undefined, path: string) =>
    types?.forEach((type, index) => visit(type, `${path}<${index}>`))

  // A bound may hold `any`, as those of `$match` and `Data.TaggedError` do: the type of the argument takes its place.
  const visitParameter = (type: ts.Type, path: string) => {
    const bound = type.getConstraint()
    const fallback = type.getDefault()
    if (bound !== undefined && isAny(bound)) found.add(`${path} extends`)
    if (fallback !== undefined) visit(fallback, path)
  }

  // `Iterable<A>` is short for `Iterable<A, any, any>`.
  const visitArguments = (type: ts.TypeReference, path: string) =>
    checker.getTypeArguments(type).forEach((argument, index) => {
      const fallback = isOwned(type.symbol) ? undefined : type.target.typeParameters?.[index]?.getDefault()
      if (!isAny(argument) || fallback === undefined || !isAny(fallback)) visit(argument, `${path}<${index}>`)
    })

  const visitSignature = (signature: ts.Signature, path: string) => {
    visitAll(signature.typeParameters, path)
    for (const parameter of signature.parameters) {
      visit(checker.getTypeOfSymbol(parameter), `${path}(${parameter.name})`)
    }
    visit(signature.getReturnType(), `${path}()`)
    const guarded = checker.getTypePredicateOfSignature(signature)?.type
    if (guarded !== undefined) visit(guarded, `${path}() is`)
  }

  // The compiler drops a base that it cannot resolve, with all of its members: only the clause itself tells.
  const visitBases = (symbol: ts.Symbol | undefined, path: string) => {
    for (const declaration of symbol?.declarations ?? []) {
      if (!owned(declaration) || !(ts.isClassLike(declaration) || ts.isInterfaceDeclaration(declaration))) continue
      for (const base of declaration.heritageClauses?.flatMap((clause) => clause.types) ?? []) {
        visit(checker.getTypeAtLocation(base), `${path} extends`)
        if (ts.isClassLike(declaration)) visit(checker.getTypeAtLocation(base.expression), `${path} extends`)
      }
    }
  }

  const visitMembers = (type: ts.Type, path: string) => {
    for (const property of checker.getPropertiesOfType(type)) {
      if (isOwned(property)) visit(checker.getTypeOfSymbol(property), `${path}.${property.name}`)
    }
    for (const kind of [ts.SignatureKind.Call, ts.SignatureKind.Construct]) {
      for (const signature of checker.getSignaturesOfType(type, kind)) {
        if (owned(signature.declaration)) visitSignature(signature, path)
      }
    }
    for (const index of checker.getIndexInfosOfType(type)) {
      if (owned(index.declaration)) visit(index.type, `${path}[]`)
    }
  }

  const visit = (type: ts.Type, path: string): void => {
    if (isAny(type)) return void found.add(path)
    if (seen.has(type)) return
    seen.add(type)
    visitAll(type.aliasTypeArguments, path)
    if (type.isUnionOrIntersection()) return type.types.forEach((part) => visit(part, path))
    if ((type.flags & ts.TypeFlags.TypeParameter) !== 0) return visitParameter(type, path)
    if (isIndex(type)) return visit(type.type, path)
    if (isIndexedAccess(type)) return visitAll([type.objectType, type.indexType], path)
    if (isConditional(type)) {
      const { falseType, trueType } = type.root.node
      const branches = owned(type.root.node) ? [trueType, falseType].map(checker.getTypeFromTypeNode) : []
      return visitAll([type.checkType, ...branches], path)
    }
    if (isReference(type)) visitArguments(type, path)
    // An instance of a generic type has no member that its declaration and its arguments do not have.
    if (isReference(type) && type.target !== type) return isOwned(type.symbol) ? visit(type.target, path) : undefined
    visitBases(type.symbol, path)
    visitMembers(type, path)
  }

  const visitModule = (module: ts.Symbol, path: string): void => {
    if (seen.has(module)) return
    seen.add(module)
    for (const exported of checker.getExportsOfModule(module)) {
      const name = `${path}.${exported.name}`
      const symbol = (exported.flags & ts.SymbolFlags.Alias) === 0 ? exported : checker.getAliasedSymbol(exported)
      if (checker.isUnknownSymbol(symbol)) found.add(name)
      else if ((symbol.flags & ts.SymbolFlags.ValueModule) !== 0) visitModule(symbol, name)
      else {
        if ((symbol.flags & ts.SymbolFlags.Value) !== 0) visit(checker.getTypeOfSymbol(symbol), name)
        if ((symbol.flags & ts.SymbolFlags.Type) !== 0) visit(checker.getDeclaredTypeOfSymbol(symbol), name)
      }
    }
  }

  for (const { file, name } of entries) {
    const source = program.getSourceFile(file)
    const module = source === undefined ? undefined : checker.getSymbolAtLocation(source)
    if (module === undefined) found.add(name)
    else visitModule(module, name)
  }
  return Array.from(found)
}
