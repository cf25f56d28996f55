import { type Hex, keccak256, toHex, zeroHash } from 'viem'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { batchInboxAbi } from '../../settlement/abi.ts'
import { encodePostBatch } from '../../settlement/inbox.ts'
import type { createKzg } from '../../settlement/kzg.ts'
import { createL1 } from '../../settlement/l1.ts'
import { L1Error } from '../../settlement/l1Error.ts'
import { parseTx } from '../../settlement/l1Tx.ts'
import {
  bumpFees,
  createTxManager,
  type L1TxPort,
  type PendingTx,
  type PendingTxStore,
  type TxClock,
  type TxManager,
  type TxManagerOptions,
} from '../../settlement/txManager.ts'
import { ANVIL_ACCOUNTS, ANVIL_CHAIN_ID, type Anvil, startAnvil, unusedAddress } from '../fakes/anvil.ts'
import { deployStage, type L1Stage } from '../fakes/l1Stage.ts'
import { zeroSidecar } from '../fakes/zeroBlob.ts'

const [, POSTER] = ANVIL_ACCOUNTS
const TO = unusedAddress(7)
const OPTIONS: TxManagerOptions = {
  kind: 'ordinary',
  chainId: ANVIL_CHAIN_ID,
  signer: POSTER,
  maxFeeLimitWei: 100n * 10n ** 9n,
  maxBlobFeeLimitWei: 100n * 10n ** 9n,
  confirmations: 1n,
  pollMs: 10,
  resubmitMs: 1_000,
  waitMs: 10_000,
}

/** A store that outlives its managers, as a disk does. */
function memoryStore(): PendingTxStore & { pending: PendingTx | undefined } {
  const store = {
    pending: undefined as PendingTx | undefined,
    load: async () => store.pending,
    save: async (pending: PendingTx) => {
      store.pending = pending
    },
    clear: async () => {
      store.pending = undefined
    },
  }
  return store
}

/** An L1 that takes every transaction and mines what a test tells it to, and a clock that runs when somebody sleeps. */
function fakeL1({ onSleep = () => {} }: { onSleep?: (nowMs: number) => void } = {}) {
  const l1 = {
    sent: [] as Hex[],
    nextNonce: 5n,
    baseFeeWei: 10n,
    verdict: { ok: true } as Awaited<ReturnType<L1TxPort['send']>>,
    receipts: new Map<Hex, Awaited<ReturnType<L1TxPort['inclusion']>>>(),
    mine(raw: Hex | undefined, { succeeded = true, confirmations = 1n } = {}) {
      if (!raw) throw new Error('nothing was sent')
      l1.receipts.set(hashOf(raw), { l1Block: { number: 9n, hash: zeroHash }, succeeded, confirmations })
      l1.nextNonce = parseTx(raw).nonce + 1n
    },
  }
  let nowMs = 0
  const port: L1TxPort = {
    nonce: async () => l1.nextNonce,
    fees: async () => ({ baseFeeWei: l1.baseFeeWei, tipWei: 2n, blobBaseFeeWei: 3n }),
    estimateGas: async () => ({ ok: true, gas: 40_000n }),
    send: async (raw) => {
      l1.sent.push(raw)
      return l1.verdict
    },
    inclusion: async (hash) => l1.receipts.get(hash),
  }
  const clock = {
    nowMs: () => nowMs,
    sleep: async (ms: number) => {
      nowMs += ms
      onSleep(nowMs)
    },
  }
  return { l1, port, clock }
}

// Of ordinary transactions only, whose bytes are what is hashed.
function hashOf(raw: Hex): Hex {
  return keccak256(raw)
}

test('a transaction is stored before it is sent, waits for its confirmations, and is forgotten then', async () => {
  const store = memoryStore()
  const storedWhenSent: (PendingTx | undefined)[] = []
  const { l1, port, clock } = fakeL1({ onSleep: (nowMs) => l1.mine(l1.sent[0], { confirmations: nowMs < 50 ? 1n : 2n }) })
  const send: L1TxPort['send'] = (raw) => {
    storedWhenSent.push(store.pending)
    return port.send(raw)
  }
  const manager = createTxManager({ l1: { ...port, send }, store, clock }, { ...OPTIONS, confirmations: 2n })
  const outcome = await manager.send({ to: TO, data: '0x01' })
  const [raw = '0x'] = l1.sent
  expect(outcome).toEqual({ ok: true, hash: hashOf(raw), l1Block: { number: 9n, hash: zeroHash } })
  expect(clock.nowMs()).toBe(50)
  expect(storedWhenSent).toEqual([{ nonce: 5n, raw, hashes: [hashOf(raw)] }])
  expect(parseTx(raw)).toMatchObject({
    nonce: 5n,
    to: TO,
    data: '0x01',
    gas: 50_000n,
    fees: { maxFeeWei: 22n, tipWei: 2n, maxBlobFeeWei: 0n },
  })
  expect(store.pending).toBeUndefined()
  expect(await manager.resume()).toBeUndefined()
})

test('while one is pending no other is made; what is pending is taken up', async () => {
  const store = memoryStore()
  const { l1, port, clock } = fakeL1()
  const first = createTxManager({ l1: port, store, clock }, { ...OPTIONS, waitMs: 100 })
  const hashes = () => l1.sent.map(hashOf).slice(0, 1)
  expect(await first.send({ to: TO, data: '0x01' })).toEqual({ ok: false, code: 'pending', nonce: 5n, hashes: hashes() })
  expect(await first.send({ to: TO, data: '0x02' })).toEqual({ ok: false, code: 'pending', nonce: 5n, hashes: hashes() })
  expect(l1.sent.length).toBe(1)
  const afterRestart = createTxManager({ l1: port, store, clock }, { ...OPTIONS, waitMs: 100 })
  expect(await afterRestart.resume()).toMatchObject({ code: 'pending' })
  expect(l1.sent).toEqual([l1.sent[0], l1.sent[0]])
  l1.mine(l1.sent[0])
  expect(await afterRestart.resume()).toMatchObject({ ok: true, hash: hashOf(l1.sent[0] ?? '0x') })
  expect(l1.sent.length).toBe(2)
})

test('one that is not mined is sent again for an eighth more, and whichever version is mined counts', async () => {
  const store = memoryStore()
  const { l1, port, clock } = fakeL1({ onSleep: (nowMs) => nowMs === 2_500 && l1.mine(l1.sent[1]) })
  const outcome = await createTxManager({ l1: port, store, clock }, OPTIONS).send({ to: TO, data: '0x01' })
  expect(l1.sent.map((raw) => parseTx(raw).fees)).toEqual([
    { maxFeeWei: 22n, tipWei: 2n, maxBlobFeeWei: 0n },
    { maxFeeWei: 25n, tipWei: 3n, maxBlobFeeWei: 0n },
    { maxFeeWei: 29n, tipWei: 4n, maxBlobFeeWei: 0n },
  ])
  expect(new Set(l1.sent.map((raw) => parseTx(raw).nonce))).toEqual(new Set([5n]))
  expect(outcome).toMatchObject({ ok: true, hash: hashOf(l1.sent[1] ?? '0x') })
})

test('the age of a version goes on from one call to the next, so that it is sent for more though no call waits so long', async () => {
  const store = memoryStore()
  const { l1, port, clock } = fakeL1()
  const manager = createTxManager({ l1: port, store, clock }, { ...OPTIONS, waitMs: 400 })
  expect(await manager.send({ to: TO, data: '0x01' })).toMatchObject({ code: 'pending' })
  expect(await manager.resume()).toMatchObject({ code: 'pending' })
  expect(store.pending?.hashes.length).toBe(1)
  expect(await manager.resume()).toMatchObject({ code: 'pending' })
  expect(store.pending?.hashes.length).toBe(2)
  expect(new Set(l1.sent).size).toBe(2)
})

test('when L1 gives up one that was before it, its nonce is not due: it is forgotten, and the next one gets the nonce that is', async () => {
  const store = memoryStore()
  const { l1, port, clock } = fakeL1({
    onSleep: () => {
      l1.nextNonce = 4n
    },
  })
  const manager = createTxManager({ l1: port, store, clock }, OPTIONS)
  expect(await manager.send({ to: TO, data: '0x01' })).toMatchObject({ code: 'gap', nonce: 5n })
  expect(store.pending).toBeUndefined()
  expect(await createTxManager({ l1: port, store, clock }, { ...OPTIONS, waitMs: 10 }).send({ to: TO, data: '0x01' })).toMatchObject({
    code: 'pending',
    nonce: 4n,
  })
})

test('fees follow the market, and those of blobs double', () => {
  const fees = { maxFeeWei: 80n, tipWei: 8n, maxBlobFeeWei: 0n }
  expect(bumpFees(fees, { maxFeeWei: 70n, tipWei: 20n, maxBlobFeeWei: 0n })).toEqual({ maxFeeWei: 90n, tipWei: 20n, maxBlobFeeWei: 0n })
  const blobFees = { ...fees, maxBlobFeeWei: 5n }
  expect(bumpFees(blobFees, { maxFeeWei: 170n, tipWei: 1n, maxBlobFeeWei: 9n })).toEqual({
    maxFeeWei: 170n,
    tipWei: 16n,
    maxBlobFeeWei: 10n,
  })
})

test('nothing is sent above the limit, and what is pending stays as it is there', async () => {
  const store = memoryStore()
  const { l1, port, clock } = fakeL1()
  const limited = { ...OPTIONS, maxFeeLimitWei: 23n, waitMs: 2_500 }
  const manager = createTxManager({ l1: port, store, clock }, limited)
  l1.baseFeeWei = 22n
  expect(await manager.send({ to: TO, data: '0x01' })).toEqual({ ok: false, code: 'feeTooHigh', feeWei: 24n, limitWei: 23n })
  expect([l1.sent, store.pending]).toEqual([[], undefined])
  // Room for the base fee to double is cut at the limit.
  l1.baseFeeWei = 20n
  expect(await manager.send({ to: TO, data: '0x01' })).toMatchObject({ code: 'pending' })
  expect(l1.sent.map((raw) => parseTx(raw).fees.maxFeeWei)).toEqual([23n, 23n, 23n])
  expect(store.pending?.hashes.length).toBe(1)
})

test('a nonce that somebody else has used is told from one of ours', async () => {
  const store = memoryStore()
  const { l1, port, clock } = fakeL1({
    onSleep: () => {
      l1.nextNonce = 6n
    },
  })
  const outcome = await createTxManager({ l1: port, store, clock }, OPTIONS).send({ to: TO, data: '0x01' })
  expect(outcome).toEqual({ ok: false, code: 'replaced', nonce: 5n, hashes: l1.sent.map(hashOf) })
  expect(store.pending).toBeUndefined()
})

test('a node that is behind with the receipt does not make a transaction of ours look replaced', async () => {
  const store = memoryStore()
  const { l1, port, clock } = fakeL1({
    onSleep: (nowMs) => {
      l1.nextNonce = 6n
      if (nowMs === 20) l1.mine(l1.sent[0])
    },
  })
  expect(await createTxManager({ l1: port, store, clock }, OPTIONS).send({ to: TO, data: '0x01' })).toMatchObject({ ok: true })
})

test('what a node refuses is forgotten, and the nonce is used by the next one', async () => {
  const store = memoryStore()
  const { l1, port, clock } = fakeL1()
  const manager = createTxManager({ l1: port, store, clock }, { ...OPTIONS, waitMs: 10 })
  l1.verdict = { ok: false, code: 'rejected', reason: 'insufficient funds' }
  expect(await manager.send({ to: TO, data: '0x01' })).toEqual({ ok: false, code: 'rejected', reason: 'insufficient funds' })
  expect(store.pending).toBeUndefined()
  l1.verdict = { ok: true }
  expect(await manager.send({ to: TO, data: '0x02' })).toMatchObject({ code: 'pending', nonce: 5n })
})

test('a price that is too low is not a refusal: it is bumped', async () => {
  const store = memoryStore()
  const { l1, port, clock } = fakeL1({ onSleep: (nowMs) => nowMs === 1_500 && l1.mine(l1.sent[1]) })
  l1.verdict = { ok: false, code: 'underpriced', reason: 'replacement transaction underpriced' }
  expect(await createTxManager({ l1: port, store, clock }, OPTIONS).send({ to: TO, data: '0x01' })).toMatchObject({ ok: true })
})

test('a manager does one thing at a time and sends one kind', async () => {
  const { port, clock } = fakeL1()
  const manager = createTxManager({ l1: port, store: memoryStore(), clock }, { ...OPTIONS, waitMs: 10 })
  const first = manager.send({ to: TO, data: '0x01' })
  await expect(manager.send({ to: TO, data: '0x02' })).rejects.toThrow('one thing at a time')
  await first
  await expect(manager.send({ to: TO, data: '0x03', sidecar: zeroSidecar(1) })).rejects.toThrow('the other kind')
})

// ---- on a real L1

let anvil: Anvil
let stage: L1Stage
beforeAll(async () => {
  anvil = await startAnvil()
})
afterAll(() => anvil?.stop())
beforeEach(async () => {
  stage = await deployStage(anvil)
  await stage.publishGenesis()
})

/** A clock that runs when somebody sleeps, and gives the L1 a moment then: what happens does not depend on how fast the machine is. */
function sleepingClock(): TxClock {
  let nowMs = 0
  return {
    nowMs: () => nowMs,
    sleep: (ms) => {
      nowMs += ms
      return new Promise((resolve) => setTimeout(resolve, 5))
    },
  }
}

// Never asked for a proof here: the blobs are of zeros.
const noKzg: ReturnType<typeof createKzg> = {
  commit: () => Promise.reject(),
  cellProofs: () => Promise.reject(),
  prove: () => Promise.reject(),
}

function realPort(): L1TxPort {
  const connection = { rpcUrl: stage.url, timeoutMs: 60_000, retries: 0, beaconUrls: [], chainId: ANVIL_CHAIN_ID, kzg: noKzg }
  return createL1({ ...connection, addresses: stage.deployment }).transactions
}

function realManager({
  store = memoryStore(),
  l1 = realPort(),
  options = {},
}: {
  store?: PendingTxStore
  l1?: L1TxPort
  options?: Partial<TxManagerOptions>
}): TxManager {
  return createTxManager({ l1, store, clock: sleepingClock() }, { ...OPTIONS, ...options })
}

const batchCount = () => stage.user.readContract({ address: stage.deployment.inbox, abi: batchInboxAbi, functionName: 'batchCount' })
const posterNonce = () => stage.poster.getTransactionCount({ address: POSTER.address })

async function batchRequest() {
  const payload = Uint8Array.of(1, 2)
  const header = await stage.nextHeader({ payloadBytes: 2 })
  return { to: stage.deployment.inbox, data: encodePostBatch(header, await stage.postingOf(header, { payload })) }
}

async function blobBatchRequest() {
  const header = await stage.nextHeader({ payloadBytes: 5 })
  return { to: stage.deployment.inbox, data: encodePostBatch(header, await stage.postingOf(header)), sidecar: zeroSidecar(1) }
}

/** Runs the work while nothing is mined by itself. */
async function withoutMining(work: () => Promise<void>): Promise<void> {
  await stage.user.setAutomine(false)
  try {
    await work()
  } finally {
    await stage.user.setAutomine(true)
    await stage.user.mine({ blocks: 1 })
  }
}

test('on L1: a batch in call data and a batch in a blob, each by the account of its kind', async () => {
  expect(await realManager({}).send(await batchRequest())).toMatchObject({ ok: true })
  const blobs = realManager({ options: { kind: 'blob', signer: ANVIL_ACCOUNTS[3] } })
  expect(await blobs.send(await blobBatchRequest())).toMatchObject({ ok: true })
  expect(await batchCount()).toBe(2n)
})

test('on L1: a restart with a pending transaction makes no double and no gap', async () => {
  const store = memoryStore()
  const nonce = await posterNonce()
  await withoutMining(async () => {
    const request = await batchRequest()
    expect(await realManager({ store, options: { waitMs: 30 } }).send(request)).toMatchObject({ code: 'pending', nonce: BigInt(nonce) })
    const afterRestart = realManager({ store, options: { waitMs: 30 } })
    expect(await afterRestart.send(request)).toMatchObject({ code: 'pending' })
    expect(await afterRestart.resume()).toMatchObject({ code: 'pending' })
    await stage.user.mine({ blocks: 1 })
    expect(await realManager({ store }).resume()).toMatchObject({ ok: true })
  })
  expect([await batchCount(), await posterNonce()]).toEqual([1n, nonce + 1])
  expect(await realManager({ store }).send(await batchRequest())).toMatchObject({ ok: true })
  expect([await batchCount(), await posterNonce()]).toEqual([2n, nonce + 2])
})

test('on L1: a crash between storing and sending loses nothing, nor does one between mining and forgetting', async () => {
  const store = memoryStore()
  const nonce = await posterNonce()
  const deadPort = { ...realPort(), send: () => Promise.reject(new L1Error('gone', { kind: 'retry' })) }
  await expect(realManager({ store, l1: deadPort }).send(await batchRequest())).rejects.toThrow('gone')
  const stored = store.pending
  expect(await realManager({ store }).resume()).toMatchObject({ ok: true })
  store.pending = stored
  expect(await realManager({ store }).resume()).toMatchObject({ ok: true })
  expect([await batchCount(), await posterNonce(), store.pending]).toEqual([1n, nonce + 1, undefined])
})

test('on L1: a pool takes the bumped versions, ordinary and with blobs', async () => {
  await withoutMining(async () => {
    const request = await batchRequest()
    const blobRequest = await blobBatchRequest()
    for (const [kind, signer, work] of [
      ['ordinary', POSTER, request],
      ['blob', ANVIL_ACCOUNTS[3], blobRequest],
    ] as const) {
      const verdicts: unknown[] = []
      const port = realPort()
      const send: L1TxPort['send'] = async (raw) => {
        const verdict = await port.send(raw)
        verdicts.push(verdict)
        return verdict
      }
      // The holder of OPEN is no poster: its gas is not asked for.
      const l1 = { ...port, send, estimateGas: async () => ({ ok: true, gas: 200_000n }) as const }
      const store = memoryStore()
      await realManager({ store, l1, options: { kind, signer, resubmitMs: 40, waitMs: 150 } }).send(work)
      expect(verdicts.length).toBeGreaterThan(1)
      expect(verdicts).toEqual(verdicts.map(() => ({ ok: true })))
      expect(store.pending?.hashes.length).toBe(verdicts.length)
    }
  })
})

test('on L1: a batch that can not land is not sent, and the reason is named', async () => {
  const header = await stage.nextHeader({ prevAccumulator: zeroHash, payloadBytes: 2 })
  const outcome = await realManager({}).send({
    to: stage.deployment.inbox,
    data: encodePostBatch(header, await stage.postingOf(header, { payload: Uint8Array.of(1, 2) })),
  })
  const [accumulator] = await stage.user.readContract({ address: stage.deployment.inbox, abi: batchInboxAbi, functionName: 'head' })
  expect(outcome).toEqual({ ok: false, code: 'wouldRevert', reason: `WrongAccumulator(${accumulator})` })
})

test('on L1: one that fails in its block is told from one that succeeds', async () => {
  const store = memoryStore()
  await withoutMining(async () => {
    await realManager({ store, options: { waitMs: 30 } }).send(await batchRequest())
    // By the time it is mined there is nothing that it could follow.
    const slot = toHex(0, { size: 32 })
    await stage.user.setStorageAt({ address: stage.deployment.inbox, index: slot, value: keccak256('0x') })
    await stage.user.mine({ blocks: 1 })
  })
  expect(await realManager({ store }).resume()).toMatchObject({ ok: false, code: 'reverted' })
  expect(store.pending).toBeUndefined()
})

test('on L1: an account without ether is refused', async () => {
  const { privateKeyToAccount } = await import('viem/accounts')
  const signer = privateKeyToAccount(keccak256('0x706f6f72'))
  const l1 = { ...realPort(), estimateGas: async () => ({ ok: true, gas: 200_000n }) as const }
  const outcome = await realManager({ l1, options: { signer } }).send(await batchRequest())
  expect(outcome).toMatchObject({ ok: false, code: 'rejected', reason: expect.stringMatching(/insufficient funds/i) })
})
