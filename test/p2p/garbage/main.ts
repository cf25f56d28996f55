/**
 * `npm run garbage -- MINUTES [WORDS]`: the garbage test for so long, ten without a number, until each attack was cut off once with 0; with the attacks
 * that have these words in their names. Told at its end; exits with 1 if a bound did not hold. The other forms are the processes that it starts. What
 * is attacked and how: attacks.ts.
 */
import process from 'node:process'
import { runAttacks } from './attacker.ts'
import { ATTACKS } from './attacks.ts'
import { judgeGarbage } from './judge.ts'
import { runGarbage, SHORT_RATE_SHARE } from './run.ts'
import { runVictim } from './victim.ts'

const [role, ...rest] = process.argv.slice(2)

if (role === 'victim') await runVictim(Number(rest[0]))
else if (role === 'attack') {
  await runAttacks(rest[0] ?? '', Number(rest[1]), rest[2])
  process.exit(0)
} else {
  const minutes = Number(role ?? 10)
  process.stderr.write(`${Object.keys(ATTACKS).length} attacks for ${minutes} minutes\n`)
  const result = await runGarbage(minutes * 60, minutes === 0 ? { only: rest[0], rateShare: SHORT_RATE_SHARE } : { only: rest[0] })
  const { faults, facts } = judgeGarbage(result, minutes > 0)
  process.stdout.write(`${JSON.stringify({ ...facts, attacks: result.attacks, last: result.reports.at(-1), faults }, undefined, 2)}\n`)
  process.exit(faults.length === 0 ? 0 : 1)
}
