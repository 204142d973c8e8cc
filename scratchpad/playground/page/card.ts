/** What a person sees of one run: its words, its figures, its events. */
import * as RWKVChat from "effect-rwkv/RWKVChat"
import type { Line } from "./client.js"
import { button, draw, element, find } from "./dom.js"

/** A piece of what a card shows. A reply is read by the options of its prompt. */
export type Block =
  | { readonly kind: "given" | "text" | "user"; text: string }
  | { readonly kind: "reply"; text: string; readonly options: RWKVChat.PromptOptions }

export type State = "waiting" | "running" | "ended" | "stopped" | "failed"

type Figure = "first" | "tokens" | "rate" | "mended"

const mostLines = 500

const template = find(document, "#card", HTMLTemplateElement)

/** Draws a block, and again when its text has grown. */
const drawn = (parent: HTMLElement, block: Block): () => void => {
  if (block.kind !== "reply") {
    const node = document.createTextNode("")
    const shown = element(block.kind === "user" ? "p" : "span", block.kind)
    shown.append(node)
    parent.append(shown)
    return () => node.appendData(block.text.slice(node.length))
  }
  const thought = element("details", "thought")
  const [reasoning, answer] = [element("p", "reasoning"), element("p", "reply")]
  thought.append(element("summary", "", "Thoughts"), reasoning)
  parent.append(thought, answer)
  return () => {
    const reply = RWKVChat.reply(block.text, block.options)
    thought.hidden = reply.reasoning === ""
    reasoning.textContent = reply.reasoning
    answer.textContent = reply.text
  }
}

export interface Verbs {
  readonly stop: () => void
  readonly close: () => void
  /** What the person wrote for one run, or for each of two. */
  readonly continue: (prompt: string) => void
  readonly fork: (prompts: ReadonlyArray<string>) => void
}

export class Card {
  readonly root: HTMLElement
  readonly title: string
  readonly blocks: Array<Block> = []
  readonly mayBranch: boolean

  readonly #words: HTMLElement
  readonly #lines: Array<Line & { readonly at: number }> = []
  readonly #updates: Array<() => void> = []
  #began = performance.now()
  #first: number | undefined
  #drawnLines = 0
  #goOn = () => {}

  constructor(title: string, blocks: ReadonlyArray<Block>, mayBranch: boolean, verbs: Verbs) {
    this.title = title
    this.mayBranch = mayBranch
    const copy = template.content.cloneNode(true)
    this.root = find(copy as DocumentFragment, ".card", HTMLElement)
    this.#words = find(this.root, ".words", HTMLElement)
    find(this.root, "h3", HTMLElement).textContent = title
    find(this.root, ".output", HTMLElement).setAttribute("aria-label", `Text of ${title}`)
    find(this.root, ".close", HTMLElement).setAttribute("aria-label", `Remove ${title}`)
    find(this.root, ".log", HTMLDetailsElement).addEventListener("toggle", () => draw(this.#drawLines))
    button(this.root, ".close", verbs.close)
    button(this.root, ".stop", verbs.stop)
    button(this.root, ".continue", () => this.#ask(1, ([prompt = ""]) => verbs.continue(prompt)))
    button(this.root, ".fork", () => this.#ask(2, verbs.fork))
    find(this.root, ".more", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault()
      this.#goOn()
    })
    for (const block of blocks) this.add(block)
  }

  get #isChat() {
    return this.blocks.some(({ kind }) => kind === "user")
  }

  add(block: Block) {
    this.blocks.push(block)
    const update = drawn(this.#words, block)
    this.#updates.push(update)
    draw(update)
  }

  append(text: string) {
    const index = this.blocks.findLastIndex(({ kind }) => kind === "text" || kind === "reply")
    const block = this.blocks[index]
    const update = this.#updates[index]
    if (block === undefined || update === undefined) return
    block.text += text
    draw(update)
  }

  begin() {
    this.#began = performance.now()
    this.#first = undefined
    this.state("waiting")
    this.figure("first", "–")
    this.figure("tokens", "–")
    this.figure("rate", "–")
  }

  /** Milliseconds since the run began. */
  get elapsed() {
    return performance.now() - this.#began
  }

  /** Only the first piece of a run's text says how long it took. */
  onText() {
    if (this.#first !== undefined) return
    this.#first = this.elapsed
    this.state("running")
    this.figure("first", `${Math.round(this.#first)} ms`)
  }

  /** What a run has come to that is under way. */
  counted(tokens: number) {
    if (this.#first === undefined || this.root.dataset["state"] !== "running") return
    this.figure("tokens", `${tokens}`)
    this.figure("rate", (tokens / Math.max(1, this.elapsed - this.#first) * 1000).toFixed(0))
  }

  figure(name: Figure, value: string) {
    draw(() => {
      find(this.root, `[data-figure=${name}]`, HTMLElement).textContent = value
    })
  }

  mended(times: number) {
    this.figure("mended", `${times}`)
    this.root.classList.toggle("was-cut", times > 0)
  }

  state(state: State, words: string = state) {
    const { root } = this
    root.dataset["state"] = state
    find(root, ".state", HTMLElement).textContent = words
    const busy = state === "waiting" || state === "running"
    find(root, ".output", HTMLElement).setAttribute("aria-busy", `${busy}`)
    const stop = find(root, ".stop", HTMLButtonElement)
    const hadFocus = document.activeElement === stop
    stop.hidden = !busy
    find(root, ".continue", HTMLButtonElement).hidden = busy || !this.mayBranch
    find(root, ".fork", HTMLButtonElement).hidden = busy || !this.mayBranch
    if (this.#isChat) find(root, ".continue", HTMLButtonElement).textContent = "Reply"
    // The keyboard is not to lose its place where the button under it goes.
    if (hadFocus && !busy) find(root, this.mayBranch ? ".continue" : ".output", HTMLElement).focus()
  }

  fail(message: string | undefined) {
    const error = find(this.root, ".error", HTMLElement)
    error.hidden = message === undefined
    error.textContent = message ?? ""
  }

  log(line: Line) {
    this.#lines.push({ ...line, at: this.elapsed })
    draw(this.#drawLines)
  }

  readonly #drawLines = () => {
    const log = find(this.root, ".log", HTMLDetailsElement)
    find(log, ".count", HTMLElement).textContent = `${this.#lines.length}`
    if (!log.open) return
    const list = find(log, "ol", HTMLElement)
    for (const { at, kind, text } of this.#lines.slice(Math.max(this.#drawnLines, this.#lines.length - mostLines))) {
      const item = element("li", kind)
      item.append(element("span", "time", `${Math.round(at)} ms`), element("code", "", text))
      list.append(item)
      if (list.childElementCount > mostLines) list.firstElementChild?.remove()
    }
    this.#drawnLines = this.#lines.length
    list.scrollTop = list.scrollHeight
  }

  /** A form in the card asks how to go on. */
  #ask(count: 1 | 2, then: (prompts: ReadonlyArray<string>) => void) {
    const form = find(this.root, ".more", HTMLFormElement)
    const examples = this.#isChat ? ["Tell me more.", "Are you sure?"] : [" And then the town", " But the ferryman"]
    const what = this.#isChat ? "Message" : "Go on with"
    const fields = examples.slice(0, count).map((example, index) => {
      const label = element("label", "field", count === 1 ? what : `${what}, ${index === 0 ? "left" : "right"}`)
      const input = document.createElement("input")
      Object.assign(input, { value: example, required: true, autocomplete: "off" })
      label.append(input)
      return { input, label }
    })
    const cancel = element("button", "", "Cancel")
    cancel.setAttribute("type", "button")
    const close = () => {
      form.hidden = true
      form.replaceChildren()
    }
    cancel.addEventListener("click", () => {
      close()
      find(this.root, ".continue", HTMLElement).focus()
    })
    const actions = element("p", "actions")
    actions.append(element("button", "primary", count === 1 ? "Go on" : "Fork"), cancel)
    form.replaceChildren(...fields.map(({ label }) => label), actions)
    this.#goOn = () => {
      const prompts = fields.map(({ input }) => input.value)
      close()
      then(prompts)
    }
    form.hidden = false
    fields[0]?.input.focus()
    fields[0]?.input.select()
  }
}
