/**
 * What the site asks of typedoc beyond its options. All of it would still build without, and read less well.
 */
import { writeFileSync } from "node:fs"
import { Context, Converter, IndexEvent, PageEvent, ReflectionKind, RendererEvent } from "typedoc"
import ts from "typescript"

/** Where a file of docs/ stands in the navigation; other files are about the project. */
const groupOf = (path) => path.includes("/docs/") ? "Guides" : "Project"

/** What a public type is made of is shown where it is used: nobody can look up a type that has no page. */
const showWholeTypes = () => {
  const inlined = Context.prototype.shouldInline
  Context.prototype.shouldInline = function(symbol, name) {
    const hidden = this.resolveAliasedSymbol(symbol).declarations?.every((declaration) => {
      const { fileName } = declaration.getSourceFile()
      const isType = ts.isInterfaceDeclaration(declaration) || ts.isTypeAliasDeclaration(declaration)
      return isType && fileName.includes("/src/internal/")
    })
    return hidden === true || inlined.call(this, symbol, name)
  }
}

/** A constant that can be called is a function, however it was made. */
const showFunctions = () => {
  const commented = Context.prototype.getComment
  Context.prototype.getComment = function(symbol, kind) {
    const comment = commented.call(this, symbol, kind)
    if (kind === ReflectionKind.Variable) comment?.modifierTags.add("@function")
    return comment
  }
}

export const load = (app) => {
  showWholeTypes()
  showFunctions()

  // A page is called by its heading, which stands at its top then.
  app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_context, page) => {
    const [first] = page.content
    const [, title, rest] = /^# (.+)\n+([\s\S]*)$/.exec(first?.text ?? "") ?? []
    page.frontmatter.group = groupOf(app.files.getReflectionPath(page) ?? "")
    if (title === undefined) return
    page.name = title === app.options.getValue("name") ? "简体中文" : title
    first.text = rest
  })

  // No server is there to find the index of a folder.
  app.renderer.on(PageEvent.END, (page) => {
    page.contents = page.contents?.replaceAll(/href="((?:\.\.\/)+|\.\/)(#[^"]*)?"/g, "href=\"$1index.html$2\"")
  })

  // Who asks in words finds the guide that has them in a heading.
  app.renderer.on(IndexEvent.PREPARE_INDEX, (event) => {
    event.searchFieldWeights.headings = 20
    event.searchResults.forEach((page, index) => {
      if (page.kind !== ReflectionKind.Document || page.frontmatter.group !== "Guides") return
      page.relevanceBoost = 4
      const text = page.content.map((part) => part.text).join("")
      const headings = Array.from(text.matchAll(/^##+ (.+)$/gm), ([, heading]) => heading)
      event.searchFields[index].headings = [page.name, ...headings].join("\n")
    })
  })

  // Where each page was written to, for whoever writes an index of them.
  app.renderer.on(RendererEvent.END, ({ outputDirectory, pages }) => {
    const written = pages.map(({ model, url }) => ({
      kind: ReflectionKind[model.kind],
      name: model.name,
      path: app.files.getReflectionPath(model),
      url
    }))
    writeFileSync(`${outputDirectory}/pages.json`, JSON.stringify(written))
  })
}
