// Asks the test that runs this script to be the person at the browser: a line of JSON out, a line of text in.
import { createInterface } from 'node:readline'

const reader = createInterface({ input: process.stdin })
const lines = reader[Symbol.asyncIterator]()

async function ask(question) {
  console.log(JSON.stringify(question))
  return (await lines.next()).value
}

/** Opens the authorization request, signs in and consents; the callback's URL. */
export const authorize = async (url) => new URL(await ask({ authorize: String(url) }))

/** Opens a page on which something waits for the user's answer, and says yes. */
export const allow = (url) => ask({ allow: url })

/** What the test looks at. Ends the conversation. */
export function done(outcome) {
  console.log(JSON.stringify({ done: outcome }))
  reader.close()
}
