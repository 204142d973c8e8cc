/** Things that happen at their time, in order; those of one time in the order in which they were planned. */

interface Event {
  readonly at: number
  readonly number: number
  readonly run: () => void
}

const isBefore = (one: Event, other: Event) => one.at < other.at || (one.at === other.at && one.number < other.number)

export class Events {
  /** Seconds. */
  now = 0

  private planned = 0
  private readonly heap: Array<Event> = []

  plan(at: number, run: () => void): void {
    const event = { at: Math.max(at, this.now), number: this.planned++, run }
    let place = this.heap.push(event) - 1
    while (place > 0) {
      const parent = (place - 1) >> 1
      const above = this.heap[parent]
      if (above === undefined || isBefore(above, event)) break
      this.heap[place] = above
      place = parent
    }
    this.heap[place] = event
  }

  /** Lets everything happen. */
  run(): void {
    for (let next = this.take(); next !== undefined; next = this.take()) {
      this.now = next.at
      next.run()
    }
  }

  private take(): Event | undefined {
    const [first] = this.heap
    const last = this.heap.pop()
    if (last === undefined || this.heap.length === 0) return first
    let place = 0
    for (let child = 1; child < this.heap.length; child = 2 * place + 1) {
      const [left, right] = [this.heap[child], this.heap[child + 1]]
      const isRight = left !== undefined && right !== undefined && isBefore(right, left)
      const least = isRight ? right : left
      if (least === undefined || isBefore(last, least)) break
      this.heap[place] = least
      place = isRight ? child + 1 : child
    }
    this.heap[place] = last
    return first
  }
}
