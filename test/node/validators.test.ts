/**
 * Four validators with stores, logs and keys of their own in one process, joined by a network in memory: they agree block by block, go on without one,
 * take one back that was away and stand still without a quorum.
 */
import { join } from 'node:path'
import { type Hex, hexToBytes } from 'viem'
import { expect, onTestFinished, test, vi } from 'vitest'
import { publicKeyOf } from '../../consensus/bls.ts'
import { decodeMessage } from '../../consensus/message.ts'
import { encodeBlock } from '../../execution/block.ts'
import type { ChainState } from '../../node/chainState.ts'
import { type ConsensusChain, createConsensusChain } from '../../node/consensusChain.ts'
import { validatorSetOf } from '../../node/epochs.ts'
import { checkFinal } from '../../node/follower.ts'
import { type Journal, openJournal } from '../../node/journal.ts'
import type { ValidatorKey } from '../../node/keys.ts'
import { openSigner } from '../../node/openSigner.ts'
import { openRemoteKey } from '../../node/remoteSigner.ts'
import { createLocalSigner, SignerError, type ValidatorSigner } from '../../node/signer.ts'
import { openSignerGuardFile } from '../../node/signerGuardFile.ts'
import { type SignerServer, startSignerServer } from '../../node/signerServer.ts'
import { createValidator, type Validator } from '../../node/validator.ts'
import { openDiskChain, quietLog, testFolder } from '../fakes/diskChain.ts'
import { fastGenesis, secretOf } from '../fakes/fastGenesis.ts'
import { addressOf, testAccounts } from '../fakes/testChain.ts'

const VALIDATORS = [0, 1, 2, 3]
const genesis = fastGenesis(VALIDATORS)
const set = validatorSetOf(genesis)
const { chainId } = genesis.params

type Member = {
  readonly chain: ChainState
  readonly asked: ConsensusChain
  readonly validator: Validator
  readonly journal: Journal
  /** Peers whom it told off, with why. */
  readonly blamed: string[]
  /** Whether messages reach it and leave it. */
  isConnected: boolean
  isDeafTo: (message: Uint8Array) => boolean
}

const localSigner = async (i: number): Promise<ValidatorSigner> => createLocalSigner(keyOf(i), { chainId, epochOf: () => 0 })

function keyOf(i: number): ValidatorKey {
  const secret = secretOf(i)
  if (!secret) throw new Error('no validator')
  return { secret, publicKey: publicKeyOf(secret) }
}

async function startNetwork(signerOf = localSigner) {
  const members: Member[] = []
  const others = (i: number) => members.filter((member, at) => at !== i && member.isConnected && members[i]?.isConnected)
  /** What is under way arrives in turns of its own. */
  const deliver = (work: () => void) => setImmediate(work)
  const netOf = (i: number) => ({
    broadcast(message: Uint8Array) {
      for (const to of others(i)) if (!to.isDeafTo(message)) deliver(() => to.validator.takeMessage(message.slice(), String(i)))
    },
    broadcastBlock(block: Uint8Array) {
      for (const to of others(i)) deliver(() => to.asked.takeBlock(block.slice(), String(i)))
    },
    sendTo(peer: string, message: Uint8Array) {
      const to = members[Number(peer)]
      if (to?.isConnected && members[i]?.isConnected) deliver(() => to.validator.takeMessage(message.slice(), String(i)))
    },
    async fetchBlock(hash: Hex) {
      for (const from of others(i)) {
        const bytes = from.chain.store.bytesOf(hash)
        if (bytes) return bytes.slice()
      }
      return undefined
    },
    blame: (peer: string, why: string) => void members[i]?.blamed.push(`${peer}: ${why}`),
  })
  for (const i of VALIDATORS) {
    const { chain } = await openDiskChain(genesis)
    const journal = openJournal(testFolder())
    const ports = { log: quietLog, nowMs: Date.now }
    const asked = createConsensusChain({ ...ports, chain, net: netOf(i), nextOrigin: () => undefined, judgeOrigin: () => true })
    const validator = createValidator({
      ...ports,
      chainId,
      chain: asked,
      setAt: () => set,
      signer: await signerOf(i),
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
    members.push({ chain, asked, validator, journal, blamed: [], isConnected: true, isDeafTo: () => false })
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
    away.asked.give(checked.final)
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

/** Signers in front of HTTP, with guards of their own, that can be away. */
async function startSigners() {
  const folder = testFolder()
  const token = 'a token that the tests know 12345'.replaceAll(' ', '-')
  const addressAt = (i: number) => ({ kind: 'socket', path: join(folder, String(i)) }) as const
  const guards = await Promise.all(VALIDATORS.map((i) => openSignerGuardFile(join(folder, `guard${i}`))))
  const servers = new Map<number, SignerServer>()
  const back = async (i: number) => {
    const [guardFile, address] = [guards[i], addressAt(i)]
    if (!guardFile) throw new Error('no guard')
    const onFatal = (error: unknown) => expect.unreachable(String(error))
    const checkpointGuard = { check: () => expect.unreachable('there are no checkpoints'), close() {} }
    const ports = { log: quietLog, nowMs: Date.now, onFatal }
    const server = await startSignerServer({ key: keyOf(i), chainId, token, address, guardFile, checkpointGuard, ...ports })
    servers.set(i, server)
  }
  const leave = async (i: number) => {
    await servers.get(i)?.close()
    servers.delete(i)
  }
  for (const i of VALIDATORS) await back(i)
  onTestFinished(async () => {
    for (const i of [...servers.keys()]) await leave(i)
    for (const guard of guards) await guard.close()
  })
  const signerOf = async (i: number): Promise<ValidatorSigner> => {
    const key = await openRemoteKey({ address: addressAt(i), token, chainId, startMs: 5_000, log: quietLog })
    const signer = await openSigner(key.parts(), { domain: { chainId, epochOf: () => 0 }, log: quietLog })
    onTestFinished(signer.close)
    return signer
  }
  return { signerOf, back, leave }
}

test('keys that are elsewhere: three go on while the signer of one is away, all wait while all are, and go on when they are back', async () => {
  const signers = await startSigners()
  const members = await startNetwork(signers.signerOf)
  const [first] = members
  if (!first) throw new Error('no member')
  const grow = (blocks: bigint) => {
    const from = heightOf(first)
    return until(() => expect(members.map(heightOf).every((height) => height >= from + blocks)).toBe(true))
  }
  await grow(2n)
  await signers.leave(3)
  await grow(2n) // it decides with the votes of the others
  for (const i of [0, 1, 2]) await signers.leave(i)
  let [stoodAt, looks] = [-1n, 0]
  await until(() => {
    looks = heightOf(first) === stoodAt ? looks + 1 : 0
    stoodAt = heightOf(first)
    expect(looks).toBeGreaterThan(50) // several of the longest intervals between blocks
  })
  for (const i of VALIDATORS) await signers.back(i)
  await grow(3n)
  const from = heightOf(first)
  const isBuiltByLast = (number: bigint) => first.chain.store.block(number)?.block.header.miner === genesis.validators[3]?.feeRecipient
  await until(() => expect([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n].some((more) => isBuiltByLast(from + more))).toBe(true))
}, 60_000)

test('what a signer refuses to sign is not in the guard: a restart would take it for said', async () => {
  let refused = 0
  const members = await startNetwork(async (i) => {
    const signer = await localSigner(i)
    const refuse = async () => {
      refused++
      throw new SignerError('refused', 'another signature of this key stands there')
    }
    return i === 3 ? { ...signer, sign: refuse } : signer
  })
  await until(() => expect(members.map(heightOf).every((height) => height >= 3n)).toBe(true))
  const [first, , , last] = members
  expect(refused).toBeGreaterThanOrEqual(3)
  expect(first?.journal.readGuard()).toBeDefined()
  expect(last?.journal.readGuard()).toBeUndefined()
}, 40_000)

test('bytes that are no message, and votes that nobody signed, are told off', async () => {
  const members = await startNetwork()
  const [first] = members
  if (!first) throw new Error('no member')
  first.validator.takeMessage(Uint8Array.of(9, 9, 9), '1')
  first.asked.takeBlock(Uint8Array.of(1, 2, 3), '2')
  await until(() => expect(first.blamed.map((one) => one.slice(0, 1)).sort()).toEqual(['1', '2']))
  await until(() => expect(heightOf(first)).toBeGreaterThanOrEqual(3n))
})
