/** What a key may say of checkpoints after what it said. Spec: docs/spec/signer.md#what-it-signs */
import fc from 'fast-check'
import { concatBytes } from 'viem'
import { expect, test } from 'vitest'
import {
  CHECKPOINT_RECORD_BYTES,
  CHECKPOINTS_REMEMBERED,
  type CheckpointGuard,
  type CheckpointState,
  checkCheckpoint,
  decodeCheckpointGuard,
  encodeSignedState,
} from '../../consensus/checkpointGuard.ts'
import { blockHash } from './fixtures.ts'

const state = (lastBlock: number, changes: Partial<CheckpointState> = {}): CheckpointState => ({
  lastBlock: BigInt(lastBlock),
  blockHash: blockHash(lastBlock),
  evmRoot: blockHash(1),
  ledgerRoot: blockHash(2),
  depositCursor: 3n,
  ...changes,
})

/** What is answered to each of these in turn, and the records that are written. */
function askAll(states: readonly CheckpointState[]) {
  let guard: CheckpointGuard = []
  const records: Uint8Array[] = []
  const answers = states.map((one) => {
    const verdict = checkCheckpoint(guard, one)
    if (!verdict.ok) return verdict.code
    guard = verdict.guard
    if (verdict.added) records.push(encodeSignedState(verdict.added))
    return 'ok'
  })
  return { guard, answers, records }
}

test('a block has one state; the same may be said again, and blocks in any order', () => {
  const others = [{ blockHash: blockHash(9) }, { evmRoot: blockHash(9) }, { ledgerRoot: blockHash(9) }, { depositCursor: 9n }]
  const asked = [state(5), state(5), state(3), ...others.map((changes) => state(5, changes)), state(3), state(7)]
  const { answers, records } = askAll(asked)
  expect(answers).toEqual(['ok', 'ok', 'ok', 'otherState', 'otherState', 'otherState', 'otherState', 'ok', 'ok'])
  expect(records).toHaveLength(3)
})

test('whatever it is asked, no two states of a block are signed, and what is written is what is known', () => {
  const anyState = fc
    .tuple(fc.integer({ min: 1, max: 300 }), fc.constantFrom(1, 2))
    .map(([n, root]) => state(n, { evmRoot: blockHash(root) }))
  fc.assert(
    fc.property(fc.array(anyState, { maxLength: 400 }), (states) => {
      const { guard, answers, records } = askAll(states)
      const signed = new Map<bigint, string>()
      for (const [i, { lastBlock, evmRoot }] of states.entries()) {
        if (answers[i] !== 'ok') continue
        expect(signed.get(lastBlock) ?? evmRoot).toBe(evmRoot)
        signed.set(lastBlock, evmRoot)
      }
      expect(guard.length).toBeLessThanOrEqual(CHECKPOINTS_REMEMBERED)
      expect(decodeCheckpointGuard(concatBytes(records))).toEqual({ guard, goodBytes: records.length * CHECKPOINT_RECORD_BYTES })
    }),
    { numRuns: 40 },
  )
})

test('what is forgotten is not signed: a block below all that are remembered', () => {
  const many = Array.from({ length: CHECKPOINTS_REMEMBERED + 1 }, (_, i) => state(10 + i))
  const { guard, answers } = askAll([...many, state(10), state(9), state(11), state(10 + CHECKPOINTS_REMEMBERED + 1)])
  expect(answers.slice(many.length)).toEqual(['forgottenBlock', 'forgottenBlock', 'ok', 'ok'])
  expect(guard[0]?.lastBlock).toBe(12)
})

test('a record that a crash tore is none, one that is damaged before others stops the key', () => {
  const { guard, records } = askAll([state(1), state(2), state(3)])
  const bytes = concatBytes(records)
  for (let cut = 1; cut < CHECKPOINT_RECORD_BYTES; cut++)
    expect(decodeCheckpointGuard(bytes.slice(0, -cut))).toEqual({ guard: guard.slice(0, 2), goodBytes: 2 * CHECKPOINT_RECORD_BYTES })
  for (let at = 0; at < bytes.length; at++) {
    const flipped = bytes.slice()
    flipped[at] = (flipped[at] ?? 0) ^ 4
    const read = decodeCheckpointGuard(flipped)
    if (at < 2 * CHECKPOINT_RECORD_BYTES) expect(read).toBeUndefined()
    else expect(read?.guard).toEqual(guard.slice(0, 2))
  }
})
