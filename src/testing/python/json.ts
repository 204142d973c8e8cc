/**
 * JSON values as Python holds them, and how it writes them.
 *
 * @since 0.1.0
 */

/**
 * Literals keep their spelling: `5.0` is no integer, and an integer has any number of digits.
 *
 * @internal
 */
export type Json =
  | { readonly _tag: "Null" }
  | { readonly _tag: "Bool"; readonly value: boolean }
  | { readonly _tag: "Int"; readonly raw: string }
  | { readonly _tag: "Float"; readonly value: number }
  | { readonly _tag: "String"; readonly value: string }
  | { readonly _tag: "List"; readonly items: ReadonlyArray<Json> }
  | { readonly _tag: "Dict"; readonly entries: ReadonlyMap<string, Json> }

/**
 * Python's `repr` of a float: always a fraction or an exponent.
 *
 * @internal
 */
export const float = (value: number): string => {
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0"
  const [mantissa = "0", exponentText = "0"] = value.toExponential().split("e")
  const exponent = Number(exponentText)
  if (exponent < -4 || exponent >= 16) {
    const sign = exponent < 0 ? "-" : "+"
    return `${mantissa}e${sign}${String(Math.abs(exponent)).padStart(2, "0")}`
  }
  const digits = mantissa.replace("-", "").replace(".", "")
  const minus = value < 0 ? "-" : ""
  if (exponent < 0) return `${minus}0.${"0".repeat(-exponent - 1)}${digits}`
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0")
  return `${minus}${whole}.${digits.slice(exponent + 1) || "0"}`
}

/**
 * Compact `json.dumps(ensure_ascii=False, allow_nan=False)`; undefined where Python would raise.
 *
 * @internal
 */
export const print = (value: Json): string | undefined => {
  switch (value._tag) {
    case "Null":
      return "null"
    case "Bool":
      return String(value.value)
    case "Int":
      return value.raw
    case "Float":
      return Number.isFinite(value.value) ? float(value.value) : undefined
    case "String":
      return value.value.isWellFormed() ? JSON.stringify(value.value) : undefined
    case "List":
      return printAll("[", value.items.map((item) => print(item)), "]")
    case "Dict":
      return printAll(
        "{",
        Array.from(value.entries, ([key, item]) => {
          const text = print(item)
          return text === undefined || !key.isWellFormed() ? undefined : `${JSON.stringify(key)}:${text}`
        }),
        "}"
      )
  }
}

const printAll = (open: string, parts: ReadonlyArray<string | undefined>, close: string): string | undefined =>
  parts.includes(undefined) ? undefined : `${open}${parts.join(",")}${close}`

/**
 * A JSON string as `json.dumps` writes it by default: everything beyond ASCII escaped by UTF-16 unit.
 *
 * @internal
 */
export const ascii = (text: string): string =>
  JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => unit === "\u007f" ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
  )
