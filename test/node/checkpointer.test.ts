/** Whose turn it is to submit a checkpoint, and that a second one does not pay for the same. Spec: docs/spec/settlement.md#who-submits */
import { decodeFunctionData, type Hex, hexToBytes, toHex } from 'viem'
import { expect, test } from 'vitest'
import { aggregateSignatures, publicKeyOf, sign } from '../../consensus/bls.ts'
import { buildSigners } from '../../consensus/certificate.ts'
import { L1_RECORD, l1Table } from '../../execution/ledger/tables.ts'
import { type CheckpointerOptions, createCheckpointer } from '../../node/checkpointer.ts'
import type { Certified } from '../../node/cosigner.ts'
import { checkpointManagerAbi } from '../../settlement/abi.ts'
import { checkpointIntervalSec, STEP_IN_MS, submitDelayMs } from '../../settlement/checkpoint.ts'
import type { L1Batch } from '../../settlement/l1Logs.ts'
import type { TxOutcome } from '../../settlement/txManager.ts'
import { blockHash, secretKey, setOf } from '../consensus/fixtures.ts'
import { createTestChain } from '../fakes/testChain.ts'

const SET = setOf([1, 1, 1, 1])
const ACCOUNT: Hex = '0x00000000000000000000000000000000000000ac'
const OTHER: Hex = '0x00000000000000000000000000000000000000ad'
const TAKEN: TxOutcome = { ok: true, hash: blockHash(1), l1Block: { number: 1n, hash: blockHash(2) } }
const REFUSED: TxOutcome = { ok: false, code: 'wouldRevert', reason: 'NotLater' }

/** A node at block 1, whose batch stands on L1 without a checkpoint. */
async function stage({
  place,
  lastSubmitter,
  outcome = TAKEN,
  checkpointedAtSec = 0n,
}: {
  place?: number
  lastSubmitter?: Hex
  outcome?: TxOutcome
  checkpointedAtSec?: bigint
}) {
  const chain = await createTestChain()
  const built = await chain.next([])
  const stored = { block: built.block, hash: built.hash, ledgerRoot: built.roots.ledgerRoot }
  const header = { lastBlock: 1n, lastBlockHash: built.hash, prevAccumulator: blockHash(3), firstBlock: 1n, payloadBytes: 1 }
  const origin = { l1OriginNumber: 1n, l1OriginHash: blockHash(4) }
  const batch = { index: 0n, accumulator: blockHash(5), header: { ...header, ...origin }, dataHash: blockHash(6) } as L1Batch
  let nowMs = 0
  let checkpointed = 0n
  let l1Sec = 1_000n
  let isSigned = true
  const signed = SET.validators.map((_, validator) => ({ validator, signature: sign(secretKey(validator), hexToBytes(blockHash(7))) }))
  const certificate = buildSigners(SET, signed, aggregateSignatures)
  const certified = { batch, checkpoint: { lastBlock: 1n }, certificate } as Certified
  const sent: Hex[] = []
  const store = { block: () => stored, reader: chain.store.reader }
  const { submitNext } = createCheckpointer({
    chain: { genesis: chain.genesis, store } as unknown as CheckpointerOptions['chain'],
    follower: {
      status: () =>
        ({ checkpointed, checkpointedAtSec, head: { timestampSec: l1Sec }, lastSubmitter }) as ReturnType<
          CheckpointerOptions['follower']['status']
        >,
    },
    safeChain: { status: () => ({ lastBatch: batch, lastFinalBatch: undefined }) },
    cosigner: { certified: () => (isSigned ? certified : undefined) },
    sets: { setAt: () => SET },
    account: ACCOUNT,
    intervalSec: 600n,
    publicKey: place === undefined ? undefined : publicKeyOf(secretKey(place)),
    report: () => {},
    nowMs: () => nowMs,
  })
  return {
    sent,
    certificate,
    unsign() {
      isSigned = false
    },
    turn: () =>
      submitNext({
        async send({ data }) {
          sent.push(data)
          return outcome
        },
      }),
    pass(ms: number) {
      nowMs += ms
    },
    l1Moves(toSec: bigint) {
      l1Sec = toSec
    },
    othersCheckpoint() {
      checkpointed = 1n
    },
  }
}

test('who submitted the last one goes on at once; the others wait for those before them, and who is no validator for all', () => {
  const delay = (isLastSubmitter: boolean, place: number | undefined) => submitDelayMs({ isLastSubmitter, place, validators: 4 })
  expect([0, 1, 3, undefined].map((place) => delay(true, place))).toEqual([0, 0, 0, 0])
  expect([0, 1, 3, undefined].map((place) => delay(false, place))).toEqual([0, 1, 3, 4].map((steps) => steps * STEP_IN_MS))
})

test('a checkpoint is submitted with its signatures, when the turn has come and not before', async () => {
  const { turn, pass, sent, certificate } = await stage({ place: 2, lastSubmitter: OTHER })
  await turn()
  pass(2 * STEP_IN_MS - 1)
  await turn()
  expect(sent).toEqual([])
  pass(1)
  await turn()
  const call = decodeFunctionData({ abi: checkpointManagerAbi, data: sent[0] ?? '0x' })
  expect(call).toMatchObject({ functionName: 'submit', args: [{ batchIndex: 0n }, { bitmap: toHex(certificate.bitmap) }] })
  const [claim] = call.args as readonly [{ readonly l1Record: Hex }]
  expect(L1_RECORD.table).toBe(l1Table.number)
  expect(claim.l1Record.length).toBe(2 + 2 * 120)
})

test('what no quorum has signed is not submitted', async () => {
  const { turn, pass, sent, unsign } = await stage({ lastSubmitter: ACCOUNT })
  unsign()
  await turn()
  pass(10 * STEP_IN_MS)
  await turn()
  expect(sent).toEqual([])
})

test('who sees another’s checkpoint sends none', async () => {
  const { turn, pass, sent, othersCheckpoint } = await stage({ place: 1, lastSubmitter: OTHER })
  await turn()
  othersCheckpoint()
  pass(10 * STEP_IN_MS)
  await turn()
  expect(sent).toEqual([])
})

test('between two checkpoints is the interval, by the clock of L1', async () => {
  const { turn, sent, l1Moves } = await stage({ lastSubmitter: ACCOUNT, checkpointedAtSec: 500n })
  await turn()
  l1Moves(1_099n)
  await turn()
  expect(sent).toHaveLength(0)
  l1Moves(1_100n)
  await turn()
  expect(sent).toHaveLength(1)
})

test('the interval leaves the ring room within the window: what asks for less is refused with the least there is, and the default is twice that', () => {
  const rules = { windowSec: 604_800n, ringSize: 2_048n }
  const refused = { ok: false, code: 'ringWouldFill', leastSec: 296n } as const
  expect([0, 295, 296, 3_600].map((asked) => checkpointIntervalSec(asked, rules))).toEqual([
    refused,
    refused,
    { ok: true, intervalSec: 296n },
    { ok: true, intervalSec: 3_600n },
  ])
  // All that are submitted within a window, and one that is mature, are remembered.
  expect(rules.windowSec / 296n + 1n).toBeLessThan(rules.ringSize)
  expect(checkpointIntervalSec(undefined, rules)).toEqual({ ok: true, intervalSec: 591n })
  expect(checkpointIntervalSec(undefined, { windowSec: 30n, ringSize: 2_048n })).toEqual({ ok: true, intervalSec: 1n })
})

test('what L1 refuses is tried again after five seconds', async () => {
  const { turn, pass, sent } = await stage({ lastSubmitter: ACCOUNT, outcome: REFUSED })
  for (const afterMs of [0, 4_999, 1]) {
    pass(afterMs)
    await turn()
  }
  expect(sent).toHaveLength(2)
})
