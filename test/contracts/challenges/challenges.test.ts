/** Of random challenges of a checkpoint that is right none is taken; `npm run challenges` asks for as many as one likes. Spec: docs/spec/security.md */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Anvil, startAnvil } from '../../fakes/anvil.ts'
import { openChallenges, randomOf } from './challenges.ts'

const COUNT = 250

let anvil: Anvil
beforeAll(async () => {
  anvil = await startAnvil()
})
afterAll(() => anvil?.stop())

test('no random challenge makes a checkpoint fall that is right', { timeout: 240_000 }, async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  const challenges = await openChallenges(anvil)
  const random = randomOf(seed)
  for (let i = 0; i < COUNT; i++) {
    const calldata = challenges.next(random)
    expect({ seed, i, isTaken: (await challenges.ask(calldata)) === 'taken' }).toEqual({ seed, i, isTaken: false })
  }
})
