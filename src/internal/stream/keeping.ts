/**
 * Tasks that an owner continues from run to run. When a run is left its task is deleted, unless `keeps` says that the
 * owner wants it; between two runs the task is deleted with its owner, or with the service.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Generation from "../../Generation.js"
import type { Service as HttpService } from "../../HttpClient.js"
import type { StreamEvent, TaskId } from "../../Protocol.js"
import type * as RWKVConfig from "../../RWKVConfig.js"
import type { BranchFailure, RWKVError } from "../../RWKVError.js"
import type { StreamOptions } from "../../Task.js"
import { effective } from "../input/override.js"
import type * as Ledger from "../owner/ledger.js"
import type { Launch } from "./launch.js"
import { opened } from "./open.js"
import type { FollowFailure } from "./signals.js"
import * as Starts from "./starts.js"
import type { Opening } from "./telling.js"

export type Keeper = ReturnType<typeof make>

export const make = (
  http: HttpService,
  config: RWKVConfig.Service,
  ledger: Ledger.Service,
  continuing: ReturnType<typeof Starts.make>["continuing"],
  launched: <E extends RWKVError>(start: Launch<E>) => Opening<StreamEvent, E | FollowFailure>
) => {
  const { lifetime } = ledger
  const creation = { cleanup: "keep", create: http.create, stream: http.createStream } as const
  const release = (operation: string, taskId: TaskId, stop: boolean) =>
    lifetime.release({ operation, taskId, retry: config, stop, delete: true })

  return {
    create: (request: Generation.CreateRequest, options: StreamOptions, keeps: () => boolean) => {
      const operation = "StreamService.open"
      const start = Starts.creating({ ...creation, operation }, config, request, options)
      return opened(operation, ledger.requestIds, launched({ ...start, keeps }))
    },
    /** If the run cannot start, its task is deleted. */
    continue: (
      { take, taskId }: { readonly take: () => void; readonly taskId: TaskId },
      request: Generation.ContinueRequest,
      options: StreamOptions,
      keeps: () => boolean
    ) =>
      Effect.uninterruptibleMask((restore) => {
        const operation = "StreamService.openContinue"
        take()
        const disposal = release(operation, taskId, true)
        let sent = false
        let left = false
        const opening = Effect.flatMap(effective(config), ({ defaults }) => {
          // Without `maxTokens` the server uses the task's own, and nobody knows why the run ended.
          const limited = { ...request, maxTokens: request.maxTokens ?? defaults?.maxTokens }
          const start = continuing(operation, taskId, limited, options)
          /** If the request fails after the caller has left, no run exists that would delete the task. */
          const before = Effect.map(start.before, (ready) => ({
            ...ready,
            create: () => {
              sent = true
              return Effect.tapErrorCause(ready.create(), () => {
                sent = false
                return left ? disposal : Effect.void
              })
            }
          }))
          return opened(operation, ledger.requestIds, launched<BranchFailure>({ ...start, before, keeps }))
        })
        return Effect.onError(restore(opening), (cause) => {
          left = true
          const missing = Option.exists(Cause.failureOption(cause), ({ _tag }) => _tag === "TaskNotFoundError")
          return sent || missing ? Effect.void : disposal
        })
      }),
    /** Holds a task between two runs. */
    hold: (taskId: TaskId) => {
      const end = release("StreamService.open", taskId, false)
      let isHeld = true
      const take = () => {
        isHeld = false
        withdraw()
      }
      const drop = Effect.suspend(() => {
        if (!isHeld) return Effect.void
        take()
        return end
      })
      // The end of the service runs `drop`, unless it was withdrawn.
      const withdraw = lifetime.onClosing(drop)
      return { taskId, isHeld: () => isHeld, take, drop }
    }
  }
}
