/** A checkpoint is a certified block that a posted batch ends with, lives through its window, and falls or matures. Spec: docs/spec/settlement.md */
import { concatHex, type Hex, keccak256, toHex, zeroHash } from 'viem'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { encodeHeader } from '../../execution/block.ts'
import { checkpointManagerAbi, openTokenAbi, portalAbi } from '../../settlement/abi.ts'
import { type CheckpointClaim, checkpointHash, toL1Claim } from '../../settlement/checkpoint.ts'
import { type BatchHeader, encodePostBatch } from '../../settlement/inbox.ts'
import { setOf } from '../consensus/fixtures.ts'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import { CHALLENGE_WINDOW_SEC, deployStage, type L1Stage, mined, refusal, STAGE_CHECKPOINTS, type StageClient } from '../fakes/l1Stage.ts'
import {
  bond,
  certificateOf,
  commitOf,
  createSettledChain,
  domainOf,
  openSettled,
  pass,
  type Settled,
  type SettledChain,
  submit,
} from './settledChain.ts'

const STATUS = { none: 0, submitted: 1, mature: 2, fallen: 3 } as const
const CHALLENGER: Hex = '0x00000000000000000000000000000000000c4a11'
const NOBODY: Hex = '0x000000000000000000000000000000000000dead'
const SET = setOf([1, 1, 1, 1])
const { bondWei, evmWindowSec, livenessTimeoutSec, exitTimeoutSec, depositDueSec } = STAGE_CHECKPOINTS

let anvil: Anvil
let l1: L1Stage
let rollup: SettledChain
let first: Settled

beforeAll(async () => {
  anvil = await startAnvil()
})
afterAll(() => anvil?.stop())
beforeEach(async () => {
  ;({ l1, rollup } = await openSettled(anvil))
  first = await rollup.settle()
})

const manager = () => ({ address: l1.deployment.checkpointManager, abi: checkpointManagerAbi }) as const
const statusOf = (id: bigint) => l1.user.readContract({ ...manager(), functionName: 'statusOf', args: [id] })
const count = () => l1.user.readContract({ ...manager(), functionName: 'checkpointCount' })
const balanceOf = (account: Hex) =>
  l1.user.readContract({ address: l1.deployment.openToken, abi: openTokenAbi, functionName: 'balanceOf', args: [account] })
const invalidate = (id: bigint, from: StageClient = l1.owner) =>
  from.writeContract({ ...manager(), functionName: 'invalidate', args: [id, CHALLENGER] })
const close = () => l1.user.writeContract({ ...manager(), functionName: 'close' })
const submitUncertified = ({ claim }: Settled, from: StageClient = l1.submitter) =>
  from.writeContract({ ...manager(), functionName: 'submitUncertified', args: [toL1Claim(claim)] })

async function deposit(): Promise<void> {
  const { openToken, portal } = l1.deployment
  await mined(l1.user, await l1.user.writeContract({ address: openToken, abi: openTokenAbi, functionName: 'approve', args: [portal, 1n] }))
  const args = [l1.user.account.address, 1n, false] as const
  await mined(l1.user, await l1.user.writeContract({ address: portal, abi: portalAbi, functionName: 'depositToLedger', args }))
}

test('a checkpoint is what its block and its ledger say, is kept by its hash, and matures when its window ends', async () => {
  const { blockNumber } = await mined(l1.submitter, await submit(l1, first))
  const { timestamp } = await l1.user.getBlock({ blockNumber })
  const { checkpoint } = first
  const [event] = await l1.user.getContractEvents({ ...manager(), eventName: 'CheckpointSubmitted', fromBlock: blockNumber })
  expect(event?.args).toEqual({ id: 0n, lastBlock: 1n, submitter: l1.submitter.account.address, checkpoint, isCertified: true })
  expect(await l1.user.readContract({ ...manager(), functionName: 'checkpointAt', args: [0n] })).toEqual([
    checkpointHash(checkpoint),
    timestamp,
    l1.submitter.account.address,
  ])
  const checkMature = { ...manager(), functionName: 'checkMature', args: [0n, checkpoint] } as const
  await pass(l1, CHALLENGE_WINDOW_SEC - 1)
  expect(await statusOf(0n)).toBe(STATUS.submitted)
  expect(await refusal(l1.user.readContract(checkMature))).toEqual(['NotMature', timestamp + BigInt(CHALLENGE_WINDOW_SEC)])
  await pass(l1, 1)
  expect(await statusOf(0n)).toBe(STATUS.mature)
  expect(await refusal(l1.user.readContract(checkMature))).toBeUndefined()
  const other = { ...checkMature, args: [0n, { ...checkpoint, ledgerRoot: zeroHash }] } as const
  expect(await refusal(l1.user.readContract(other))).toEqual(['CheckpointMismatch', checkpointHash(checkpoint)])
})

/** What is changed of a good claim, and the error that it is refused with. */
type Wrong = {
  readonly it: string
  readonly change: (good: Settled) => Partial<Settled>
  readonly error: (good: Settled) => readonly unknown[]
}
const claimWith = ({ claim }: Settled, changes: Partial<CheckpointClaim>) => ({ claim: { ...claim, ...changes } })
const batchWith = (good: Settled, changes: Partial<BatchHeader>) =>
  claimWith(good, { batch: { ...good.claim.batch, header: { ...good.claim.batch.header, ...changes } } })
const otherHeader = ({ header }: Settled) => encodeHeader({ ...header, gasUsed: 1n })
const mismatch = ({ checkpoint }: Settled) => ['BatchMismatch', 0n, checkpoint.batchAccumulator]
const record = ({ claim }: Settled) => claim.l1Record.record ?? '0x'

const WRONG: readonly Wrong[] = [
  { it: 'another block in its batch', change: (good) => batchWith(good, { lastBlockHash: zeroHash }), error: mismatch },
  { it: 'another accumulator before it', change: (good) => batchWith(good, { prevAccumulator: zeroHash }), error: mismatch },
  {
    it: 'other data',
    change: (good) => claimWith(good, { batch: { ...good.claim.batch, dataHash: zeroHash } }),
    error: mismatch,
  },
  {
    it: 'a batch that nobody posted',
    change: (good) => claimWith(good, { batch: { ...good.claim.batch, index: 1n } }),
    error: () => ['BatchNotPosted', 1n],
  },
  {
    it: 'another header',
    change: (good) => claimWith(good, { header: otherHeader(good) }),
    error: ({ hash }) => ['HeaderMismatch', hash],
  },
  {
    it: 'an l1 record that its ledger has not',
    change: (good) => claimWith(good, { l1Record: { ...good.claim.l1Record, record: `${record(good).slice(0, -1)}1` as Hex } }),
    error: () => ['BadL1Record'],
  },
  {
    it: 'an l1 record with a byte more',
    change: (good) => claimWith(good, { l1Record: { ...good.claim.l1Record, record: `${record(good)}00` as Hex } }),
    error: () => ['BadL1Record'],
  },
  {
    it: 'a sibling too few',
    change: (good) => claimWith(good, { l1Record: { ...good.claim.l1Record, siblings: good.claim.l1Record.siblings.slice(1) } }),
    error: () => ['BadL1Record'],
  },
  ...(
    [
      ['another block', { blockHash: zeroHash }],
      ['another ledger root', { ledgerRoot: zeroHash }],
      ['the same block in another batch', { batchAccumulator: zeroHash }],
      ['another cursor', { depositCursor: 1n }],
    ] as const
  ).map(([it, changes]) => ({
    it: `signatures of ${it}`,
    change: ({ checkpoint }: Settled) => ({ certificate: certificateOf(SET, domainOf(l1), { ...checkpoint, ...changes }) }),
    error: () => ['BadSignature'],
  })),
  {
    it: 'signatures for another manager',
    change: ({ checkpoint }) => ({ certificate: certificateOf(SET, { ...domainOf(l1), manager: CHALLENGER }, checkpoint) }),
    error: () => ['BadSignature'],
  },
  {
    it: 'signatures for another L1',
    change: ({ checkpoint }) => ({ certificate: certificateOf(SET, { ...domainOf(l1), l1ChainId: 1 }, checkpoint) }),
    error: () => ['BadSignature'],
  },
  {
    it: 'the certificate of its block, which is no word on rows',
    change: ({ hash }) => ({ certificate: commitOf(SET, 1n, hash) }),
    error: () => ['BadSignature'],
  },
  {
    it: 'a signature of a key outside the set',
    change: ({ checkpoint }) => ({ certificate: certificateOf(SET, domainOf(l1), checkpoint, [0, 1, 2], [0, 1, 7]) }),
    error: () => ['BadSignature'],
  },
  {
    it: 'signatures of too few',
    change: ({ checkpoint }) => ({ certificate: certificateOf(SET, domainOf(l1), checkpoint, [0, 1]) }),
    error: () => ['WeightTooLow', 2n, 4n],
  },
  {
    it: 'a bitmap of another set',
    change: ({ certificate }) => ({ certificate: { ...certificate, bitmap: '0x1f' } }),
    error: () => ['BitBeyondSet', 4n],
  },
]

test.each(WRONG)('a checkpoint with $it is refused', async ({ change, error }) => {
  expect(await refusal(submit(l1, { ...first, ...change(first) }))).toEqual(error(first))
})

test('the number is the header’s: a batch that says another one ends with no checkpoint', async () => {
  const block = await rollup.chain.next([])
  const header = await l1.nextHeader({ lastBlock: 9n, lastBlockHash: block.hash, payloadBytes: 1 })
  const { claim } = first
  const data = encodePostBatch(header, await l1.postingOf(header, { payload: Uint8Array.of(1) }))
  await mined(l1.poster, await l1.poster.sendTransaction({ to: l1.deployment.inbox, data }))
  const shown = { ...claim, header: encodeHeader(block.block.header), batch: { ...claim.batch, index: 1n, header } }
  expect(await refusal(submit(l1, { ...first, claim: shown }))).toEqual(['WrongNumber', 9n])
})

test('who has no bond submits none; with one it is locked until the window ends, and then goes back, once', async () => {
  expect(await refusal(submit(l1, first, l1.user))).toEqual(['NoBond'])
  const withdraw = { ...manager(), functionName: 'withdrawBond', args: [CHALLENGER] } as const
  expect(await refusal(l1.user.writeContract(withdraw))).toEqual(['NoBond'])
  const again = { ...manager(), functionName: 'depositBond', args: [l1.submitter.account.address] } as const
  expect(await refusal(l1.user.writeContract(again))).toEqual(['BondThere'])
  const { blockNumber } = await mined(l1.submitter, await submit(l1, first))
  const freeAtSec = (await l1.user.getBlock({ blockNumber })).timestamp + BigInt(CHALLENGE_WINDOW_SEC)
  const bondOf = { ...manager(), functionName: 'bondOf', args: [l1.submitter.account.address] } as const
  expect(await l1.user.readContract(bondOf)).toEqual({ amount: bondWei, freeAtSec })
  expect(await refusal(l1.submitter.writeContract(withdraw))).toEqual(['BondLocked', freeAtSec])
  await pass(l1, CHALLENGE_WINDOW_SEC)
  const before = await balanceOf(CHALLENGER)
  await mined(l1.submitter, await l1.submitter.writeContract(withdraw))
  expect((await balanceOf(CHALLENGER)) - before).toBe(bondWei)
  expect(await refusal(l1.submitter.writeContract(withdraw))).toEqual(['NoBond'])
})

test('checkpoints go forward', async () => {
  const second = await rollup.settle()
  await mined(l1.submitter, await submit(l1, second))
  expect(await refusal(submit(l1, first))).toEqual(['NotLater', 2n])
  expect(await refusal(submit(l1, second))).toEqual(['NotLater', 2n])
  expect(await l1.user.readContract({ ...manager(), functionName: 'lastBlock' })).toBe(2n)
})

/** An origin that says that so many deposits were executed. */
const originWith = (depositCursor: bigint) => {
  const { origin } = rollup.chain.genesis.l1
  const info = {
    ...origin,
    number: origin.number + 1n,
    timestampSec: origin.timestampSec + 1n,
    baseFee: 7n,
    blobBaseFee: 1n,
    depositCursor,
  }
  const none = { from: CHALLENGER, to: CHALLENGER, mintWei: 0n, valueWei: 0n, gas: 21_000n, isSystem: false, data: '0x' } as const
  const deposits = Array.from({ length: Number(depositCursor) }, (_, i) => ({ ...none, sourceHash: toHex(i + 1, { size: 32 }) }))
  return { info, deposits }
}

test('the cursor is the ledger’s: not beyond what is queued, and not back', async () => {
  const ahead = await rollup.settle([], { origin: originWith(1n) })
  expect(ahead.checkpoint.depositCursor).toBe(1n)
  expect(await refusal(submit(l1, ahead))).toEqual(['DepositsNotQueued', 0n])
  await deposit()
  await mined(l1.submitter, await submit(l1, ahead))
  expect(await l1.user.readContract({ ...manager(), functionName: 'depositCursor' })).toBe(1n)
  // Another rollup's block, which this manager cannot know from this one's.
  const behind = await createSettledChain(l1)
  await behind.chain.next([])
  await behind.chain.next([])
  expect(await refusal(submit(l1, await behind.settle()))).toEqual(['DepositsTakenBack', 1n])
})

test('no checkpoint leaves a deposit behind for longer than it may wait', async () => {
  await deposit()
  const { timestamp } = await l1.user.getBlock()
  await pass(l1, depositDueSec - 20)
  await mined(l1.submitter, await submit(l1, first))
  const second = await rollup.settle()
  await pass(l1, 21)
  expect(await refusal(submit(l1, second))).toEqual(['DepositDue', 0n, timestamp])
  await mined(l1.submitter, await submit(l1, await rollup.settle([], { origin: originWith(1n) })))
})

test('what fell takes the later ones and half its submitter’s bond along; the others stand, and others get its ids', async () => {
  const blocks = [first, await rollup.settle(), await rollup.settle()]
  for (const block of blocks) await mined(l1.submitter, await submit(l1, block))
  expect(await refusal(invalidate(1n, l1.user))).toEqual(['NotFraudVerifier'])
  const burned = await balanceOf(NOBODY)
  const { blockNumber } = await mined(l1.owner, await invalidate(1n))
  const [event] = await l1.user.getContractEvents({ ...manager(), eventName: 'CheckpointFell', fromBlock: blockNumber })
  const reward = bondWei / 2n
  expect(event?.args).toMatchObject({ id: 1n, submitter: l1.submitter.account.address, lastBlock: 1n, reward })
  expect([await balanceOf(CHALLENGER), (await balanceOf(NOBODY)) - burned]).toEqual([reward, reward])
  expect(await Promise.all([0n, 1n, 2n, 3n].map(statusOf))).toEqual([STATUS.submitted, STATUS.fallen, STATUS.fallen, STATUS.none])
  expect(await refusal(invalidate(2n))).toEqual(['NotOpen', STATUS.fallen])
  expect(await refusal(l1.user.readContract({ ...manager(), functionName: 'checkpointAt', args: [1n] }))).toEqual(['UnknownCheckpoint', 1n])

  const [, , third] = blocks
  if (!third) throw new Error('there are three')
  expect(await refusal(submit(l1, third))).toEqual(['NoBond'])
  await bond(l1, l1.submitter)
  await mined(l1.submitter, await submit(l1, third))
  expect(await statusOf(1n)).toBe(STATUS.submitted)
  expect(await count()).toBe(2n)
  await pass(l1, CHALLENGE_WINDOW_SEC)
  expect(await refusal(invalidate(1n))).toEqual(['NotOpen', STATUS.mature])
  expect(await l1.user.readContract({ ...manager(), functionName: 'matureCount' })).toBe(2n)
})

test('without a checkpoint for long, one without a certificate is taken, and not before', async () => {
  const { timestamp } = await l1.user.getBlock({ blockNumber: l1.deployment.firstL1Block })
  const refused = await refusal(submitUncertified(first))
  expect(refused?.[0]).toBe('NotYet')
  expect(refused?.[1]).toBeGreaterThanOrEqual(timestamp + BigInt(livenessTimeoutSec))
  await pass(l1, livenessTimeoutSec)
  expect(await refusal(submitUncertified(first, l1.user))).toEqual(['NoBond'])
  const { blockNumber } = await mined(l1.submitter, await submitUncertified(first))
  const [event] = await l1.user.getContractEvents({ ...manager(), eventName: 'CheckpointSubmitted', fromBlock: blockNumber })
  expect(event?.args).toMatchObject({ checkpoint: first.checkpoint, isCertified: false })
  expect((await refusal(submitUncertified(await rollup.settle())))?.[0]).toBe('NotYet')
})

test('a rollup without a new mature checkpoint for long is closed: what matured stays, what had not is void, nothing comes after', async () => {
  await mined(l1.submitter, await submit(l1, first))
  await pass(l1, CHALLENGE_WINDOW_SEC)
  expect((await refusal(close()))?.[0]).toBe('NotYet')
  await pass(l1, exitTimeoutSec - 30)
  const second = await rollup.settle()
  await mined(l1.submitter, await submit(l1, second))
  await pass(l1, 40)
  const { blockNumber } = await mined(l1.user, await close())
  const [event] = await l1.user.getContractEvents({ ...manager(), eventName: 'RollupClosed', fromBlock: blockNumber })
  expect(event?.args).toEqual({ checkpointCount: 1n, lastBlock: 1n })
  await pass(l1, CHALLENGE_WINDOW_SEC)
  expect(await Promise.all([0n, 1n].map(statusOf))).toEqual([STATUS.mature, STATUS.fallen])
  expect(await refusal(submit(l1, second))).toEqual(['Closed'])
  expect(await refusal(submitUncertified(second))).toEqual(['Closed'])
  expect(await refusal(close())).toEqual(['Closed'])
  expect(await refusal(invalidate(0n))).toEqual(['NotOpen', STATUS.mature])
})

test('the ring always has a checkpoint that everything is paid by: the next one waits for the one that would be the oldest', async () => {
  // As if 2,048 had been submitted, the second of them just now: counts in the first slot, the entry's time behind its submitter's address.
  const { address } = manager()
  const ring = 2_048n
  await l1.user.setStorageAt({ address, index: 0, value: toHex(ring | (ring << 64n), { size: 32 }) })
  const { timestamp } = await l1.user.getBlock()
  const entry = BigInt(keccak256(concatHex([toHex(1n, { size: 32 }), toHex(1n, { size: 32 })])))
  const value = toHex(timestamp << 160n, { size: 32 })
  await l1.user.setStorageAt({ address, index: toHex(entry + 1n, { size: 32 }), value })
  expect(await statusOf(0n)).toBe(STATUS.mature)
  expect(await statusOf(1n)).toBe(STATUS.submitted)
  expect(await refusal(submit(l1, first))).toEqual(['RingFull', timestamp + BigInt(evmWindowSec)])
  await pass(l1, evmWindowSec)
  await mined(l1.submitter, await submit(l1, first))
  expect(await count()).toBe(ring + 1n)
  expect(await statusOf(0n)).toBe(STATUS.mature)
  expect(await refusal(l1.user.readContract({ ...manager(), functionName: 'checkpointAt', args: [0n] }))).toEqual(['UnknownCheckpoint', 0n])
  expect(await l1.user.readContract({ ...manager(), functionName: 'matureCount' })).toBe(ring)
})

test('timeouts that would close a rollup that goes on are refused', async () => {
  const least = BigInt(CHALLENGE_WINDOW_SEC + livenessTimeoutSec + 1)
  await expect(deployStage(anvil, {}, { exitTimeoutSec: Number(least) - 1 })).rejects.toThrow()
})
