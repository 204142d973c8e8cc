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
