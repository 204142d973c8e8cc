/**
 * Chooses the tools that the model is offered, and checks its calls.
 */
import type * as LanguageModel from "@effect/ai/LanguageModel"
import * as Tool from "@effect/ai/Tool"
import * as Effect from "effect/Effect"
import type { JsonSchema7Root } from "effect/JSONSchema"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { ToolCall } from "../../RWKVMessage.js"
import type { ToolChoice } from "../chat/format.js"
import { excerpt } from "../input/excerpt.js"
import { malformedInput, malformedOutput, type Where } from "./failure.js"

/** Why a value does not fit a Schema, in a few words for the model and for errors. */
export const reasonOf = (error: ParseResult.ParseError): string =>
  ParseResult.ArrayFormatter.formatErrorSync(error).slice(0, 5)
    .map(({ message, path }) => excerpt(path.length === 0 ? message : `${path.map(String).join(".")}: ${message}`))
    .join("; ")

/** Decodes by a Schema, whose requirements are dropped from the type: `@effect/ai` has its callers provide them. */
export const decode = ({ ast }: Pick<Schema.Schema.Any, "ast">) =>
  Schema.decodeUnknown(Schema.make<unknown>(ast), { errors: "all" })

/** Fails for a Schema that has no JSON Schema. */
export const jsonSchema = (where: Where, what: string, { ast }: Pick<Schema.Schema.Any, "ast">) =>
  Effect.try({
    try: () => Tool.getJsonSchemaFromSchemaAst(ast),
    catch: (cause) => malformedInput(where, `${what} has no JSON Schema`, cause)
  })

const argumentsOf = (schema: JsonSchema7Root): object => {
  const fields = "properties" in schema ? Object.entries(schema.properties) : []
  const isRequired = (name: string) => "required" in schema && schema.required.includes(name)
  return {
    ...Object.fromEntries(fields.map(([name, it]) => [name, isRequired(name) ? it : { ...it, optional: true }])),
    ...("$defs" in schema && { $defs: schema.$defs })
  }
}

const describe = (where: Where) => (tool: Tool.Any) =>
  Tool.isProviderDefined(tool)
    ? malformedInput(where, `${tool.name} is a tool of another provider`)
    : Effect.map(jsonSchema(where, `the tool ${tool.name}`, tool.parametersSchema), (schema) => ({
      name: tool.name,
      description: tool.description ?? Tool.getDescriptionFromSchemaAst(tool.parametersSchema.ast) ?? "",
      arguments: argumentsOf(schema)
    }))

/**
 * Checks a call, because `@effect/ai` runs any tool of the toolkit. Returns its arguments, still encoded.
 */
const checkCall = (where: Where, allowed: ReadonlyArray<Tool.Any>) =>
  Effect.fnUntraced(function*(call: ToolCall) {
    const tool = allowed.find(({ name }) => name === call.name)
    if (tool === undefined) {
      const names = allowed.map(({ name }) => name).join(", ")
      return yield* malformedOutput(where, `a call of ${excerpt(call.name)}: the tools to choose from are ${names}`)
    }
    const refused = (why: string, cause: unknown) =>
      malformedOutput(where, `the arguments of a call of ${tool.name} ${why}`, cause)
    const given = yield* Effect.try({
      try: () => Tool.unsafeSecureJsonParse(JSON.stringify(call.arguments)),
      catch: (cause) => refused("are not safe", cause)
    })
    const decoded = decode(tool.parametersSchema)(given)
    yield* Effect.mapError(decoded, (error) => refused(`do not fit: ${reasonOf(error)}`, error))
    return given
  })

type Given = Pick<LanguageModel.ProviderOptions, "tools" | "toolChoice">

export const choose = (where: Where, { toolChoice: choice, tools }: Given) =>
  Effect.gen(function*() {
    const all = choice === "none" ? [] : tools.map(({ name }) => name)
    const names = typeof choice === "string" ? all : "tool" in choice ? [choice.tool] : choice.oneOf
    const missing = names.find((name) => !tools.some((tool) => tool.name === name))
    if (missing !== undefined) return yield* malformedInput(where, `the chosen tool ${missing} is not in the toolkit`)
    const required = typeof choice === "string" ? choice === "required" : "tool" in choice || choice.mode === "required"
    if (required && names.length === 0) {
      return yield* malformedInput(where, "a call is required, and there is no tool")
    }
    const allowed = tools.filter(({ name }) => names.includes(name))
    const toolChoice: ToolChoice = required ? "required" : allowed.length === 0 ? "none" : "auto"
    return { tools: yield* Effect.forEach(allowed, describe(where)), toolChoice, check: checkCall(where, allowed) }
  })

export type Choice = Effect.Effect.Success<ReturnType<typeof choose>>
