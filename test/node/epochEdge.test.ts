/**
 * Validators with stores, logs and keys of their own in one process, joined by a network in memory, over the ends of epochs: who was registered on L1 votes and
 * proposes from the next epoch on, who left does neither, and both have the same chain.
 */
import { type Hex, toHex } from 'viem'
import { expect, onTestFinished, test, vi } from 'vitest'
import { publicKeyOf } from '../../consensus/bls.ts'
import { type Commit, signersOf } from '../../consensus/certificate.ts'
import { decodeMessage } from '../../consensus/message.ts'
import { encodeBlock } from '../../execution/block.ts'
import type { OriginStep } from '../../execution/buildBlock.ts'
import type { L1Info } from '../../execution/ledger/tables.ts'
import type { Genesis } from '../../genesis/genesis.ts'
import type { ChainState } from '../../node/chainState.ts'
import { type ConsensusChain, createConsensusChain } from '../../node/consensusChain.ts'
import { createEpochSets, type EpochSets, onOtherValidators } from '../../node/epochs.ts'
import { checkFinal } from '../../node/follower.ts'
import { openJournal } from '../../node/journal.ts'
import { createLocalSigner } from '../../node/signer.ts'
import { createValidator, type Validator } from '../../node/validator.ts'
import { validator as named, secretKey } from '../consensus/fixtures.ts'
import { openDiskChain, quietLog, testFolder } from '../fakes/diskChain.ts'
import { testGenesis } from '../fakes/testChain.ts'
import { validatorWord } from '../fakes/validatorWord.ts'

const EPOCH_BLOCKS = 4
/** Validators 0 to 3 begin; 4 comes and 0 leaves. */
const [LEAVER, NEWCOMER] = [0, 4]
const PLACES = [0, 1, 2, 3, 4]
const base = testGenesis({ epochBlocks: EPOCH_BLOCKS, minBlockIntervalMs: 20, maxBlockIntervalMs: 100 })
const genesis: Genesis = {
  ...base,
  timestampMs: Date.now(),
  validators: [0, 1, 2, 3].map((index) => {
    const { address, publicKey, feeRecipient } = named(index, 1n)
    return { address, blsPublicKey: publicKey, weight: 1, feeRecipient }
  }),
}
const { chainId } = genesis.params

/** L1 has one block more than genesis knew, and in it the registry says that the newcomer comes and the leaver goes. */
function nextOrigin(current: L1Info): OriginStep | undefined {
  const { number } = genesis.l1.origin
  if (current.number !== number) return undefined
  const deposits = [validatorWord(NEWCOMER, 1n), validatorWord(LEAVER, 0n)]
  const info = {
    ...current,
    number: number + 1n,
    hash: toHex(7, { size: 32 }),
    timestampSec: BigInt(Math.floor(genesis.timestampMs / 1000)),
    depositCursor: BigInt(deposits.length),
  }
  return { info, deposits }
}

type Member = {
  readonly chain: ChainState
  readonly sets: EpochSets
  /** Heads behind which others vote than before. */
  readonly changes: readonly bigint[]
  readonly asked: ConsensusChain
  readonly validator: Validator
  readonly blamed: string[]
}

async function startNetwork(): Promise<Member[]> {
  const members: Member[] = []
  const others = (i: number) => members.filter((_, at) => at !== i)
  /** What is under way arrives in turns of its own. */
  const deliver = (work: () => void) => setImmediate(work)
  const netOf = (i: number) => ({
    broadcast(message: Uint8Array) {
      for (const to of others(i)) deliver(() => to.validator.takeMessage(message.slice(), String(i)))
    },
    broadcastBlock(block: Uint8Array) {
      for (const to of others(i)) deliver(() => to.asked.takeBlock(block.slice(), String(i)))
    },
    sendTo(peer: string, message: Uint8Array) {
      deliver(() => members[Number(peer)]?.validator.takeMessage(message.slice(), String(i)))
    },
    fetchBlock: async (hash: Hex) =>
      others(i)
        .flatMap(({ chain }) => chain.store.bytesOf(hash) ?? [])[0]
        ?.slice(),
    blame: (peer: string, why: string) => void members[i]?.blamed.push(`${peer}: ${why}`),
  })
  for (const i of PLACES) {
    const { chain } = await openDiskChain(genesis)
    const sets = createEpochSets(chain)
    const changes: bigint[] = []
    onOtherValidators(chain, sets, () => changes.push(chain.head().header.number))
    const journal = openJournal(testFolder())
    const secret = secretKey(i)
    const ports = { log: quietLog, nowMs: Date.now }
    const asked = createConsensusChain({ ...ports, chain, net: netOf(i), nextOrigin, judgeOrigin: () => true })
    const validator = createValidator({
      ...ports,
      chainId,
      chain: asked,
      setAt: sets.setAt,
      signer: createLocalSigner({ secret, publicKey: publicKeyOf(secret) }, { chainId, epochOf: sets.epochOf }),
      net: netOf(i),
      journal,
      onAhead() {},
      onEvidence: () => expect.unreachable('nobody breaks a rule'),
      onFatal: (error) => {
        throw error
      },
    })
    onTestFinished(async () => {
      asked.stop()
      await validator.stop()
      journal.close()
    })
    members.push({ chain, sets, changes, asked, validator, blamed: [] })
  }
  for (const { validator } of members) validator.start()
  return members
}

/** Public keys of those who signed the commit of a block. */
function signersAt({ chain, sets }: Member, number: bigint): Hex[] {
  const decoded = decodeMessage(chain.store.commit(number) ?? new Uint8Array())
  if (!decoded.ok) throw new Error(decoded.code)
  const keys = sets.setAt(Number(number))?.validators.map(({ publicKey }) => publicKey) ?? []
  return signersOf((decoded.value as Commit).bitmap).map((place) => keys[place] ?? '0x')
}

test('from the next epoch on who came votes and proposes, and who left does neither', async () => {
  const members = await startNetwork()
  const blocks = BigInt(4 * EPOCH_BLOCKS)
  await vi.waitFor(() => expect(members.every(({ chain }) => chain.head().header.number >= blocks)).toBe(true), {
    timeout: 40_000,
    interval: 10,
  })
  const [first] = members
  if (!first) throw new Error('no member')
  const [gone, come] = [LEAVER, NEWCOMER].map((index) => named(index, 1n))
  if (!gone || !come) throw new Error('no validators')
  const seen = { old: new Set<Hex>(), later: new Set<Hex>(), oldMiners: new Set<Hex>(), laterMiners: new Set<Hex>() }
  for (let number = 1n; number <= blocks; number++) {
    const stored = members.map(({ chain }) => chain.store.block(number))
    expect(new Set(stored.map((one) => one?.hash)).size).toBe(1)
    const [one] = stored
    const commit = first.chain.store.commit(number)
    if (!one || !commit) throw new Error('a final block is stored')
    expect(checkFinal({ commit, block: encodeBlock(one.block) }, first.sets.setAt, chainId)).toMatchObject({ ok: true })
    const isOld = number <= BigInt(EPOCH_BLOCKS)
    for (const key of signersAt(first, number)) (isOld ? seen.old : seen.later).add(key)
    ;(isOld ? seen.oldMiners : seen.laterMiners).add(one.block.header.miner)
  }
  expect([seen.old.has(come.publicKey), seen.later.has(come.publicKey), seen.later.has(gone.publicKey)]).toEqual([false, true, false])
  expect([seen.oldMiners.has(come.feeRecipient), seen.laterMiners.has(come.feeRecipient)]).toEqual([false, true])
  expect([seen.oldMiners.has(gone.feeRecipient), seen.laterMiners.has(gone.feeRecipient)]).toEqual([true, false])
  expect(members.flatMap(({ blamed }) => blamed)).toEqual([])
  expect(members.map(({ changes }) => changes)).toEqual(PLACES.map(() => [BigInt(EPOCH_BLOCKS)]))
}, 60_000)
