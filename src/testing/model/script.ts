/**
 * Scripted replies.
 *
 * @since 0.1.0
 */
import { byteToken, encode } from "./text.js"

/**
 * A reply with exact token borders. A string token is its UTF-8 bytes as one token.
 *
 * `end` says what follows the last token: `"eos"` (default) ends the text, `"loop"` begins again until `max_tokens`,
 * `"user"` is the hidden stop: a newline, which stays in the text, and the token `User`, which does not.
 *
 * @since 0.1.0
 * @category models
 */
export interface Script {
  readonly tokens: ReadonlyArray<string | Uint8Array>
  readonly end?: "eos" | "loop" | "user" | undefined
}

/** @internal */
export interface CompiledScript {
  readonly tokens: ReadonlyArray<Uint8Array>
  readonly loop: boolean
}

/**
 * A bare string becomes one token per byte, so that characters can be cut, as by the server's byte-level tokens.
 *
 * @internal
 */
export const compile = (script: Script | string): CompiledScript => {
  if (typeof script === "string") return { tokens: Array.from(encode(script), byteToken), loop: false }
  const tokens = script.tokens.map((token) => typeof token === "string" ? encode(token) : token)
  return {
    tokens: script.end === "user" ? [...tokens, encode("\n")] : tokens,
    loop: script.end === "loop" && tokens.length > 0
  }
}
