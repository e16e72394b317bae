// A reporter: what failed, with the error at its end.

const LINES = 15

export default async function * failures (source) {
  for await (const { type, data } of source) {
    const error = data?.details?.error
    if (type !== 'test:fail' || error?.failureType === 'subtestsFailed') continue
    const cause = error?.cause ?? error
    const text = String(cause?.stack ?? cause).split('\n').slice(0, LINES)
    yield `failed: ${data.name} (after ${Math.round(data.details.duration_ms)} ms)\n` +
      text.map((line) => `    ${line}\n`).join('')
  }
}
