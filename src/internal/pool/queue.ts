/**
 * Who waits for a place: those that had one and lost it with its server before all others, then first come, first served.
 */

interface Waiting {
  /** Whether it had a place before. */
  readonly returns: boolean
  /** Whether it counts against the limit of the queue. */
  readonly bounded: boolean
}

export const make = <A extends Waiting>() => {
  const [returning, others] = [new Set<A>(), new Set<A>()]
  let bounded = 0
  const lineOf = ({ returns }: A) => returns ? returning : others
  return {
    size: () => returning.size + others.size,
    bounded: () => bounded,
    head: (): A | undefined => {
      for (const line of [returning, others]) for (const waiter of line) return waiter
      return undefined
    },
    add: (waiter: A) => {
      lineOf(waiter).add(waiter)
      if (waiter.bounded) bounded++
    },
    remove: (waiter: A) => {
      if (lineOf(waiter).delete(waiter) && waiter.bounded) bounded--
    }
  }
}
