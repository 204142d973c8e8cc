/** The battery in a page: who drives the browser calls it there. */
import { battery } from "./battery.js"

Object.assign(globalThis, { battery })
