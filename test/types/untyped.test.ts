/** F105: what test/package.ts asks of every export has to find an `any` wherever it may hide. */
import { assert, describe, it } from "@effect/vitest"
import ts from "typescript"
import { untyped } from "./untyped.js"

const options: ts.CompilerOptions = {
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  noLib: true,
  strict: true,
  types: []
}

const check = (files: Readonly<Record<string, string>>) => {
  const host: ts.CompilerHost = {
    ...ts.createCompilerHost(options),
    directoryExists: () => true,
    fileExists: (name) => name in files,
    readFile: (name) => files[name],
    getSourceFile: (name, target) => {
      const text = files[name]
      return text === undefined ? undefined : ts.createSourceFile(name, text, target)
    }
  }
  const program = ts.createProgram(Object.keys(files), options, host)
  return untyped(program, [{ name: "entry", file: "/own/entry.d.ts" }], (name) => name.startsWith("/own/"))
}

const one = (text: string) => check({ "/own/entry.d.ts": text, "/own/other.d.ts": "export interface Known {}" })

const missing = "import type { Missing } from \"./other\"\nimport type * as Other from \"./other\"\n"

const hidden: Readonly<Record<string, string>> = {
  "export type A = Missing": "entry.A",
  "export type A = Other.Missing": "entry.A",
  "export { Missing } from \"./other\"": "entry.Missing",
  "export declare const a: Missing": "entry.a",
  "export interface A { readonly b: Missing }": "entry.A.b",
  "export interface A { b(): Missing }": "entry.A.b()",
  "export interface A { new(b: Missing): A }": "entry.A(b)",
  "export interface A { [key: string]: Missing }": "entry.A[]",
  "export interface A extends Missing {}": "entry.A extends",
  "export declare class A extends Other.Missing {}": "entry.A extends",
  "export declare class A { static readonly b: Missing }": "entry.A.b",
  "export declare function a(b: Missing): void": "entry.a(b)",
  "export declare function a(b: unknown): b is Missing": "entry.a() is",
  "export declare const a: <B extends Missing>(b: B) => B": "entry.a<0> extends",
  "export interface A<B = Missing> { readonly b: B }": "entry.A<0>",
  "export type A<B> = B extends string ? Missing : B": "entry.A<1>",
  "export type A = { readonly b: { readonly c: string | { readonly d: Missing } } }": "entry.A.b.c.d",
  "export {}\ninterface Box<B> { readonly b: B }\nexport type A = Box<Missing>": "entry.A<0>",
  "export {}\ntype Inner = { readonly b: Missing }\nexport interface A { readonly inner: Inner }": "entry.A.inner.b",
  "export declare const a: (b: any) => void": "entry.a(b)"
}

describe("F105: an export is never silently any", () => {
  for (const [declaration, path] of Object.entries(hidden)) {
    it(declaration, () => assert.deepStrictEqual(one(missing + declaration), [path]))
  }

  it("every name of a namespace is looked at", () => {
    const found = check({
      "/own/entry.d.ts": "export * as Other from \"./other\"",
      "/own/other.d.ts": "export type A = Missing"
    })
    assert.deepStrictEqual(found, ["entry.Other.A"])
  })

  it("what is resolved passes, however it refers to itself", () => {
    const declared = "import type { Known } from \"./other\"\n" +
      "export interface A<B> { readonly known: Known; readonly self: A<A<B>>; map<C>(f: (b: B) => C): A<C> }"
    assert.deepStrictEqual(one(declared), [])
  })

  it("any in another package's declarations passes, unless ours put it there", () => {
    const box = "export interface Box<B, C = any> { readonly open: any; readonly b: B; readonly c: C }"
    const entry = (type: string) => `import type { Box } from "../theirs/box"\nexport type A = ${type}`
    assert.deepStrictEqual(check({ "/own/entry.d.ts": entry("Box<string>"), "/theirs/box.d.ts": box }), [])
    assert.deepStrictEqual(check({ "/own/entry.d.ts": entry("Box<Nothing>"), "/theirs/box.d.ts": box }), ["entry.A<0>"])
  })

  it("an entry point that is not there is found", () => {
    assert.deepStrictEqual(check({ "/own/another.d.ts": "export {}" }), ["entry"])
  })
})
