/**
 * Bytes as Python reads them.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/**
 * `bytes.decode()`; none where it raises.
 *
 * @internal
 */
export const strict = (bytes: Uint8Array): Option.Option<string> =>
  Option.getRight(Either.try(() => decoder.decode(bytes)))

/** UTF-8 in which lone surrogates may stand, as three bytes each that no other character begins with. */
const utf8 = (bytes: Uint8Array): Option.Option<string> => {
  const parts: Array<Option.Option<string>> = []
  let from = 0
  for (let at = bytes.indexOf(0xed); at >= 0; at = bytes.indexOf(0xed, at + 1)) {
    const [, high = 0, low = 0] = bytes.subarray(at, at + 3)
    if (high < 0xa0 || high >= 0xc0 || low < 0x80 || low >= 0xc0) continue
    parts.push(
      strict(bytes.subarray(from, at)),
      Option.some(String.fromCharCode(0xd000 + (high - 0x80) * 64 + low - 0x80))
    )
    from = at + 3
  }
  return Option.map(Option.all([...parts, strict(bytes.subarray(from))]), (texts) => texts.join(""))
}

/** UTF-16 or UTF-32, by the size of a unit. */
const wide = (bytes: Uint8Array, size: 2 | 4, little: boolean): Option.Option<string> => {
  if (bytes.length % size > 0) return Option.none()
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let text = ""
  for (let at = 0; at < bytes.length; at += size) {
    const unit = size === 2 ? view.getUint16(at, little) : view.getUint32(at, little)
    if (unit > 0x10ffff) return Option.none()
    text += String.fromCodePoint(unit)
  }
  return Option.some(text)
}

/**
 * The text of a JSON document, in the encoding that a byte order mark or the zeros among its first bytes show. Lone
 * surrogates pass.
 *
 * @internal
 */
export const document = (bytes: Uint8Array): Option.Option<string> => {
  const begins = (...mark: ReadonlyArray<number>) => mark.every((byte, index) => bytes[index] === byte)
  if (begins(0, 0, 0xfe, 0xff)) return wide(bytes.subarray(4), 4, false)
  if (begins(0xff, 0xfe, 0, 0)) return wide(bytes.subarray(4), 4, true)
  if (begins(0xfe, 0xff)) return wide(bytes.subarray(2), 2, false)
  if (begins(0xff, 0xfe)) return wide(bytes.subarray(2), 2, true)
  if (begins(0xef, 0xbb, 0xbf)) return utf8(bytes.subarray(3))
  const [first, second, third, fourth] = bytes
  if (bytes.length < 4) {
    return bytes.length !== 2 || (first !== 0 && second !== 0) ? utf8(bytes) : wide(bytes, 2, first !== 0)
  }
  if (first === 0) return wide(bytes, second === 0 ? 4 : 2, false)
  return second === 0 ? wide(bytes, third === 0 && fourth === 0 ? 4 : 2, true) : utf8(bytes)
}
