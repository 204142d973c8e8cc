/**
 * What every client under test can do. A client leaves out what it has no words for.
 */
export interface Consumer {
  /** Reads a task's stream to its end. */
  readonly stream?: (id: string, onText: (text: string) => void) => Promise<unknown>
  /** One small JSON request and its answer. */
  readonly ask?: (id: string) => Promise<unknown>
  /** Creates a task, waits for its end and returns its text. */
  readonly wait?: (prompt: string) => Promise<string>
  /** Reads the bytes of an event stream, without a server. */
  readonly decode?: (chunks: ReadonlyArray<Uint8Array>) => unknown
}

/** Each client in a process of its own, by the names that the table uses. */
export type Make = (baseUrl: string) => Promise<Consumer>
