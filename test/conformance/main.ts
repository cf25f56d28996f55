/** `npm run --silent conformance`: cases on stdin, answers on stdout, a line each and in order. docs/conformance.md#protocol */
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { answerLine } from './answer.ts'

process.stdout.on('error', () => process.exit(1)) // whoever asked is gone

for await (const line of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
  if (line.trim() === '') continue
  const answer = await answerLine(line, (id, error) =>
    process.stderr.write(`${String(id)}: ${error instanceof Error ? error.stack : error}\n`),
  )
  if (!process.stdout.write(`${answer}\n`)) await once(process.stdout, 'drain')
}
