/** FC_SEED is the seed of every property, so that a run can be repeated. Without it each run tries other programs. */
import * as FastCheck from "effect/FastCheck"

const seed = process.env["FC_SEED"] ?? ""

if (seed !== "") {
  if (!Number.isSafeInteger(Number(seed))) throw new Error(`FC_SEED is to be a whole number, and is ${seed}`)
  FastCheck.configureGlobal({ ...FastCheck.readConfigureGlobal(), seed: Number(seed) })
}
