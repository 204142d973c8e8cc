/** A map of the newest 4096 entries per server: a program may run for months. */
export class Newest<A> extends Map<string, A> {
  readonly #hosts: () => number
  /** @param hosts how many servers the entries belong to */
  constructor(hosts: () => number = () => 1) {
    super()
    this.#hosts = hosts
  }
  override set(id: string, value: A): this {
    this.delete(id)
    super.set(id, value)
    const [oldest] = this.keys()
    if (oldest !== undefined && this.size > 4096 * this.#hosts()) this.delete(oldest)
    return this
  }
}
