import { describe, expect, it } from "@effect/vitest"
import { Chunk, Duration, Effect, Either, FastCheck, Layer, Schema, Stream } from "effect"
import { type Finish, Protocol, RWKV, StreamService } from "effect-rwkv"
import { Emulator } from "effect-rwkv/testing"
import * as wire from "./support/wire.js"

const without = (record: object, key: string) =>
  Object.fromEntries(Object.entries(record).filter(([name]) => name !== key))

describe("TaskId", () => {
  it.each(["TMP_4a27e546c5ad4b08af86a0321de5bc70", "TASK_1", "_TMPL_1", "a", "...", ".a", "-", "~", "x".repeat(256)])(
    "%s is an id",
    (id) => expect(Schema.is(Protocol.TaskId)(id)).toBe(true)
  )

  it.each([
    "",
    ".",
    "..",
    "a/b",
    "a?b",
    "a#b",
    "a%2Fb",
    "a b",
    "a\n",
    "\u0000",
    "\ud800",
    "ä",
    "x".repeat(257),
    5,
    null
  ])(
    "F69 %j is not",
    (id) => expect(Schema.is(Protocol.TaskId)(id)).toBe(false)
  )

  it("an error about one does not quote it", () => {
    const decoded = Schema.decodeUnknownEither(Protocol.TaskId)("not an id")
    expect(String(Either.getLeft(decoded))).not.toContain("not an id")
  })
})

describe("TaskStatus", () => {
  it.each(
    [
      [0, "Prefill"],
      [1, "Ready"],
      [2, "Running"],
      [3, "Finished"],
      ["PREFILL", "Prefill"],
      ["PENDING", "Ready"],
      ["READY", "Ready"],
      ["RUNNING", "Running"],
      ["FINISHED", "Finished"],
      ["STOPPED", "Finished"]
    ] as const
  )("%s is %s", (wireStatus, status) => {
    expect(Schema.decodeSync(Protocol.TaskStatus)(wireStatus)).toBe(status)
  })

  it.each([4, -1, 1.5, Number.NaN, "", "DONE", "toString", "__proto__", null, true, {}])("%j is none", (value) => {
    expect(Either.isLeft(Schema.decodeUnknownEither(Protocol.TaskStatus)(value))).toBe(true)
  })

  it("is encoded as the server's integer", () => {
    const statuses = ["Prefill", "Ready", "Running", "Finished"] as const
    expect(statuses.map((status) => Schema.encodeSync(Protocol.TaskStatus)(status))).toEqual([0, 1, 2, 3])
  })
})

const result = {
  task_id: "TMP_1",
  result: "Hello",
  prefill_time: 0.25,
  gen_time: 1.5,
  speed: 57.4,
  finished: true
}

describe("TaskResult", () => {
  it("seconds become durations", () => {
    const decoded = Schema.decodeSync(Protocol.TaskResult)(result)
    expect(decoded).toEqual({
      taskId: "TMP_1",
      text: "Hello",
      finished: true,
      speed: 57.4,
      prefillTime: Duration.millis(250),
      generationTime: Duration.millis(1500),
      undecodedTail: false,
      usage: { outputTokens: undefined },
      finishReason: "unknown",
      tokensPerSecond: undefined
    })
    expect(Schema.encodeSync(Protocol.TaskResult)(decoded)).toEqual(result)
  })

  it("F65 H40: what is no duration is none", () => {
    for (const seconds of [1.78e9, 1e9, JSON.parse("1e999"), -1]) {
      const { generationTime, prefillTime } = Schema.decodeSync(Protocol.TaskResult)({
        ...result,
        gen_time: seconds,
        prefill_time: seconds
      })
      expect(Duration.toMillis(generationTime)).toBe(0)
      expect(Duration.toMillis(prefillTime)).toBe(0)
    }
  })

  it("F49 H11: a text the server cannot decode is no text", () => {
    const decoded = Schema.decodeSync(Protocol.TaskResult)({ ...result, result: "\uFFFD" })
    expect(decoded.text).toBe("")
    expect(decoded.undecodedTail).toBe(true)
    expect(Schema.encodeSync(Protocol.TaskResult)(decoded).result).toBe("\uFFFD")
  })

  it("F51 a replacement character among others is text", () => {
    const decoded = Schema.decodeSync(Protocol.TaskResult)({ ...result, result: "a\uFFFD" })
    expect(decoded.text).toBe("a\uFFFD")
    expect(decoded.undecodedTail).toBe(false)
  })
})

const decoder = <A, I>(schema: Schema.Schema<A, I>) => (body: unknown) =>
  Either.map(Schema.decodeUnknownEither(schema)(body), (decoded): unknown => decoded)

const shapes = [
  ["TaskResult", decoder(Protocol.TaskResult), result],
  ["TaskInfo", decoder(Protocol.TaskInfo), wire.info],
  ["TaskList", decoder(Protocol.TaskList), wire.list],
  ["ModelList", decoder(Protocol.ModelList), { data: wire.models.data }]
] as const

describe("responses", () => {
  it.each(shapes)("F19 %s ignores fields it does not know", (_, decode, body) => {
    const plain = decode(body)
    expect(Either.isRight(plain)).toBe(true)
    expect(decode({ ...body, extra: { deep: [1] } })).toEqual(plain)
  })

  it.each(shapes)("F19 %s fails without any of its fields, or with null for one", (_, decode, body) => {
    for (const key of Object.keys(body)) {
      expect(Either.isLeft(decode(without(body, key))), key).toBe(true)
      expect(Either.isLeft(decode({ ...body, [key]: null })), key).toBe(true)
      expect(Either.isLeft(decode({ ...body, [key]: {} })), key).toBe(true)
    }
    for (const other of [null, [], "x", 5, true]) expect(Either.isLeft(decode(other))).toBe(true)
  })

  it("TaskInfo, TaskList and ModelList are named as programs write", () => {
    expect(Schema.decodeSync(Protocol.TaskInfo)(wire.info))
      .toEqual({ taskId: "TMP_1", status: "Finished", generatedTokens: 5 })
    expect(Schema.decodeSync(Protocol.TaskList)(wire.list)).toEqual({
      cpuCacheCount: 1,
      databaseCount: 2,
      totalCount: 3,
      cpuTasks: ["TMP_1"],
      dbTasks: ["TASK_1"]
    })
    expect(Schema.decodeSync(Protocol.ModelList)(wire.models))
      .toEqual({ data: [{ id: "rwkv-7", created: 1795392104, ownedBy: "rwkv" }] })
  })
})

/** Said where an answer has nothing of what was asked for. */
const hint = "is baseUrl right? Its path is /"

const breaches: ReadonlyArray<readonly [body: string, description: string]> = [
  ["{}", `task_id: is missing; ${hint}`],
  ["[]", `expected an object; ${hint}`],
  ["null", `expected an object; ${hint}`],
  ["\"a secret\"", `expected an object; ${hint}`],
  [JSON.stringify({ ...result, task_id: "a secret" }), "task_id: expected TaskId"],
  [JSON.stringify({ ...result, result: ["a secret"] }), "result: expected string"],
  [JSON.stringify({ ...result, speed: null }), "speed: expected number"],
  [JSON.stringify({ ...result, finished: "a secret" }), "finished: expected boolean"],
  [JSON.stringify(result).replace("\"Hello\"", "[".repeat(100_000) + "]".repeat(100_000)), "result: expected string"]
]

describe("an answer of another shape", () => {
  it.effect.each(breaches)("F19 fails with RWKVDecodeError that names the path and quotes nothing: %#", (
    [body, description]
  ) =>
    Effect.gen(function*() {
      const { http } = yield* wire.make(() => wire.text(body))
      const error = yield* wire.failure(http.result("TMP_1"))
      expect(error).toMatchObject({ _tag: "RWKVDecodeError", taskId: "TMP_1", description })
    }))

  it.effect.each(
    [
      [{ ...wire.info, status: "DONE" }, "status: must be a task status (0 to 3)"],
      [{ ...wire.info, status: null }, "status: expected number"],
      [{ ...wire.info, generated_buf: "5" }, "generated_buf: expected number"]
    ] as const
  )("F19 a status like %j is no status", ([body, description]) =>
    Effect.gen(function*() {
      const { http } = yield* wire.make(() => wire.json(body))
      const error = yield* wire.failure(http.status("TMP_1"))
      expect(error).toMatchObject({ _tag: "RWKVDecodeError", description })
    }))

  it.effect("F19 the index of a bad id in a list is named", () =>
    Effect.gen(function*() {
      const { http } = yield* wire.make(() => wire.json({ ...wire.list, cpu_tasks: ["TMP_1", "a/b"] }))
      const error = yield* wire.failure(http.list())
      expect(error).toMatchObject({ _tag: "RWKVDecodeError", description: "cpu_tasks.1: expected TaskId" })
    }))

  it.effect("F23 keys of Object.prototype are data, at any depth", () =>
    Effect.gen(function*() {
      const deep = "[".repeat(100_000) + "]".repeat(100_000)
      const body = JSON.stringify(result).replace(
        "{",
        `{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"extra":${deep},"result":"first",`
      )
      const { http } = yield* wire.make(() => wire.text(body))
      const { text } = yield* http.result("TMP_1")
      expect(text).toBe("Hello")
      expect("polluted" in {}).toBe(false)
    }))
})

describe("StreamEvent", () => {
  const { Finished, Started, Text } = Protocol.StreamEvent
  const Json = Schema.parseJson(Protocol.StreamEvent)
  const numRuns = Number(process.env["FC_RUNS"] ?? 300)

  const duration = FastCheck.oneof(
    FastCheck.nat().map(Duration.millis),
    FastCheck.double({ min: 0, max: 1e9, noNaN: true }).map(Duration.seconds),
    FastCheck.constantFrom(Duration.zero, Duration.infinity)
  )
  const text = FastCheck.oneof(
    FastCheck.string({ unit: "binary" }),
    FastCheck.constantFrom("\ud800", "\ufeff", "\u2028\u2029\u0085", "\ufffd", "data: x\n\n", "\0")
  )
  const id = FastCheck.stringMatching(/^T[A-Za-z0-9_.~-]{1,40}$/).map((id) => Protocol.TaskId.make(id))
  const result = FastCheck.record({
    taskId: id,
    text,
    finished: FastCheck.boolean(),
    speed: FastCheck.oneof(
      FastCheck.double({ noNaN: true, noDefaultInfinity: true }).map((speed) => speed + 0),
      FastCheck.constantFrom(Infinity, -Infinity)
    ),
    prefillTime: duration,
    generationTime: duration,
    undecodedTail: FastCheck.boolean(),
    usage: FastCheck.record({ outputTokens: FastCheck.option(FastCheck.nat(), { nil: undefined }) }),
    finishReason: FastCheck.constantFrom<Array<Finish.FinishReason>>(
      "stop",
      "length",
      "stop-sequence",
      "cancelled",
      "unknown"
    ),
    tokensPerSecond: FastCheck.option(FastCheck.float({ noNaN: true, noDefaultInfinity: true }).map((n) => n + 0), {
      nil: undefined
    })
  }).chain((result) =>
    FastCheck.option(text, { nil: undefined }).map((stopSequence) =>
      stopSequence === undefined ? result : Object.assign(result, { stopSequence })
    )
  )
  const event = FastCheck.oneof(
    FastCheck.record({ taskId: id, prefillTime: duration }).map((fields) => Started(fields)),
    text.map((text) => Text({ text })),
    result.map((result) => Finished({ result }))
  )

  const equivalent = Schema.equivalence(Protocol.StreamEvent)

  /** Without the prototype that the constructors give. */
  const plain = (event: Protocol.StreamEvent) => Object.assign({}, event)

  it("has constructors and matchers", () => {
    const event = Text({ text: "a" })
    expect(Protocol.StreamEvent.$is("Text")(event)).toBe(true)
    expect(Protocol.StreamEvent.$is("Started")(event)).toBe(false)
    expect(Protocol.StreamEvent.$match(event, { Started: () => "", Text: ({ text }) => text, Finished: () => "" }))
      .toBe("a")
    expect(Schema.is(Protocol.StreamEvent)(event)).toBe(true)
  })

  it("property: crosses JSON whole, as one line", () => {
    FastCheck.assert(
      FastCheck.property(event, (event) => {
        const json = Schema.encodeSync(Json)(event)
        expect(json).not.toMatch(/[\r\n]/)
        const again = Schema.decodeSync(Json)(json)
        expect(equivalent(again, event)).toBe(true)
      }),
      { numRuns }
    )
  })

  it.effect("refuses what is no event, by type", () =>
    Effect.gen(function*() {
      for (
        const json of ["", "null", "[]", "{}", `{"_tag":"Text"}`, `{"_tag":"Text","text":1}`, `{"_tag":"End"}`]
          .concat(`{"_tag":"Started","taskId":"../x","prefillTime":{"_tag":"Millis","millis":1}}`)
      ) {
        expect((yield* Effect.flip(Schema.decode(Json)(json)))._tag).toBe("ParseError")
      }
    }))

  it.effect("those of a run cross JSON whole, and match on the other side", () =>
    Effect.gen(function*() {
      const events = yield* Stream.runCollect(StreamService.createEvents({ prompt: "Hi", maxTokens: 20 }))
      const received = yield* Effect.forEach(events, (event) =>
        Effect.flatMap(Schema.encode(Json)(event), (json) => Schema.decode(Json)(json)))
      expect(received).toEqual(Chunk.toArray(events).map(plain))
      const texts = received.map(Protocol.StreamEvent.$match({
        Started: () =>
          "",
        Text: ({ text }) => text,
        Finished: () => ""
      }))
      const [result] = received.flatMap((event) => event._tag === "Finished" ? [event.result] : [])
      expect(result?.text).toBe(texts.join(""))
      expect(result?.text).toBe("One two.")
    }).pipe(Effect.provide(Layer.provide(RWKV.layer(), Emulator.layer({ reply: () => "One two.", pulse: 0 })))))
})
