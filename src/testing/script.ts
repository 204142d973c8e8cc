/**
 * Scripted replies.
 *
 * @since 0.1.0
 */

/**
 * What `Options.reply` is told about a prompt the server has just read.
 *
 * @since 0.1.0
 * @category models
 */
export interface PromptRequest {
  /** Which endpoint brought the prompt. */
  readonly endpoint: "tmp" | "create" | "fim" | "continue" | "fork"
  /** The task that read it (for a fork, the new one). */
  readonly taskId: string
  /** The prompt as text; of a prompt sent as ids, those that stand for bytes (1..256). */
  readonly text: string
  /** The ids, if the prompt was sent as ids. */
  readonly tokens?: ReadonlyArray<number> | undefined
  /** The `max_tokens` of the run that begins. */
  readonly maxTokens: number
}

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

const encoder = new TextEncoder()

/**
 * A bare string becomes one token per byte, so that characters can be cut, as by the server's byte-level tokens.
 *
 * @internal
 */
export const compile = (script: Script | string): CompiledScript => {
  if (typeof script === "string") {
    return { tokens: Array.from(encoder.encode(script), (byte) => Uint8Array.of(byte)), loop: false }
  }
  const tokens = script.tokens.map((token) => typeof token === "string" ? encoder.encode(token) : token)
  return {
    tokens: script.end === "user" ? [...tokens, encoder.encode("\n")] : tokens,
    loop: script.end === "loop" && tokens.length > 0
  }
}
