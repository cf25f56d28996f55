import { expect, test } from 'vitest'
import { measureVotes } from './votesCost.ts'

test('the votes of a block are measured on a height that is decided, with every vote that it takes and no more', () => {
  const cost = measureVotes(7, { blocks: 2, batchVotes: 2 })
  expect(cost.validators).toBe(7)
  // Six others prevote and precommit; with the own vote five of seven are a quorum, and what comes after the last batch that is needed is not verified.
  expect(cost.votesVerified).toBe(6 + 4)
  expect(cost.cpuMsPerBlock).toBeCloseTo(cost.signMs + cost.admitMs + cost.verifyMs + cost.machineMs)
})
