import * as peers from "./peers.js"
import { serve } from "./work.js"

await serve({ ...peers })
