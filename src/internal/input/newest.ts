/** The newest entries of a map: a program may run for months. */
export class Newest<A> extends Map<string, A> {
  readonly #hosts: () => number
  /** @param hosts how many servers the entries are of */
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
