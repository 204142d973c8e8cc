/** What runners have written, read past them: by the drivers alone, from where the programs have theirs. */
import { Data, Effect, type Scope } from "effect"
import { createRequire } from "node:module"

const require = createRequire(new URL("../../scratchpad/durable/package.json", import.meta.url))

export class DatabaseFailed extends Data.TaggedError("DatabaseFailed")<{ readonly cause: unknown }> {}

/** A row of the sink's table. */
export interface Row {
  readonly key: string
  readonly text: string
  /** How often the sink was told of it. */
  readonly deliveries: number
}

export interface Database {
  /** What the runners' environment says of it. */
  readonly env: Record<string, string>
  /** Rows of a query; none where there is no such table yet. */
  readonly rows: <A>(query: string) => Effect.Effect<ReadonlyArray<A>, DatabaseFailed>
}

const missing = /no such table|unable to open database file|does not exist/

const orNone = <A>(effect: Effect.Effect<ReadonlyArray<A>, DatabaseFailed>) =>
  Effect.catchIf(effect, ({ cause }) => missing.test(String(cause)), () => Effect.succeed<ReadonlyArray<A>>([]))

export const sqlite = (filename: string): Database => {
  const Driver = require("better-sqlite3")
  return {
    env: { DATABASE: filename },
    rows: (query) =>
      orNone(Effect.try({
        try: () => {
          const database = new Driver(filename, { readonly: true })
          try {
            return database.prepare(query).all()
          } finally {
            database.close()
          }
        },
        catch: (cause) => new DatabaseFailed({ cause })
      }))
  }
}

export const postgres = (url: string): Effect.Effect<Database, DatabaseFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const { Pool } = require("pg")
    const pool = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const pool = new Pool({ connectionString: url, max: 2 })
        // Connections that idle when the server is stopped.
        pool.on("error", () => undefined)
        return pool
      }),
      (pool) => Effect.promise(() => pool.end())
    )
    return {
      env: { DATABASE_URL: url },
      rows: (query) =>
        orNone(Effect.tryPromise({
          try: async () => (await pool.query(query)).rows,
          catch: (cause) => new DatabaseFailed({ cause })
        }))
    }
  })

/** The sink's table. */
export const results = (database: Database) => database.rows<Row>("SELECT key, text, deliveries FROM results")

/** Which of these tasks some activity has recorded. */
export const recorded = (database: Database, taskIds: ReadonlyArray<string>) =>
  Effect.map(
    database.rows<{ readonly payload: string }>("SELECT payload FROM cluster_replies"),
    (rows) => {
      const ids = new Set(rows.flatMap(({ payload }) => payload.match(/TMP_\w+/g) ?? []))
      return new Set(taskIds.filter((taskId) => ids.has(taskId)))
    }
  )
