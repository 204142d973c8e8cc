import { describe, expect, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Schema } from "effect"
import { RWKVError } from "effect-rwkv"
import { inspect } from "node:util"

const operation = "TaskService.wait"
const taskId = "TMP_1"
const limit = Duration.seconds(3)

interface Case {
  readonly error: RWKVError.RWKVError
  readonly transient: boolean
  readonly safe?: boolean
  readonly message: string
}

const timeout = (kind: RWKVError.RWKVTimeoutError["kind"]) =>
  new RWKVError.RWKVTimeoutError({ operation, taskId, kind, limit })

const status = (status: number) => new RWKVError.RWKVStatusError({ operation, status, description: "no explanation" })

const cases: ReadonlyArray<Case> = [
  {
    error: new RWKVError.RWKVValidationError({
      operation,
      source: "client",
      issues: [{ path: "topK", message: "is odd" }, { path: "", message: "is bad" }]
    }),
    transient: false,
    safe: true,
    message: "TaskService.wait: invalid request: topK is odd; is bad"
  },
  {
    error: new RWKVError.RWKVValidationError({
      operation,
      taskId,
      source: "server",
      issues: [1, 2, 3, 4].map((n) => ({ path: `p${n}`, message: "is bad" }))
    }),
    transient: false,
    safe: true,
    message: "TaskService.wait: the server refused the request: p1 is bad; p2 is bad; p3 is bad, and 1 more"
  },
  {
    error: new RWKVError.TaskNotFoundError({ operation, taskId }),
    transient: false,
    safe: true,
    message: "TaskService.wait: task TMP_1 does not exist, or exists no more"
  },
  {
    error: new RWKVError.TaskBusyError({ operation, taskId, status: "Running" }),
    transient: true,
    safe: true,
    message: "TaskService.wait: task TMP_1 is not finished (Running)"
  },
  {
    error: new RWKVError.TaskCancelledError({ operation, taskId, text: "private\nwords" }),
    transient: false,
    message: "TaskService.wait: task TMP_1 was stopped after 13 UTF-16 units of text"
  },
  {
    error: new RWKVError.TemplateProtectedError({ operation, taskId: "_TMPL_1" }),
    transient: false,
    safe: true,
    message: "TaskService.wait: template _TMPL_1 is deleted only with force: true"
  },
  {
    error: new RWKVError.AlreadyTemplateError({ operation, taskId: "_TMPL_1" }),
    transient: false,
    safe: true,
    message: "TaskService.wait: _TMPL_1 is a template already"
  },
  {
    error: new RWKVError.UnsupportedByServerError({ operation, taskId, feature: "templates" }),
    transient: false,
    message: "TaskService.wait: this server does not support templates (task TMP_1)"
  },
  {
    error: new RWKVError.RWKVServerError({
      operation,
      taskId,
      status: 503,
      description: "busy",
      retryAfter: Duration.seconds(2)
    }),
    transient: true,
    safe: true,
    message: "TaskService.wait: the server failed with 503: busy (task TMP_1)"
  },
  {
    error: status(401),
    safe: true,
    transient: false,
    message: "TaskService.wait: unexpected status 401: no explanation"
  },
  { error: status(408), transient: true, message: "TaskService.wait: unexpected status 408: no explanation" },
  {
    error: status(425),
    safe: true,
    transient: true,
    message: "TaskService.wait: unexpected status 425: no explanation"
  },
  {
    error: status(429),
    safe: true,
    transient: true,
    message: "TaskService.wait: unexpected status 429: no explanation"
  },
  {
    error: new RWKVError.RWKVConnectionError({
      operation,
      code: "ECONNREFUSED",
      description: "cannot connect to localhost:8000",
      requestSent: false,
      retryable: true
    }),
    transient: true,
    safe: true,
    message: "TaskService.wait: cannot connect to localhost:8000 (ECONNREFUSED)"
  },
  {
    error: new RWKVError.RWKVConnectionError({
      operation,
      taskId,
      description: "no answer from localhost:8000",
      requestSent: true,
      retryable: false
    }),
    transient: false,
    message: "TaskService.wait: no answer from localhost:8000 (task TMP_1)"
  },
  {
    error: timeout("request"),
    transient: true,
    message: "TaskService.wait: no complete answer within 3s (task TMP_1)"
  },
  { error: timeout("wait"), transient: false, message: "TaskService.wait: not finished within 3s (task TMP_1)" },
  { error: timeout("stop"), transient: false, message: "TaskService.wait: still running within 3s (task TMP_1)" },
  { error: timeout("stalled"), transient: false, message: "TaskService.wait: no progress within 3s (task TMP_1)" },
  {
    error: new RWKVError.RWKVDecodeError({ operation, description: "not JSON" }),
    transient: false,
    message: "TaskService.wait: unreadable answer: not JSON"
  },
  {
    error: new RWKVError.StreamTruncatedError({
      operation,
      taskId,
      text: "private\nwords",
      description: "the task is gone",
      cause: new RWKVError.TaskNotFoundError({ operation, taskId })
    }),
    transient: false,
    message: "TaskService.wait: truncated after 13 UTF-16 units: the task is gone (task TMP_1)"
  },
  {
    error: new RWKVError.RWKVPoolError({ operation, kind: "full", description: "too many wait" }),
    transient: true,
    safe: true,
    message: "TaskService.wait: too many wait"
  },
  {
    error: new RWKVError.RWKVPoolError({ operation, taskId, kind: "server", description: "no such server" }),
    transient: false,
    safe: true,
    message: "TaskService.wait: no such server (task TMP_1)"
  },
  {
    error: new RWKVError.RWKVPoolError({ operation, kind: "replay", description: "it told another text" }),
    transient: false,
    message: "TaskService.wait: it told another text"
  }
]

const categories = {
  isThrottled: RWKVError.isThrottled,
  isUnauthorized: RWKVError.isUnauthorized,
  isNotFound: RWKVError.isNotFound,
  isTransient: RWKVError.isTransient,
  isSafeToRepeat: RWKVError.isSafeToRepeat
}

/** What JSON keeps of an error; a cause comes back as a plain Error. */
const fields = (encoded: object) =>
  Object.entries(encoded).filter(([key, value]) => key !== "cause" && value !== undefined)

describe("RWKVError", () => {
  it("every tag of the union has a case here", () => {
    const tags = RWKVError.RWKVError.members.map((member) => member._tag)
    expect(new Set(cases.map(({ error }) => error._tag))).toEqual(new Set(tags))
    expect(tags).toHaveLength(14)
  })

  it.each(cases)("$message", ({ error, message, transient, safe = false }) => {
    expect(error.message).toBe(message)
    expect(error.isSafeToRepeat).toBe(safe)
    expect(error.message).not.toContain("\n")
    expect(error.isTransient).toBe(transient)
    expect(error.name).toBe(error._tag)
    expect(error).toBeInstanceOf(Error)
    expect(RWKVError.isRWKVError(error)).toBe(true)
  })

  it.effect.each(cases)(
    "F114 is not safe to repeat once work was begun: $message",
    ({ error }) =>
      Effect.gen(function*() {
        const encoded = yield* Schema.encode(RWKVError.RWKVError)(error)
        const begun = yield* Schema.decode(RWKVError.RWKVError)({ ...encoded, workBegun: true })
        expect(begun).toMatchObject({ _tag: error._tag, workBegun: true, isSafeToRepeat: false })
      })
  )

  it.effect.each(cases)("crosses a wire as JSON: $message", ({ error, message, transient }) =>
    Effect.gen(function*() {
      const json = JSON.stringify(yield* Schema.encode(RWKVError.RWKVError)(error))
      const back = yield* Schema.decode(Schema.parseJson(RWKVError.RWKVError))(json)
      expect(back._tag).toBe(error._tag)
      expect(back.message).toBe(message)
      expect(back.isTransient).toBe(transient)
      expect(RWKVError.isRWKVError(back)).toBe(true)
      expect(fields(yield* Schema.encode(RWKVError.RWKVError)(back))).toEqual(fields(JSON.parse(json)))
    }))

  it.effect.each(cases)("is the same failure within a span, and printed with its message: $message", (
    { error, message }
  ) =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Effect.withSpan(Effect.fail(error), "call"))
      const failure = Exit.match(exit, { onFailure: (cause) => Cause.squash(cause), onSuccess: () => undefined })
      expect(RWKVError.isRWKVError(failure)).toBe(true)
      const cause = Exit.match(exit, { onFailure: Cause.pretty, onSuccess: () => "" })
      expect(cause).toContain(message)
      expect(inspect(error)).toContain(message)
      expect(JSON.parse(JSON.stringify(error))).toMatchObject({ _tag: error._tag, operation })
    }))

  it.each([
    ["0 millis", "0"],
    [459.906101, "460ms"],
    ["20 seconds", "20s"],
    [12_340, "12s 340ms"],
    ["90 seconds", "1m 30s"],
    ["1 hour", "1h"],
    [Infinity, "Infinity"]
  ])("%s is printed as %s", (duration, printed) => {
    const limit = Duration.decode(duration as Duration.DurationInput)
    const error = new RWKVError.RWKVTimeoutError({ operation, kind: "wait", limit })
    expect(error.message).toBe(`TaskService.wait: not finished within ${printed}`)
  })

  const server = (status: number, retryAfter?: Duration.Duration) =>
    new RWKVError.RWKVServerError({ operation, taskId, status, description: "busy", retryAfter })

  it.each<[name: keyof typeof categories, members: ReadonlyArray<RWKVError.RWKVError>]>([
    ["isThrottled", [status(429), server(503, limit)]],
    ["isUnauthorized", [status(401), status(403), status(407)]],
    ["isNotFound", [new RWKVError.TaskNotFoundError({ operation, taskId })]]
  ])("the errors of %s are these, and no others", (name, members) => {
    const others = [400, 404, 405, 408, 410, 425].map(status)
    const all = [
      ...cases.map(({ error }) => error),
      ...others,
      ...members,
      server(500),
      server(503),
      server(529, limit)
    ]
    const told = all.filter(categories[name]).map((error) => error.message)
    expect(new Set(told)).toEqual(new Set(members.map((error) => error.message)))
  })

  it.effect.each(cases)(
    "tells its categories as functions do, within a span as well: $message",
    ({ error }) =>
      Effect.gen(function*() {
        const proxied = yield* Effect.flip(Effect.withSpan(Effect.fail(error), "call"))
        for (const known of [error, proxied]) {
          expect(RWKVError.isTransient(known)).toBe(error.isTransient)
          expect(RWKVError.isSafeToRepeat(known)).toBe(error.isSafeToRepeat)
        }
      })
  )

  it("no category holds what only looks like an error of this package", () => {
    const alike = { _tag: "RWKVStatusError", operation, status: 429, description: "", isTransient: true }
    const looks = [undefined, null, "x", new Error("x"), alike, { _tag: "TaskNotFoundError", taskId, operation }]
    for (const is of Object.values(categories)) expect(looks.filter(is)).toEqual([])
  })

  it.effect("is caught and repeated by its category", () =>
    Effect.gen(function*() {
      let attempts = 0
      const failing = Effect.suspend(() => {
        attempts++
        return Effect.fail(attempts < 3 ? status(429) : new RWKVError.TaskNotFoundError({ operation, taskId }))
      })
      const caught = yield* failing.pipe(
        Effect.retry({ while: RWKVError.isThrottled }),
        Effect.catchIf(RWKVError.isNotFound, () => Effect.succeed("gone"))
      )
      expect([caught, attempts]).toEqual(["gone", 3])
    }))

  it.effect("is caught by its tag", () =>
    Effect.gen(function*() {
      const caught = yield* Effect.fail(timeout("wait")).pipe(
        Effect.catchTags({ RWKVTimeoutError: ({ kind }) => Effect.succeed(kind) })
      )
      expect(caught).toBe("wait")
    }))

  it("what only looks like one of them is none", () => {
    for (const u of [undefined, null, {}, { _tag: "TaskNotFoundError", operation, taskId }, new Error("x"), "x"]) {
      expect(RWKVError.isRWKVError(u)).toBe(false)
    }
  })
})
