import { Effect, Stream } from "effect"
import { RWKV, RWKVError, type StreamService, type Task, TaskService } from "effect-rwkv"
import { describe, expect, test } from "tstyche"

type Call =
  | RWKVError.RWKVValidationError
  | RWKVError.RWKVServerError
  | RWKVError.RWKVStatusError
  | RWKVError.RWKVPoolError
  | RWKVError.RWKVConnectionError
  | RWKVError.RWKVTimeoutError
  | RWKVError.RWKVDecodeError

type OfTask = Call | RWKVError.TaskNotFoundError

type Tasks = TaskService.Service

type Failure<Method extends (...args: never) => Effect.Effect<unknown, unknown>> = Effect.Effect.Error<
  ReturnType<Method>
>

describe("what each method can fail with, and with nothing else", () => {
  test("creating knows no task yet", () => {
    expect<Failure<Tasks["create"]>>().type.toBe<Call>()
    expect<Failure<Tasks["createTemporary"]>>().type.toBe<Call>()
    expect<Failure<Tasks["createPersistent"]>>().type.toBe<Call>()
    expect<Failure<Tasks["fim"]>>().type.toBe<Call>()
    expect<Failure<Tasks["task"]>>().type.toBe<RWKVError.RWKVValidationError>()
  })

  test("reading", () => {
    expect<Failure<Tasks["status"]>>().type.toBe<OfTask>()
    expect<Failure<Tasks["result"]>>().type.toBe<OfTask | RWKVError.UnsupportedByServerError>()
    expect<Effect.Effect.Error<Tasks["list"]>>().type.toBe<Call>()
    expect<Effect.Effect.Error<Tasks["models"]>>().type.toBe<Call>()
  })

  test("a status cannot fail like a template, a busy task or a stream", () => {
    expect<RWKVError.TemplateProtectedError>().type.not.toBeAssignableTo<Failure<Tasks["status"]>>()
    expect<RWKVError.TaskBusyError>().type.not.toBeAssignableTo<Failure<Tasks["status"]>>()
    expect<RWKVError.StreamTruncatedError>().type.not.toBeAssignableTo<Failure<Tasks["status"]>>()
    expect<RWKVError.TaskNotFoundError>().type.not.toBeAssignableTo<Failure<Tasks["create"]>>()
  })

  test("waiting", () => {
    type Wait = OfTask | RWKVError.TaskCancelledError | RWKVError.StreamTruncatedError
    expect<Failure<Tasks["wait"]>>().type.toBe<Wait>()
    expect<Failure<Tasks["run"]>>().type.toBe<Wait>()
    expect<RWKVError.WaitFailure>().type.toBe<Wait>()
  })

  test("ending", () => {
    expect<Failure<Tasks["stop"]>>().type.toBe<OfTask>()
    expect<Failure<Tasks["delete"]>>().type.toBe<OfTask | RWKVError.TemplateProtectedError>()
  })

  test("branching", () => {
    type Branch =
      | OfTask
      | RWKVError.TaskBusyError
      | RWKVError.UnsupportedByServerError
      | RWKVError.StreamTruncatedError
    expect<Failure<Tasks["continue"]>>().type.toBe<Branch>()
    expect<Failure<Tasks["fork"]>>().type.toBe<Branch>()
    expect<Failure<Tasks["asTemplate"]>>().type.toBe<
      OfTask | RWKVError.AlreadyTemplateError | RWKVError.UnsupportedByServerError
    >()
  })

  test("a handle fails like the service", () => {
    expect<Effect.Effect.Error<Task.Task["status"]>>().type.toBe<OfTask>()
    expect<Failure<Task.Task["wait"]>>().type.toBe<RWKVError.WaitFailure>()
    expect<Failure<Task.Task["delete"]>>().type.toBe<OfTask | RWKVError.TemplateProtectedError>()
    expect<Failure<Task.Task["fork"]>>().type.toBe<RWKVError.BranchFailure>()
  })
})

describe("catching", () => {
  const status = TaskService.status("TMP_1")

  test("a caught tag is gone from the type, and narrow in the handler", () => {
    const caught = status.pipe(
      Effect.catchTags({
        TaskNotFoundError: (error) => {
          expect(error).type.toBe<RWKVError.TaskNotFoundError>()
          expect(error.taskId).type.toBe<string>()
          return Effect.succeed("gone" as const)
        },
        RWKVTimeoutError: (error) => {
          expect(error.kind).type.toBe<"request" | "wait" | "stop" | "stalled" | "queue">()
          return Effect.succeed("late" as const)
        }
      })
    )
    expect<Effect.Effect.Error<typeof caught>>().type.toBe<Exclude<Call, RWKVError.RWKVTimeoutError>>()
  })

  test("all tags caught leave nothing", () => {
    const nothing = status.pipe(
      Effect.catchTags({
        RWKVValidationError: () => Effect.void,
        TaskNotFoundError: () => Effect.void,
        RWKVServerError: () => Effect.void,
        RWKVStatusError: () => Effect.void,
        RWKVConnectionError: () => Effect.void,
        RWKVTimeoutError: () => Effect.void,
        RWKVDecodeError: () => Effect.void,
        RWKVPoolError: () => Effect.void
      })
    )
    expect<Effect.Effect.Error<typeof nothing>>().type.toBe<never>()
  })

  test("a tag that cannot occur cannot be caught", () => {
    type Tag = Effect.Effect.Error<typeof status>["_tag"]
    expect<"TaskNotFoundError">().type.toBeAssignableTo<Tag>()
    expect<"TemplateProtectedError">().type.not.toBeAssignableTo<Tag>()
  })

  test("any error of a stream can be caught by its tag", () => {
    const stream = Stream.empty as ReturnType<StreamService.Service["create"]>
    const caught = Stream.catchTag(stream, "StreamTruncatedError", (error) => {
      expect(error).type.toBe<RWKVError.StreamTruncatedError>()
      return Stream.empty
    })
    expect<Stream.Stream.Error<typeof caught>>().type.toBe<
      Exclude<RWKVError.RWKVError, RWKVError.StreamTruncatedError>
    >()
  })

  test("isRWKVError narrows to the union", () => {
    const narrow = (u: unknown) => RWKVError.isRWKVError(u) ? u : undefined
    expect<ReturnType<typeof narrow>>().type.toBe<RWKVError.RWKVError | undefined>()
  })

  test("every error has operation, message and its categories", () => {
    expect<RWKVError.RWKVError["operation"]>().type.toBe<string>()
    expect<RWKVError.RWKVError["message"]>().type.toBe<string>()
    expect<RWKVError.RWKVError["isTransient"]>().type.toBe<boolean>()
    expect<RWKVError.RWKVError["isSafeToRepeat"]>().type.toBe<boolean>()
    expect<keyof RWKVError.TaskNotFoundError>().type.not.toBeAssignableTo<"isRetryable">()
  })

  test("categories tell of anything, in catchIf and retry, and leave the type of the errors as it is", () => {
    const { isNotFound, isSafeToRepeat, isThrottled, isTransient, isUnauthorized } = RWKVError
    for (const is of [isNotFound, isSafeToRepeat, isThrottled, isTransient, isUnauthorized]) {
      expect(is).type.toBe<(u: unknown) => boolean>()
    }
    const caught = status.pipe(
      Effect.retry({ while: isTransient, times: 3 }),
      Effect.catchIf(isNotFound, () => Effect.succeed("gone" as const))
    )
    expect<Effect.Effect.Error<typeof caught>>().type.toBe<OfTask>()
  })

  test("layers fail by type when they are built", () => {
    expect(RWKV.layer).type.toBeCallableWith({ baseUrl: "http://localhost:8000" })
    expect(RWKV.layer).type.not.toBeCallableWith({ baseURL: "http://localhost:8000" })
    expect(RWKV.layer).type.not.toBeCallableWith({ apiKey: "in clear" })
  })
})
