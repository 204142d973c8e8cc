/**
 * Which tools the model is offered, and whether what it calls is one of them.
 */
import type * as LanguageModel from "@effect/ai/LanguageModel"
import * as Tool from "@effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { ToolCall } from "../../RWKVMessage.js"
import type { ToolChoice } from "../chat/format.js"
import { excerpt } from "../input/excerpt.js"
import { isRecord } from "../input/json.js"
import { malformedInput, malformedOutput, type Where } from "./failure.js"

type Given = Pick<LanguageModel.ProviderOptions, "tools" | "toolChoice">

/** The names that may be called; undefined for all that are offered. */
const named = (choice: Given["toolChoice"]): ReadonlyArray<string> | undefined =>
  typeof choice === "string" ? choice === "none" ? [] : undefined : "tool" in choice ? [choice.tool] : choice.oneOf

const isRequired = (choice: Given["toolChoice"]): boolean =>
  typeof choice === "string" ? choice === "required" : "tool" in choice || choice.mode === "required"

/** What does not fit a Schema, in a few words for the model and for errors. */
export const reasonOf = (error: ParseResult.ParseError): string =>
  ParseResult.ArrayFormatter.formatErrorSync(error).slice(0, 5)
    .map(({ message, path }) => excerpt(path.length === 0 ? message : `${path.map(String).join(".")}: ${message}`))
    .join("; ")

/** Decodes by what a Schema says, in the services of whoever runs it: `@effect/ai` asks its callers for them. */
export const decode = ({ ast }: Pick<Schema.Schema.Any, "ast">) =>
  Schema.decodeUnknown(Schema.make<unknown>(ast), { errors: "all" })

/** Some Schemas have no JSON Schema. */
export const jsonSchema = (where: Where, what: string, { ast }: Pick<Schema.Schema.Any, "ast">) =>
  Effect.try({
    try: (): unknown => Tool.getJsonSchemaFromSchemaAst(ast),
    catch: (cause) => malformedInput(where, `${what} has no JSON Schema`, cause)
  })

const argumentsOf = (schema: unknown): object => {
  const { $defs, properties, required }: Record<string, unknown> = isRecord(schema) ? schema : {}
  const fields = Object.entries(isRecord(properties) ? properties : {}).map(([name, field]) => {
    const isOptional = Array.isArray(required) && !required.includes(name)
    return [name, isRecord(field) && isOptional ? { ...field, optional: true } : field]
  })
  return { ...Object.fromEntries(fields), ...(isRecord($defs) && { $defs }) }
}

const describe = (where: Where, tool: Tool.Any) =>
  Tool.isProviderDefined(tool)
    ? malformedInput(where, `${tool.name} is a tool of another provider`)
    : Effect.map(jsonSchema(where, `the tool ${tool.name}`, tool.parametersSchema), (schema) => ({
      name: tool.name,
      description: tool.description ?? Tool.getDescriptionFromSchemaAst(tool.parametersSchema.ast) ?? "",
      arguments: argumentsOf(schema)
    }))

/** The arguments of a call as its tool takes them, encoded. `@effect/ai` runs any tool of the toolkit that is called. */
const checkCall = (where: Where, allowed: ReadonlyArray<Tool.Any>) => (call: ToolCall) =>
  Effect.gen(function*() {
    const tool = allowed.find(({ name }) => name === call.name)
    if (tool === undefined) {
      const names = allowed.map(({ name }) => name).join(", ")
      return yield* malformedOutput(where, `a call of ${excerpt(call.name)}: the tools to choose from are ${names}`)
    }
    const what = `the arguments of a call of ${tool.name}`
    const given = yield* Effect.try({
      try: () => Tool.unsafeSecureJsonParse(JSON.stringify(call.arguments)),
      catch: (cause) => malformedOutput(where, `${what} are not safe`, cause)
    })
    yield* Effect.mapError(
      decode(tool.parametersSchema)(given),
      (error) => malformedOutput(where, `${what} do not fit: ${reasonOf(error)}`, error)
    )
    return given
  })

export const choose = (where: Where, { toolChoice, tools }: Given) =>
  Effect.gen(function*() {
    const names = named(toolChoice)
    const missing = names?.find((name) => !tools.some((tool) => tool.name === name))
    if (missing !== undefined) return yield* malformedInput(where, `the chosen tool ${missing} is not in the toolkit`)
    const allowed = names === undefined ? tools : tools.filter(({ name }) => names.includes(name))
    const required = isRequired(toolChoice)
    if (required && allowed.length === 0) {
      return yield* malformedInput(where, "a call is required, and there is no tool")
    }
    const mode: ToolChoice = required ? "required" : allowed.length === 0 ? "none" : "auto"
    const described = yield* Effect.forEach(allowed, (tool) => describe(where, tool))
    return { tools: described, toolChoice: mode, check: checkCall(where, allowed) }
  })

export type Choice = Effect.Effect.Success<ReturnType<typeof choose>>
