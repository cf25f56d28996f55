/**
 * `npm run garbage -- MINUTES [WORDS]`: the garbage test for so long, ten without a number, until each attack was cut off once with 0; with the attacks
 * that have these words in their names. Told at its end; exits with 1 if a bound did not hold, with 2 if there is no such test, or it is too short for
 * each attack to have its turn. The other forms are the processes that it starts. What is attacked and how: attacks.ts.
 */
import process from 'node:process'
import { runAttacks } from './attacker.ts'
import { ATTACKS } from './attacks.ts'
import { judgeGarbage } from './judge.ts'
import { GarbageUsageError, runGarbage, SHORT_RATE_SHARE } from './run.ts'
import { runVictim } from './victim.ts'

const [role, ...rest] = process.argv.slice(2)

if (role === 'victim') await runVictim(Number(rest[0]))
else if (role === 'attack') {
  await runAttacks(rest[0] ?? '', Number(rest[1]), { rateShare: Number(rest[2]), words: rest[3] ?? '' })
  process.exit(0)
} else await runAll(Number(role ?? 10), rest[0])

async function runAll(minutes: number, only: string | undefined): Promise<void> {
  process.stderr.write(`${Object.keys(ATTACKS).length} attacks for ${minutes} minutes\n`)
  try {
    const result = await runGarbage(minutes * 60, minutes === 0 ? { only, rateShare: SHORT_RATE_SHARE } : { only })
    const { faults, facts } = judgeGarbage(result, minutes > 0)
    process.stdout.write(`${JSON.stringify({ ...facts, attacks: result.attacks, last: result.reports.at(-1), faults }, undefined, 2)}\n`)
    process.exit(faults.length === 0 ? 0 : 1)
  } catch (error) {
    if (!(error instanceof GarbageUsageError)) throw error
    process.stderr.write(`${error.message}\nusage: npm run garbage -- MINUTES [WORDS]\n`)
    process.exit(2)
  }
}
