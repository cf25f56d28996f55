/** A follower believes a quorum's signature and nothing else, applies blocks in their order, and stops where a quorum signed what is invalid. */
import { type Hex, hexToBytes } from 'viem'
import { expect, onTestFinished, test, vi } from 'vitest'
import { aggregateSignatures, deriveSecretKey, publicKeyOf, sign } from '../../consensus/bls.ts'
import { buildCommit } from '../../consensus/certificate.ts'
import { statementDigest } from '../../consensus/digest.ts'
import { encodeMessage, type Vote } from '../../consensus/message.ts'
import { type Block, encodeBlock, hashHeader } from '../../execution/block.ts'
import type { Genesis } from '../../genesis/genesis.ts'
import type { ChainState } from '../../node/chainState.ts'
import { validatorSetOf } from '../../node/epochs.ts'
import { checkFinal, createFollower, type FinalBlock, FollowError, type Follower, type FollowerOptions } from '../../node/follower.ts'
import type { BlocksAnswer } from '../../p2p/sync.ts'
import type { CertifiedBlock } from '../../p2p/wire.ts'
import { quietLog as log, openDiskChain } from '../fakes/diskChain.ts'
import { addressOf, testAccounts, testGenesis } from '../fakes/testChain.ts'

const secret = deriveSecretKey(new Uint8Array(32).fill(5))
const stranger = deriveSecretKey(new Uint8Array(32).fill(6))
const genesis: Genesis = {
  ...testGenesis(),
  validators: [{ address: `0x${'c1'.repeat(20)}`, blsPublicKey: publicKeyOf(secret), weight: 1, feeRecipient: `0x${'c3'.repeat(20)}` }],
}
const set = validatorSetOf(genesis)
const { chainId } = genesis.params

const openChain = async (): Promise<ChainState> => (await openDiskChain(genesis)).chain

function commitOf(block: Block, key = secret): Uint8Array {
  const vote = {
    kind: 'precommit',
    height: Number(block.header.number),
    round: 0,
    blockHash: hashHeader(block.header),
    validRound: -1,
    validator: 0,
  } as const satisfies Omit<Vote, 'signature'>
  const signature = sign(key, statementDigest({ chainId, epoch: set.epoch }, vote))
  return encodeMessage(buildCommit(set, [{ ...vote, signature }], aggregateSignatures))
}

/** A chain of so many final blocks, each with a transfer, as a validator of one would make it. */
async function makeBlocks(count: number): Promise<CertifiedBlock[]> {
  const chain = await openChain()
  const [account] = testAccounts
  if (!account) throw new Error('no account')
  const made: CertifiedBlock[] = []
  for (let i = 0; i < count; i++) {
    const raw = await account.signTransaction({
      chainId,
      nonce: i,
      to: addressOf(account),
      value: 1n,
      gas: 21_000n,
      maxFeePerGas: 10n ** 12n,
      maxPriorityFeePerGas: 1n,
    })
    expect(await chain.submit(hexToBytes(raw))).toMatchObject({ ok: true })
    const { block, hash } = await chain.build({
      budgetMs: 60_000,
      timestampMs: genesis.timestampMs + 1_000 * (i + 1),
      feeRecipient: '0x'.padEnd(42, '9') as Hex,
      origin: undefined,
    })
    expect(block.transactions).toHaveLength(1)
    const commit = commitOf(block)
    await chain.decide(hash, commit)
    made.push({ commit, block: encodeBlock(block) })
  }
  return made
}

type World = {
  readonly chain: ChainState
  readonly follower: Follower
  readonly asked: bigint[]
  readonly blamed: string[]
  readonly fatal: unknown[]
}

/** A follower whose peer answers as told. */
async function follow(answer: (from: bigint) => readonly CertifiedBlock[], nowMs: FollowerOptions['nowMs'] = Date.now): Promise<World> {
  const chain = await openChain()
  const [asked, blamed, fatal]: [bigint[], string[], unknown[]] = [[], [], []]
  const follower = createFollower({
    chain,
    setAt: () => set,
    request: async ({ from }): Promise<BlocksAnswer> => {
      asked.push(from)
      return { ok: true, peer: 'peer', blocks: answer(from) }
    },
    blame: (peer) => blamed.push(peer),
    log,
    nowMs,
    onFatal: (error) => fatal.push(error),
  })
  onTestFinished(follower.stop)
  return { chain, follower, asked, blamed, fatal }
}

function finalOf(certified: CertifiedBlock | undefined): FinalBlock {
  const checked = certified && checkFinal(certified, () => set, chainId)
  if (!checked?.ok) throw new Error('not final')
  return checked.final
}

const headOf = ({ chain }: World) => chain.head().header.number
const reaches = (world: World, number: bigint) => vi.waitFor(() => expect(headOf(world)).toBe(number), { timeout: 20_000, interval: 10 })

test('it fetches what it misses, keeps the certificates, and has the hashes of who made the blocks', async () => {
  const blocks = await makeBlocks(5)
  const world = await follow((from) => blocks.slice(Number(from) - 1, Number(from) + 1))
  world.follower.start()
  await reaches(world, 5n)
  for (const [i, certified] of blocks.entries()) {
    const number = BigInt(i + 1)
    expect(world.chain.store.block(number)?.hash).toBe(finalOf(certified).hash)
    expect(new Uint8Array(world.chain.store.commit(number) ?? [])).toEqual(certified.commit)
  }
  expect(world.asked.slice(0, 3)).toEqual([1n, 3n, 5n])
  expect([world.blamed, world.fatal]).toEqual([[], []])
})

test('blocks that come in any order are applied in theirs, without asking anybody', async () => {
  const blocks = await makeBlocks(4)
  const world = await follow(() => [])
  for (const certified of [...blocks].reverse()) world.follower.takeBlock(finalOf(certified))
  expect([1n, 4n, 5n].map(world.follower.has)).toEqual([true, true, false])
  world.follower.start()
  await reaches(world, 4n)
  expect(world.asked).toEqual([])
})

test('a gap is asked for, and what waited behind it follows', async () => {
  const blocks = await makeBlocks(4)
  const world = await follow((from) => blocks.slice(Number(from) - 1, Number(from)))
  world.follower.takeBlock(finalOf(blocks[3]))
  world.follower.start()
  await reaches(world, 4n)
  expect(world.asked).toEqual([1n, 2n, 3n])
  expect(world.follower.highest()).toBe(4n)
})

test('a proven height is reason enough to ask; silence is reason after a while', async () => {
  const blocks = await makeBlocks(2)
  let nowMs = 0
  const world = await follow(
    (from) => (from === 1n ? blocks.slice(0, 1) : []),
    () => nowMs,
  )
  world.follower.start()
  await reaches(world, 1n)
  await vi.waitFor(() => expect(world.asked).toEqual([1n, 2n]), { timeout: 20_000 }) // there may be more where it came from; there is not
  world.follower.takeHeight(1n) // nothing new
  world.follower.takeHeight(2n)
  await vi.waitFor(() => expect(world.asked.length).toBeGreaterThan(2), { timeout: 20_000 })
  world.follower.takeBlock(finalOf(blocks[1]))
  await reaches(world, 2n)
  const asked = world.asked.length
  nowMs = 60_000
  world.follower.askNow()
  await vi.waitFor(() => expect(world.asked.length).toBeGreaterThan(asked), { timeout: 20_000 })
})

test('what is not signed by a quorum, not of its certificate, or not whole, is no final block', async () => {
  const [first, second] = await makeBlocks(2)
  if (!first || !second) throw new Error('no blocks')
  const { block } = finalOf(first)
  const verdictOf = (certified: CertifiedBlock) => {
    const checked = checkFinal(certified, () => set, chainId)
    return checked.ok ? 'ok' : checked.code
  }
  expect(verdictOf(first)).toBe('ok')
  expect(verdictOf({ ...first, commit: commitOf(block, stranger) })).toBe('notSigned')
  expect(verdictOf({ ...first, commit: first.commit.subarray(1) })).toBe('badCommit')
  expect(verdictOf({ ...first, commit: second.commit })).toBe('otherBlock')
  expect(verdictOf({ ...first, block: first.block.subarray(1) })).toBe('badBlock')
  expect(verdictOf({ ...first, block: encodeBlock({ ...block, transactions: finalOf(second).block.transactions }) })).toBe(
    'otherTransactions',
  )
  const higher = { ...block, header: { ...block.header, number: 9n } }
  expect(verdictOf({ commit: first.commit, block: encodeBlock(higher) })).toBe('otherBlock')
})

const lies: Record<string, (blocks: CertifiedBlock[]) => CertifiedBlock[]> = {
  'a block with another body': ([first, second]) =>
    first && second
      ? [{ ...first, block: encodeBlock({ ...finalOf(first).block, transactions: finalOf(second).block.transactions }) }]
      : [],
  'a block nobody signed': ([first]) => (first ? [{ ...first, commit: commitOf(finalOf(first).block, stranger) }] : []),
  'a block of another height': ([, second]) => (second ? [second] : []),
  'a repeated block': ([first]) => (first ? [first, first] : []),
}

for (const [what, lie] of Object.entries(lies)) {
  test(`a peer that answers with ${what} is blamed, and the truth is taken from the next answer`, async () => {
    const blocks = await makeBlocks(3)
    let lied = false
    const world = await follow((from) => {
      if (lied) return blocks.slice(Number(from) - 1)
      lied = true
      return lie(blocks)
    })
    world.follower.takeHeight(3n)
    world.follower.start()
    await reaches(world, 3n)
    expect([world.blamed, world.fatal]).toEqual([['peer'], []])
  })
}

test('a certified block that does not execute stops the node, and the head stays', async () => {
  const [first] = await makeBlocks(1)
  const { block } = finalOf(first)
  const wrong = { ...block, header: { ...block.header, stateRoot: `0x${'12'.repeat(32)}` as Hex } }
  const world = await follow(() => [{ commit: commitOf(wrong), block: encodeBlock(wrong) }])
  world.follower.start()
  await vi.waitFor(() => expect(world.fatal).toHaveLength(1), { timeout: 20_000 })
  expect(world.fatal[0]).toBeInstanceOf(FollowError)
  expect(headOf(world)).toBe(0n)
  expect(world.blamed).toEqual([])
})
