/**
 * `npm run challenges -- --count 10000 --seed 1`: so many random challenges of checkpoints that are right, on an anvil. Ends with 1 at the first that is taken.
 */
import { parseArgs } from 'node:util'
import { startAnvil } from '../../fakes/anvil.ts'
import { openChallenges, randomOf } from './challenges.ts'

/** Asked at once. */
const AT_ONCE = 8

const { values } = parseArgs({ options: { count: { type: 'string', default: '1000' }, seed: { type: 'string', default: '1' } } })
const [count, seed] = [Number(values.count), Number(values.seed)]
const anvil = await startAnvil()
try {
  const challenges = await openChallenges(anvil)
  const random = randomOf(seed)
  const answers = new Map<string, number>()
  process.stdout.write(`${challenges.proven} proofs are true of other batches; ${count} challenges with seed ${seed}\n`)
  for (let done = 0; done < count; ) {
    const row = Array.from({ length: Math.min(AT_ONCE, count - done) }, () => challenges.next(random))
    for (const [i, answer] of (await Promise.all(row.map(challenges.ask))).entries()) {
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
      if (answer !== 'taken') continue
      process.stdout.write(`challenge ${done + i} of seed ${seed} is taken: ${row[i]}\n`)
      process.exitCode = 1
    }
    done += row.length
    if (done % 1_000 < AT_ONCE) process.stdout.write(`${done}\n`)
  }
  const table = [...answers].toSorted(([, a], [, b]) => b - a).map(([answer, times]) => `${String(times).padStart(6)} ${answer}`)
  process.stdout.write(`${table.join('\n')}\n`)
} finally {
  await anvil.stop()
}
