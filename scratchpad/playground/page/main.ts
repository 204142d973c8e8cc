/** The page: the form and the buttons, wired to runs. */
import { Effect, Schema } from "effect"
import { TaskService } from "effect-rwkv"
import { Info } from "../info.js"
import { makeRuntime } from "./client.js"
import { announce, button, find } from "./dom.js"
import { makeRuns } from "./runs.js"
import * as settings from "./settings.js"

const info = Schema.decodeUnknownSync(Info)(await (await fetch("/info")).json())
const runtime = makeRuntime(info)
const runs = makeRuns(runtime)
const form = settings.start()

form.addEventListener("submit", (event) => {
  event.preventDefault()
  runs.generate(1)
})
button(document, "#many", () => {
  if (form.reportValidity()) runs.generate(20)
})
button(document, "#stop-all", runs.stopAll)
button(document, "#clear", runs.clear)
button(document, "#cut", async () => {
  const cut = Number(await (await fetch("/cut", { method: "POST" })).text())
  const words = cut === 0 ? "no connection was open" : `${cut} ${cut === 1 ? "connection" : "connections"} cut`
  if (cut > 0) runs.tell({ kind: "fault", text: words })
  announce(words)
})

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") runs.stopAll()
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit()
})

const server = find(document, "#server", HTMLElement)
const said = await runtime.runPromise(Effect.either(TaskService.models))
const what = info.server ?? "Emulator: a toy model that babbles"
server.dataset["state"] = said._tag === "Right" ? "up" : "down"
find(server, ".name", HTMLElement).textContent = said._tag === "Right" ? what : `${what}: ${said.left.message}`
