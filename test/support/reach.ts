/** Every text that can be reached from a value, by whatever way: also what is hidden, or bytes. */
export const reach = (value: unknown): ReadonlyArray<string> => {
  const seen = new Set<unknown>()
  const texts: Array<string> = []
  const visit = (value: unknown) => {
    if (typeof value === "string") texts.push(value)
    if (typeof value !== "object" && typeof value !== "function" || value === null || seen.has(value)) return
    if (value === globalThis || value instanceof WeakMap) return
    seen.add(value)
    if (value instanceof Uint8Array) return void texts.push(new TextDecoder().decode(value))
    if (value instanceof Map) value.forEach((one, key) => [one, key].forEach(visit))
    if (value instanceof Set) value.forEach(visit)
    for (const key of Reflect.ownKeys(value)) {
      texts.push(String(key))
      const descriptor = Reflect.getOwnPropertyDescriptor(value, key)
      if (descriptor !== undefined && "value" in descriptor) visit(descriptor.value)
    }
  }
  visit(value)
  return texts
}
