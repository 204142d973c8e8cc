/** The battery as a worker: a request names the case and its address, and its answer is what came of it. */
import { battery } from "../battery/battery.js"

export default {
  fetch: async (request: Request) => {
    const { searchParams } = new URL(request.url)
    return Response.json(await battery(searchParams.get("name") ?? "", searchParams.get("url") ?? ""))
  }
}
