/** What the page needs of the DOM. */

export const find = <A extends Element>(root: ParentNode, selector: string, type: abstract new() => A): A => {
  const found = root.querySelector(selector)
  if (!(found instanceof type)) throw new Error(`the page has no ${selector}`)
  return found
}

export const button = (root: ParentNode, selector: string, onClick: () => void) => {
  const found = find(root, selector, HTMLButtonElement)
  found.addEventListener("click", onClick)
  return found
}

export const element = (name: string, className: string, text = "") => {
  const made = document.createElement(name)
  made.className = className
  made.textContent = text
  return made
}

const waiting = new Set<() => void>()

/** All that changed is drawn once for each frame of the screen, however many streams there are. */
export const draw = (change: () => void) => {
  if (waiting.size === 0) {
    requestAnimationFrame(() => {
      const changes = Array.from(waiting)
      waiting.clear()
      for (const change of changes) change()
    })
  }
  waiting.add(change)
}

/** For those who do not see the text come. */
export const announce = (text: string) => {
  find(document, "#announcer", HTMLElement).textContent = text
}
