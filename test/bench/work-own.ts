import { raw } from "./raw.js"
import * as sdk from "./sdk.js"
import { serve } from "./work.js"

await serve({ raw, ...sdk })
