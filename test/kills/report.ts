/** What is claimed and whether it holds, line by line as it is found out. */
import { Console, Context, Effect, Layer, Ref } from "effect"

export class Report extends Context.Tag("test/kills/Report")<Report, {
  readonly expect: (claim: string, holds: boolean, otherwise?: unknown) => Effect.Effect<void>
  readonly skip: (what: string, why: string) => Effect.Effect<void>
  readonly note: (text: string) => Effect.Effect<void>
  readonly counts: Effect.Effect<{ readonly passed: number; readonly failed: number; readonly skipped: number }>
}>() {}

export const layer = Layer.effect(
  Report,
  Effect.map(Ref.make({ passed: 0, failed: 0, skipped: 0 }), (counts) => {
    const count = (what: "passed" | "failed" | "skipped") =>
      Ref.update(counts, (counts) => ({ ...counts, [what]: counts[what] + 1 }))
    return {
      expect: (claim: string, holds: boolean, otherwise?: unknown) =>
        Effect.zipRight(
          count(holds ? "passed" : "failed"),
          holds ? Console.log(`  ok: ${claim}`) : Console.log(`  FAILED: ${claim}`, otherwise ?? "")
        ),
      skip: (what: string, why: string) => Effect.zipRight(count("skipped"), Console.log(`  SKIPPED: ${what}: ${why}`)),
      note: (text: string) => Console.log(`  ${text}`),
      counts: Ref.get(counts)
    }
  })
)

export const expect = (...args: Parameters<Report["Type"]["expect"]>) =>
  Effect.flatMap(Report, ({ expect }) => expect(...args))

export const skip = (...args: Parameters<Report["Type"]["skip"]>) => Effect.flatMap(Report, ({ skip }) => skip(...args))

export const note = (text: string) => Effect.flatMap(Report, ({ note }) => note(text))
