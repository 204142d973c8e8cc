/**
 * What Pydantic finds wrong with a request, and the body of a 422 that says so.
 *
 * @since 0.1.0
 */
import { type Json, print } from "./json.js"

/** @internal */
export type Location = ReadonlyArray<string | number>

/** @internal */
export interface Issue {
  readonly type: string
  readonly loc: Location
  readonly msg: string
  readonly input: Json
  /** The `ctx` object, already in JSON. */
  readonly ctx?: string
}

/**
 * The body of a 422; undefined where the server cannot encode its own error (NaN, lone surrogates) and answers 500.
 *
 * @internal
 */
export const printIssues = (issues: ReadonlyArray<Issue>): string | undefined => {
  const parts: Array<string> = []
  for (const issue of issues) {
    const input = print(issue.input)
    if (input === undefined || issue.loc.some((part) => typeof part === "string" && !part.isWellFormed())) {
      return undefined
    }
    const ctx = issue.ctx === undefined ? "" : `,"ctx":${issue.ctx}`
    const { loc, msg, type } = issue
    parts.push(
      `{"type":${JSON.stringify(type)},"loc":${JSON.stringify(loc)},"msg":${
        JSON.stringify(msg)
      },"input":${input}${ctx}}`
    )
  }
  return `{"detail":[${parts.join(",")}]}`
}
