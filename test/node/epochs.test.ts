/** Over the end of an epoch: who follows believes the old set for its last block and the new one from the next on, and nobody before it knows who that is. */
import { toHex } from 'viem'
import { expect, onTestFinished, test, vi } from 'vitest'
import { aggregateSignatures, sign } from '../../consensus/bls.ts'
import { buildCommit } from '../../consensus/certificate.ts'
import { statementDigest } from '../../consensus/digest.ts'
import { encodeMessage, type Vote } from '../../consensus/message.ts'
import { createValidatorSet, type ValidatorSet } from '../../consensus/validatorSet.ts'
import { type Block, encodeBlock, hashHeader } from '../../execution/block.ts'
import type { OriginStep } from '../../execution/buildBlock.ts'
import type { Genesis } from '../../genesis/genesis.ts'
import type { ChainState } from '../../node/chainState.ts'
import { createEpochSets } from '../../node/epochs.ts'
import { checkFinal, createFollower } from '../../node/follower.ts'
import type { BlocksAnswer } from '../../p2p/sync.ts'
import type { CertifiedBlock } from '../../p2p/wire.ts'
import { secretKey, validator } from '../consensus/fixtures.ts'
import { quietLog as log, openDiskChain } from '../fakes/diskChain.ts'
import { testGenesis } from '../fakes/testChain.ts'
import { validatorWord } from '../fakes/validatorWord.ts'

const EPOCH_BLOCKS = 3
const BLOCKS = 8
/** Numbers of validators in test/consensus/fixtures.ts, epoch by epoch: 0 leaves and 4 comes in the second, 5 comes and 1 leaves in the third. */
const MEMBERS = [
  [0, 1, 2],
  [1, 2, 4],
  [2, 4, 5],
] as const
/** What the registry says, by the block that hears it. */
const WORDS: Readonly<Record<number, readonly (readonly [index: number, weight: bigint])[]>> = {
  2: [
    [0, 0n],
    [4, 1n],
  ],
  6: [
    [5, 1n],
    [1, 0n],
  ],
}

const base = testGenesis({ epochBlocks: EPOCH_BLOCKS })
const genesis: Genesis = {
  ...base,
  validators: MEMBERS[0].map((index) => {
    const { address, publicKey, feeRecipient } = validator(index, 1n)
    return { address, blsPublicKey: publicKey, weight: 1, feeRecipient }
  }),
}
const { chainId } = genesis.params
const epochOf = (height: number) => Math.floor((height - 1) / EPOCH_BLOCKS)

function setOfMembers(epoch: number): ValidatorSet {
  const made = createValidatorSet(
    epoch,
    (MEMBERS[epoch] ?? []).map((index) => validator(index, 1n)),
  )
  if (!made.ok) throw new Error(made.code)
  return made.set
}

function originOf(height: number): OriginStep | undefined {
  const deposits = (WORDS[height] ?? []).map(([index, weight]) => validatorWord(index, weight))
  if (deposits.length === 0) return undefined
  const { origin } = genesis.l1
  const number = origin.number + BigInt(height)
  const before = Object.entries(WORDS).reduce((sum, [at, words]) => (Number(at) < height ? sum + words.length : sum), 0)
  const { timestampSec, prevRandao } = origin
  const depositCursor = BigInt(before + deposits.length)
  const info = { number, hash: toHex(number, { size: 32 }), timestampSec, baseFee: 7n, blobBaseFee: 1n, prevRandao, depositCursor }
  return { info, deposits }
}

/** The commit of a block by everybody of an epoch. */
function commitOf(block: Block, epoch = epochOf(Number(block.header.number))): Uint8Array {
  const set = setOfMembers(epoch)
  const height = Number(block.header.number)
  const statement = { kind: 'precommit', height, round: 0, blockHash: hashHeader(block.header), validRound: -1 } as const
  const digest = statementDigest({ chainId, epoch }, statement)
  const votes = (MEMBERS[epoch] ?? []).map(
    (index, place): Vote => ({ ...statement, validator: place, signature: sign(secretKey(index), digest) }),
  )
  return encodeMessage(buildCommit(set, votes, aggregateSignatures))
}

async function makeBlocks(): Promise<{ chain: ChainState; blocks: CertifiedBlock[] }> {
  const { chain } = await openDiskChain(genesis)
  const blocks: CertifiedBlock[] = []
  for (let height = 1; height <= BLOCKS; height++) {
    const timestampMs = genesis.timestampMs + 1_000 * height
    const { block, hash } = await chain.build({
      budgetMs: 60_000,
      timestampMs,
      feeRecipient: toHex(9, { size: 20 }),
      origin: originOf(height),
    })
    const commit = commitOf(block)
    await chain.decide(hash, commit)
    blocks.push({ commit, block: encodeBlock(block) })
  }
  return { chain, blocks }
}

async function follow(answer: (from: bigint) => readonly CertifiedBlock[]) {
  const { chain } = await openDiskChain(genesis)
  const sets = createEpochSets(chain)
  const [blamed, fatal]: [string[], unknown[]] = [[], []]
  const follower = createFollower({
    chain,
    setAt: sets.setAt,
    request: async ({ from }): Promise<BlocksAnswer> => ({ ok: true, peer: 'peer', blocks: answer(from) }),
    blame: (peer) => blamed.push(peer),
    log,
    nowMs: Date.now,
    onFatal: (error) => fatal.push(error),
  })
  onTestFinished(follower.stop)
  return { chain, sets, follower, blamed, fatal }
}

const reaches = (chain: ChainState, number: bigint) =>
  vi.waitFor(() => expect(chain.head().header.number).toBe(number), { timeout: 20_000, interval: 10 })

test('a set is known from the last block of the epoch before on, and is the one that the registry made', async () => {
  const { chain } = await openDiskChain(genesis)
  const sets = createEpochSets(chain)
  const { blocks } = await makeBlocks()
  const seen: (string | undefined)[][] = []
  for (const certified of blocks) {
    seen.push([1, 4, 7].map((height) => sets.setAt(height)?.hash))
    const checked = checkFinal(certified, sets.setAt, chainId)
    if (!checked.ok) throw new Error(checked.code)
    expect((await chain.check(checked.final.block)).ok).toBe(true)
    await chain.decide(checked.final.hash, certified.commit)
  }
  const [first, second, third] = [0, 1, 2].map((epoch) => setOfMembers(epoch).hash)
  const before = [first, undefined, undefined]
  const during = [first, second, undefined]
  const after = [first, second, third]
  expect(seen).toEqual([before, before, before, during, during, during, after, after])
  expect(sets.next().hash).toBe(third)
  expect([1, 3, 4, 6, 7].map(sets.epochOf)).toEqual([0, 0, 1, 1, 2])
})

test('a follower syncs over the ends of epochs in one answer, and its headers name the sets', async () => {
  const { chain, blocks } = await makeBlocks()
  const world = await follow((from) => blocks.slice(Number(from) - 1))
  world.follower.start()
  await reaches(world.chain, BigInt(BLOCKS))
  expect(world.chain.head().hash).toBe(chain.head().hash)
  expect([world.blamed, world.fatal]).toEqual([[], []])
  expect(world.chain.store.block(3n)?.block.header.requestsHash).not.toBe(world.chain.store.block(2n)?.block.header.requestsHash)
})

test('a certificate of the epoch before is refused behind its end, and who sends it is blamed', async () => {
  const { blocks } = await makeBlocks()
  const late = blocks.map((certified, i) => {
    const checked = i === 3 ? checkFinal(certified, () => setOfMembers(1), chainId) : undefined
    return checked?.ok ? { ...certified, commit: commitOf(checked.final.block, 0) } : certified
  })
  const world = await follow((from) => late.slice(Number(from) - 1))
  world.follower.start()
  await vi.waitFor(() => expect(world.blamed).not.toEqual([]), { timeout: 20_000 })
  expect(world.chain.head().header.number).toBe(3n)
  expect(world.fatal).toEqual([])
})

test('of a block of an epoch that is not known yet nobody can say whether it is final', async () => {
  const { blocks } = await makeBlocks()
  const { sets } = await follow(() => [])
  const [, , third, fourth] = blocks
  if (!third || !fourth) throw new Error('there are blocks')
  expect(checkFinal(third, sets.setAt, chainId)).toMatchObject({ ok: true })
  expect(checkFinal(fourth, sets.setAt, chainId)).toEqual({ ok: false, code: 'unknownEpoch' })
})

test('without epochs the genesis file’s validators stay', async () => {
  const { chain } = await openDiskChain({ ...genesis, params: { ...genesis.params, epochBlocks: 0 } })
  const sets = createEpochSets(chain)
  expect([sets.setAt(1)?.hash, sets.setAt(1_000_000)?.hash, sets.areMany]).toEqual([setOfMembers(0).hash, setOfMembers(0).hash, false])
})
