/** The form: what to generate, and how it is sampled. */
import type { Generation } from "effect-rwkv"
import * as RWKVChat from "effect-rwkv/RWKVChat"
import { element, find } from "./dom.js"

/** The ranges are the server's. */
const sliders = [
  { name: "maxTokens", label: "Max tokens", min: 1, max: 40960, step: 1 },
  { name: "temperature", label: "Temperature", min: 0, max: 2, step: 0.05 },
  { name: "topP", label: "Top P", min: 0, max: 1, step: 0.01 },
  { name: "topK", label: "Top K", min: -1, max: 100, step: 1 },
  { name: "presencePenalty", label: "Presence penalty", min: 0, max: 10, step: 0.1 },
  { name: "repetitionPenalty", label: "Repetition penalty", min: 0, max: 10, step: 0.1 },
  { name: "penaltyDecay", label: "Penalty decay", min: 0, max: 1, step: 0.001 }
] as const

type Name = (typeof sliders)[number]["name"]
type Values = Partial<Record<Name, number>>

export const modes = ["prompt", "chat", "fim"] as const
export type Mode = (typeof modes)[number]

const thinks: ReadonlyArray<RWKVChat.Think> = ["off", "fake", "fake-compact", "on", "short", "medium", "long"]

const presets: Readonly<Record<string, Values>> = RWKVChat.presets

const form = find(document, "#composer", HTMLFormElement)
const inputs = new Map<Name, HTMLInputElement>()

const addSlider = ({ label, max, min, name, step }: (typeof sliders)[number]) => {
  const wide = max > 1000
  const row = element("label", wide ? "slider wide" : "slider")
  const input = document.createElement("input")
  Object.assign(input, { type: wide ? "number" : "range", name, min, max, step, required: true })
  const shown = document.createElement("output")
  const show = () => {
    shown.value = input.value
  }
  input.addEventListener("input", show)
  // The first control in a label is the one that it names.
  row.append(
    element("span", "label", label),
    input,
    shown,
    element("span", "least", `${min}`),
    element("span", "most", `${max}`)
  )
  find(form, "#sliders", HTMLElement).append(row)
  inputs.set(name, input)
}

const fill = (values: Values) => {
  for (const [name, input] of inputs) {
    const value = values[name]
    if (value === undefined) continue
    input.value = `${value}`
    input.dispatchEvent(new Event("input"))
  }
}

const text = (name: string) => {
  const field = form.elements.namedItem(name)
  return field instanceof HTMLTextAreaElement || field instanceof HTMLInputElement || field instanceof HTMLSelectElement
    ? field.value
    : ""
}

export const mode = (): Mode => {
  const chosen = new FormData(form).get("mode")
  return modes.find((mode) => mode === chosen) ?? "prompt"
}

const showMode = () => {
  for (const part of form.querySelectorAll<HTMLElement>("[data-mode]")) {
    part.hidden = part.dataset["mode"] !== mode()
  }
}

export const values = {
  prompt: () => text("prompt"),
  message: () => text("message"),
  system: () => text("system"),
  prefix: () => text("prefix"),
  suffix: () => text("suffix"),
  chatOptions: (): RWKVChat.PromptOptions => ({ think: thinks.find((think) => think === text("think")) ?? "off" })
}

const sampling = () =>
  Object.fromEntries(Array.from(inputs, ([name, input]) => [name, input.valueAsNumber])) as Record<Name, number>

export const forCreate = (seed?: number): Generation.GenerationOptions => {
  const given = text("seed")
  const chosen = seed ?? (given === "" ? undefined : Number(given))
  return { ...sampling(), ...(chosen === undefined ? {} : { seed: chosen }) }
}

/** A run that goes on from a task takes no seed, and no negative `topK`. */
export const forBranch = (): Omit<Generation.GenerationOptions, "seed"> => {
  const chosen = sampling()
  return { ...chosen, topK: Math.max(0, chosen.topK) }
}

export const start = () => {
  for (const slider of sliders) addSlider(slider)
  const preset = find(form, "[name=preset]", HTMLSelectElement)
  for (const name of ["server", "rwkvPip", "chatRWKV"]) preset.add(new Option(name, name))
  preset.addEventListener("change", () => fill(presets[preset.value] ?? {}))
  fill({ maxTokens: 800, ...RWKVChat.presets.server })
  const details = find(form, "#sampling", HTMLDetailsElement)
  details.open = matchMedia("(min-width: 60rem)").matches
  // What is wrong in there has to be seen.
  form.addEventListener("invalid", () => details.open = true, true)
  form.addEventListener("change", showMode)
  showMode()
  return form
}
