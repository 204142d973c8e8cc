/**
 * Describes where an answer breaks the protocol.
 */
import type * as ParseResult from "effect/ParseResult"

const at = (path: string, message: string) => path === "" ? message : `${path}: ${message}`

/**
 * Names the path and what was expected there, not the value: that may be a secret which a proxy repeats, or nested too
 * deeply to print.
 */
export const breach = (issue: ParseResult.ParseIssue, path = ""): string => {
  switch (issue._tag) {
    case "Pointer":
      return breach(issue.issue, [path, issue.path].flat().filter((part) => part !== "").map(String).join("."))
    case "Composite":
      return [issue.issues].flat().slice(0, 1).map((first) => breach(first, path)).join("")
    case "Refinement":
    case "Transformation":
      return breach(issue.issue, path)
    case "Type":
      return at(path, issue.message ?? `expected ${issue.ast._tag === "TypeLiteral" ? "an object" : issue.ast}`)
    default:
      return at(path, `is ${issue._tag.toLowerCase()}`)
  }
}
