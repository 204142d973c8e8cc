/** The playground, as a person would use it. */
import { spawn } from "node:child_process"
import { statSync } from "node:fs"
import { type Browser, open, type Page } from "./chromium.js"

interface Setting {
  readonly root: string
  /** Where pictures go that only this run's reader wants to see. */
  readonly output: string
  readonly picture: string | undefined
  /** A server of another machine, as the page's server sees it. */
  readonly upstream: string
  readonly judge: (name: string, complaint: string | undefined) => void
}

const start = (root: string, upstream = "") => {
  const child = spawn(`${root}node_modules/.bin/tsx`, ["scratchpad/playground/serve.ts"], {
    cwd: root,
    env: { ...process.env, PORT: "0", RWKV_BASE_URL: upstream },
    stdio: ["ignore", "pipe", "inherit"]
  })
  const url = new Promise<string>((resolve, reject) => {
    let said = ""
    child.stdout.on("data", (bytes: Buffer) => {
      said += bytes.toString()
      const [found] = /http:\S+/.exec(said) ?? []
      if (found !== undefined) resolve(found)
    })
    child.on("exit", () => reject(new Error("the playground did not start")))
  })
  return { url, stop: () => child.kill() }
}

const ended = (card = ".card") => `${card}[data-state=ended]`

/** The words that a card shows of its model, and what the server has of its task. */
const compare = (page: Page, card = ".card") =>
  page.evaluate(async (selector) => {
    const card = document.querySelector(selector)
    const shown = Array.from(card?.querySelectorAll(".text") ?? []).at(-1)?.textContent
    const lines = Array.from(card?.querySelectorAll(".log code") ?? [], ({ textContent }) => textContent ?? "")
    const id = lines.map((line) => /"taskId":"(\w+)"/.exec(line)?.[1]).findLast((id) => id !== undefined)
    const response = await fetch(`/v1/tasks/${id}/get_result`)
    const { result } = await response.json()
    return { same: shown === result && result !== "", shown, result }
  }, card)

const figure = (page: Page, name: string) => page.textContent(`.card [data-figure=${name}]`)

const expect = (holds: boolean, what: () => unknown) => holds ? undefined : JSON.stringify(what())

const promptRun = async (page: Page, { judge }: Setting) => {
  await page.focus("[name=prompt]")
  await page.keyboard.press("Control+Enter")
  await page.waitForSelector(".card[data-state=running]")
  await page.waitForTimeout(1000)
  await page.click("#cut")
  await page.waitForSelector(".card.was-cut")
  await page.waitForSelector(ended(), { timeout: 20_000 })
  await page.click(".card .log summary")
  await page.waitForSelector(".log .fault")
  const found = await compare(page)
  judge("a prompt by keyboard, cut in mid-stream: the text completes", expect(found.same, () => found))
  const figures = await Promise.all(["first", "tokens", "rate", "mended"].map((name) => figure(page, name)))
  judge(
    "time to first text, tokens, tokens per second and mended cuts are told",
    expect(figures.every((text) => /^\d+( ms)?$/.test(text ?? "")), () => figures)
  )
  const events = await page.evaluate(
    () => Array.from(document.querySelectorAll(".log code"), ({ textContent }) => textContent ?? ""),
    null
  )
  const kinds = ["POST /v1/tasks/tmp", "200 in", "\"_tag\":\"Started\"", "\"_tag\":\"Text\"", "\"_tag\":\"Finished\""]
  judge(
    "the raw events are told",
    expect(kinds.every((kind) => events.some((line) => line.includes(kind))), () => events)
  )
}

const goOn = async (page: Page, { judge }: Setting) => {
  await page.click(".card .continue")
  await page.click(".more .primary")
  await page.waitForSelector(".card[data-state=running]")
  await page.waitForSelector(ended(), { timeout: 20_000 })
  const found = await compare(page)
  judge("continue", expect(found.same, () => found))
  await page.click(".card .fork")
  await page.click(".more .primary")
  await page.waitForSelector(".group[data-count=\"2\"]")
  const columns = await page.evaluate(
    () => Array.from(document.querySelectorAll(".group:first-child .card"), (card) => card.getBoundingClientRect().top),
    null
  )
  judge(
    "a fork shows two columns, side by side",
    expect(columns.length === 2 && columns[0] === columns[1], () => columns)
  )
  await page.waitForSelector(".group[data-count=\"2\"]:not(:has(.card:not([data-state=ended])))", { timeout: 20_000 })
  const texts = await page.evaluate(
    () => Array.from(document.querySelectorAll(".group:first-child .words"), ({ textContent }) => textContent ?? ""),
    null
  )
  judge("forks end, with texts of their own", expect(texts[0] !== texts[1] && !texts.includes(""), () => texts))
  await page.click("#clear")
}

const otherModes = async (page: Page, { judge }: Setting) => {
  await page.check("[name=mode][value=fim]", { force: true })
  await page.click("#generate")
  await page.waitForSelector(ended(), { timeout: 20_000 })
  const gap = await page.textContent(".card .text")
  judge("fill in the middle", expect(gap !== null && gap !== "", () => gap))
  await page.click("#clear")
  await page.check("[name=mode][value=chat]", { force: true })
  await page.selectOption("[name=think]", "on")
  await page.click("#generate")
  await page.waitForSelector(ended(), { timeout: 20_000 })
  const [thought, answer] = [await page.textContent(".card .reasoning"), await page.textContent(".card .reply")]
  judge(
    "a chat: thoughts and answer apart",
    expect(
      thought?.startsWith("The user wrote") === true && answer?.startsWith("You said") === true,
      () => [thought, answer]
    )
  )
}

/** The second message's answer has to know the first. */
const chatGoesOn = async (page: Page, { judge }: Setting) => {
  await page.click(".card .continue")
  await page.click(".more .primary")
  await page.waitForSelector(".card[data-state=running]")
  await page.waitForSelector(ended(), { timeout: 20_000 })
  const last = await page.evaluate(
    () => Array.from(document.querySelectorAll(".card .reply")).at(-1)?.textContent ?? "",
    null
  )
  judge("a chat goes on", expect(last.startsWith("That was your message number 2"), () => last))
  await page.click(".card .fork")
  await page.click(".more .primary")
  await page.waitForSelector(".group[data-count=\"2\"]:not(:has(.card:not([data-state=ended])))", { timeout: 20_000 })
}

/** The longest time in which the page drew nothing, and how long a click on Stop took. */
const many = async (page: Page, { judge }: Setting) => {
  await page.click("#clear")
  await page.check("[name=mode][value=prompt]", { force: true })
  await page.click("#many")
  await page.waitForSelector(".group[data-count=\"20\"]:not(:has(.card[data-state=waiting]))", { timeout: 20_000 })
  const worst = await page.evaluate(() =>
    new Promise<number>((resolve) => {
      const began = performance.now()
      let [last, worst] = [began, 0]
      const tick = (now: number) => {
        worst = Math.max(worst, now - last)
        last = now
        if (now - began > 1500) resolve(Math.round(worst))
        else requestAnimationFrame(tick)
      }
      requestAnimationFrame(tick)
    }), null)
  judge(`20 streams at once: the page draws all the time (longest pause ${worst} ms)`, expect(worst < 500, () => worst))
  await page.keyboard.press("Escape")
  await page.waitForSelector("#runs:not(:has(.card[data-state=running], .card[data-state=waiting]))", { timeout: 5000 })
  const stopped = await page.evaluate(() => document.querySelectorAll(".card[data-state=stopped]").length, null)
  judge("Escape stops them all", expect(stopped > 0, () => stopped))
  await page.click("#clear")
}

/** Everything that can be used has a name; nothing is wider than the page. */
const fits = (page: Page) =>
  page.evaluate(() => {
    const nameOf = (control: Element) =>
      control.getAttribute("aria-label") ??
        (control instanceof HTMLInputElement || control instanceof HTMLTextAreaElement ||
            control instanceof HTMLSelectElement
          ? control.labels?.[0]?.textContent
          : control.textContent) ??
        ""
    const controls = document.querySelectorAll("button, input, textarea, select, summary, [tabindex]")
    const nameless = Array.from(controls).filter((control) => nameOf(control).trim() === "")
    const { scrollWidth } = document.documentElement
    return { nameless: nameless.map(({ outerHTML }) => outerHTML), tooWide: scrollWidth > innerWidth ? scrollWidth : 0 }
  }, null)

const looks = async (browser: Browser, url: string, { judge, output }: Setting) => {
  for (const width of [390, 1280]) {
    for (const colorScheme of ["light", "dark"] as const) {
      const page = await open(browser, width, 844, colorScheme)
      await page.goto(url)
      await page.waitForSelector("[data-state=up]")
      await page.click("#generate")
      await page.waitForSelector(".card[data-state=running]")
      await page.waitForTimeout(1000)
      await page.click("#stop-all")
      await page.waitForSelector(".card[data-state=stopped]")
      await page.click(".card .log summary")
      await page.click(".card .fork")
      const found = await fits(page)
      const fine = found.nameless.length === 0 && found.tooWide === 0
      judge(`${width} pixels, ${colorScheme}: all controls have names, nothing is too wide`, expect(fine, () => found))
      await page.screenshot({ path: `${output}/playground-${width}-${colorScheme}.png` })
    }
  }
}

/** The page's server hands requests on, and text as it comes. */
const inFront = async (browser: Browser, { judge, root, upstream }: Setting) => {
  const server = start(root, upstream)
  try {
    const page = await open(browser, 1280, 800, "light")
    await page.goto(await server.url)
    await page.waitForSelector("[data-state=up]")
    await page.click("#generate")
    await page.waitForSelector(ended(), { timeout: 20_000 })
    await page.click(".card .log summary")
    await page.waitForSelector(".log code")
    const found = await compare(page)
    const named = await page.textContent("#server .name")
    judge(
      "with RWKV_BASE_URL it names that server, and shows its text",
      expect(found.same && named === upstream, () => found)
    )
    const pieces = await page.textContent(".card .log .count")
    judge("and nothing is held back on the way", expect(Number(pieces) > 10, () => pieces))
    await page.fill("[name=prompt]", "endless")
    await page.click("#generate")
    await page.waitForSelector(".card[data-state=running]")
    await page.keyboard.press("Escape")
    await page.waitForSelector(".card[data-state=stopped]")
  } finally {
    server.stop()
  }
}

/** For the README: two answers of a chat, one of them under way. */
const takePicture = async (page: Page, path: string, judge: Setting["judge"]) => {
  await page.click("#clear")
  await page.check("[name=mode][value=chat]", { force: true })
  await page.selectOption("[name=think]", "on")
  await page.click("#generate")
  await page.waitForSelector(ended(), { timeout: 20_000 })
  await page.click(".card .fork")
  await page.click(".more .primary")
  await page.waitForTimeout(1200)
  await page.click("#cut")
  await page.waitForSelector(".card.was-cut")
  await page.waitForTimeout(700)
  await page.screenshot({ path })
  const { size } = statSync(path)
  judge("the README's picture is below 150 KB", expect(size < 150_000, () => size))
}

export const play = async (browser: Browser, setting: Setting) => {
  const { judge, picture, root } = setting
  const server = start(root)
  const url = await server.url
  const page = await open(browser, 1280, 800, "light")
  const errors: Array<string> = []
  page.on("console", (message) => {
    // What the browser itself says of a connection that was cut on purpose.
    const isCut = /ERR_(INCOMPLETE_CHUNKED_ENCODING|CONNECTION_RESET|EMPTY_RESPONSE)/.test(message.text())
    if (message.type() === "error" && !isCut) errors.push(message.text())
  })
  page.on("pageerror", (error) => errors.push(String(error.message)))
  try {
    await page.goto(url)
    await page.waitForSelector("[data-state=up]")
    await promptRun(page, setting)
    await goOn(page, setting)
    await otherModes(page, setting)
    await chatGoesOn(page, setting)
    await many(page, setting)
    if (picture !== undefined) await takePicture(page, picture, judge)
    judge("no error on the console", errors.length === 0 ? undefined : errors.join("; "))
    await looks(browser, url, setting)
    await inFront(browser, setting)
  } finally {
    server.stop()
  }
}
