/** The battery as a process: a line of JSON names each case and its address, and a line of JSON answers. */
import { createInterface } from "node:readline"
import { battery } from "../battery/battery.js"

for await (const line of createInterface({ input: process.stdin })) {
  const { name, url } = JSON.parse(line)
  process.stdout.write(`${JSON.stringify(await battery(name, url))}\n`)
}
