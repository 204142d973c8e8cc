/**
 * Tokens and their text: every token is some bytes of UTF-8.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"

const encoder = new TextEncoder()
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const lossy = new TextDecoder("utf-8", { ignoreBOM: true })

const single: ReadonlyArray<Uint8Array> = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte))

/**
 * The token of one byte. All users share it, so nobody may write to it.
 *
 * @internal
 */
export const byteToken = (byte: number): Uint8Array => single[byte] ?? Uint8Array.of(byte)

/** @internal */
export const encode = (text: string): Uint8Array => encoder.encode(text)

/** @internal */
export const join = (tokens: ReadonlyArray<Uint8Array>): Uint8Array => {
  let size = 0
  for (const token of tokens) size += token.length
  const bytes = new Uint8Array(size)
  let at = 0
  for (const token of tokens) {
    bytes.set(token, at)
    at += token.length
  }
  return bytes
}

/**
 * The server's decoding: one bad byte anywhere turns the whole text into a single U+FFFD (H10, H11).
 *
 * @internal
 */
export const decode = (tokens: ReadonlyArray<Uint8Array>): string =>
  Either.getOrElse(Either.try(() => strict.decode(join(tokens))), () => "\ufffd")

/** @internal */
export const decodeLossy = (bytes: Uint8Array): string => lossy.decode(bytes)

/**
 * Bytes of a character begun and not finished at the end; 0 at a character border.
 *
 * @internal
 */
export const openBytes = (length: number, byteAt: (index: number) => number): number => {
  for (let back = 1; back <= Math.min(3, length); back++) {
    const byte = byteAt(length - back)
    if (byte >= 0xc0) {
      const size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
      return back < size ? back : 0
    }
    if (byte < 0x80) return 0
  }
  return 0
}

/**
 * Decoding as documented: an unfinished character at the end is held back.
 *
 * @internal
 */
export const decodeWhole = (bytes: Uint8Array): { readonly text: string; readonly rest: Uint8Array } => {
  const end = bytes.length - openBytes(bytes.length, (index) => bytes[index] ?? 0)
  return { text: decodeLossy(bytes.subarray(0, end)), rest: bytes.slice(end) }
}
