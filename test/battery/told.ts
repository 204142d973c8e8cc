/** What the page says of a case. */
export interface Told {
  readonly text?: string
  readonly failure?: {
    readonly tag: string
    readonly message: string
    readonly isTransient: boolean
    readonly isSafeToRepeat: boolean
    readonly requestId?: string | undefined
  }
}
