/** The newest entries of a map: a program may run for months. */
export class Newest<A> extends Map<string, A> {
  override set(id: string, value: A): this {
    this.delete(id)
    super.set(id, value)
    const [oldest] = this.keys()
    if (oldest !== undefined && this.size > 4096) this.delete(oldest)
    return this
  }
}
