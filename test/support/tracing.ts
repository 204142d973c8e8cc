/** A tracer that keeps every span it made, and all that it was told. */
import { Cause, Effect, Exit, Metric, Option, Tracer } from "effect"

export interface Kept extends Tracer.Span {
  readonly attributes: Map<string, unknown>
  readonly events: Array<{ readonly name: string; readonly attributes: Record<string, unknown> }>
  exit: Exit.Exit<unknown, unknown> | undefined
}

export const make = () => {
  const spans: Array<Kept> = []
  const told: Array<unknown> = []
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind, options) => {
      told.push(name, options)
      const attributes = new Map<string, unknown>()
      const events: Kept["events"] = []
      const span: Kept = {
        _tag: "Span",
        name,
        spanId: String(spans.length + 1),
        traceId: "trace",
        parent,
        context,
        status: { _tag: "Started", startTime },
        attributes,
        links,
        kind,
        sampled: true,
        events,
        exit: undefined,
        end: (_, exit) => {
          span.exit = exit
        },
        attribute: (name, value) => {
          attributes.set(name, value)
          told.push(name, value)
        },
        event: (name, _, attributes) => {
          events.push({ name, attributes: attributes ?? {} })
          told.push(name, attributes)
        },
        addLinks: () => {}
      }
      spans.push(span)
      return span
    },
    context: (run) => run()
  })
  const own = () => spans.filter(({ name }) => !name.startsWith("http.client"))
  const childrenOf = (id: string | undefined): ReadonlyArray<Kept> =>
    spans.filter(({ parent }) => Option.getOrUndefined(parent)?.spanId === id)
  const label = ({ attributes, name }: Kept) =>
    name.startsWith("http.client")
      ? `${attributes.get("http.request.method")} ${String(attributes.get("url.path")).split("/").at(-1)}`
      : name
  /** The spans below one, or all of them: `name(child, child)`, equal neighbours once. */
  const tree = (id?: string): string =>
    childrenOf(id).map((span) => {
      const inner = tree(span.spanId)
      return inner === "" ? label(span) : `${label(span)}(${inner})`
    }).filter((one, index, all) => one !== all[index - 1]).join(", ")
  return {
    spans,
    /** All that spans were told before they ended, in its order. */
    told,
    own,
    tree,
    /** The only span of that name. */
    one: (name: string) => {
      const found = spans.filter((span) => span.name === name)
      if (found[0] === undefined || found.length > 1) throw new Error(`${found.length} spans are called ${name}`)
      return found[0]
    },
    tracer,
    traced: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.withTracer(effect, tracer)
  }
}

export const eventsOf = ({ events }: Kept) => events.map(({ name }) => name)

export const failureOf = ({ exit }: Kept) =>
  exit !== undefined && Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined

/** The states of our metrics that have this tag, by name. */
export const metricsOf = (name: string, value: string) =>
  Effect.map(Metric.snapshot, (pairs) =>
    new Map(
      pairs.filter(({ metricKey }) => metricKey.tags.some((tag) => tag.key === name && tag.value === value)).map((
        { metricKey, metricState }
      ) => [metricKey.name, { ...metricState, tags: metricKey.tags }])
    ))
