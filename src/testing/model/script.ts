/**
 * Scripted replies.
 *
 * @since 0.1.0
 */
import { byteToken, encode } from "./text.js"

/**
 * Why a run ended: the model ended its text (`"eos"`) or began a turn of the user (`"user"`), it reached `max_tokens`
 * (`"length"`), or somebody stopped it (`"stop"`).
 *
 * @since 0.1.0
 * @category models
 */
export type EndedBy = "eos" | "user" | "length" | "stop"

/**
 * A reply with exact token borders. A string token is its UTF-8 bytes as one token. As on the server, a token `User`
 * directly after a token that is one or two newlines ends the run, and is not stored.
 *
 * @since 0.1.0
 * @category models
 */
export interface Script {
  readonly tokens: ReadonlyArray<string | Uint8Array>
  /**
   * What follows the last token: `"eos"` (default) ends the text, `"loop"` begins again until `max_tokens`, `"user"` is
   * the hidden stop: a newline, which stays in the text, and the token `User`, which does not.
   */
  readonly end?: "eos" | "loop" | "user" | undefined
  /**
   * Ends the run once it has `after` tokens, of `tokens` over and over; in place of `end`. `"user"` adds a newline, and
   * `"stop"` is a stop of somebody else: the token 0 does not stand before the next prompt.
   */
  readonly ends?: { readonly after: number; readonly by: "eos" | "user" | "stop" } | undefined
}

/** @internal */
export interface CompiledScript {
  readonly tokens: ReadonlyArray<Uint8Array>
  readonly loop: boolean
  readonly ends?: Script["ends"]
}

/** @internal */
export const newline = encode("\n")

const user = encode("User")

/**
 * A bare string becomes one token per byte, so that characters can be cut, as by the server's byte-level tokens.
 *
 * @internal
 */
export const compile = (script: Script | string): CompiledScript => {
  if (typeof script === "string") return { tokens: Array.from(encode(script), byteToken), loop: false }
  // What is neither, in a program without types, is a text as well: later it would stop the whole server.
  const tokens = script.tokens.map((token) => token instanceof Uint8Array ? token : encode(String(token)))
  return {
    tokens: script.end === "user" && script.ends === undefined ? [...tokens, newline, user] : tokens,
    loop: (script.end === "loop" || script.ends !== undefined) && tokens.length > 0,
    ends: script.ends
  }
}

/**
 * The server's hidden stop: the one token `User` directly after the one token of one or two newlines.
 *
 * @internal
 */
export const endsTurn = (last: Uint8Array | undefined, token: Uint8Array): boolean =>
  (last?.length === 1 || last?.length === 2) && last.every((byte) => byte === newline[0])
  && token.length === user.length && token.every((byte, index) => byte === user[index])
