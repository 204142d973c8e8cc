/** The languages that the site colours, by all names that code blocks call them. A block of another one fails the build. */
export const languages: ReadonlyArray<string> = ["typescript", "ts", "javascript", "js", "python", "bash", "sh", "json", "nginx"]
