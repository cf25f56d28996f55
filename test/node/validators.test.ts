/**
 * Four validators with stores, logs and keys of their own in one process, joined by a network in memory: they agree block by block, go on without one,
 * take one back that was away and stand still without a quorum.
 */
import { type Hex, hexToBytes } from 'viem'
import { expect, onTestFinished, test, vi } from 'vitest'
import { deriveSecretKey, publicKeyOf } from '../../consensus/bls.ts'
import { decodeMessage } from '../../consensus/message.ts'
import { encodeBlock } from '../../execution/block.ts'
import type { Genesis } from '../../genesis/genesis.ts'
import type { ChainState } from '../../node/chainState.ts'
import { validatorSetOf } from '../../node/epochs.ts'
import { checkFinal } from '../../node/follower.ts'
import { openJournal } from '../../node/journal.ts'
import { createLocalSigner } from '../../node/signer.ts'
import { createValidator, type Validator, type ValidatorNet } from '../../node/validator.ts'
import { openDiskChain, quietLog, testFolder } from '../fakes/diskChain.ts'
import { addressOf, testAccounts, testGenesis } from '../fakes/testChain.ts'

const SECRETS = [1, 2, 3, 4].map((byte) => deriveSecretKey(new Uint8Array(32).fill(byte)))
const genesis: Genesis = {
  ...testGenesis({ minBlockIntervalMs: 20, maxBlockIntervalMs: 100 }),
  timestampMs: Date.now(),
  validators: SECRETS.map((secret, i) => ({
    address: `0x${`c${i}`.repeat(20)}`,
    blsPublicKey: publicKeyOf(secret),
    weight: 1,
    feeRecipient: `0x${`d${i}`.repeat(20)}`,
  })),
}
const set = validatorSetOf(genesis)
const { chainId } = genesis.params

type Member = {
  readonly chain: ChainState
  readonly validator: Validator
  /** Peers whom it told off, with why. */
  readonly blamed: string[]
  /** Whether messages reach it and leave it. */
  isConnected: boolean
  isDeafTo: (message: Uint8Array) => boolean
}

async function startNetwork() {
  const members: Member[] = []
  const others = (i: number) => members.filter((member, at) => at !== i && member.isConnected && members[i]?.isConnected)
  /** What is under way arrives in turns of its own. */
  const deliver = (work: () => void) => setImmediate(work)
  const netOf = (i: number): ValidatorNet => ({
    broadcast(message) {
      for (const to of others(i)) if (!to.isDeafTo(message)) deliver(() => to.validator.takeMessage(message.slice(), String(i)))
    },
    broadcastBlock(block) {
      for (const to of others(i)) deliver(() => to.validator.takeBlock(block.slice(), String(i)))
    },
    sendTo(peer, message) {
      const to = members[Number(peer)]
      if (to?.isConnected && members[i]?.isConnected) deliver(() => to.validator.takeMessage(message.slice(), String(i)))
    },
    async fetchBlock(hash) {
      for (const from of others(i)) {
        const bytes = from.chain.store.bytesOf(hash)
        if (bytes) return bytes.slice()
      }
      return undefined
    },
    blame: (peer, why) => members[i]?.blamed.push(`${peer}: ${why}`),
  })
  for (const [i, secret] of SECRETS.entries()) {
    const { chain } = await openDiskChain(genesis)
    const journal = openJournal(testFolder())
    const validator = createValidator({
      chain,
      setAt: () => set,
      signer: createLocalSigner({ secret, publicKey: publicKeyOf(secret) }, { chainId, epochOf: () => 0 }),
      net: netOf(i),
      journal,
      log: quietLog,
      nowMs: Date.now,
      nextOrigin: () => undefined,
      judgeOrigin: () => true,
      onAhead() {},
      onEvidence: () => expect.unreachable('nobody breaks a rule'),
      onFatal: (error) => {
        throw error
      },
    })
    onTestFinished(async () => {
      await validator.stop()
      journal.close()
    })
    members.push({ chain, validator, blamed: [], isConnected: true, isDeafTo: () => false })
  }
  for (const { validator } of members) validator.start()
  return members
}

const heightOf = ({ chain }: Member) => chain.head().header.number
const until = (isSo: () => void) => vi.waitFor(isSo, { timeout: 20_000, interval: 10 })

async function submitTransfer(member: Member, nonce: number): Promise<Hex> {
  const [account] = testAccounts
  if (!account) throw new Error('no account')
  const raw = await account.signTransaction({
    ...{ chainId, nonce, to: addressOf(account), value: 1n, gas: 21_000n, maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 1n },
  })
  const result = await member.chain.submit(hexToBytes(raw))
  if (!result.ok) throw new Error(result.code)
  member.validator.wake()
  return result.tx.hash
}

test('all decide the same blocks, with certificates of a quorum, and the proposers take turns', async () => {
  const members = await startNetwork()
  const [first] = members
  if (!first) throw new Error('no member')
  const hash = await submitTransfer(first, 0)
  await until(() => expect(members.map(heightOf).every((height) => height >= 8n)).toBe(true))
  const miners = new Set<Hex>()
  for (let number = 1n; number <= 8n; number++) {
    const stored = members.map(({ chain }) => chain.store.block(number))
    expect(new Set(stored.map((one) => one?.hash)).size).toBe(1)
    const [one] = stored
    const commit = first.chain.store.commit(number)
    if (!one || !commit) throw new Error('a final block is stored')
    expect(checkFinal({ commit, block: encodeBlock(one.block) }, () => set, chainId)).toMatchObject({ ok: true })
    miners.add(one.block.header.miner)
  }
  expect(miners.size).toBe(4)
  await until(() => expect(members.every(({ chain }) => chain.store.transaction(hash) !== undefined)).toBe(true))
  expect(members.flatMap(({ blamed }) => blamed)).toEqual([])
})

test('three go on without the fourth, which decides what it missed when it is given it, and votes again', async () => {
  const members = await startNetwork()
  const [first, , , away] = members
  if (!first || !away) throw new Error('no member')
  await until(() => expect(members.map(heightOf).every((height) => height >= 2n)).toBe(true))
  away.isConnected = false
  const stoodAt = heightOf(away)
  await until(() => expect(heightOf(first)).toBeGreaterThanOrEqual(stoodAt + 4n))
  away.isConnected = true
  while (heightOf(away) < heightOf(first)) {
    const number = heightOf(away) + 1n
    const [commit, block] = [first.chain.store.commit(number), first.chain.store.block(number)?.block]
    if (!commit || !block) throw new Error('a final block is stored')
    const checked = checkFinal({ commit, block: encodeBlock(block) }, () => set, chainId)
    if (!checked.ok) throw new Error(checked.code)
    await away.validator.adopt(checked.final)
  }
  const back = heightOf(away)
  const blocks = () => Array.from({ length: Number(heightOf(first) - back) }, (_, i) => first.chain.store.block(back + 1n + BigInt(i)))
  await until(() => expect(blocks().some((one) => one?.block.header.miner === genesis.validators[3]?.feeRecipient)).toBe(true))
}, 40_000)

test('two of four decide nothing, and go on when a third is back', async () => {
  const members = await startNetwork()
  const [first, , third, fourth] = members
  if (!first || !third || !fourth) throw new Error('no member')
  await until(() => expect(heightOf(first)).toBeGreaterThanOrEqual(2n))
  for (const one of [third, fourth]) one.isConnected = false
  let heard = 0
  first.isDeafTo = (message) => {
    const decoded = decodeMessage(message)
    if (decoded.ok && decoded.value.kind === 'prevote') heard++
    return false
  }
  // Votes are said again while a height is open. One that was open already may still end; the next cannot.
  await until(() => expect(heard).toBeGreaterThanOrEqual(2))
  const stoodAt = heightOf(first)
  await until(() => expect(heard).toBeGreaterThanOrEqual(5))
  expect(heightOf(first)).toBe(stoodAt)
  third.isConnected = true
  await until(() => expect(heightOf(first)).toBeGreaterThan(stoodAt + 1n))
}, 60_000)

test('bytes that are no message, and votes that nobody signed, are told off', async () => {
  const members = await startNetwork()
  const [first] = members
  if (!first) throw new Error('no member')
  first.validator.takeMessage(Uint8Array.of(9, 9, 9), '1')
  first.validator.takeBlock(Uint8Array.of(1, 2, 3), '2')
  await until(() => expect(first.blamed.map((one) => one.slice(0, 1)).sort()).toEqual(['1', '2']))
  await until(() => expect(heightOf(first)).toBeGreaterThanOrEqual(3n))
})
