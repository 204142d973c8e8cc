/**
 * Where an answer is not what the protocol says.
 */
import type * as ParseResult from "effect/ParseResult"

const at = (path: string, message: string) => path === "" ? message : `${path}: ${message}`

/**
 * Tells the path and what was expected there. What was found is left out: it may be a secret that a proxy repeats, or
 * nested too deeply to be printed.
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
