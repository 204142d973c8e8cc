/** What the real server was asked and answered, and the streams that it sent. */
import { readFileSync } from "node:fs"

export interface Exchange {
  readonly name: string
  readonly request: {
    readonly method: "GET" | "POST"
    readonly path: string
    readonly contentType: string | null
    readonly body: string | null
  }
  readonly response: {
    readonly status: number
    readonly contentType: string | null
    readonly allow: string | null
    readonly location: string | null
    readonly body: string
  }
}

export interface Recording {
  readonly name: string
  readonly request: { readonly method: "GET" | "POST"; readonly path: string; readonly body: string | null }
  readonly end: "eof" | "still open"
  readonly reads: ReadonlyArray<readonly [number, string]>
}

const read = (name: string) => JSON.parse(readFileSync(new URL(`../golden/${name}`, import.meta.url), "utf8"))

export const exchanges: ReadonlyArray<Exchange> = read("http.json")

export const recordings: ReadonlyArray<Recording> = read("streams.json")

export const idPattern = /(?:TMP|TASK|_TMPL)_[0-9a-f]{32}/g

/** One request of a sequence, and what came of it. */
export interface Step {
  readonly kind: string
  readonly method: string
  /** `{n}` stands for the n-th task that the sequence makes. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** The number of the task that this call makes. */
  readonly makes?: number
  /** What was waited for before the next call. */
  readonly then: "end" | "running" | "none"
  /** Something ran meanwhile: counts, texts, the states 2 and 3 and times may differ. */
  readonly racy?: boolean
  readonly response: Outcome
}

export interface Outcome {
  readonly status: number
  readonly contentType: string | null
  readonly allow?: string
  readonly location?: string
  readonly headers: string
  readonly end: "end" | "cut" | "hang"
  readonly body?: string
  readonly frames?: ReadonlyArray<string>
}

export interface Sequence {
  readonly name: string
  readonly calls: ReadonlyArray<Step>
}

export const sequences: ReadonlyArray<Sequence> = read("sequences.json")
